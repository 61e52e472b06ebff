//! What `eval` shows: one line for one model under one protocol, a table otherwise.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::comparison::Comparison;
use super::localisation::Localisation;
use crate::evaluation::{Measured, Measurement};
use crate::experiment::Published;
use crate::metrics::{Errors, Interval, Tally};
use crate::model::{Ensemble, Model};
use crate::network::Precision;
use crate::report::Report;
use crate::report::table::{duration, table};
use crate::views::Views;

/// What was measured.
pub struct Results<'a> {
    pub ensemble: &'a Ensemble,
    pub protocols: &'a [Views],
    pub measurement: &'a Measurement,
    pub comparison: Option<&'a Comparison>,
    pub localisation: Option<&'a Localisation<'a>>,
    pub time: Duration,
    pub precision: Precision,
}

impl Results<'_> {
    /// # Errors
    /// Returns an error if standard output cannot be written to.
    pub fn show(&self, report: Report) -> Result<()> {
        let bad = &self.measurement.bad;
        bad.iter().for_each(|image| report.warn(format!("{}: {}; not counted", image.name, image.reason)));
        let without = match bad.len() {
            0 => String::new(),
            count => format!(", excluding {count} images that could not be read"),
        };
        let lower = if self.precision == Precision::F32 { String::new() } else { format!(", {}", self.precision) };
        let time = format!("{}, {:.0} images/s", duration(self.time), self.images_per_second());
        let name = self.ensemble.name();
        match (self.protocols, self.measurement.protocols.as_slice(), self.ensemble.models()) {
            ([views], [measured], [_]) => {
                let errors = measured.tally.errors().unwrap_or_default();
                report.result(format!(
                    "{name}, {views} view{lower}{without}: {}, loss {:.4}, on {} images ({time})",
                    with_intervals(&measured.tally),
                    errors.loss,
                    measured.tally.images,
                ))?;
                let published = self.ensemble.first().experiment.published_for(views);
                published.map_or(Ok(()), |published| report.result(beside(&errors, published)))?;
                let published = published.and_then(|it| it.localisation);
                self.localisation.map_or(Ok(()), |localisation| localisation.show(published, report))
            }
            _ => {
                report.result(self.table())?;
                report.result(format!(
                    "{name} on {} images{lower}{without} ({time} in total); each error is followed by its 95 % interval",
                    self.images()
                ))?;
                self.comparison.map_or(Ok(()), |comparison| comparison.show(self.protocols, report))
            }
        }
    }

    fn table(&self) -> String {
        let header = ["model", "views", "crops", "top-1 error", "top-5 error", "against center", "network images/s"];
        let Some(columns) = self.published_columns() else {
            return table(header, self.rows().into_iter(), 2..7).trim_fmt();
        };
        let [a, b, c, d, e, f, g] = header;
        let header = [a, b, c, d, e, f, g, "published", "difference"];
        let rows = self.rows().into_iter().zip(columns).map(|(row, [published, difference])| {
            let [a, b, c, d, e, f, g] = row;
            [a, b, c, d, e, f, g, published, difference]
        });
        table(header, rows, 2..9).trim_fmt()
    }

    /// One row per protocol; for an ensemble, preceded by one row per member, and for a comparison these alone.
    fn rows(&self) -> Vec<[String; 7]> {
        let models = self.ensemble.models();
        let measured = &self.measurement.protocols;
        let center = self.protocols.iter().position(|views| *views == Views::center()).map(|index| &measured[index]);
        let mut rows = Vec::new();
        for (views, measured) in self.protocols.iter().zip(measured) {
            let row = |name: &str, tally: &Tally, center: Option<&Tally>| {
                let errors = tally.errors().unwrap_or_default();
                let gain = center.and_then(Tally::errors).map(|center| errors.top1_error - center.top1_error);
                let [interval1, interval5] = tally.intervals();
                let [top1, top5] = [(Some(errors.top1_error), interval1), (errors.top5_error, interval5)]
                    .map(|(error, interval)| error.map_or("-".to_string(), |error| with_interval(error, interval)));
                let gain = gain.map_or(String::new(), |gain| format!("{gain:+.2}"));
                [name.to_string(), views.to_string(), String::new(), top1, top5, gain, String::new()]
            };
            for (index, model) in models.iter().enumerate().filter(|_| models.len() > 1) {
                let center = center.map(|center| &center.members[index]);
                let name = self.comparison.map_or(&model.experiment.name, |comparison| &comparison.names()[index]);
                rows.push(row(name, &measured.members[index], center));
            }
            if self.comparison.is_some() {
                continue;
            }
            let name = if models.len() > 1 { "ensemble".to_string() } else { self.ensemble.name() };
            let mut together = row(&name, &measured.tally, center.map(|center| &center.tally));
            together[2] = measured.crops.to_string();
            together[6] = format!("{:.1}", measured.tally.images as f64 / measured.seconds);
            rows.push(together);
        }
        rows
    }

    /// For each row the errors that its model publishes and how the measured ones differ, empty for an ensemble;
    /// `None` if nothing is published.
    fn published_columns(&self) -> Option<Vec<[String; 2]>> {
        let models = self.ensemble.models();
        let mut columns = Vec::new();
        for (views, measured) in self.protocols.iter().zip(&self.measurement.protocols) {
            for (model, tally) in models.iter().zip(&measured.members) {
                let errors = tally.errors().unwrap_or_default();
                columns.push(
                    model
                        .experiment
                        .published_for(views)
                        .map_or_else(Default::default, |it| [percent(it.errors()), differences(&errors, it)]),
                );
            }
            if models.len() > 1 && self.comparison.is_none() {
                columns.push(Default::default());
            }
        }
        columns.iter().any(|[published, _]| !published.is_empty()).then_some(columns)
    }

    /// The results as JSON.
    pub fn json(&self) -> Value {
        let bad = self.measurement.bad.iter().map(|image| json!({ "path": image.name, "error": image.reason }));
        let models = self.ensemble.models().iter();
        let weights: Vec<_> = models.clone().map(|model| model.weights.to_string_lossy()).collect();
        let models = models.map(|it| json!({ "network": it.experiment.name, "weights": it.weights.to_string_lossy() }));
        let results: Vec<Value> = self
            .protocols
            .iter()
            .zip(&self.measurement.protocols)
            .map(|(views, measured)| self.result(views, measured))
            .collect();
        let mut json = json!({
            "network": self.ensemble.name(), "weights": weights.join(" + "), "images": self.images(),
            "precision": self.precision, "bad_images": bad.collect::<Vec<_>>(), "seconds": self.time.as_secs_f64(),
            "images_per_second": self.images_per_second(), "models": models.collect::<Vec<_>>(),
        });
        if let Some(localisation) = self.localisation {
            let published =
                self.protocols.first().and_then(|views| self.ensemble.first().experiment.published_for(views));
            json["localisation"] = localisation.json(published.and_then(|it| it.localisation));
        }
        if let Some(comparison) = self.comparison {
            json["comparisons"] = comparison.json(self.protocols);
        }
        // The numbers of a single protocol are top-level fields; those of several are a list.
        match (results.as_slice(), json.as_object_mut()) {
            ([Value::Object(only)], Some(fields)) => fields.extend(only.clone()),
            (_, Some(fields)) => fields.extend([("results".to_string(), Value::Array(results))]),
            _ => {}
        }
        json
    }

    fn result(&self, views: &Views, measured: &Measured) -> Value {
        let numbers = |tally: &Tally| {
            let mut numbers = json!(tally.errors().unwrap_or_default());
            for (key, interval) in ["top1_interval", "top5_interval"].into_iter().zip(tally.intervals()) {
                if let Some(interval) = interval {
                    numbers[key] = json!(interval);
                }
            }
            numbers
        };
        let own = |(model, tally): (&Model, &Tally)| {
            let mut result = numbers(tally);
            if let Some(published) = model.experiment.published_for(views) {
                result["published"] = json!({ "top1_error": published.top1_error, "top5_error": published.top5_error });
            }
            result
        };
        let models = self.ensemble.models();
        let mut result = match models {
            [model] => own((model, &measured.tally)),
            // Models side by side answer nothing together.
            _ if self.comparison.is_some() => json!({}),
            _ => numbers(&measured.tally),
        };
        result["views"] = views.to_string().into();
        result["crops"] = measured.crops.into();
        result["network_seconds"] = measured.seconds.into();
        if models.len() > 1 {
            result["members"] = models.iter().zip(&measured.members).map(own).collect();
        }
        result
    }

    fn images(&self) -> u64 {
        self.measurement.protocols.first().map_or(0, |measured| measured.tally.images)
    }

    fn images_per_second(&self) -> f64 {
        self.images() as f64 / self.time.as_secs_f64()
    }
}

/// `12.34 % (11.90 to 12.79 %)`
fn with_interval(error: f64, interval: Option<Interval>) -> String {
    format!("{error:.2} %{}", interval.map_or(String::new(), |interval| format!(" ({interval})")))
}

/// The errors, each with its 95 % interval.
fn with_intervals(tally: &Tally) -> String {
    let errors = tally.errors().unwrap_or_default();
    let [interval1, interval5] = tally.intervals();
    let top5 = errors.top5_error.map(|error| format!(", top-5 error {}", with_interval(error, interval5)));
    format!("top-1 error {}{}", with_interval(errors.top1_error, interval1), top5.unwrap_or_default())
}

/// "27.00 / 8.80 %"; a dash for an error that was not published.
fn percent(errors: [Option<f64>; 2]) -> String {
    let [top1, top5] = errors.map(|error| error.map_or("-".to_string(), |error| format!("{error:.2}")));
    format!("{top1} / {top5} %")
}

/// Measured minus published: "+0.12 / -0.03".
fn differences(measured: &Errors, published: &Published) -> String {
    let pairs = [(Some(measured.top1_error), published.top1_error), (measured.top5_error, published.top5_error)];
    let difference = |(measured, published): (Option<f64>, Option<f64>)| {
        let pair = measured.zip(published);
        pair.map_or("-".to_string(), |(measured, published)| format!("{:+.2}", measured - published))
    };
    pairs.map(difference).join(" / ")
}

fn beside(measured: &Errors, published: &Published) -> String {
    let errors = percent(published.errors());
    format!("published for this view: {errors} (difference {})", differences(measured, published))
}
