//! The models of an `eval` or `predict`, opened as the command line names them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use tch::Device;

use super::{changes, prepare};
use crate::cli::{Common, PUBLISHED};
use crate::evaluation::Pace;
use crate::experiment::{Experiment, PublishedWeights};
use crate::model::checkpoint::{BEST, LAST};
use crate::model::{Ensemble, Found, Model, find};
use crate::report::Report;
use crate::weights::published;
use crate::weights::rename::Rename;

/// Crops per forward pass unless `--batch-size` says otherwise.
const BATCH_SIZE: u32 = 64;

/// Opens the models; each experiment among them takes the next of the weights, or its published ones, with their tensors
/// renamed.
pub fn open(
    names: &[PathBuf],
    weights: &[PathBuf],
    renames: &[Rename],
    common: &Common,
) -> Result<(Ensemble, Pace, Report)> {
    let (device, workers, report) = prepare(common)?;
    let found = names.iter().map(|name| find(name)).collect::<Result<Vec<_>>>()?;
    let experiments = found.iter().filter(|found| matches!(found, Found::Experiment(_))).count();
    if let Some(over) = weights.get(experiments) {
        bail!(
            "--weights {}: no experiment left to use it with; checkpoints and run folders contain their own weights",
            over.display()
        );
    }
    if let Some(rename) = renames.first().filter(|_| experiments == 0) {
        bail!(
            "--rename {rename}: checkpoints and run folders need no renaming; only an experiment's weights can be renamed"
        );
    }
    let mut weights = weights.iter();
    let mut models = Vec::with_capacity(found.len());
    for found in found {
        models.push(match found {
            Found::Checkpoint(path) => {
                if path.ends_with(LAST) && names.iter().all(|name| *name != path) {
                    report.note(format!("{}: used because this run has no {BEST}", path.display()));
                }
                Model::from_checkpoint(&path, &changes(&common.sets), device)?
            }
            Found::Experiment(name) => {
                let file = weights.next().map(PathBuf::as_path);
                with_weights(&name, file, renames, common, device, report)?
            }
        });
    }
    let pace = Pace { batch_size: common.batch_size.unwrap_or(BATCH_SIZE) as usize, workers };
    Ok((Ensemble::new(models)?, pace, report))
}

fn with_weights(
    name: &Path,
    file: Option<&Path>,
    renames: &[Rename],
    common: &Common,
    device: Device,
    report: Report,
) -> Result<Model> {
    let experiment = Experiment::load(name, &changes(&common.sets))?;
    let file = match file {
        Some(file) if file != Path::new(PUBLISHED) => file.to_path_buf(),
        _ => published_weights(experiment.weights.as_ref(), name, report)?,
    };
    let model = Model::from_weights(experiment, &file, renames, device)?;
    if model.assumes_imagenet {
        let file = file.display();
        report.note(format!("{file}: contains no class names; with a thousand classes, ImageNet's are assumed"));
    }
    Ok(model)
}

/// The file with the published weights of the experiment called `name`, fetched if it is not cached yet. `weights` are
/// those that the changed experiment still claims; if it claims none, they are the ones of the experiment as it was: another
/// input size changes no weight's shape, and any other mismatch is reported per weight.
///
/// # Errors
/// Returns an error if the experiment has none, or they cannot be fetched.
pub fn published_weights(weights: Option<&PublishedWeights>, name: &Path, report: Report) -> Result<PathBuf> {
    let unchanged = Experiment::load(name, &[])?.weights;
    let weights = weights.or(unchanged.as_ref()).with_context(|| {
        format!("{}: the experiment has no published weights; add --weights FILE, or use a checkpoint", name.display())
    })?;
    let fetched = published::fetch(&weights.url, &weights.sha256, report);
    fetched.map_err(|error| anyhow!("{error:#} (a local copy is named with --weights FILE)"))
}
