//! The bar of an epoch, and what it measures: how fast the epoch goes, and how long the rest of the run will take.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::length::Length;
use super::state::State;
use crate::report::table::duration;
use crate::report::{Bar, Report};

/// The bar of one epoch.
#[derive(Debug)]
pub struct EpochBar {
    bar: Bar,
    begun: Instant,
    first_step: u64,
    images: u64,
    length: Length,
    waited: Duration,
    /// How long the training steps have taken so far, without measuring and saving.
    spent: Duration,
}

/// Steps between two lines of the log.
const LOG_INTERVAL: u64 = 10;

impl EpochBar {
    /// The bar of the epoch that `state` is in.
    pub fn new(report: Report, state: &State, length: &Length) -> Self {
        EpochBar {
            bar: report.bar(length.steps_per_epoch, &format!("epoch {}/{}", state.epoch + 1, length.epochs)),
            begun: Instant::now(),
            first_step: state.step,
            images: 0,
            length: *length,
            waited: Duration::ZERO,
            spent: Duration::ZERO,
        }
    }

    /// Shows a step of `images` images, before which training had waited for images for so long in this epoch; `text` is what
    /// it has learned. Returns whether the log is due a line.
    pub fn step(&mut self, state: &State, images: u64, waited: Duration, text: &str) -> bool {
        self.images += images;
        (self.spent, self.waited) = (self.begun.elapsed(), waited);
        let text = format!(
            "{text}  {:.0} images/s  waiting {:.0} %  {} left",
            self.images_per_second(),
            self.waiting(),
            duration(self.left(state))
        );
        self.bar.at(self.length.step_of_epoch(state), text);
        state.step.is_multiple_of(LOG_INTERVAL)
    }

    /// Adds to a line of the log how fast the epoch goes.
    pub fn add_speed(&self, line: &mut Value) {
        line["images_per_second"] = json!(self.images_per_second());
        line["waiting_percent"] = json!(self.waiting());
    }

    /// The number of an epoch that is complete, for the log; at the end of a run within one, the fraction of epochs that it has
    /// trained.
    pub fn number(&self, state: &State) -> Value {
        match self.length.is_whole(state) {
            true => json!(state.epoch),
            false => json!(state.step as f64 / self.length.steps_per_epoch as f64),
        }
    }

    /// The same for the terminal: `epoch 2/10`.
    pub fn title(&self, state: &State) -> String {
        match self.length.is_whole(state) {
            true => format!("epoch {}/{}", state.epoch, self.length.epochs),
            false => format!("epoch {}/{} (partial)", state.epoch + 1, self.length.epochs),
        }
    }

    /// How long the epoch has taken, and how fast it was, for the terminal.
    pub fn speed_text(&self) -> String {
        format!("({:.0} images/s, {})", self.images_per_second(), duration(self.begun.elapsed()))
    }

    /// The seconds that the epoch has taken so far.
    pub fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.bar.clear();
    }

    fn images_per_second(&self) -> f64 {
        self.images as f64 / self.spent.as_secs_f64().max(1e-9)
    }

    /// The percentage of the time that training waited for images.
    fn waiting(&self) -> f64 {
        100.0 * self.waited.as_secs_f64() / self.spent.as_secs_f64().max(1e-9)
    }

    /// How long the rest of the run will take.
    fn left(&self, state: &State) -> Duration {
        let steps = self.length.steps.saturating_sub(state.step);
        let left = self.spent.mul_f64(steps as f64 / (state.step - self.first_step) as f64);
        self.length.time_left(state).map_or(left, |time| time.min(left))
    }
}
