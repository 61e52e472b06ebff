//! The progress of an epoch: its bar, its lines in the log and its line on the terminal.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::state::Progressed;
use super::step::Played;
use crate::report::table::duration;
use crate::report::{Bar, Report};
use crate::training::length::Length;

/// The progress of one epoch.
#[derive(Debug)]
pub struct Progress {
    bar: Bar,
    begun: Instant,
    first_step: u64,
    images: u64,
    length: Length,
    /// How long the steps have taken so far, without saving.
    spent: Duration,
    waited: Duration,
}

/// Steps between two lines of the log.
const LOG_INTERVAL: u64 = 10;

impl Progress {
    /// The progress of the epoch that a run is in.
    pub fn new(report: Report, state: &Progressed, length: &Length) -> Self {
        Progress {
            bar: report.bar(length.steps_per_epoch, &format!("epoch {}/{}", state.run.epoch + 1, length.epochs)),
            begun: Instant::now(),
            first_step: state.run.step,
            images: 0,
            length: *length,
            spent: Duration::ZERO,
            waited: Duration::ZERO,
        }
    }

    fn images_per_second(&self) -> f64 {
        self.images as f64 / self.spent.as_secs_f64().max(1e-9)
    }

    fn waiting(&self) -> f64 {
        100.0 * self.waited.as_secs_f64() / self.spent.as_secs_f64().max(1e-9)
    }

    /// Shows a step of so many images; returns a line for the log every few steps, of the means since the last one.
    pub fn step(&mut self, state: &Progressed, images: u64, rate: f64, waited: Duration) -> Option<Value> {
        self.images += images;
        (self.spent, self.waited) = (self.begun.elapsed(), waited);
        let run = &state.run;
        let left = self.length.steps.saturating_sub(run.step);
        let left = self.spent.mul_f64(left as f64 / (run.step - self.first_step) as f64);
        let left = self.length.time_left(run).map_or(left, |time| time.min(left));
        let text = format!(
            "{}  {:.0} images/s  waiting {:.0} %  {} left",
            losses(&state.epoch.means()),
            self.images_per_second(),
            self.waiting(),
            duration(left)
        );
        self.bar.at(self.length.step_of_epoch(run), text);
        run.step.is_multiple_of(LOG_INTERVAL).then(|| {
            let mut line = json!({ "kind": "step", "epoch": run.epoch + 1, "step": run.step, "rate": rate });
            self.describe(&mut line, &state.recent.means());
            line
        })
    }

    /// The line for the log of an epoch that is complete, or of the part of one that a run ends with.
    pub fn epoch(&self, state: &Progressed, means: &Played, variety: f64) -> Value {
        let run = &state.run;
        let mut line = json!({ "kind": "epoch", "epoch": run.epoch, "step": run.step });
        if !self.length.is_whole(run) {
            line["epoch"] = json!(run.step as f64 / self.length.steps_per_epoch as f64);
        }
        self.describe(&mut line, means);
        line["variety"] = json!(variety);
        line["seconds"] = json!(self.begun.elapsed().as_secs_f64());
        line
    }

    fn describe(&self, line: &mut Value, means: &Played) {
        line["discriminator_loss"] = json!(means.discriminator_loss);
        line["generator_loss"] = json!(means.generator_loss);
        line["real"] = json!(means.real);
        line["made"] = json!(means.made);
        line["images_per_second"] = json!(self.images_per_second());
        line["waiting_percent"] = json!(self.waiting());
    }

    /// The same for the terminal.
    pub fn epoch_text(&self, state: &Progressed, means: &Played) -> String {
        let run = &state.run;
        let is_whole = self.length.is_whole(run);
        format!(
            "epoch {}/{}{}  {}  ({:.0} images/s, {})",
            if is_whole { run.epoch } else { run.epoch + 1 },
            self.length.epochs,
            if is_whole { "" } else { " (partial)" },
            losses(means),
            self.images_per_second(),
            duration(self.begun.elapsed())
        )
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.bar.clear();
    }
}

fn losses(means: &Played) -> String {
    let generator = means.generator_loss.map_or("-".to_string(), |loss| format!("{loss:.3}"));
    format!(
        "loss of D {:.3}, of G {generator}  D on real images {:.2}, on made ones {:.2}",
        means.discriminator_loss, means.real, means.made
    )
}
