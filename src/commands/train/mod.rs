//! `topfive train`: a network trained on folders of images, into a run folder.

mod begin;
mod begin_gan;
mod data;
mod differences;
mod find_rate;
mod gan;
mod initial;
mod page;
mod resume;
mod tuning;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{Outcome, changes, prepare, watch_signals};
use crate::cli::Train;
use crate::evaluation::BadImage;
use crate::experiment::gan::is_one as is_gan;
use crate::experiment::{self, Change, Experiment, fine_tune};
use crate::memory;
use crate::processes::Processes;
use crate::report::Report;
use crate::report::page::About;
use crate::report::records::write_json;
use crate::report::table::grouped;
use crate::training::batches::BadImages;
use crate::training::precision;
use crate::training::run::RunFolder;
use crate::training::{Ended, Trainer};

use begin::Beginning;

/// Trains.
pub fn run(args: Train) -> Result<Outcome> {
    if is_gan(&experiment::read(&args.experiment)?) {
        return gan::run(&args);
    }
    ensure!(
        args.features.is_none(),
        "--features is for generators alone, and {} is a classifier; leave it out",
        args.experiment.display()
    );
    let mut processes = Processes::of_environment()?;
    ensure!(
        !(args.find_rate && processes.are_several()),
        "--find-rate: looks for the rate of one process, found {} of them; start it without a launcher",
        processes.count()
    );
    let (device, workers, report) = prepare(&args.common, &mut processes)?;
    let beginning = Beginning::new(&args, device, &processes, report)?;
    data::describe(&beginning.splits, &beginning.own.training, report);
    if args.find_rate {
        return find_rate::run(&beginning, workers);
    }
    let (run, experiment, mut trained) = beginning.begin()?;
    let about = page::about(&beginning, &experiment, &trained.state)?;
    let splits = beginning.splits;
    let parameters: i64 = trained.learner.network.trainable().map(|(parameter, _)| parameter.elements()).sum();
    report.note(format!(
        "training {} ({} parameters, {}) on {} images of {} classes, validating on {} (center view){}",
        experiment.name,
        grouped(parameters),
        precision::of(&experiment.training, device),
        splits.train.samples.len(),
        splits.train.classes.len(),
        splits.val.samples.len(),
        run.as_ref().map_or(String::new(), |run| format!(", into {}", run.path().display()))
    ));
    describe(&processes, &experiment, report);
    let training = &experiment.training;
    if let Some(note) = training.schedule.unreached(training.epochs) {
        report.note(format!("{note}; for one that falls, add --set training.schedule=cosine"));
    }
    precision::note(&experiment.training, device).into_iter().for_each(|note| report.note(note));

    memory::return_freed();
    let interrupted = watch_signals()?;
    let trainer = Trainer {
        experiment: &experiment,
        train: &splits.train,
        val: &splits.val,
        run: run.as_ref(),
        about: &about,
        save_every: args.save_every,
        workers,
        processes: &processes,
        report,
        interrupted: &interrupted,
    };
    let mut bad = BadImages::new(report);
    let ended = trainer.train(&mut trained, &mut bad)?;
    let about = About { seconds: trained.state.seconds, ..about };
    // The page loads the best weights.
    drop(trained);
    let Some(run) = run else {
        return Ok(if ended == Ended::Interrupted { Outcome::Interrupted } else { Outcome::Done });
    };
    let results = results(ended, &experiment, &run, &bad.found);
    if results.is_object() {
        // The run is complete without its page.
        let written = page::write(&run, &about, &splits.val, results.clone(), device);
        written.unwrap_or_else(|error| report.warn(format!("the report could not be completed: {error:#}")));
    }
    show(ended, &args, &results, &run, &bad.found, report)
}

/// Says what several processes make of the batches.
fn describe(processes: &Processes, experiment: &Experiment, report: Report) {
    let (count, training) = (processes.count(), &experiment.training);
    if processes.are_several() {
        report.note(format!(
            "{count} processes with up to {} images each: an update learns from up to {}, at the learning rate {} (--scale-rate changes it by the number of processes)",
            training.batch_size,
            count * training.batch_size * training.accumulate as usize,
            training.learning_rate
        ));
    }
}

/// The results of a run as JSON; null if it is not over.
fn results(ended: Ended, experiment: &Experiment, run: &RunFolder, bad: &[BadImage]) -> Value {
    let Ended::Finished { best, best_is_averaged, last, averaged } = ended else { return Value::Null };
    let mut results = json!({
        "network": experiment.name, "run": run.path().to_string_lossy(), "views": "center", "best": best, "last": last,
        "bad_images": bad.len(),
    });
    if let Some(averaged) = averaged {
        results["averaged"] = json!(averaged);
        results["best_is_averaged"] = best_is_averaged.into();
    }
    results
}

/// Tells how the run ended.
fn show(
    ended: Ended,
    args: &Train,
    results: &Value,
    run: &RunFolder,
    bad: &[BadImage],
    report: Report,
) -> Result<Outcome> {
    let Ended::Finished { best, best_is_averaged, .. } = ended else {
        return Ok(interrupted(run, report));
    };
    if let Some(path) = &args.common.output.json {
        write_json(path, results)?;
    }
    report.result(format!(
        "best {} (center view{}): {}",
        best.text(", "),
        if best_is_averaged { ", averaged weights" } else { "" },
        run.best().display()
    ))?;
    report.note(format!("report: {}", run.page().display()));
    Ok(Outcome::of(bad))
}

/// Tells how a run goes on that a signal has interrupted.
fn interrupted(run: &RunFolder, report: Report) -> Outcome {
    let out = run.path().display();
    report.note(format!("interrupted; the state is saved in {out}. Run the same command with --resume to continue"));
    Outcome::Interrupted
}

/// All changes but the recipe of this name.
fn all_changes_but(args: &Train, name: &str) -> Vec<Change> {
    let mut all = all_changes(args, &[]);
    all.retain(|change| *change != Change::Recipe(name.into()));
    all
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
    flag("training.max_steps", args.max_steps.map(|steps| steps.to_string()));
    flag("training.max_minutes", args.max_minutes.map(|minutes| minutes.to_string()));
    flag("training.learning_rate", args.lr.map(|rate| rate.to_string()));
    flag("training.batch_size", args.common.batch_size.map(|size| size.to_string()));
    flag("training.val_fraction", args.val_fraction.map(|fraction| fraction.to_string()));
    flag("training.seed", args.seed.map(|seed| seed.to_string()));
    flag("network.input[1]", args.input.map(|input| input.height.to_string()));
    flag("network.input[2]", args.input.map(|input| input.width.to_string()));
    all
}
