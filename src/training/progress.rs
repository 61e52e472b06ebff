//! The progress of an epoch: its bar, its lines in the log and its line on the terminal.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::length::Length;
use super::state::{State, Validated};
use crate::experiment::Training;
use crate::report::table::{duration, significant};
use crate::report::{Bar, Report};

/// The progress of one epoch.
#[derive(Debug)]
pub struct Progress {
    bar: Bar,
    begun: Instant,
    first_step: u64,
    images: u64,
    length: Length,
    waited: Duration,
    /// How long the training steps have taken so far, without validation and saving.
    spent: Duration,
}

/// Steps between two lines of the log.
const LOG_INTERVAL: u64 = 10;

impl Progress {
    /// The progress of the epoch that `state` is in.
    pub fn new(report: Report, state: &State, length: &Length) -> Self {
        Progress {
            bar: report.bar(length.steps_per_epoch, &format!("epoch {}/{}", state.epoch + 1, length.epochs)),
            begun: Instant::now(),
            first_step: state.step,
            images: 0,
            length: *length,
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
        let left = self.length.steps.saturating_sub(state.step);
        let left = self.spent.mul_f64(left as f64 / (state.step - self.first_step) as f64);
        let left = self.length.time_left(state).map_or(left, |time| time.min(left));
        let text = format!(
            "loss {loss:.3}  learning rate {}  {:.0} images/s  waiting {:.0} %  {} left",
            significant(rate),
            self.images_per_second(),
            self.waiting(),
            duration(left)
        );
        self.bar.at(state.step - state.epoch * self.length.steps_per_epoch, text);
        state.step.is_multiple_of(LOG_INTERVAL).then(|| {
            json!({
                "kind": "step", "epoch": state.epoch + 1, "step": state.step, "loss": loss, "rate": rate,
                "images_per_second": self.images_per_second(), "waiting_percent": self.waiting(),
            })
        })
    }

    /// The line for the log of an epoch that is complete. A run that ends within an epoch has a last line with the
    /// fraction of epochs that it has trained.
    pub fn epoch(&self, state: &State, training_loss: f64, found: Validated, is_best: bool) -> Value {
        let mut line = json!({
            "kind": "epoch", "epoch": state.epoch, "step": state.step, "training_loss": training_loss,
            "loss": found.weights.loss, "top1_error": found.weights.top1_error,
            "images_per_second": self.images_per_second(), "waiting_percent": self.waiting(),
            "seconds": self.begun.elapsed().as_secs_f64(),
        });
        if let Some(error) = found.weights.top5_error {
            line["top5_error"] = json!(error);
        }
        if !self.length.is_whole(state) {
            line["epoch"] = json!(state.step as f64 / self.length.steps_per_epoch as f64);
        }
        if let Some(averaged) = found.averaged {
            line["averaged"] = json!(averaged);
        }
        if is_best {
            line["best"] = json!(if state.best_is_averaged { "averaged" } else { "weights" });
        }
        line
    }

    /// The same for the terminal.
    pub fn epoch_text(&self, state: &State, training_loss: f64, found: Validated, is_best: bool) -> String {
        let averaged =
            found.averaged.map_or(String::new(), |errors| format!("  averaged weights: {}", errors.text(", ")));
        let best = match (is_best, state.best_is_averaged) {
            (true, true) => "  best: the averaged weights",
            (true, false) => "  best",
            _ => "",
        };
        let is_whole = self.length.is_whole(state);
        format!(
            "epoch {}/{}{}  training loss {training_loss:.3}  validation loss {:.3}  {}{averaged}{best}  ({:.0} images/s, {})",
            if is_whole { state.epoch } else { state.epoch + 1 },
            self.length.epochs,
            if is_whole { "" } else { " (partial)" },
            found.weights.loss,
            found.weights.text("  "),
            self.images_per_second(),
            duration(self.begun.elapsed())
        )
    }

    /// What to do about a network that has learned nothing yet.
    pub fn guessing(&self, training: &Training) -> String {
        format!(
            "the validation errors are those of guessing: the network has learned nothing yet. If that lasts, another run with a lower training.learning_rate (now {}) may do better",
            significant(training.learning_rate)
        )
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.bar.clear();
    }
}
