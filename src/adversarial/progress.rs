//! The progress of an epoch: its bar, its lines in the log and its line on the terminal.

use std::time::Duration;

use serde_json::{Value, json};

use super::state::Progressed;
use super::step::Played;
use crate::report::Report;
use crate::report::table::significant;
use crate::training::epoch_bar::EpochBar;
use crate::training::length::Length;

/// The progress of one epoch.
#[derive(Debug)]
pub struct Progress {
    bar: EpochBar,
}

/// What an epoch ended with.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// The means of its steps.
    pub means: Played,
    /// How much the images that are made now differ, from 0 to 1: see [`variety`](super::make::variety).
    pub variety: f64,
    /// The Fréchet distance from real images, if it is measured, and whether it is the shortest so far.
    pub distance: Option<(f64, bool)>,
}

impl Progress {
    /// The progress of the epoch that a run is in.
    pub fn new(report: Report, state: &Progressed, length: &Length) -> Self {
        Progress { bar: EpochBar::new(report, &state.run, length) }
    }

    /// Shows a step of so many images; returns a line for the log every few steps, of the means since the last one.
    pub fn step(&mut self, state: &Progressed, images: u64, rate: f64, waited: Duration) -> Option<Value> {
        let run = &state.run;
        self.bar.step(run, images, waited, &losses(&state.epoch.means())).then(|| {
            let mut line = json!({ "kind": "step", "epoch": run.epoch + 1, "step": run.step, "rate": rate });
            self.describe(&mut line, &state.recent.means());
            line
        })
    }

    /// The line for the log of an epoch that is complete, or of the part of one that a run ends with.
    pub fn epoch(&self, state: &Progressed, found: &Found) -> Value {
        let mut line = json!({ "kind": "epoch", "epoch": self.bar.number(&state.run), "step": state.run.step });
        self.describe(&mut line, &found.means);
        line["variety"] = json!(found.variety);
        if let Some((distance, is_best)) = found.distance {
            line["frechet_distance"] = json!(distance);
            line["best"] = json!(is_best);
        }
        line["seconds"] = json!(self.bar.seconds());
        line
    }

    fn describe(&self, line: &mut Value, means: &Played) {
        line["discriminator_loss"] = json!(means.discriminator_loss);
        line["generator_loss"] = json!(means.generator_loss);
        line["real"] = json!(means.real);
        line["made"] = json!(means.made);
        self.bar.add_speed(line);
    }

    /// The same for the terminal.
    pub fn epoch_text(&self, state: &Progressed, found: &Found) -> String {
        let distance = found.distance.map_or(String::new(), |(distance, is_best)| {
            format!("  Fréchet distance {}{}", significant(distance), if is_best { "  best" } else { "" })
        });
        format!("{}  {}{distance}  {}", self.bar.title(&state.run), losses(&found.means), self.bar.speed_text())
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
