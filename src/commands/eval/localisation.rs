//! The localisation errors of an `eval` with `--boxes`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::cli::Eval;
use crate::data::boxes;
use crate::data::dataset::{Dataset, Sample};
use crate::evaluation::Outcome;
use crate::experiment::PublishedLocalisation;
use crate::explain::finder::Finder;
use crate::explain::region::bounding_box;
use crate::geometry::Rect;
use crate::metrics::{LocalisationErrors, LocalisationTally, top};
use crate::model::Ensemble;
use crate::report::Report;
use crate::views::Views;

/// Guesses that are localised.
const GUESSES: usize = 5;

/// Boxes found so far, compared with the true ones.
#[derive(Debug)]
pub struct Localisation<'a> {
    finder: Finder<'a>,
    truth: Vec<Vec<Rect>>,
    tally: LocalisationTally,
}

impl<'a> Localisation<'a> {
    /// For the boxes that the command names; `None` if it names none.
    ///
    /// # Errors
    /// Returns an error if the boxes cannot be read, or the model or the views do not allow maps of evidence.
    pub fn new(args: &Eval, ensemble: &'a Ensemble, protocols: &[Views], dataset: &Dataset) -> Result<Option<Self>> {
        let Some(path) = &args.boxes else { return Ok(None) };
        let [views] = protocols else { bail!("--boxes: expected one protocol in --views, found {}", protocols.len()) };
        ensure!(ensemble.models().len() == 1, "--boxes: expected one model, found {}", ensemble.models().len());
        let images: Vec<PathBuf> = dataset.samples.iter().map(|sample| sample.source.name().into()).collect();
        let model = ensemble.first();
        let classes: Vec<String> = dataset.samples.iter().map(|sample| ensemble.class(sample.label)).collect();
        let classes: Vec<&str> = classes.iter().map(String::as_str).collect();
        let truth = boxes::open(path, &images, &classes, &args.data).context("--boxes")?;
        let method = args.method.map(Into::into);
        let finder = Finder::new(&model.network, &model.experiment, views.clone(), method, None).context("--boxes")?;
        Ok(Some(Localisation { finder, truth, tally: LocalisationTally::default() }))
    }

    /// Counts the image of this index, unless it has no boxes or could not be read.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn count(&mut self, index: usize, sample: &Sample, outcome: &Outcome) -> Result<()> {
        let (truth, Ok(averaged)) = (&self.truth[index], outcome) else { return Ok(()) };
        let Some(averaged) = averaged.first().filter(|_| !truth.is_empty()) else { return Ok(()) };
        let classes = top(&averaged.mean, GUESSES);
        let (_, heats) = self.finder.find(&sample.source, &classes)?;
        let boxes: Vec<Rect> = heats.map(|heat| Ok(bounding_box(&heat?))).collect::<Result<_>>()?;
        let best = |found: Rect| truth.iter().map(|&one| boxes::overlap(found, one)).fold(0.0, f64::max);
        let guesses = classes.iter().zip(boxes).map(|(class, found)| (*class == sample.label, best(found)));
        self.tally.count(&guesses.collect::<Vec<_>>(), averaged.mean.len());
        Ok(())
    }

    /// Says the errors, and beside them the published ones.
    ///
    /// # Errors
    /// Returns an error if standard output cannot be written to.
    pub fn show(&self, published: Option<PublishedLocalisation>, report: Report) -> Result<()> {
        let Some(errors) = self.tally.errors() else { return Ok(()) };
        let LocalisationErrors { images, top1_error, top1_interval, top5_error, top5_interval } = errors;
        let top5 = top5_error.zip(top5_interval);
        let top5 = top5.map_or(String::new(), |(error, interval)| format!(", top-5 {error:.2} % ({interval})"));
        report.result(format!(
            "localisation error: top-1 {top1_error:.2} % ({top1_interval}){top5}, on {images} images with boxes, {}",
            self.finder
        ))?;
        let Some(published) = published else { return Ok(()) };
        let difference5 = top5_error.map_or("-".to_string(), |error| format!("{:+.2}", error - published.top5_error));
        report.result(format!(
            "published: {:.2} / {:.2} % (difference {:+.2} / {difference5})",
            published.top1_error,
            published.top5_error,
            top1_error - published.top1_error
        ))
    }

    /// The same for JSON.
    pub fn json(&self, published: Option<PublishedLocalisation>) -> Value {
        let mut json = json!(self.tally.errors());
        if let (Some(published), true) = (published, json.is_object()) {
            json["published"] = json!({ "top1_error": published.top1_error, "top5_error": published.top5_error });
        }
        json
    }
}
