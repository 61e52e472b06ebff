//! How long a run is, and how far it has come.

use std::time::Duration;

use super::schedule;
use super::state::State;
use crate::experiment::Training;

/// The length of a run: epochs, fewer steps, or a time that may end it sooner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Length {
    /// Passes over the training images, unless the run ends before.
    pub epochs: u64,
    /// Steps of a whole epoch.
    pub steps_per_epoch: u64,
    /// Steps of the whole run.
    pub steps: u64,
    seconds: Option<f64>,
    /// Steps of an update.
    accumulate: u64,
}

impl Length {
    /// The length of a run whose epochs have this many steps.
    pub fn new(training: &Training, steps_per_epoch: u64) -> Self {
        let all = training.epochs * steps_per_epoch;
        Length {
            epochs: training.epochs,
            steps_per_epoch,
            steps: training.max_steps.map_or(all, |most| most.min(all)),
            seconds: training.max_minutes.map(|minutes| 60.0 * minutes),
            accumulate: training.accumulate,
        }
    }

    /// Whether no step is left. At least one step is made, however short the time.
    pub fn is_over(&self, state: &State) -> bool {
        state.step >= self.steps || (state.step > 0 && self.seconds.is_some_and(|seconds| state.seconds >= seconds))
    }

    /// The next step, counted from the beginning of its epoch.
    pub fn step_of_epoch(&self, state: &State) -> u64 {
        state.step - state.epoch * self.steps_per_epoch
    }

    /// Whether no step is left of the epoch, or of the run.
    pub fn ends_epoch(&self, state: &State) -> bool {
        self.step_of_epoch(state) == self.steps_per_epoch || self.is_over(state)
    }

    /// Whether the next step ends a group of batches that make an update.
    pub fn ends_group(&self, state: &State) -> bool {
        let next = self.step_of_epoch(state) + 1;
        next.is_multiple_of(self.accumulate) || next == self.steps_per_epoch || state.step + 1 == self.steps
    }

    /// Whether the last step was the last one of an epoch.
    pub fn is_whole(&self, state: &State) -> bool {
        state.step.is_multiple_of(self.steps_per_epoch)
    }

    /// The share of the run that has passed, in steps or in time, whichever is more.
    pub fn share(&self, state: &State) -> f64 {
        let in_steps = state.step as f64 / self.steps as f64;
        self.seconds.map_or(in_steps, |seconds| in_steps.max(state.seconds / seconds)).min(1.0)
    }

    /// The time that is left, if it is limited.
    pub fn time_left(&self, state: &State) -> Option<Duration> {
        self.seconds.map(|seconds| Duration::from_secs_f64((seconds - state.seconds).max(0.0)))
    }

    /// Learning rate of the next step. A schedule is written for all epochs: a shorter run goes through all of it.
    pub fn rate(&self, training: &Training, state: &State) -> f64 {
        let step = match self.seconds {
            Some(_) => self.share(state) * self.steps as f64,
            None => state.step as f64,
        };
        schedule::rate(training, step, self.steps as f64 / self.epochs as f64, state.plateau.lowered)
    }
}
