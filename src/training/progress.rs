//! What is said of an epoch while it runs and when it ends.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::checkpoint::Position;
use crate::config::Training;
use crate::metrics::Errors;
use crate::report::{Bar, Report, duration};

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
    pub fn new(report: Report, training: &Training, position: &Position, steps_per_epoch: u64) -> Self {
        let what = format!("epoch {}/{}", position.epoch + 1, training.epochs);
        Progress {
            bar: report.bar(steps_per_epoch, &what),
            begun: Instant::now(),
            first_step: position.step,
            images: 0,
            steps_per_epoch,
            epochs: training.epochs,
            waited: Duration::ZERO,
            spent: Duration::ZERO,
        }
    }

    fn images_per_second(&self) -> f64 {
        self.images as f64 / self.spent.as_secs_f64().max(1e-9)
    }

    /// The share of the time, in percent, that the network waited for images.
    fn waiting(&self) -> f64 {
        100.0 * self.waited.as_secs_f64() / self.spent.as_secs_f64().max(1e-9)
    }

    /// Shows a step of `count` images; gives the line to log now and then.
    pub fn step(&mut self, position: &Position, count: u64, rate: f64, waited: Duration) -> Option<Value> {
        self.images += count;
        self.waited = waited;
        self.spent = self.begun.elapsed();
        let loss = position.loss_sum / position.loss_images.max(1) as f64;
        let done = position.step - self.first_step;
        let left = (self.epochs * self.steps_per_epoch).saturating_sub(position.step);
        let left = self.spent.mul_f64(left as f64 / done as f64);
        let text = format!(
            "loss {loss:.3}  rate {rate:.4}  {:.0} images/s  waiting {:.0} %  {} left",
            self.images_per_second(),
            self.waiting(),
            duration(left)
        );
        self.bar.at(position.step_in_epoch, text);
        position.step.is_multiple_of(LOG_INTERVAL).then(|| {
            json!({
                "kind": "step", "epoch": position.epoch + 1, "step": position.step, "loss": loss, "rate": rate,
                "images_per_second": self.images_per_second(), "waiting_percent": self.waiting(),
            })
        })
    }

    /// The epoch's line for the log.
    pub fn epoch(&self, position: &Position, training_loss: f64, errors: Errors) -> Value {
        json!({
            "kind": "epoch", "epoch": position.epoch, "step": position.step, "training_loss": training_loss,
            "loss": errors.loss, "top1_error": errors.top1_error, "top5_error": errors.top5_error,
            "images_per_second": self.images_per_second(), "waiting_percent": self.waiting(),
            "seconds": self.begun.elapsed().as_secs_f64(),
        })
    }

    /// The epoch's line for people.
    pub fn epoch_text(&self, position: &Position, training_loss: f64, errors: Errors, is_best: bool) -> String {
        format!(
            "epoch {}/{}  training loss {training_loss:.3}  validation loss {:.3}  top-1 error {:.2} %  top-5 error {:.2} %{}  ({:.0} images/s, {})",
            position.epoch,
            self.epochs,
            errors.loss,
            errors.top1_error,
            errors.top5_error,
            if is_best { "  best" } else { "" },
            self.images_per_second(),
            duration(self.begun.elapsed())
        )
    }

    pub fn clear(&self) {
        self.bar.clear();
    }
}
