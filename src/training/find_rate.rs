//! A search for the learning rate: the loss while the rate rises from update to update. Smith, arXiv:1506.01186, section 3.3;
//! here the rate rises by a factor, since good ones lie in any order of magnitude.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};

use super::batches::{BadImages, TrainingBatch, TrainingBatches};
use super::step::Learner;
use crate::data::dataset::Dataset;
use crate::experiment::Experiment;
use crate::processes::Processes;
use crate::report::Report;

/// The first and the last rate that are tried.
const RATES: [f64; 2] = [1e-6, 10.0];
/// Updates from the first rate to the last.
const UPDATES: usize = 100;
/// The search ends once the loss is this many times the lowest so far.
const DIVERGED: f64 = 4.0;
/// The share of the first loss by which it must fall.
const FALL: f64 = 0.02;

/// A search, and everything that it uses.
#[derive(Debug)]
pub struct RateSearch<'a> {
    /// What is trained, and how; its own rate and schedule are left aside.
    pub experiment: &'a Experiment,
    /// The images to learn from.
    pub train: &'a Dataset,
    /// Threads that prepare images.
    pub workers: usize,
    /// The terminal output.
    pub report: Report,
    /// Set by a signal.
    pub interrupted: &'a AtomicBool,
}

/// The rates that were tried, rising, and their losses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tried {
    /// The learning rate of each update.
    pub rates: Vec<f64>,
    /// The mean loss over the images of each update, before it.
    pub losses: Vec<f64>,
}

/// What the losses suggest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suggestion {
    /// The rate at the lowest loss, after smoothing.
    pub lowest: f64,
    /// The rate where the loss falls fastest, after smoothing.
    pub steepest: f64,
    /// A tenth of the rate at the lowest loss: at that rate itself, the loss already stops falling.
    pub rate: f64,
}

impl RateSearch<'_> {
    /// Trains the learner while the rate rises, until the loss explodes; `None` if interrupted. Images that cannot be read are
    /// skipped and added to `bad`.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory or no image can be read.
    pub fn run(&self, learner: &mut Learner, bad: &mut BadImages) -> Result<Option<Tried>> {
        let (accumulate, processes) = (self.experiment.training.accumulate, Processes::alone());
        let batches = TrainingBatches::new(self.experiment, self.train, self.workers, &processes)?;
        let mut bar = self.report.bar(UPDATES as u64, "learning rate");
        let mut tried = Tried::default();
        // The loss and the images of the current update, and its batches, so far.
        let (mut sum, mut count, mut learned) = (0.0, 0, 0);

        for epoch in 0.. {
            let mut loaded = batches.epoch(epoch, 0)?;
            for step in 0..batches.steps() {
                let TrainingBatch { images, labels, .. } = loaded.next(bad)?;
                if self.interrupted.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                if images.is_empty() {
                    continue;
                }
                learned += 1;
                let rate = rate(tried.rates.len());
                let is_last = learned % accumulate == 0;
                let loss = learner.step(&images, &labels, epoch * batches.steps() + step, rate, is_last)?.loss;
                sum += loss * labels.len() as f64;
                count += labels.len();
                if is_last || !loss.is_finite() {
                    tried.rates.push(rate);
                    tried.losses.push(sum / count as f64);
                    (sum, count) = (0.0, 0);
                    bar.at(tried.rates.len() as u64, format!("rate {rate:.2e}  loss {loss:.3}"));
                }
                if tried.is_over() {
                    bar.clear();
                    return Ok(Some(tried));
                }
            }
            ensure!(learned > 0, "no batch of at least {} images could be read; check the images", batches.least);
        }
        Ok(None)
    }
}

/// The rate of an update, counted from 0.
fn rate(update: usize) -> f64 {
    let [first, last] = RATES;
    first * (last / first).powf(update as f64 / (UPDATES - 1) as f64)
}

impl Tried {
    /// Whether the last rate was tried, or the loss has exploded: single batches may be hard, so over five.
    fn is_over(&self) -> bool {
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        let means: Vec<f64> = self.losses.windows(5).map(mean).collect();
        let lowest = means.iter().copied().fold(f64::INFINITY, f64::min);
        let is_finite = self.losses.iter().all(|loss| loss.is_finite());
        self.losses.len() >= UPDATES || !is_finite || means.last().is_some_and(|last| *last > DIVERGED * lowest)
    }

    /// The losses, each a mean over its neighbours that weighs by a Gaussian of two updates' deviation.
    pub fn smoothed(&self) -> Vec<f64> {
        let weighted = |at: usize| {
            let (mut sum, mut weights) = (0.0, 0.0);
            for (place, loss) in self.losses.iter().enumerate().filter(|(_, loss)| loss.is_finite()) {
                let weight = (-0.5 * (place.abs_diff(at) as f64 / 2.0).powi(2)).exp();
                sum += weight * loss;
                weights += weight;
            }
            sum / weights
        };
        (0..self.losses.len()).map(weighted).collect()
    }

    /// The rate to train at; `None` if the loss never fell.
    pub fn suggestion(&self) -> Option<Suggestion> {
        let losses = self.smoothed();
        let (at, lowest) = losses.iter().enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b))?;
        if *lowest > losses.first()? * (1.0 - FALL) {
            return None;
        }
        let falls = losses[..=at].windows(2).map(|pair| pair[1] - pair[0]).enumerate();
        let (steepest, _) = falls.min_by(|(_, a), (_, b)| a.total_cmp(b))?;
        Some(Suggestion {
            lowest: self.rates[at],
            steepest: self.rates[steepest],
            rate: two_digits(self.rates[at] / 10.0),
        })
    }
}

/// Rounded to one digit before and one after the point of scientific notation.
fn two_digits(value: f64) -> f64 {
    format!("{value:.1e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A loss that falls around 1e-2, is lowest near 0.3 and explodes afterwards, give or take.
    fn tried() -> Tried {
        let rates: Vec<f64> = (0..UPDATES).map(rate).collect();
        let loss = |rate: &f64| 1.0 + 1.0 / (1.0 + rate / 1e-2) + (rate / 3.0).powi(2);
        let losses = rates.iter().map(loss).enumerate().map(|(at, loss)| loss + 0.02 * (at % 3) as f64).collect();
        Tried { rates, losses }
    }

    #[test]
    fn the_suggestion_is_a_tenth_of_the_rate_at_the_lowest_loss() {
        let suggestion = tried().suggestion().expect("a suggestion");
        assert!((0.2..0.5).contains(&suggestion.lowest), "{suggestion:?}");
        assert!((0.004..0.03).contains(&suggestion.steepest), "{suggestion:?}");
        assert!((suggestion.rate / suggestion.lowest - 0.1).abs() < 0.005, "{suggestion:?}");
    }

    #[test]
    fn a_loss_that_never_falls_suggests_nothing() {
        let Tried { rates, losses } = tried();
        let losses = losses.iter().enumerate().map(|(at, _)| 2.0 + 0.01 * at as f64).collect();
        assert_eq!(Tried { rates, losses }.suggestion(), None);
    }

    #[test]
    fn the_search_ends_when_the_loss_explodes_or_is_not_a_number() {
        let with = |tail: &[f64]| {
            let losses = [&[1.0; 20], tail].concat();
            Tried { rates: (0..losses.len()).map(rate).collect(), losses }.is_over()
        };
        assert!(!with(&[]) && !with(&[3.0]) && with(&[9.0, 9.0, 9.0]) && with(&[f64::NAN]) && with(&[1.0; 80]));
    }
}
