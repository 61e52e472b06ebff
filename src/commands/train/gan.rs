//! `topfive train` of a generator against a discriminator.

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use serde_json::json;
use tch::Device;

use super::all_changes;
use super::begin::{out, way_on};
use super::resume::{compare, other_images, say_threads};
use crate::adversarial::model::tensors_of;
use crate::adversarial::state::{self, Progressed, Trained};
use crate::adversarial::step::Opponents;
use crate::adversarial::{Ended, Trainer};
use crate::cli::Train;
use crate::commands::page::{command, machine, short, version};
use crate::commands::{Outcome, prepare, say_stored, watch_signals};
use crate::data::dataset::Dataset;
use crate::data::split;
use crate::experiment::Gan;
use crate::memory;
use crate::model::checkpoint;
use crate::network::parameter::parameters;
use crate::network::{Network, Tensors, init};
use crate::processes::Processes;
use crate::random;
use crate::report::Report;
use crate::report::page::About;
use crate::report::records::write_json;
use crate::report::table::grouped;
use crate::training::average::Average;
use crate::training::batches::BadImages;
use crate::training::log::Log;
use crate::training::precision;
use crate::training::run::RunFolder;
use crate::training::state::State;

/// What a run keeps.
const FIXED: [&str; 8] = [
    "latent",
    "conditional",
    "generator",
    "discriminator",
    "preprocess",
    "training.seed",
    "training.batch_size",
    "training.optimizer.rmsprop.centered",
];

/// Trains.
pub fn run(args: &Train) -> Result<Outcome> {
    refuse_classifiers_own(args)?;
    let mut processes = Processes::of_environment()?;
    ensure!(
        !processes.are_several(),
        "a generator is trained against a discriminator in one process, found {}; start it without a launcher",
        processes.count()
    );
    let (device, workers, report) = prepare(&args.common, &mut processes)?;
    let mut gan = Gan::load(&args.experiment, &all_changes(args, &[]))?;
    let train = split::training_images(&args.data)?;
    say_stored(&train, report);
    gan.set_classes(train.classes.len())?;
    let begin = if args.resume { resume } else { start };
    let (run, mut trained) = begin(args, &gan, &train, device, report)?;
    describe(&gan, &train, &run, device, report);

    memory::return_freed();
    let (interrupted, about) = (watch_signals()?, about(args, &gan, &train, device)?);
    let trainer = Trainer {
        gan: &gan,
        train: &train,
        run: &run,
        save_every: args.save_every,
        about: &about,
        workers,
        report,
        interrupted: &interrupted,
    };
    let mut bad = BadImages::new(report);
    let folder = run.path().display();
    let Ended::Finished { sample } = trainer.train(&mut trained, &mut bad)? else {
        report.note(format!(
            "interrupted; the state is saved in {folder}. Run the same command with --resume to continue"
        ));
        return Ok(Outcome::Interrupted);
    };
    if let Some(path) = &args.common.output.json {
        let State { epoch, step, seconds, .. } = &trained.state.run;
        let sample = sample.to_string_lossy();
        write_json(
            path,
            &json!({
                "network": gan.name, "run": folder.to_string(), "sample": sample, "epoch": epoch, "step": step,
                "seconds": seconds, "bad_images": bad.found.len(),
            }),
        )?;
    }
    report.result(format!("made images: {}", sample.display()))?;
    report.note(format!("more of them: topfive generate {folder} --out grid.png; report: {}", run.page().display()));
    Ok(Outcome::of(&bad.found))
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

fn describe(gan: &Gan, train: &Dataset, run: &RunFolder, device: Device, report: Report) {
    let [channels, height, width] = gan.image();
    let count = |nodes| {
        let trainable = parameters(nodes).into_iter().filter(|parameter| parameter.is_trainable());
        grouped(trainable.map(|parameter| parameter.elements()).sum())
    };
    report.note(format!(
        "training {} (a generator of {} parameters against a discriminator of {}, {}) to make images of {channels}x{height}x{width} as the {} in {}, into {}",
        gan.name,
        count(gan.generator()),
        count(gan.discriminator()),
        precision::of(&gan.shared(), device),
        train.samples.len(),
        train.root.display(),
        run.path().display()
    ));
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

/// Starts a run.
fn start(args: &Train, gan: &Gan, train: &Dataset, device: Device, _: Report) -> Result<(RunFolder, Trained)> {
    let out = out(args, &gan.name);
    let on = |error: Error| anyhow!("{error:#}{}", way_on(&out, false));
    RunFolder::check_free(&out).map_err(on)?;
    let seed = gan.training.seed;
    let [generator, discriminator] = gan.parts().map(|(name, part, nodes)| {
        init::tensors(nodes, &part.start, random::part_seed(seed, name), device).context(name)
    });
    let opponents = opponents(gan, [generator?, discriminator?], device)?;
    let average = gan.training.average.as_ref();
    let average = average.map(|kind| Average::new(kind, &opponents.generator.network)).transpose()?;
    let run = State { dataset: train.fingerprint(), threads: tch::get_num_threads(), processes: 1, ..State::default() };
    let state = Progressed { run, ..Progressed::default() };
    Ok((RunFolder::create(&out, gan).map_err(on)?, Trained { opponents, average, state }))
}

/// Resumes the run in the folder.
fn resume(args: &Train, gan: &Gan, train: &Dataset, device: Device, report: Report) -> Result<(RunFolder, Trained)> {
    let out = out(args, &gan.name);
    let run = RunFolder::open(&out).map_err(|error| anyhow!("{error:#}{}", way_on(&out, true)))?;
    let (note, stored) = checkpoint::open(&run.last())?;
    let saved = Gan::from_value(note.experiment, &[])
        .with_context(|| format!("the experiment of {} does not work", run.last().display()))?;
    compare(&saved, gan, &FIXED, report)
        .with_context(|| format!("{} cannot be resumed with this command", out.display()))?;
    let opponents = opponents(gan, tensors_of(gan, &stored, &run.last(), device)?, device)?;
    let mut trained = state::restore(&run, note.step, opponents, gan)?;
    let state = &mut trained.state.run;
    ensure!(state.dataset == train.fingerprint(), other_images(&run, state, train));
    let threads = tch::get_num_threads();
    say_threads(std::mem::replace(&mut state.threads, threads), threads, report);
    run.write_experiment(gan)?;
    Log::at(run.log()).resume(state)?;
    report.note(format!("resuming at step {}, in epoch {}", state.step, state.epoch + 1));
    Ok((run, trained))
}

fn opponents(gan: &Gan, [generator, discriminator]: [Tensors; 2], device: Device) -> Result<Opponents> {
    let generator = Network::for_training(gan.generator().to_vec(), generator, device)?;
    let discriminator = Network::for_training(gan.discriminator().to_vec(), discriminator, device)?;
    Opponents::new(generator, discriminator, gan)
}
