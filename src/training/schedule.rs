//! The learning rate as a pure function of the step.

use std::f64::consts::PI;

use crate::experiment::{Schedule, Training};

/// Learning rate at `step` (0-based, counted over the whole run).
pub fn rate(training: &Training, step: u64, steps_per_epoch: u64) -> f64 {
    let steps_per_epoch = steps_per_epoch as f64;
    let epoch = step as f64 / steps_per_epoch;
    let warmup = training.warmup_epochs;
    // 1) The rate rises in equal steps, the first of them above 0, the last one reaching the full rate.
    if epoch < warmup {
        return training.learning_rate * ((step + 1) as f64 / (warmup * steps_per_epoch)).min(1.0);
    }
    // 2) Afterwards it falls.
    let share = match &training.schedule {
        Schedule::Constant => 1.0,
        Schedule::Cosine => {
            let progress = (epoch - warmup) / (training.epochs as f64 - warmup);
            0.5 * (1.0 + (PI * progress.min(1.0)).cos())
        }
        Schedule::Step { every, factor } => factor.powi((epoch / every).floor() as i32),
        Schedule::Milestones { at, factor } => factor.powi(at.iter().filter(|&&end| epoch >= end).count() as i32),
    };
    training.learning_rate * share
}

#[cfg(test)]
mod tests {
    use super::*;

    fn training(schedule: Schedule, warmup_epochs: f64) -> Training {
        Training { epochs: 10, learning_rate: 0.1, schedule, warmup_epochs, ..Training::default() }
    }

    #[test]
    fn the_cosine_starts_at_the_full_rate_is_half_at_half_time_and_ends_near_0() {
        let training = training(Schedule::Cosine, 0.0);
        assert_eq!(rate(&training, 0, 100), 0.1);
        assert!((rate(&training, 500, 100) - 0.05).abs() < 1e-12);
        assert!(rate(&training, 999, 100) < 1e-6);
    }

    #[test]
    fn the_warm_up_rises_evenly_to_the_full_rate() {
        let training = training(Schedule::Constant, 2.0);
        assert!((rate(&training, 0, 100) - 0.1 / 200.0).abs() < 1e-12);
        assert!((rate(&training, 99, 100) - 0.05).abs() < 1e-12);
        assert!((rate(&training, 199, 100) - 0.1).abs() < 1e-12);
        assert_eq!(rate(&training, 200, 100), 0.1);
    }

    #[test]
    fn a_step_schedule_multiplies_the_rate_every_few_epochs() {
        let training = training(Schedule::Step { every: 3.0, factor: 0.1 }, 0.0);
        let rates: Vec<f64> = [299, 300, 600].map(|step| rate(&training, step, 100)).to_vec();
        assert_eq!(rates[0], 0.1);
        assert!((rates[1] - 0.01).abs() < 1e-12 && (rates[2] - 0.001).abs() < 1e-12);
    }

    #[test]
    fn milestones_multiply_the_rate_at_their_epochs() {
        let training = training(Schedule::Milestones { at: vec![5.0, 8.0], factor: 0.5 }, 0.0);
        assert_eq!([499, 500, 800].map(|step| rate(&training, step, 100)), [0.1, 0.05, 0.025]);
    }
}
