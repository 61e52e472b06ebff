//! `topfive train`: a network trained on folders of images, into a run folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tch::Device;

use super::Outcome;
use crate::cli::Train;
use crate::config::Experiment;
use crate::data::folder::open_splits;
use crate::network::Network;
use crate::report::{Report, grouped, write_json};
use crate::training::checkpoint::{self, Position};
use crate::training::optimizer::Sgd;
use crate::training::run::RunFolder;
use crate::training::{Ended, Trainer};
use crate::weights::{self, Classifier};

pub fn run(args: Train) -> Result<Outcome> {
    let (device, workers, report) = super::prepare(&args.common)?;
    let mut experiment = Experiment::load(&args.config, &args.common.changes)?;
    experiment.training.seed = args.seed.unwrap_or(experiment.training.seed);
    if let Some(batch_size) = args.common.batch_size {
        experiment.training.batch_size = batch_size as usize;
    }
    let (train, val) = open_splits(&args.data)?;
    experiment.set_classes(train.classes.len());

    let out = args.out.clone().unwrap_or_else(|| default_out(&experiment, &args.data));
    let digest = train.digest(&args.data.join("train"));
    let begin = Position { images: train.samples.len() as u64, digest, ..Position::default() };
    let Start { run, network, mut optimizer, position } = if args.resume {
        resume(&out, &experiment, &train.classes, &begin, device, report)?
    } else {
        start(&out, &experiment, args.weights.as_deref(), begin, device, report)?
    };
    let parameters: i64 = network.parameters().iter().filter(|(it, _)| it.trainable).map(|(it, _)| it.elements()).sum();
    report.note(format!(
        "training {} ({} parameters) on {} images of {} classes, validating on {}, into {}",
        experiment.name,
        grouped(parameters),
        train.samples.len(),
        train.classes.len(),
        val.samples.len(),
        out.display()
    ));

    let interrupted = super::watch_signals()?;
    let (experiment, network) = (&experiment, &network);
    let trainer = Trainer {
        experiment,
        network,
        train: &train,
        val: &val,
        run: &run,
        workers,
        report,
        interrupted: &interrupted,
    };
    let mut bad = Vec::new();
    match trainer.train(&mut optimizer, position, &mut bad)? {
        Ended::Interrupted => {
            report.note(format!(
                "interrupted; the state is saved in {}. Go on with the same command and --resume",
                out.display()
            ));
            Ok(Outcome::Interrupted)
        }
        Ended::Finished { best, last } => {
            report.result(format!(
                "best top-1 error {:.2} %, top-5 error {:.2} % (center view): {}",
                best.top1_error,
                best.top5_error,
                run.best().display()
            ))?;
            if let Some(path) = &args.common.output.json {
                let result = json!({ "network": experiment.name, "run": out.to_string_lossy(), "best": best, "last": last, "bad_images": bad.len() });
                write_json(path, &result)?;
            }
            Ok(Outcome::of(&bad))
        }
    }
}

/// runs/NETWORK-DATA
fn default_out(experiment: &Experiment, data: &Path) -> PathBuf {
    let data = data.canonicalize().unwrap_or_else(|_| data.to_path_buf());
    let data = data.file_name().map_or("data".into(), |name| name.to_string_lossy().into_owned());
    Path::new("runs").join(format!("{}-{data}", experiment.name))
}

/// What the loop starts from.
struct Start {
    run: RunFolder,
    network: Network,
    optimizer: Sgd,
    position: Position,
}

fn start(
    out: &Path,
    experiment: &Experiment,
    file: Option<&Path>,
    position: Position,
    device: Device,
    report: Report,
) -> Result<Start> {
    let network = Network::new(&experiment.network, device, experiment.training.seed as i64)?;
    if let Some(file) = file {
        let fresh = weights::load(&network, &weights::read(file)?.tensors, file, Classifier::MayStartFresh)?;
        report.note(format!("starting from the weights of {}", file.display()));
        if !fresh.is_empty() {
            let fresh = fresh.join(", ");
            report.note(format!("not in the file, or for another number of classes, so they start fresh: {fresh}"));
        }
    }
    let optimizer = Sgd::new(&network, &experiment.training)?;
    let run = RunFolder::create(out, experiment)?;
    Ok(Start { run, network, optimizer, position })
}

fn resume(
    out: &Path,
    experiment: &Experiment,
    classes: &[String],
    begin: &Position,
    device: Device,
    report: Report,
) -> Result<Start> {
    let (note, tensors) = checkpoint::read_last(out)?;
    compare(&note.experiment, experiment, report)
        .with_context(|| format!("{} cannot be resumed with this command", out.display()))?;
    ensure!(
        note.classes == classes,
        "{} was trained on other classes than this data set's: {} then, {} now",
        out.display(),
        note.classes.join(", "),
        classes.join(", ")
    );
    let network = Network::new(&experiment.network, device, 0)?;
    weights::load(&network, &tensors, out, Classifier::MustFit)?;
    let optimizer = Sgd::new(&network, &experiment.training)?;
    let position = checkpoint::restore(out, note.step, &optimizer)?;
    // The order of the images comes of their number, and their random choices of their places in the list.
    ensure!(
        (position.images, position.digest) == (begin.images, begin.digest),
        "the training images are not the ones that {} was trained on ({} then, {} now, or of other names); put them back, or start a new run",
        out.display(),
        position.images,
        begin.images
    );
    let run = RunFolder::reopen(out);
    run.write_experiment(experiment)?;
    run.log(&json!({ "kind": "resume", "step": position.step }))?;
    report.note(format!("resuming after {} epochs, at step {}", position.epoch, position.step));
    Ok(Start { run, network, optimizer, position })
}

/// Names what has changed since the run was saved. Its network, images and random choices must be the same; how it goes on
/// (rates, epochs) may change, and does.
fn compare(saved: &Experiment, now: &Experiment, report: Report) -> Result<()> {
    let mut changes = Vec::new();
    differences("", &serde_json::to_value(saved)?, &serde_json::to_value(now)?, &mut changes);
    let (mut refused, mut taken) = (Vec::new(), Vec::new());
    for (path, change) in changes {
        let fixed = ["network", "preprocess", "training.seed", "training.batch_size"];
        let is_fixed = fixed.iter().any(|field| path.starts_with(field));
        if is_fixed { &mut refused } else { &mut taken }.push(format!("{path}: {change}"));
    }
    if !refused.is_empty() {
        bail!(
            "these differ from the run as it was saved: {}; give them as they were (--set), or start a new run",
            refused.join("; ")
        );
    }
    taken.iter().for_each(|change| report.note(format!("changed since the run was saved: {change}")));
    Ok(())
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
