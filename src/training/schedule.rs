//! The learning rate as a pure function of the step, and what a plateau of the validation error does to it.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::experiment::{Schedule, Training};

/// Learning rate at `step` (0-based, counted over the whole run). `lowered` is how often a plateau has lowered it.
pub fn rate(training: &Training, step: f64, steps_per_epoch: f64, lowered: u32) -> f64 {
    let warmup_steps = training.warmup_epochs * steps_per_epoch;
    if let Some(rate) = training.warmup_rate.filter(|_| step < warmup_steps) {
        return rate;
    }
    // 1) The rate rises in equal steps, the first of them above 0, the last one reaching where the schedule begins.
    let (step, rise) =
        if step < warmup_steps { (warmup_steps, ((step + 1.0) / warmup_steps).min(1.0)) } else { (step, 1.0) };
    // 2) Afterwards it follows the schedule.
    training.learning_rate * rise * share(training, step, steps_per_epoch, lowered)
}

/// The learning rate's share that a schedule has at `step`, which lies after the warm-up.
fn share(training: &Training, step: f64, steps_per_epoch: f64, lowered: u32) -> f64 {
    let epoch = step / steps_per_epoch;
    let after_warmup = epoch - training.warmup_epochs;
    let length = training.epochs as f64 - training.warmup_epochs;
    // A warm-up may take the whole run.
    let progress = if length > 0.0 { (after_warmup / length).min(1.0) } else { 0.0 };
    match &training.schedule {
        Schedule::Constant {} => 1.0,
        Schedule::Cosine { floor } => along_cosine(1.0, *floor, progress),
        Schedule::Step { every, factor } => factor.powi((epoch / every).floor() as i32),
        Schedule::Milestones { at, factor } => factor.powi(at.iter().filter(|&&end| epoch >= end).count() as i32),
        Schedule::Polynomial { power } => (1.0 - progress).powf(*power),
        Schedule::Exponential { factor } => factor.powf(after_warmup),
        Schedule::OneCycle { peak, start_divisor, end_divisor } => {
            let (start, end) = (1.0 / start_divisor, 1.0 / start_divisor / end_divisor);
            if length <= 0.0 {
                return start;
            }
            let step = after_warmup * steps_per_epoch;
            // As in PyTorch, the peak and the end are steps of their own, counted from 0.
            let (top, last) = (peak * length * steps_per_epoch - 1.0, length * steps_per_epoch - 1.0);
            if step <= top {
                along_cosine(start, 1.0, step / top.max(f64::MIN_POSITIVE))
            } else {
                along_cosine(1.0, end, ((step - top) / (last - top)).min(1.0))
            }
        }
        Schedule::Plateau { factor, floor, .. } => plateau_share(*factor, *floor, lowered),
    }
}

/// The share of the learning rate after a plateau has lowered it so often.
fn plateau_share(factor: f64, floor: f64, lowered: u32) -> f64 {
    factor.powi(lowered as i32).max(floor)
}

/// From `from` to `to` along half a cosine.
fn along_cosine(from: f64, to: f64, progress: f64) -> f64 {
    to + (from - to) * 0.5 * (1.0 + (PI * progress).cos())
}

/// What a plateau schedule remembers from epoch to epoch: the counters of PyTorch's `ReduceLROnPlateau` (relative
/// threshold 0.0001, no cooldown).
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Plateau {
    best: Option<f64>,
    /// Epochs since the best one, or since the rate was last lowered.
    stale: u64,
    /// How often the rate was lowered.
    pub lowered: u32,
}

impl Plateau {
    /// Whether the rate fell when it was last lowered: not below the floor.
    pub fn has_lowered(&self, factor: f64, floor: f64) -> bool {
        let before = self.lowered.saturating_sub(1);
        plateau_share(factor, floor, self.lowered) < plateau_share(factor, floor, before)
    }

    /// Takes note of an epoch's error; returns whether the error has stopped falling, for the rate to be lowered.
    pub fn observe(&mut self, error: f64, patience: u64) -> bool {
        if self.best.is_none_or(|best| error < best * (1.0 - 1e-4)) {
            (self.best, self.stale) = (Some(error), 0);
            return false;
        }
        self.stale += 1;
        let lowers = self.stale > patience;
        if lowers {
            self.stale = 0;
            self.lowered += 1;
        }
        lowers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn training(schedule: Schedule, warmup_epochs: f64) -> Training {
        Training { epochs: 10, learning_rate: 0.1, schedule, warmup_epochs, ..Training::default() }
    }

    /// The rate at a step of a run of 10 epochs of 100 steps each.
    fn at(training: &Training, step: u64) -> f64 {
        rate(training, step as f64, 100.0, 0)
    }

    #[test]
    fn the_cosine_starts_at_the_full_rate_is_half_at_half_time_and_ends_near_0() {
        let training = training(Schedule::Cosine { floor: 0.0 }, 0.0);
        assert_eq!(at(&training, 0), 0.1);
        assert!((at(&training, 500) - 0.05).abs() < 1e-12);
        assert!(at(&training, 999) < 1e-6);
    }

    #[test]
    fn the_warm_up_rises_evenly_to_the_full_rate() {
        let training = training(Schedule::Constant {}, 2.0);
        assert!((at(&training, 0) - 0.1 / 200.0).abs() < 1e-12);
        assert!((at(&training, 99) - 0.05).abs() < 1e-12);
        assert!((at(&training, 199) - 0.1).abs() < 1e-12);
        assert_eq!(at(&training, 200), 0.1);
    }

    #[test]
    fn a_warm_up_at_a_rate_of_its_own_stays_there() {
        let training = Training { warmup_rate: Some(0.01), ..training(Schedule::Constant {}, 2.0) };
        assert_eq!([0, 199, 200].map(|step| at(&training, step)), [0.01, 0.01, 0.1]);
    }

    #[test]
    fn a_warm_up_leads_to_where_the_schedule_begins() {
        let cycle = Schedule::OneCycle { peak: 0.3, start_divisor: 20.0, end_divisor: 100.0 };
        let training = training(cycle, 2.0);
        assert!((at(&training, 199) - 0.005).abs() < 1e-12 && (at(&training, 200) - 0.005).abs() < 1e-12);
        assert!((at(&training, 999) - 0.00005).abs() < 1e-12);
    }

    #[test]
    fn a_warm_up_over_the_whole_run_never_falls() {
        for schedule in [Schedule::Cosine { floor: 0.0 }, Schedule::Polynomial { power: 1.0 }] {
            let training = training(schedule, 10.0);
            assert!((at(&training, 499) - 0.05).abs() < 1e-12 && (at(&training, 999) - 0.1).abs() < 1e-12);
        }
    }

    #[test]
    fn a_step_schedule_multiplies_the_rate_every_few_epochs() {
        let training = training(Schedule::Step { every: 3.0, factor: 0.1 }, 0.0);
        let rates: Vec<f64> = [299, 300, 600].map(|step| at(&training, step)).to_vec();
        assert_eq!(rates[0], 0.1);
        assert!((rates[1] - 0.01).abs() < 1e-12 && (rates[2] - 0.001).abs() < 1e-12);
    }

    #[test]
    fn milestones_multiply_the_rate_at_their_epochs() {
        let training = training(Schedule::Milestones { at: vec![5.0, 8.0], factor: 0.5 }, 0.0);
        assert_eq!([499, 500, 800].map(|step| at(&training, step)), [0.1, 0.05, 0.025]);
    }
}
