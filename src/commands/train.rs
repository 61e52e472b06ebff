//! `topfive train`: a network trained on folders of images, into a run folder.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use tch::Device;

use super::models::published_weights;
use super::{Outcome, changes, find_rate, prepare, watch_signals};
use crate::cli::{PUBLISHED, Train};
use crate::data::dataset::Dataset;
use crate::data::folder::open_splits;
use crate::experiment::{Change, Experiment, PublishedWeights};
use crate::memory;
use crate::model::checkpoint;
use crate::network::classifier::class_parameters;
use crate::network::parameter::parameters;
use crate::network::{Network, init};
use crate::report::Report;
use crate::report::records::write_json;
use crate::report::table::grouped;
use crate::training::average::Average;
use crate::training::precision;
use crate::training::run::{self, Found, RunFolder};
use crate::training::state::{self, State, Trained};
use crate::training::step::Learner;
use crate::training::{Ended, Trainer};
use crate::weights;
use crate::weights::fit::fit;

/// Trains.
pub fn run(args: Train) -> Result<Outcome> {
    let (device, workers, report) = prepare(&args.common)?;
    let mut experiment = Experiment::load(&args.experiment, &all_changes(&args))?;
    let weights = args.weights.as_deref().map(|file| Initial { file, weights: experiment.weights.clone() });
    let (train, val) = open_splits(&args.data)?;
    experiment.set_classes(&train.classes)?;

    let out = args.out.clone().unwrap_or_else(|| default_out(&experiment, &args.data));
    if args.find_rate {
        let picture = find_rate::picture(&out)?;
        let Trained { learner, .. } = start(&args, &experiment, weights, &train, device, report)?;
        return find_rate::run(&args, &experiment, &train, learner, (picture, workers, report));
    }
    let on = |error: Error| anyhow!("{error:#}{}", way_on(&out, args.resume));
    let (run, mut trained) = if args.resume {
        let run = RunFolder::open(&out).map_err(on)?;
        let trained = resume(&run, &args, &experiment, &train, device, report)?;
        (run, trained)
    } else {
        RunFolder::check_free(&out).map_err(on)?;
        let trained = start(&args, &experiment, weights, &train, device, report)?;
        // Only now: weights that do not fit leave no folder behind.
        (RunFolder::create(&out, &experiment).map_err(on)?, trained)
    };
    let parameters: i64 = trained.learner.network.trainable().map(|(parameter, _)| parameter.elements()).sum();
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
        save_every: args.save_every,
        workers,
        report,
        interrupted: &interrupted,
    };
    let mut bad = Vec::new();
    match trainer.train(&mut trained, &mut bad)? {
        Ended::Interrupted => {
            let out = run.path().display();
            report.note(format!(
                "interrupted; the state is saved in {out}. Run the same command with --resume to continue"
            ));
            Ok(Outcome::Interrupted)
        }
        Ended::Finished { best, best_is_averaged, last, averaged } => {
            if let Some(path) = &args.common.output.json {
                let out = run.path().to_string_lossy();
                let mut result = json!({
                    "network": experiment.name, "run": out, "views": "center", "best": best, "last": last,
                    "bad_images": bad.len(),
                });
                if let Some(averaged) = averaged {
                    result["averaged"] = json!(averaged);
                    result["best_is_averaged"] = best_is_averaged.into();
                }
                write_json(path, &result)?;
            }
            report.result(format!(
                "best top-1 error {:.2} %, top-5 error {:.2} % (center view{}): {}",
                best.top1_error,
                best.top5_error,
                if best_is_averaged { ", averaged weights" } else { "" },
                run.best().display()
            ))?;
            Ok(Outcome::of(&bad))
        }
    }
}

/// Recipes first, then `--set`, then the flags of single fields.
fn all_changes(args: &Train) -> Vec<Change> {
    let mut all: Vec<Change> = args.recipes.iter().cloned().map(Change::Recipe).collect();
    all.extend(changes(&args.common.sets));
    let mut flag = |field: &str, value: Option<String>| {
        all.extend(value.map(|value| Change::Set(format!("{field}={value}"))));
    };
    flag("training.epochs", args.epochs.map(|epochs| epochs.to_string()));
    flag("training.max_steps", args.max_steps.map(|steps| steps.to_string()));
    flag("training.max_minutes", args.max_minutes.map(|minutes| minutes.to_string()));
    flag("training.learning_rate", args.lr.map(|rate| rate.to_string()));
    flag("training.batch_size", args.common.batch_size.map(|size| size.to_string()));
    flag("training.seed", args.seed.map(|seed| seed.to_string()));
    flag("network.input[1]", args.input.map(|input| input.height.to_string()));
    flag("network.input[2]", args.input.map(|input| input.width.to_string()));
    all
}

/// What else a user can do if the run folder cannot be used.
fn way_on(out: &Path, resume: bool) -> &'static str {
    match (resume, run::find(out)) {
        (true, Found::Free) => ". Leave out --resume to start a new run, or choose another folder with --out",
        (false, Found::Run) => ". Continue it with --resume, or choose another folder with --out",
        _ => ". Choose another folder with --out",
    }
}

/// What `--weights` asks for.
struct Initial<'a> {
    file: &'a Path,
    /// Those that the experiment publishes for its own classes.
    weights: Option<PublishedWeights>,
}

/// runs/EXPERIMENT-DATA
fn default_out(experiment: &Experiment, data: &Path) -> PathBuf {
    let data = data.canonicalize().unwrap_or_else(|_| data.to_path_buf());
    let data = data.file_name().map_or("data".into(), |name| name.to_string_lossy().into_owned());
    Path::new("runs").join(format!("{}-{data}", experiment.name))
}

fn start(
    args: &Train,
    experiment: &Experiment,
    initial: Option<Initial>,
    train: &Dataset,
    device: Device,
    report: Report,
) -> Result<Trained> {
    let (nodes, seed) = (experiment.nodes(), experiment.training.seed);
    let mut tensors = init::tensors(nodes, &experiment.network().start, seed, device)?;
    if let Some(Initial { file, weights }) = initial {
        let file = if file == Path::new(PUBLISHED) {
            published_weights(weights.as_ref(), &args.experiment, report)?
        } else {
            file.to_path_buf()
        };
        let fitted = fit(&parameters(nodes), weights::read(&file)?.tensors, &class_parameters(nodes), &file)?;
        report.note(format!("starting from the weights of {}", file.display()));
        if !fitted.missing.is_empty() {
            let fresh = fitted.missing.join(", ");
            report.note(format!("newly initialised (not in the file, or for a different number of classes): {fresh}"));
        }
        tensors.extend(fitted.into_tensors(device)?);
    }
    let learner = Learner::new(Network::for_training(nodes.to_vec(), tensors, device)?, experiment)?;
    let average = experiment.training.average.as_ref();
    let average = average.map(|kind| Average::new(kind, &learner.network)).transpose()?;
    Ok(Trained { learner, average, state: State { dataset: train.fingerprint(), ..State::default() } })
}

fn resume(
    run: &RunFolder,
    args: &Train,
    experiment: &Experiment,
    train: &Dataset,
    device: Device,
    report: Report,
) -> Result<Trained> {
    if args.weights.is_some() {
        report.note("--weights is ignored: the run continues from its own checkpoint");
    }
    let out = run.path().display();
    let (note, stored) = checkpoint::open(&run.last())?;
    let saved =
        note.experiment(&[]).with_context(|| format!("the experiment of {} does not work", run.last().display()))?;
    compare(&saved, experiment, report).with_context(|| format!("{out} cannot be resumed with this command"))?;
    ensure!(
        note.classes == train.classes,
        "{out}: trained on different classes: {} then, {} now",
        note.classes.join(", "),
        train.classes.join(", ")
    );
    let tensors = fit(&parameters(experiment.nodes()), stored, &HashSet::new(), &run.last())?;
    let network = Network::for_training(experiment.nodes().to_vec(), tensors.into_tensors(device)?, device)?;
    let trained = state::restore(run, note.step, Learner::new(network, experiment)?, &experiment.training)?;
    let state = &trained.state;
    // The order of the images depends on their number, and the random choices for each on its position in the list.
    ensure!(state.dataset == train.fingerprint(), other_images(run, state, train));
    run.write_experiment(experiment)?;
    run.log().resume(state)?;
    report.note(format!("resuming after {} epochs, at step {}", state.epoch, state.step));
    Ok(trained)
}

fn other_images(run: &RunFolder, state: &State, train: &Dataset) -> Error {
    anyhow!(
        "the training images are not the ones that {} was trained on ({} images then, {} now, or renamed); restore them, or start a new run",
        run.path().display(),
        state.dataset.images,
        train.samples.len()
    )
}

/// Reports what has changed since the run was saved. Network, preprocessing, seed, batch size, and what the state has a
/// tensor for, must be unchanged; everything else (learning rate, epochs) takes its new value.
fn compare(saved: &Experiment, now: &Experiment, report: Report) -> Result<()> {
    let mut changes = Vec::new();
    differences("", &serde_json::to_value(saved)?, &serde_json::to_value(now)?, &mut changes);
    let (mut refused, mut taken) = (Vec::new(), Vec::new());
    for (path, change) in changes.into_iter().filter(|(path, _)| !is_claim(path)) {
        let fixed = [
            "network",
            "preprocess",
            "training.seed",
            "training.batch_size",
            "training.accumulate",
            "training.freeze",
            "training.optimizer.rmsprop.centered",
        ];
        let is_fixed = fixed.iter().any(|field| path.starts_with(field)) || is_other_optimizer(&path);
        if is_fixed { &mut refused } else { &mut taken }.push(format!("{path}: {change}"));
    }
    if !refused.is_empty() {
        bail!(
            "these fields differ from the saved run: {}; restore them with --set, or start a new run",
            refused.join("; ")
        );
    }
    taken.iter().for_each(|change| report.note(format!("changed since the run was saved: {change}")));
    Ok(())
}

/// Whether a difference at this path is one optimiser in place of another, rather than in the settings of one.
fn is_other_optimizer(path: &str) -> bool {
    path.strip_prefix("training.optimizer.").is_some_and(|kind| !kind.contains('.'))
}

/// Whether a field says something about a network that training does not depend on.
fn is_claim(path: &str) -> bool {
    ["network.parameters", "published", "weights"].iter().any(|claim| path.starts_with(claim))
}

fn differences(path: &str, then: &Value, now: &Value, found: &mut Vec<(String, String)>) {
    match (then, now) {
        (Value::Object(before), Value::Object(after)) => {
            let added = after.keys().filter(|key| !before.contains_key(*key));
            for key in before.keys().chain(added) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                differences(&path, &then[key], &now[key], found);
            }
        }
        _ if then != now => found.push((path.to_string(), format!("{then} then, {now} now"))),
        _ => {}
    }
}
