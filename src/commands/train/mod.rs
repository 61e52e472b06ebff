//! `topfive train`: a network trained on folders of images, into a run folder.

mod data;
mod differences;
mod initial;
mod resume;
mod tuning;

use std::path::{Path, PathBuf};

use anyhow::{Error, Result, anyhow};
use serde_json::json;
use tch::Device;

use super::{Outcome, changes, prepare, watch_signals};
use crate::cli::Train;
use crate::data::dataset::Dataset;
use crate::data::split::{Splits, ValidationSource, open_splits};
use crate::experiment::{Change, Experiment, fine_tune};
use crate::memory;
use crate::network::Network;
use crate::report::Report;
use crate::report::records::write_json;
use crate::report::table::grouped;
use crate::training::precision;
use crate::training::run::{RunFolder, is_run};
use crate::training::state::State;
use crate::training::step::Learner;
use crate::training::{Ended, Trainer};

use initial::Initial;
use resume::Saved;
use tuning::Tuning;

/// Trains.
pub fn run(args: Train) -> Result<Outcome> {
    let (device, workers, report) = prepare(&args.common)?;
    let own = Experiment::load(&args.experiment, &all_changes(&args, &[]))?;
    let splits = open_splits(&args.data, own.training.val_fraction, own.training.seed)?;
    data::describe(&splits, &own.training, report);
    let Begun { run, experiment, mut learner, state } = begin(&args, &own, &splits, device, report)?;
    let Splits { train, val, .. } = splits;
    let parameters: i64 = learner.network.trainable().map(|(parameter, _)| parameter.elements()).sum();
    report.note(format!(
        "training {} ({} parameters) on {} images of {} classes, validating on {} (center view), into {}",
        experiment.name,
        grouped(parameters),
        train.samples.len(),
        train.classes.len(),
        val.samples.len(),
        run.path().display()
    ));
    precision::note(experiment.training.precision, device).into_iter().for_each(|note| report.note(note));

    memory::return_freed();
    let interrupted = watch_signals()?;
    let trainer = Trainer {
        experiment: &experiment,
        train: &train,
        val: &val,
        run: &run,
        workers,
        report,
        interrupted: &interrupted,
    };
    let mut bad = Vec::new();
    match trainer.train(&mut learner, state, &mut bad)? {
        Ended::Interrupted => {
            let out = run.path().display();
            report.note(format!(
                "interrupted; the state is saved in {out}. Run the same command with --resume to continue"
            ));
            Ok(Outcome::Interrupted)
        }
        Ended::Finished { best, last } => {
            if let Some(path) = &args.common.output.json {
                let out = run.path().to_string_lossy();
                let result = json!({
                    "network": experiment.name, "run": out, "views": "center", "best": best, "last": last,
                    "bad_images": bad.len(),
                });
                write_json(path, &result)?;
            }
            report.result(format!(
                "best top-1 error {:.2} %, top-5 error {:.2} % (center view): {}",
                best.top1_error,
                best.top5_error,
                run.best().display()
            ))?;
            Ok(Outcome::of(&bad))
        }
    }
}

/// A run that is about to train.
struct Begun {
    run: RunFolder,
    experiment: Experiment,
    learner: Learner,
    state: State,
}

/// Starts or resumes the run that the command asks for. `own` is its experiment before any fine-tuning.
fn begin(args: &Train, own: &Experiment, splits: &Splits, device: Device, report: Report) -> Result<Begun> {
    let (train, classes) = (&splits.train, &splits.train.classes);
    let out = args.out.clone().unwrap_or_else(|| default_out(own, &args.data));
    let on = |error: Error| anyhow!("{error:#}{}", way_on(&out, args.resume));
    let complete = |tuning: Option<Tuning>| -> Result<Experiment> {
        let tuned = tuning.map(|tuning| tuning.apply(args, own, train.samples.len(), report)).transpose()?;
        let mut experiment = tuned.unwrap_or_else(|| own.clone());
        experiment.set_classes(classes)?;
        if let ValidationSource::Split(fraction) = splits.source {
            experiment.training.val_fraction = Some(fraction);
        }
        Ok(experiment)
    };
    if args.resume {
        let run = RunFolder::open(&out).map_err(on)?;
        if args.weights.is_some() {
            report.note("--weights is ignored: the run continues from its own checkpoint");
        }
        let saved = Saved::open(&run)?;
        let experiment = complete(Tuning::of_saved(args, &saved.experiment))?;
        let (learner, state) = saved.resume(&run, &experiment, train, device, report)?;
        return Ok(Begun { run, experiment, learner, state });
    }
    RunFolder::check_free(&out).map_err(on)?;
    let initial = Initial::read(args, own, report)?;
    if let Some(initial) = initial.as_ref().filter(|initial| initial.is_for(classes)) {
        report.note(format!("{} is for these classes: its classifier is kept", initial.file().display()));
    }
    let experiment = complete(Tuning::of_new(args, own, initial.as_ref(), classes))?;
    let tensors = initial::tensors(initial, &experiment, classes, device, report)?;
    let network = Network::for_training(experiment.nodes().to_vec(), tensors, device)?;
    let learner = learner(network, &experiment, train)?;
    let state = State { dataset: train.fingerprint(), ..State::default() };
    // Only now: weights that do not fit leave no folder behind.
    Ok(Begun { run: RunFolder::create(&out, &experiment).map_err(on)?, experiment, learner, state })
}

/// Recipes first, then `--set`, then the flags of single fields. `tuning` takes the place of the recipe `fine-tune` among
/// the recipes, and comes first if that is not named.
fn all_changes(args: &Train, tuning: &[Change]) -> Vec<Change> {
    let is_tuning = |recipe: &Change| !tuning.is_empty() && *recipe == Change::Recipe(fine_tune::NAME.into());
    let recipes: Vec<Change> = args.recipes.iter().cloned().map(Change::Recipe).collect();
    let mut all = if recipes.iter().any(is_tuning) { Vec::new() } else { tuning.to_vec() };
    for recipe in recipes {
        if is_tuning(&recipe) { all.extend_from_slice(tuning) } else { all.push(recipe) }
    }
    all.extend(changes(&args.common.sets));
    let mut flag = |field: &str, value: Option<String>| {
        all.extend(value.map(|value| Change::Set(format!("{field}={value}"))));
    };
    flag("training.epochs", args.epochs.map(|epochs| epochs.to_string()));
    flag("training.learning_rate", args.lr.map(|rate| rate.to_string()));
    flag("training.batch_size", args.common.batch_size.map(|size| size.to_string()));
    flag("training.val_fraction", args.val_fraction.map(|fraction| fraction.to_string()));
    flag("training.seed", args.seed.map(|seed| seed.to_string()));
    flag("network.input[1]", args.input.map(|input| input.height.to_string()));
    flag("network.input[2]", args.input.map(|input| input.width.to_string()));
    all
}

/// What else a user can do if the run folder cannot be used.
fn way_on(out: &Path, resume: bool) -> &'static str {
    match (resume, is_run(out)) {
        (true, _) => ". Leave out --resume to start a new run, or choose another folder with --out",
        (false, true) => ". Continue it with --resume, or choose another folder with --out",
        (false, false) => ". Choose another folder with --out",
    }
}

/// runs/EXPERIMENT-DATA
fn default_out(experiment: &Experiment, data: &Path) -> PathBuf {
    let data = data.canonicalize().unwrap_or_else(|_| data.to_path_buf());
    let data = data.file_name().map_or("data".into(), |name| name.to_string_lossy().into_owned());
    Path::new("runs").join(format!("{}-{data}", experiment.name))
}

/// A learner of the network, which weighs classes by their numbers of training images if asked to.
fn learner(network: Network, experiment: &Experiment, train: &Dataset) -> Result<Learner> {
    let learner = Learner::new(network, experiment)?;
    match experiment.training.class_weights.of(&train.class_sizes())? {
        Some(weights) => learner.with_class_weights(&weights),
        None => Ok(learner),
    }
}
