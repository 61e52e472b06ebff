//! The scores of one image: summed up view by view, averaged to class probabilities when all views are done.

use serde::{Deserialize, Serialize};

use super::Member;
use super::request::{Request, Slot, Viewed};
use crate::views::Average;

/// The scores of an image, some of whose views may be pending.
#[derive(Debug)]
pub struct Scores {
    members: Vec<Vec<Sum>>,
    /// Pending views.
    left: usize,
    /// Seconds that the networks have spent on each protocol's views.
    seconds: Vec<f64>,
}

/// The sum over a slot's views.
#[derive(Debug)]
struct Sum {
    protocol: usize,
    average: Average,
    scores: Vec<f64>,
    views: u32,
}

/// The class probabilities of one image under one protocol.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Averaged {
    /// Over all members, one per class.
    pub mean: Vec<f32>,
    /// Those of each member.
    pub members: Vec<Vec<f32>>,
    /// How many views were counted, over all members.
    pub crops: usize,
    /// Seconds that the networks spent on them.
    pub seconds: f64,
}

impl Scores {
    /// Empty scores for an image with these views.
    pub fn new(request: &Request, viewed: &Viewed) -> Self {
        let sum = |slot: &Slot| Sum { protocol: slot.protocol, average: slot.average, scores: Vec::new(), views: 0 };
        Scores {
            members: request.members.iter().map(|member| member.slots.iter().map(sum).collect()).collect(),
            left: viewed.views.iter().map(Vec::len).sum(),
            seconds: vec![0.0; request.protocols],
        }
    }

    /// Whether all views are done.
    pub fn is_complete(&self) -> bool {
        self.left == 0
    }

    /// Adds a member's logits for one view, which took `seconds`, to each slot, as many times as the slot counts the
    /// view.
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

    /// The averages under each protocol: over a part's views, over a protocol's parts, over the members.
    pub fn average(&self, members: &[Member]) -> Vec<Averaged> {
        (0..self.seconds.len()).map(|protocol| self.average_under(protocol, members)).collect()
    }

    fn average_under(&self, protocol: usize, members: &[Member]) -> Averaged {
        let mut each = Vec::with_capacity(members.len());
        for (member, sums) in members.iter().zip(&self.members) {
            let parts = sums.iter().filter(|sum| sum.protocol == protocol).map(Sum::probabilities);
            let own = mean(parts.collect());
            each.push(match member.order {
                None => own,
                Some(order) => order.iter().map(|&class| own[class]).collect(),
            });
        }
        let crops = self.members.iter().flatten().filter(|sum| sum.protocol == protocol).map(|sum| sum.views);
        Averaged {
            members: each.iter().map(|probabilities| single(probabilities)).collect(),
            mean: single(&mean(each)),
            crops: crops.sum::<u32>() as usize,
            seconds: self.seconds[protocol],
        }
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
