//! What `eval` shows of a generator: a row per measure, for its images and for real ones.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::evaluation::BadImage;
use crate::fidelity::classes::{SURE, Spread};
use crate::fidelity::neighbours::Coverage;
use crate::fidelity::two_sample::{PEOPLE, Verdict};
use crate::report::Report;
use crate::report::table::{duration, grouped, table};

/// What was measured.
pub struct Fidelity {
    /// The generator's name.
    pub name: String,
    /// The file with its weights.
    pub weights: String,
    /// The folder of the real images.
    pub data: String,
    /// The number of images of each kind.
    pub images: usize,
    /// The real images that could not be read.
    pub bad: Vec<BadImage>,
    pub seed: u64,
    pub verdict: Verdict,
    /// What a classifier sees, if one was named.
    pub observed: Option<Observed>,
    pub time: Duration,
}

/// What a classifier sees in the images.
pub struct Observed {
    /// The classifier's name.
    pub name: String,
    /// The file with its weights.
    pub weights: String,
    /// The linear layer whose input the features are, and their number.
    pub layer: String,
    pub features: i64,
    /// Its classes, in the order of its outputs.
    pub classes: Vec<String>,
    /// The made images against the real ones.
    pub made: Compared,
    /// One half of the real images against the other: what perfect images would reach, but for their number.
    pub real: Compared,
}

/// Images against real ones.
pub struct Compared {
    pub distance: f64,
    pub coverage: Coverage,
    pub spread: Spread,
}

impl Fidelity {
    /// # Errors
    /// Returns an error if standard output cannot be written to.
    pub fn show(&self, report: Report) -> Result<()> {
        self.bad.iter().for_each(|image| report.warn(format!("{}: {}; not counted", image.name, image.reason)));
        let Verdict { epochs, learned, tested, .. } = self.verdict;
        let accuracy = format!("{:.2} % ({})", self.verdict.accuracy(), self.verdict.interval());
        let mut rows = vec![["two-sample accuracy".to_string(), accuracy, "50 %".to_string()]];
        rows.extend(self.observed.iter().flat_map(Observed::rows));
        report.result(table(["measure", "made images", "real images"], rows.into_iter(), 1..3).trim_fmt())?;
        let (name, data, time, images) = (&self.name, &self.data, duration(self.time), grouped(self.images as i64));
        report.result(format!("{name}: {images} made images against as many real ones of {data} ({time})"))?;
        let people = PEOPLE.map(|(data, percent)| format!("{percent} % of cases on {data}"));
        report.result(format!(
            "two-sample accuracy: how many of {} images a fresh classifier tells right that learned from {} others in {epochs} epochs; people who judged the best generators of Salimans et al. (arXiv:1606.03498) were right in {}",
            grouped(tested as i64),
            grouped(learned as i64),
            people.join(" and ")
        ))?;
        match &self.observed {
            Some(Observed { name, weights, features, layer, .. }) => report.result(format!(
                "the other measures: by {name} ({weights}) and the {features} values that its last layer, {layer}, takes; for real images one half against the other. They are not the FID or Inception score of papers, and comparable only for the same classifier and number of images"
            )),
            None => Ok(()),
        }
    }

    /// The measures as JSON.
    pub fn json(&self) -> Value {
        let Verdict { epochs, learned, tested, right } = self.verdict;
        let mut json = json!({
            "generator": self.name, "weights": self.weights, "images": self.images, "seed": self.seed,
            "seconds": self.time.as_secs_f64(),
            "bad_images": self.bad.iter().map(|bad| json!({ "path": bad.name, "error": bad.reason })).collect::<Vec<_>>(),
            "two_sample": {
                "accuracy": self.verdict.accuracy(), "interval": self.verdict.interval(), "right": right, "tested": tested,
                "learned": learned, "epochs": epochs, "people": PEOPLE.into_iter().collect::<Value>(),
            },
        });
        if let Some(observed) = &self.observed {
            json["features"] = json!({
                "network": observed.name, "weights": observed.weights, "layer": observed.layer, "count": observed.features,
            });
            json["made"] = observed.json(&observed.made);
            json["real"] = observed.json(&observed.real);
        }
        json
    }
}

impl Observed {
    fn rows(&self) -> Vec<[String; 3]> {
        let row =
            |measure: String, value: &dyn Fn(&Compared) -> String| [measure, value(&self.made), value(&self.real)];
        let class = |place: usize| {
            move |it: &Compared| {
                let class = it.spread.extremes().map_or(0, |extremes| extremes[place]);
                let share = 100.0 * it.spread.share(it.spread.classes[class]);
                format!("{}: {share:.2} %", self.classes[class])
            }
        };
        let even = (self.classes.len() as f64).log2();
        vec![
            row("Fréchet distance".to_string(), &|it| format!("{:.3}", it.distance)),
            row("precision".to_string(), &|it| format!("{:.3}", it.coverage.precision)),
            row("recall".to_string(), &|it| format!("{:.3}", it.coverage.recall)),
            row(format!("at least {:.0} % sure of", 100.0 * SURE), &|it| {
                format!("{:.2} %", 100.0 * it.spread.share(it.spread.sure))
            }),
            row("rarest class".to_string(), &class(0)),
            row("most frequent class".to_string(), &class(1)),
            row(format!("entropy of classes, of {even:.2} bits"), &|it| format!("{:.2}", it.spread.entropy())),
        ]
    }

    fn json(&self, compared: &Compared) -> Value {
        let Compared { distance, coverage, spread } = compared;
        let shares =
            self.classes.iter().zip(&spread.classes).map(|(class, &images)| (class.clone(), spread.share(images)));
        json!({
            "frechet_distance": distance, "precision": coverage.precision, "recall": coverage.recall,
            "sure": spread.share(spread.sure), "class_shares": shares.collect::<Value>(), "entropy_bits": spread.entropy(),
        })
    }
}
