//! What `eval` shows: one line for one model under one protocol, a table otherwise.

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::ensemble::Ensemble;
use crate::evaluation::{BadImage, Measured};
use crate::metrics::{Errors, Tally};
use crate::report::{Report, duration, table};
use crate::views::Views;

/// What was measured.
pub struct Results<'a> {
    pub ensemble: &'a Ensemble,
    pub protocols: &'a [Views],
    pub measured: Vec<Measured>,
    pub bad: Vec<BadImage>,
    pub seconds: Duration,
}

impl Results<'_> {
    /// # Errors
    /// Where there were no images, or standard output cannot be written to.
    pub fn show(&self, report: Report) -> Result<()> {
        for image in &self.bad {
            report.warn(format!("{}: {}; not counted", image.path.display(), image.reason));
        }
        let without = match self.bad.len() {
            0 => String::new(),
            count => format!(", without {count} images that could not be read"),
        };
        let time = format!("{}, {:.0} images/s", duration(self.seconds), self.images_per_second());
        if let ([views], [measured], [_]) = (self.protocols, self.measured.as_slice(), self.ensemble.models.as_slice())
        {
            let Some(errors) = measured.tally.errors() else { bail!("there are no images") };
            return report.result(format!(
                "{}, {views} view{without}: top-1 error {:.2} %, top-5 error {:.2} %, loss {:.4}, on {} images ({time})",
                self.ensemble.name(),
                errors.top1_error,
                errors.top5_error,
                errors.loss,
                measured.tally.images,
            ));
        }
        let header = ["model", "views", "crops", "top-1 error", "top-5 error", "against center", "network images/s"];
        report.result(table(header, self.rows().into_iter(), 2..7).trim_fmt())?;
        report.result(format!("{} on {} images{without} ({time} in all)", self.ensemble.name(), self.images()))
    }

    /// A row for each protocol; of an ensemble one for each member before it.
    fn rows(&self) -> Vec<[String; 7]> {
        let models = self.ensemble.models.as_slice();
        let center =
            self.protocols.iter().position(|views| *views == Views::center()).map(|index| &self.measured[index]);
        let mut rows = Vec::new();
        for (views, measured) in self.protocols.iter().zip(&self.measured) {
            let row = |name: &str, tally: &Tally, center: Option<&Tally>| {
                let errors = tally.errors().unwrap_or_default();
                let gain = center.and_then(Tally::errors).map(|center| errors.top1_error - center.top1_error);
                let [top1, top5] = [errors.top1_error, errors.top5_error].map(|error| format!("{error:.2} %"));
                let gain = gain.map_or(String::new(), |gain| format!("{gain:+.2}"));
                [name.to_string(), views.to_string(), String::new(), top1, top5, gain, String::new()]
            };
            for (index, model) in models.iter().enumerate().filter(|_| models.len() > 1) {
                let center = center.map(|center| &center.members[index]);
                rows.push(row(&model.experiment.name, &measured.members[index], center));
            }
            let name = if models.len() > 1 { "all together".to_string() } else { self.ensemble.name() };
            let mut together = row(&name, &measured.tally, center.map(|center| &center.tally));
            together[2] = measured.crops.to_string();
            together[6] = format!("{:.1}", measured.tally.images as f64 / measured.seconds);
            rows.push(together);
        }
        rows
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let bad: Vec<Value> = self
            .bad
            .iter()
            .map(|image| json!({ "path": image.path.to_string_lossy(), "error": image.reason }))
            .collect();
        let models: Vec<Value> = self
            .ensemble
            .models
            .iter()
            .map(|model| json!({ "network": model.experiment.name, "weights": model.weights.to_string_lossy() }))
            .collect();
        let results: Vec<Value> =
            self.protocols.iter().zip(&self.measured).map(|(views, measured)| self.result(views, measured)).collect();
        let weights: Vec<_> = self.ensemble.models.iter().map(|model| model.weights.to_string_lossy()).collect();
        let mut json = json!({
            "network": self.ensemble.name(), "weights": weights.join(" + "), "images": self.images(), "bad_images": bad,
            "seconds": self.seconds.as_secs_f64(), "images_per_second": self.images_per_second(), "models": models,
        });
        // One protocol's numbers lie open; those of several are a list.
        match (results.as_slice(), json.as_object_mut()) {
            ([Value::Object(only)], Some(fields)) => fields.extend(only.clone()),
            (_, Some(fields)) => fields.extend([("results".to_string(), Value::Array(results))]),
            _ => {}
        }
        json
    }

    fn result(&self, views: &Views, measured: &Measured) -> Value {
        let numbers = |tally: &Tally| {
            let Errors { top1_error, top5_error, loss } = tally.errors().unwrap_or_default();
            json!({ "top1_error": top1_error, "top5_error": top5_error, "loss": loss })
        };
        let mut result = numbers(&measured.tally);
        result["views"] = views.to_string().into();
        result["crops"] = measured.crops.into();
        result["network_seconds"] = measured.seconds.into();
        if self.ensemble.models.len() > 1 {
            result["members"] = measured.members.iter().map(numbers).collect();
        }
        result
    }

    fn images(&self) -> u64 {
        self.measured.first().map_or(0, |measured| measured.tally.images)
    }

    fn images_per_second(&self) -> f64 {
        self.images() as f64 / self.seconds.as_secs_f64()
    }
}
