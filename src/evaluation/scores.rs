//! The scores of one image: summed up view by view, averaged to class probabilities when all views are through.

use super::Member;
use super::look::{Looked, Question, Slot};
use crate::views::Average;

/// An image whose views are not all through yet.
pub struct Open {
    members: Vec<Vec<Sum>>,
    /// Views that are still to come.
    left: usize,
    /// That the networks have spent on each protocol's views.
    seconds: Vec<f64>,
}

/// The sum over a slot's views.
struct Sum {
    protocol: usize,
    average: Average,
    scores: Vec<f64>,
    views: u32,
}

impl Open {
    pub fn new(questions: &[Question], looked: &Looked) -> Self {
        let sum = |slot: &Slot| Sum { protocol: slot.protocol, average: slot.average, scores: Vec::new(), views: 0 };
        Open {
            members: questions.iter().map(|question| question.slots.iter().map(sum).collect()).collect(),
            left: looked.views.iter().map(Vec::len).sum(),
            seconds: vec![0.0; questions.first().map_or(0, |question| question.protocols)],
        }
    }

    pub fn is_complete(&self) -> bool {
        self.left == 0
    }

    /// Adds what a member gave for one view, which took so many seconds: to each slot as often as it counts the view.
    pub fn add(&mut self, member: usize, counts: &[u32], logits: &[f32], seconds: f64) {
        self.left -= 1;
        let logits: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
        let probabilities = softmax(&logits);
        let mut charged = None;
        for (sum, &times) in self.members[member].iter_mut().zip(counts).filter(|(_, times)| **times > 0) {
            let scores = match sum.average {
                Average::Softmax => &probabilities,
                Average::Logits => &logits,
            };
            sum.scores.resize(scores.len(), 0.0);
            sum.scores.iter_mut().zip(scores).for_each(|(sum, score)| *sum += f64::from(times) * score);
            sum.views += times;
            // A protocol's parts come one after another; a view that two of them share costs it once.
            if charged.replace(sum.protocol) != Some(sum.protocol) {
                self.seconds[sum.protocol] += seconds;
            }
        }
    }

    /// The averages: over a part's views, over a protocol's parts, over the members.
    pub fn close(self, members: &[Member]) -> Vec<Averaged> {
        let average = |protocol: usize| {
            let of = |sums: &[Sum]| {
                let parts = sums.iter().filter(|sum| sum.protocol == protocol);
                mean(parts.map(Sum::probabilities).collect())
            };
            let members: Vec<Vec<f64>> = members
                .iter()
                .zip(&self.members)
                .map(|(member, sums)| match member.order {
                    None => of(sums),
                    Some(order) => {
                        let own = of(sums);
                        order.iter().map(|&class| own[class]).collect()
                    }
                })
                .collect();
            let views = self.members.iter().flatten().filter(|sum| sum.protocol == protocol).map(|sum| sum.views);
            Averaged {
                mean: single(&mean(members.clone())),
                members: members.iter().map(|it| single(it)).collect(),
                crops: views.sum::<u32>() as usize,
                seconds: self.seconds[protocol],
            }
        };
        (0..self.seconds.len()).map(average).collect()
    }
}

impl Sum {
    fn probabilities(&self) -> Vec<f64> {
        let mean: Vec<f64> = self.scores.iter().map(|sum| sum / f64::from(self.views)).collect();
        match self.average {
            Average::Softmax => mean,
            Average::Logits => softmax(&mean),
        }
    }
}

/// The class probabilities of one image under one protocol.
pub struct Averaged {
    /// Over all members.
    pub mean: Vec<f32>,
    pub members: Vec<Vec<f32>>,
    /// How many views were counted, those of all members.
    pub crops: usize,
    /// That the networks spent on them.
    pub seconds: f64,
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

fn mean(rows: Vec<Vec<f64>>) -> Vec<f64> {
    let count = rows.len() as f64;
    let sum = rows.into_iter().reduce(|mut sum, row| {
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        sum
    });
    sum.unwrap_or_default().into_iter().map(|sum| sum / count).collect()
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|logit| (logit - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}
