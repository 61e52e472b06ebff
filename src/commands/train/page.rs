//! The page of a run (`report.html`): what it says while the run goes on, and the whole page at its end.

use anyhow::Result;
use serde_json::Value;
use tch::Device;

use super::begin::Beginning;
use crate::atomic::write_atomically;
use crate::commands::page::{classes, command, machine, pictures, short, version};
use crate::data::dataset::Dataset;
use crate::experiment::{Experiment, Published};
use crate::metrics::Tally;
use crate::model::Model;
use crate::report::page::{About, Measured, Page, Row};
use crate::training::answers;
use crate::training::log::Log;
use crate::training::page::progress;
use crate::training::run::RunFolder;
use crate::training::state::State;
use crate::views::Views;

/// What is run.
///
/// # Errors
/// Returns an error only if the experiment cannot be written as JSON.
pub fn about(beginning: &Beginning, experiment: &Experiment, state: &State) -> Result<About> {
    let (args, splits) = (beginning.args, &beginning.splits);
    let folder = args.data.display();
    Ok(About {
        title: format!("{} trained on {}", experiment.name, short(&args.data, false)),
        experiment: experiment.name.clone(),
        paper: experiment.paper.clone(),
        data: format!(
            "{folder}: {} images of {} classes, validated on {}",
            splits.train.samples.len(),
            splits.train.classes.len(),
            splits.val.samples.len()
        ),
        weights: state.weights.clone(),
        command: command(),
        version: version(),
        seed: Some(experiment.training.seed),
        machine: machine(beginning.device),
        seconds: 0.0,
        settings: serde_json::to_value(experiment)?,
    })
}

/// Writes the whole page of a run that is over: with the images, by what its best weights answered to them.
///
/// # Errors
/// Returns an error if a file of the run cannot be read, or the page cannot be written.
pub fn write(run: &RunFolder, about: &About, val: &Dataset, results: Value, device: Device) -> Result<()> {
    let answers = answers::read(&run.validation(), &val.samples, &val.classes)?;
    let model = Model::from_checkpoint(&run.best(), &[], device)?;
    let mut tally = Tally::default();
    answers.iter().flatten().for_each(|answer| tally.add(answer));
    let pictures = pictures(Some(&model), &val.samples, &answers, &val.root);
    let classes = classes(val.classes.iter().cloned());
    let views = Views::center();
    let best = Row {
        model: "best weights".to_string(),
        views: views.to_string(),
        tally,
        published: model.experiment.published_for(&views).map_or([None; 2], Published::errors),
    };
    let views = views.to_string();
    let page = Page {
        about,
        progress: Some(progress(&Log::at(run.log()))?),
        errors: vec![best],
        measured: Some(Measured { views: &views, answers: &answers, classes: &classes, pictures: &pictures }),
        results,
    };
    write_atomically(&run.page(), page.html().as_bytes())
}
