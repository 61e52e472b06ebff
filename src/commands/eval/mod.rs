//! `topfive eval`: the errors of a model, or of several together, on labelled images; or how close a generator comes to real
//! ones.

mod comparison;
mod details;
mod fidelity;
mod generator;
mod localisation;
mod page;
mod results;

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use super::{Outcome, SAME_IMAGES, assist, labelled, models, say_stored, watch_signals};
use crate::cli::{Eval, ViewsArgument};
use crate::data::dataset::Dataset;
use crate::data::split;
use crate::evaluation::{Classification, Measurement};
use crate::model::{Ensemble, Model};
use crate::network::dense;
use crate::processes::Processes;
use crate::report::Report;
use crate::report::records::write_json;
use crate::views::{Named, Part, Protocol, Views};

use comparison::Comparison;
use details::Details;
use localisation::Localisation;
use page::PageFile;
use results::Results;

/// Evaluates.
pub fn run(args: Eval) -> Result<Outcome> {
    if let Some(generator) = generator::among(&args.models) {
        return generator::run(&args, generator);
    }
    refuse_generators_own(&args)?;
    let processes = Processes::of_environment()?;
    let (ensemble, pace, report) = models::open(&args.models, &args.weights, args.running, &args.common, processes)?;
    let processes = pace.processes.clone();
    let protocols = protocols(&args.views, &ensemble, report)?;
    let mut comparison = Comparison::new(&args, &ensemble, &protocols)?;
    if let Some(files) = chosen_weights(&args, &ensemble) {
        report.note(format!("weights: {files}"));
    }
    let dataset = images(&ensemble, &args.data, args.labels.as_deref(), report)?;
    say_stored(&dataset, report);
    processes.check_same("the images", SAME_IMAGES, dataset.fingerprint())?;
    let interrupted = watch_signals()?;
    if !processes.is_first() {
        let samples = dataset.samples.clone();
        let outcomes = Classification::start(&ensemble.members(), &protocols, samples, pace, report)?;
        return assist(outcomes, &processes, &interrupted);
    }
    let mut details = Details::new(&args, &protocols, &ensemble)?;
    let mut page = args.report.as_deref().map(PageFile::new).transpose()?;
    let mut localisation = Localisation::new(&args, &ensemble, &protocols, &dataset)?;

    let begun = Instant::now();
    let samples = &dataset.samples;
    let mut bar = report.bar(samples.len() as u64, &bar_name(&protocols));
    let mut measurement = Measurement::default();
    let outcomes = Classification::start(&ensemble.members(), &protocols, samples.clone(), pace, report)?;
    for (index, (outcome, sample)) in outcomes.zip(samples.iter()).enumerate() {
        let outcome = outcome?;
        measurement.count(&outcome, sample.label);
        comparison.iter_mut().for_each(|comparison| comparison.count(sample, &outcome));
        details.count(sample, &outcome)?;
        page.iter_mut().for_each(|page| page.count(sample, &outcome));
        localisation.as_mut().map_or(Ok(()), |it| it.count(index, sample, &outcome))?;
        let errors = measurement.protocols.last().and_then(|measured| measured.tally.errors());
        bar.at(index as u64 + 1, errors.map_or(String::new(), |errors| errors.text("  ")));
        if processes.is_interrupted(index, &interrupted)? {
            bar.clear();
            report.note("interrupted; nothing was written");
            return Ok(Outcome::Interrupted);
        }
    }
    bar.clear();
    measurement.check()?;
    let results = Results {
        ensemble: &ensemble,
        protocols: &protocols,
        measurement: &measurement,
        comparison: comparison.as_ref(),
        localisation: localisation.as_ref(),
        time: begun.elapsed(),
        precision: args.running.precision,
    };
    // The files are written even if the reader of standard output went away, as the images are all measured by now;
    // they come last, so that a failure there cannot hide the errors.
    let shown = results.show(report);
    let written = args.common.output.json.as_ref().map_or(Ok(()), |path| write_json(path, &results.json()));
    details.finish()?;
    page.map_or(Ok(()), |page| page.write(&results, &dataset))?;
    written.and(shown)?;
    Ok(Outcome::of(&measurement.bad))
}

/// Refuses flags that are about made images.
fn refuse_generators_own(args: &Eval) -> Result<()> {
    let named =
        [("--features", args.features.is_some()), ("--count", args.count.is_some()), ("--seed", args.seed.is_some())];
    match named.iter().find(|(_, is_named)| *is_named) {
        Some((flag, _)) => {
            bail!("{flag} is for generators alone, and {} is a classifier; leave it out", args.models[0].display())
        }
        None => Ok(()),
    }
}

fn bar_name(protocols: &[Views]) -> String {
    match protocols {
        [views] => views.to_string(),
        several => format!("{} protocols", several.len()),
    }
}

/// The requested protocols, without duplicates.
fn protocols(asked: &[ViewsArgument], ensemble: &Ensemble, report: Report) -> Result<Vec<Views>> {
    let mut protocols: Vec<Views> = Vec::new();
    for argument in asked {
        let views = match argument {
            ViewsArgument::Named(named) => vec![Views::Named(*named)],
            ViewsArgument::Paper => vec![ensemble.paper_views()?.clone()],
            ViewsArgument::Published => published(ensemble)?,
            ViewsArgument::All => all(ensemble, report),
        };
        for views in views {
            if !protocols.contains(&views) {
                protocols.push(views);
            }
        }
    }
    Ok(protocols)
}

/// The protocols for which one of the models' experiments publishes an error.
fn published(ensemble: &Ensemble) -> Result<Vec<Views>> {
    let published = ensemble.models().iter().flat_map(|model| &model.experiment.published);
    let views: Vec<Views> = published.map(|published| published.views.clone()).collect();
    ensure!(
        !views.is_empty(),
        "--views published: {} has no published errors; name protocols instead, for example --views center,ten-crop",
        ensemble.name()
    );
    Ok(views)
}

/// The files with weights that the command line does not name itself: those of run folders, and fetched ones.
fn chosen_weights(args: &Eval, ensemble: &Ensemble) -> Option<String> {
    let is_named = |file: &Path| args.models.iter().chain(&args.weights.files).any(|named| named == file);
    let files = ensemble.models().iter().map(|model| model.weights.as_path()).filter(|file| !is_named(file));
    let files: Vec<String> = files.map(|file| file.display().to_string()).collect();
    (!files.is_empty()).then(|| files.join(", "))
}

/// Every protocol that the models support.
fn all(ensemble: &Ensemble, report: Report) -> Vec<Views> {
    let refusal = |model: &Model| Some((model.experiment.name.clone(), dense(model.network.nodes()).err()?));
    let refusal = ensemble.models().iter().find_map(refusal);
    if let Some((name, refusal)) = &refusal {
        report.warn(format!("skipping the dense protocols, which {name} does not support: {refusal}"));
    }
    let experiment = &ensemble.first().experiment;
    let named = Protocol::all().map(|protocol| Views::Named(Named { protocol, side: None }));
    let is_dense = |views: &Views| experiment.parts(views).is_ok_and(|parts| parts.iter().any(Part::is_dense));
    named.filter(|views| refusal.is_none() || !is_dense(views)).collect()
}

/// The images to evaluate: those of the validation folder in `dir`, or of `dir` itself; of them those of the list.
fn images(ensemble: &Ensemble, dir: &Path, list: Option<&Path>, report: Report) -> Result<Dataset> {
    let whole = dir;
    let dir = split::validation_dir(whole);
    // The images that Kaggle calls a test have no labels; those of a list are elsewhere.
    let dir = if list.is_some() && dir.ends_with("test") { whole.to_path_buf() } else { dir };
    if dir != whole && !dir.ends_with("val") {
        report.note(format!("{}: no folder \"val\", so {} is evaluated", whole.display(), dir.display()));
    }
    let is_split = |model: &Model| model.experiment.training.val_fraction.is_some();
    if dir == whole && list.is_none() && ensemble.models().iter().any(is_split) {
        report.note(format!(
            "{} was trained on a folder of classes without its own validation images; if that was {}, most of these images were trained on, and the error is too low",
            ensemble.name(),
            whole.display()
        ));
    }
    labelled::open(ensemble, &dir, list, report)
}
