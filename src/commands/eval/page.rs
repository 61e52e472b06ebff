//! The page of an `eval` with `--report`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::results::Results;
use crate::atomic::{check_new, write_atomically};
use crate::commands::page::{classes, command, machine, pictures, short, version};
use crate::data::dataset::{Dataset, Sample};
use crate::evaluation::{Outcome, answer};
use crate::experiment::Published;
use crate::metrics::{Answer, Tally};
use crate::model::Model;
use crate::report::page::{About, Measured, Page, Row};
use crate::views::Views;

/// A page that is to be written, and the answers for it so far.
#[derive(Debug)]
pub struct PageFile {
    path: PathBuf,
    answers: Vec<Option<Answer>>,
}

impl PageFile {
    /// # Errors
    /// Returns an error if the file exists, or its folder does not.
    pub fn new(path: &Path) -> Result<Self> {
        check_new(path).context("--report")?;
        Ok(PageFile { path: path.to_path_buf(), answers: Vec::new() })
    }

    /// Counts one image, under the first protocol.
    pub fn count(&mut self, sample: &Sample, outcome: &Outcome) {
        self.answers.push(answer(outcome, sample.label));
    }

    /// Writes the page.
    ///
    /// # Errors
    /// Returns an error if it cannot be written.
    pub fn write(self, results: &Results, dataset: &Dataset) -> Result<()> {
        let ensemble = results.ensemble;
        let about = about(results, dataset)?;
        let views = results.protocols.first().map_or_else(String::new, Views::to_string);
        let single = (ensemble.models().len() == 1).then(|| ensemble.first());
        let pictures = pictures(single, &dataset.samples, &self.answers, &dataset.root);
        let count = ensemble.first().experiment.network().classes as usize;
        let classes = classes((0..count).map(|class| ensemble.class(class)));
        let measured = Measured { views: &views, answers: &self.answers, classes: &classes, pictures: &pictures };
        let page = Page {
            about: &about,
            progress: None,
            errors: rows(results),
            measured: Some(measured),
            results: results.json(),
        };
        write_atomically(&self.path, page.html().as_bytes())
    }
}

fn about(results: &Results, dataset: &Dataset) -> Result<About> {
    let ensemble = results.ensemble;
    let models = ensemble.models();
    let papers: Vec<&str> = models.iter().map(|model| model.experiment.paper.as_str()).collect();
    let weights: Vec<String> = models.iter().map(|model| model.weights.display().to_string()).collect();
    let settings = models.iter().map(|model| serde_json::to_value(&model.experiment));
    let mut settings = settings.collect::<Result<Vec<Value>, _>>()?;
    let folder = dataset.root.display();
    Ok(About {
        title: format!("{} on {}", ensemble.name(), short(&dataset.root, true)),
        experiment: ensemble.name(),
        paper: papers.join("; "),
        data: format!("{folder}: {} images of {} classes", dataset.samples.len(), occupied(dataset)),
        weights: Some(weights.join(" + ")),
        command: command(),
        version: version(),
        seed: None,
        machine: machine(ensemble.first().network.device()),
        seconds: results.time.as_secs_f64(),
        settings: if settings.len() == 1 { settings.remove(0) } else { json!(settings) },
    })
}

/// The number of classes that have images.
fn occupied(dataset: &Dataset) -> usize {
    dataset.class_sizes().iter().filter(|size| **size > 0).count()
}

/// For each protocol the models, and then all of them together if there are several.
fn rows(results: &Results) -> Vec<Row> {
    let models = results.ensemble.models();
    let mut rows = Vec::new();
    for (views, measured) in results.protocols.iter().zip(&results.measurement.protocols) {
        let row = |model: String, tally: Tally, published| Row { model, views: views.to_string(), tally, published };
        if models.len() > 1 {
            rows.push(row(results.ensemble.name(), measured.tally, [None; 2]));
        }
        let own = |(model, tally): (&Model, &Tally)| {
            let published = model.experiment.published_for(views).map_or([None; 2], Published::errors);
            row(model.experiment.name.clone(), *tally, published)
        };
        rows.extend(models.iter().zip(&measured.members).map(own));
    }
    rows
}
