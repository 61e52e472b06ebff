//! The progress of an epoch: its bar, its lines in the log and its line on the terminal.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::state::State;
use crate::metrics::Errors;
use crate::report::table::duration;
use crate::report::{Bar, Report};

/// The progress of one epoch.
#[derive(Debug)]
pub struct Progress {
    bar: Bar,
    begun: Instant,
    first_step: u64,
    images: u64,
    steps_per_epoch: u64,
    epochs: u64,
    waited: Duration,
    /// How long the training steps have taken so far, without validation and saving.
    spent: Duration,
}

/// Steps between two lines of the log.
const LOG_INTERVAL: u64 = 10;

impl Progress {
    /// The progress of the epoch that `state` is in, one of `epochs`.
    pub fn new(report: Report, state: &State, epochs: u64, steps_per_epoch: u64) -> Self {
        Progress {
            bar: report.bar(steps_per_epoch, &format!("epoch {}/{epochs}", state.epoch + 1)),
            begun: Instant::now(),
            first_step: state.step,
            images: 0,
            steps_per_epoch,
            epochs,
            waited: Duration::ZERO,
            spent: Duration::ZERO,
        }
    }

    fn images_per_second(&self) -> f64 {
        self.images as f64 / self.spent.as_secs_f64().max(1e-9)
    }

    /// The percentage of the time that the network waited for images.
    fn waiting(&self) -> f64 {
        100.0 * self.waited.as_secs_f64() / self.spent.as_secs_f64().max(1e-9)
    }

    /// Shows a step of `images` images; returns a line for the log every few steps.
    pub fn step(&mut self, state: &State, images: u64, rate: f64, waited: Duration) -> Option<Value> {
        self.images += images;
        self.waited = waited;
        self.spent = self.begun.elapsed();
        let loss = state.loss();
        let left = (self.epochs * self.steps_per_epoch).saturating_sub(state.step);
        let left = self.spent.mul_f64(left as f64 / (state.step - self.first_step) as f64);
        let text = format!(
            "loss {loss:.3}  learning rate {rate:.4}  {:.0} images/s  waiting {:.0} %  {} left",
            self.images_per_second(),
            self.waiting(),
            duration(left)
        );
        self.bar.at(state.step - state.epoch * self.steps_per_epoch, text);
        state.step.is_multiple_of(LOG_INTERVAL).then(|| {
            json!({
                "kind": "step", "epoch": state.epoch + 1, "step": state.step, "loss": loss, "rate": rate,
                "images_per_second": self.images_per_second(), "waiting_percent": self.waiting(),
            })
        })
    }

    /// The epoch's line for the log.
    pub fn epoch(&self, state: &State, training_loss: f64, errors: Errors) -> Value {
        json!({
            "kind": "epoch", "epoch": state.epoch, "step": state.step, "training_loss": training_loss,
            "loss": errors.loss, "top1_error": errors.top1_error, "top5_error": errors.top5_error,
            "images_per_second": self.images_per_second(), "waiting_percent": self.waiting(),
            "seconds": self.begun.elapsed().as_secs_f64(),
        })
    }

    /// The epoch's line on the terminal.
    pub fn epoch_text(&self, state: &State, training_loss: f64, errors: Errors, is_best: bool) -> String {
        format!(
            "epoch {}/{}  training loss {training_loss:.3}  validation loss {:.3}  top-1 error {:.2} %  top-5 error {:.2} %{}  ({:.0} images/s, {})",
            state.epoch,
            self.epochs,
            errors.loss,
            errors.top1_error,
            errors.top5_error,
            if is_best { "  best" } else { "" },
            self.images_per_second(),
            duration(self.begun.elapsed())
        )
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.bar.clear();
    }
}
