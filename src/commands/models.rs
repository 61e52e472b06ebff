//! The models of an `eval` or `predict`, opened as the command line names them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use tch::Device;

use super::{changes, prepare};
use crate::cli::{Common, PUBLISHED, Running, Weights};
use crate::device::{self, Bf16};
use crate::evaluation::Pace;
use crate::experiment::{Experiment, PublishedWeights};
use crate::model::checkpoint::{self, BEST, LAST};
use crate::model::{Ensemble, Found, Model, classes, find};
use crate::network::Precision;
use crate::processes::Processes;
use crate::report::Report;
use crate::weights::location::{Left, Location};
use crate::weights::published;
use crate::weights::rename::Rename;

/// Crops per forward pass unless `--batch-size` says otherwise. On a processor, larger batches are no faster and take more
/// memory.
fn batch_size(device: Device) -> u32 {
    if device == Device::Cpu { 16 } else { 64 }
}

/// Opens a classifier that was trained here: a checkpoint or a run folder.
pub fn trained_classifier(path: &Path, device: Device) -> Result<Model> {
    match find(path)? {
        Found::Checkpoint(path) => Model::from_checkpoint(&path, &[], device),
        Found::Experiment(name) => bail!(
            "{}: expected a trained classifier, a run folder or a checkpoint, found an experiment without weights",
            name.display()
        ),
    }
}

/// Opens models: checkpoints, run folders, and experiments, each of which takes the next of the weights, or its published
/// ones.
pub fn open(
    names: &[PathBuf],
    weights: &Weights,
    running: Running,
    common: &Common,
    mut processes: Processes,
) -> Result<(Ensemble, Pace, Report)> {
    let (device, workers, report) = prepare(common, &mut processes)?;
    let Running { plain, precision } = running;
    check_precision(precision, device, report)?;
    let found = names.iter().map(|name| find(name)).collect::<Result<Vec<_>>>()?;
    refuse_unused(weights, found.iter().filter(|found| matches!(found, Found::Experiment(_))).count())?;
    let classes = weights.classes.as_deref().map(classes::read).transpose().context("--classes")?;
    let mut files = weights.files.iter().map(PathBuf::as_path);
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
                let experiment = Experiment::load(&name, &changes(&common.sets))?;
                let location = located(files.next(), &experiment, &name, report)?;
                with_weights(experiment, &location, &weights.renames, classes.as_deref(), device, report)?
            }
        });
    }
    let batch_size = common.batch_size.unwrap_or_else(|| batch_size(device)) as usize;
    let pace = Pace { processes, batch_size, workers, plain, precision };
    Ok((Ensemble::new(models)?, pace, report))
}

/// Checks that the device computes in this precision.
fn check_precision(precision: Precision, device: Device, report: Report) -> Result<()> {
    ensure!(
        precision.runs_on(device),
        "--precision {precision}: needs a GPU, but this runs on {}; use bf16 or f32",
        device::name(device)
    );
    if precision == Precision::Bf16 && device == Device::Cpu {
        match device::bf16() {
            Bf16::Fast => {}
            Bf16::Slow => report.warn(
                "--precision bf16: this processor has no instructions for products of bfloat16, so f32 may be faster",
            ),
            Bf16::InTraining => bail!("--precision bf16: this processor has no AVX-512, which it needs; use f32"),
        }
    }
    Ok(())
}

/// Every weight, rename and list of classes is for one of this many experiments.
fn refuse_unused(weights: &Weights, experiments: usize) -> Result<()> {
    if let Some(over) = weights.files.get(experiments) {
        bail!(
            "--weights {}: no experiment left to use it with; checkpoints and run folders contain their own weights",
            over.display()
        );
    }
    if let Some(rename) = weights.renames.first().filter(|_| experiments == 0) {
        bail!(
            "--rename {rename}: checkpoints and run folders need no renaming; only an experiment's weights can be renamed"
        );
    }
    if let Some(list) = weights.classes.as_ref().filter(|_| experiments == 0) {
        bail!(
            "--classes {}: checkpoints and run folders name their classes; only an experiment's weights may lack names",
            list.display()
        );
    }
    Ok(())
}

fn with_weights(
    experiment: Experiment,
    location: &Location,
    renames: &[Rename],
    classes: Option<&[String]>,
    device: Device,
    report: Report,
) -> Result<Model> {
    let (model, left) = Model::from_weights(experiment, location, renames, classes, device)?;
    describe(&left, location, report);
    if model.assumes_imagenet {
        report.note(format!(
            "{location}: contains no class names; with a thousand classes, ImageNet's are assumed (--classes FILE names others)"
        ));
    }
    Ok(model)
}

/// Where `--weights` says that an experiment's weights are; the published ones of the experiment called `name` are fetched.
///
/// # Errors
/// Returns an error if it has none, or they cannot be fetched.
pub fn located(weights: Option<&Path>, experiment: &Experiment, name: &Path, report: Report) -> Result<Location> {
    match weights {
        Some(run) if run.is_dir() => checkpoint::of(run).map(Location::of),
        Some(weights) if weights != Path::new(PUBLISHED) => Ok(Location::named(weights)),
        _ => published_weights(experiment.weights.as_ref(), name, report).map(Location::of),
    }
}

/// How many of the tensors that are left out a line names.
const SHOWN: usize = 5;

/// Says what a file of weights holds besides those that were read.
pub fn describe(left: &Left, location: &Location, report: Report) {
    let file = location.file.display();
    if !left.others.is_empty() {
        let chosen = if left.chosen.is_empty() { "outermost".into() } else { format!("\"{}\"", left.chosen) };
        let others: Vec<String> = left.others.iter().take(SHOWN).map(|key| format!("--weights {file}:{key}")).collect();
        report.note(format!("{file}: the {chosen} weights are used; others fit, too: {}", others.join(", ")));
    }
    if !left.foreign.is_empty() {
        let shown = left.foreign[..left.foreign.len().min(SHOWN)].join(", ");
        let more = left.foreign.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        report.note(format!("{file}: left out, as they are not part of the network: {shown}{more}"));
    }
}

/// The file with the published weights of the experiment called `name`, fetched if it is not cached yet. `weights` are
/// those that the changed experiment still claims; if it claims none, they are the ones of the experiment as it was: another
/// input size changes no weight's shape, and any other mismatch is reported per weight.
///
/// # Errors
/// Returns an error if the experiment has none, or they cannot be fetched.
fn published_weights(weights: Option<&PublishedWeights>, name: &Path, report: Report) -> Result<PathBuf> {
    let unchanged = Experiment::load(name, &[])?.weights;
    let weights = weights.or(unchanged.as_ref()).with_context(|| {
        format!("{}: the experiment has no published weights; add --weights FILE, or use a checkpoint", name.display())
    })?;
    let fetched = published::fetch(&weights.url, &weights.sha256, report);
    fetched.map_err(|error| anyhow!("{error:#} (a local copy is named with --weights FILE)"))
}
