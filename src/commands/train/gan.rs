//! `topfive train` of a generator against a discriminator. How a run begins is in `begin_gan`.

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use tch::Device;

use super::begin_gan::Beginning;
use super::{all_changes, interrupted};
use crate::adversarial::measure::Measure;
use crate::adversarial::state::Progressed;
use crate::adversarial::{Ended, Trainer};
use crate::cli::Train;
use crate::commands::models::trained_classifier;
use crate::commands::page::{command, machine, short, version};
use crate::commands::{Outcome, prepare, say_stored, watch_signals};
use crate::data::dataset::Dataset;
use crate::data::split;
use crate::experiment::Gan;
use crate::experiment::gan::AdversarialLoss;
use crate::fidelity::judge::untrained;
use crate::memory;
use crate::model::Model;
use crate::network::node::has_batch_norm;
use crate::network::parameter::parameters;
use crate::processes::Processes;
use crate::report::Report;
use crate::report::page::About;
use crate::report::records::write_json;
use crate::report::table::{grouped, significant};
use crate::training::batches::BadImages;
use crate::training::precision;
use crate::training::run::RunFolder;
use crate::training::state::State;

/// Trains.
pub fn run(args: &Train) -> Result<Outcome> {
    refuse_classifiers_own(args)?;
    let mut processes = Processes::of_environment()?;
    let (device, workers, report) = prepare(&args.common, &mut processes)?;
    let mut gan = Gan::load(&args.experiment, &all_changes(args, &[]))?;
    let train = split::training_images(&args.data)?;
    say_stored(&train, report);
    gan.set_classes(train.classes.len())?;
    let observer = processes.is_first().then(|| observer(args, &gan, device)).transpose()?;
    let measure = observer.as_ref().map(|model| measure(args, model, &gan, &train, workers, report)).transpose()?;
    let beginning = Beginning { args, gan: &gan, train: &train, device, processes: &processes, report };
    let (run, mut trained) = beginning.begin(measure.as_ref().map(|measure| measure.yardstick))?;
    describe(&gan, &train, run.as_ref(), &processes, device, report);

    memory::return_freed();
    let (signalled, about) = (watch_signals()?, about(args, &gan, &train, device)?);
    let trainer = Trainer {
        gan: &gan,
        train: &train,
        measure: measure.as_ref(),
        run: run.as_ref(),
        save_every: args.save_every,
        about: &about,
        workers,
        processes: &processes,
        report,
        interrupted: &signalled,
    };
    let mut bad = BadImages::new(report);
    let ended = trainer.train(&mut trained, &mut bad)?;
    let Some(run) = run else {
        return Ok(if ended == Ended::Interrupted { Outcome::Interrupted } else { Outcome::Done });
    };
    show(ended, args, &gan, &run, &trained.state, &bad, report)
}

/// Tells how the run ended.
fn show(
    ended: Ended,
    args: &Train,
    gan: &Gan,
    run: &RunFolder,
    state: &Progressed,
    bad: &BadImages,
    report: Report,
) -> Result<Outcome> {
    let Ended::Finished { epoch } = ended else { return Ok(interrupted(run, report)) };
    let (folder, sample) = (run.path().display(), run.sample(epoch));
    if let Some(path) = &args.common.output.json {
        let State { epoch, step, seconds, .. } = &state.run;
        write_json(
            path,
            &json!({
                "network": gan.name, "run": folder.to_string(), "sample": sample.to_string_lossy(), "epoch": epoch,
                "step": step, "seconds": seconds, "frechet_distance": state.best, "bad_images": bad.found.len(),
            }),
        )?;
    }
    if let Some(distance) = state.best {
        report.result(format!("shortest Fréchet distance {}: {}", significant(distance), run.best().display()))?;
    }
    report.result(format!("made images: {}", sample.display()))?;
    report.note(format!("more of them: topfive generate {folder} --out grid.png; report: {}", run.page().display()));
    Ok(Outcome::of(&bad.found))
}

/// The network in whose features the best generator is chosen.
fn observer(args: &Train, gan: &Gan, device: Device) -> Result<Model> {
    match &args.features {
        Some(path) => trained_classifier(path, device).context("--features"),
        None => untrained(gan.size(), device),
    }
}

/// What the best generator is chosen by; says so.
fn measure<'a>(
    args: &Train,
    observer: &'a Model,
    gan: &Gan,
    train: &Dataset,
    workers: usize,
    report: Report,
) -> Result<Measure<'a>> {
    let held_out = split::held_out_images(&args.data).context(
        "the best generator is chosen by its distance from images that it does not learn from; if this folder is for something else, move it out",
    )?;
    let measure = Measure::new(observer, held_out.as_ref().unwrap_or(train), gan, workers, report)?;
    report.note(format!(
        "the best generator is the one with the shortest Fréchet distance from {} {} images, in the features of {}",
        grouped(measure.images() as i64),
        if held_out.is_some() { "held-out" } else { "training (there are no held-out ones)" },
        match &args.features {
            Some(path) => path.display().to_string(),
            None => "an untrained network; --features names a classifier of such images, which sees more".to_string(),
        }
    ));
    Ok(measure)
}

/// Refuses flags that are about classes, a validation or initial weights.
fn refuse_classifiers_own(args: &Train) -> Result<()> {
    let named = [
        ("--labels", args.labels.is_some()),
        ("--val-labels", args.val_labels.is_some()),
        ("--val-fraction", args.val_fraction.is_some()),
        ("--weights", args.weights.is_some()),
        ("--partial", args.partial),
        ("--rename", !args.renames.is_empty()),
        ("--classes", args.classes.is_some()),
        ("--find-rate", args.find_rate),
        ("--scale-rate", args.scale_rate.is_some()),
    ];
    if let Some((flag, _)) = named.iter().find(|(_, is_named)| *is_named) {
        bail!(
            "{flag} is for classifiers alone, and {} is a generator and a discriminator; leave it out",
            args.experiment.display()
        );
    }
    ensure!(
        args.input.is_none(),
        "--input: the size of the images follows from the generator's layers; change those instead"
    );
    Ok(())
}

fn describe(
    gan: &Gan,
    train: &Dataset,
    run: Option<&RunFolder>,
    processes: &Processes,
    device: Device,
    report: Report,
) {
    let [channels, height, width] = gan.image();
    let count = |nodes| {
        let trainable = parameters(nodes).into_iter().filter(|parameter| parameter.is_trainable());
        grouped(trainable.map(|parameter| parameter.elements()).sum())
    };
    report.note(format!(
        "training {} (a generator of {} parameters against a discriminator of {}, {}) to make images of {channels}x{height}x{width} as the {} in {}{}",
        gan.name,
        count(gan.generator()),
        count(gan.discriminator()),
        precision::of(&gan.shared(), device),
        train.samples.len(),
        train.root.display(),
        run.map_or(String::new(), |run| format!(", into {}", run.path().display()))
    ));
    precision::note(&gan.shared(), device).into_iter().for_each(|note| report.note(note));
    if matches!(gan.training.loss, AdversarialLoss::Wasserstein { .. }) && has_batch_norm(gan.discriminator()) {
        report.note("training.loss wasserstein takes the gradient penalty of each image alone, but batch norms let the images of a batch depend on one another; its paper leaves them out of the discriminator (arXiv:1704.00028, section 4)");
    }
    if processes.are_several() {
        let (count, size) = (processes.count(), gan.training.batch_size);
        report.note(format!(
            "{count} processes with up to {size} images each: an update learns from up to {} real and as many made ones",
            count * size
        ));
    }
}

/// What is run.
fn about(args: &Train, gan: &Gan, train: &Dataset, device: Device) -> Result<About> {
    Ok(About {
        title: format!("{} trained on {}", gan.name, short(&args.data, false)),
        experiment: gan.name.clone(),
        paper: gan.paper.clone(),
        data: format!("{}: {} images", train.root.display(), train.samples.len()),
        weights: None,
        command: command(),
        version: version(),
        seed: Some(gan.training.seed),
        machine: machine(device),
        seconds: 0.0,
        settings: serde_json::to_value(gan)?,
    })
}
