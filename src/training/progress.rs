//! The progress of an epoch: its bar, its lines in the log and its line on the terminal.

use std::time::Duration;

use serde_json::{Value, json};

use super::epoch_bar::EpochBar;
use super::length::Length;
use super::state::{State, Validated};
use crate::experiment::Training;
use crate::report::Report;
use crate::report::table::significant;

/// The progress of one epoch.
#[derive(Debug)]
pub struct Progress {
    bar: EpochBar,
}

impl Progress {
    /// The progress of the epoch that `state` is in.
    pub fn new(report: Report, state: &State, length: &Length) -> Self {
        Progress { bar: EpochBar::new(report, state, length) }
    }

    /// Shows a step of `images` images; returns a line for the log every few steps.
    pub fn step(&mut self, state: &State, images: u64, rate: f64, waited: Duration) -> Option<Value> {
        let loss = state.loss();
        let text = format!("loss {loss:.3}  learning rate {}", significant(rate));
        self.bar.step(state, images, waited, &text).then(|| {
            let mut line = json!({
                "kind": "step", "epoch": state.epoch + 1, "step": state.step, "loss": loss, "rate": rate,
            });
            self.bar.add_speed(&mut line);
            line
        })
    }

    /// The line for the log of an epoch that is complete. A run that ends within an epoch has a last line with the
    /// fraction of epochs that it has trained.
    pub fn epoch(&self, state: &State, training_loss: f64, found: Validated, is_best: bool) -> Value {
        let mut line = json!({
            "kind": "epoch", "epoch": self.bar.number(state), "step": state.step, "training_loss": training_loss,
            "loss": found.weights.loss, "top1_error": found.weights.top1_error, "seconds": self.bar.seconds(),
        });
        self.bar.add_speed(&mut line);
        if let Some(error) = found.weights.top5_error {
            line["top5_error"] = json!(error);
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
        format!(
            "{}  training loss {training_loss:.3}  validation loss {:.3}  {}{averaged}{best}  {}",
            self.bar.title(state),
            found.weights.loss,
            found.weights.text("  "),
            self.bar.speed_text()
        )
    }

    /// What to do about a network that has learned nothing yet.
    pub fn guessing(&self, training: &Training) -> String {
        format!(
            "the validation errors are those of guessing: the network has learned nothing yet. If that lasts, another run with another training.learning_rate (now {}) may do better",
            significant(training.learning_rate)
        )
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.bar.clear();
    }
}
