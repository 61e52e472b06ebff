//! `topfive eval`: the errors of a model, or of several together, on labelled images.

mod details;
mod results;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use super::Outcome;
use crate::cli::{Eval, ViewsArgument};
use crate::data::folder::{Folder, validation_dir};
use crate::data::labels::open_with_labels;
use crate::ensemble::Ensemble;
use crate::evaluation::evaluate;
use crate::model::Model;
use crate::report::{Report, write_json};
use crate::views::{Named, Part, Protocol, Views};

use details::Details;
use results::Results;

pub fn run(args: Eval) -> Result<Outcome> {
    let (ensemble, pace, report) = super::open(&args.models, &args.weights, &args.common)?;
    let protocols = protocols(&args.views, &ensemble, report)?;
    let folder = labelled(&ensemble, &args.data, args.labels.as_deref())?;
    let interrupted = super::watch_signals()?;
    let mut details = Details::new(&args, &protocols, &ensemble)?;

    let begun = Instant::now();
    let mut bar = report.bar(folder.samples.len() as u64, &bar_name(&protocols));
    let evaluated = evaluate(&ensemble.members(), &protocols, &folder, pace, |index, result, measured| {
        let sample = &folder.samples[index];
        details.count(&sample.path, sample.label, result)?;
        let errors = measured.last().and_then(|it| it.tally.errors());
        let text = errors.map(|it| format!("top-1 error {:.2} %  top-5 error {:.2} %", it.top1_error, it.top5_error));
        bar.at(index as u64 + 1, text.unwrap_or_default());
        let is_over = interrupted.load(Ordering::Relaxed);
        Ok(if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    bar.clear();
    let Some((measured, bad)) = evaluated else {
        report.note("interrupted; nothing was written");
        return Ok(Outcome::Interrupted);
    };
    let results = Results { ensemble: &ensemble, protocols: &protocols, measured, bad, seconds: begun.elapsed() };
    results.show(report)?;
    args.common.output.json.as_ref().map_or(Ok(()), |path| write_json(path, &results.json()))?;
    // Last, so that whatever happens to these files the errors have been shown.
    details.finish()?;
    Ok(Outcome::of(&results.bad))
}

fn bar_name(protocols: &[Views]) -> String {
    match protocols {
        [views] => views.to_string(),
        several => format!("{} protocols", several.len()),
    }
}

/// The protocols that were asked for, each once; all that the models can be viewed by for `all`.
fn protocols(asked: &[ViewsArgument], ensemble: &Ensemble, report: Report) -> Result<Vec<Views>> {
    let mut protocols: Vec<Views> = Vec::new();
    for argument in asked {
        let views = match argument {
            ViewsArgument::Named(named) => vec![Views::Named(*named)],
            ViewsArgument::Config => vec![ensemble.views()?.clone()],
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

fn all(ensemble: &Ensemble, report: Report) -> Vec<Views> {
    let refusal = |model: &Model| Some((model.experiment.name.clone(), model.network.dense().err()?));
    let refusal = ensemble.models.iter().find_map(refusal);
    if let Some((name, refusal)) = &refusal {
        report.warn(format!("without the dense protocols, for {name}: {refusal:#}"));
    }
    let experiment = &ensemble.first().experiment;
    let named = Protocol::all().map(|protocol| Views::Named(Named { protocol, side: None }));
    let is_dense = |views: &Views| experiment.parts(views).is_ok_and(|parts| parts.iter().any(Part::is_dense));
    named.filter(|views| refusal.is_none() || !is_dense(views)).collect()
}

/// The images of `dir`, labelled by the models' classes; by position only where their names are not known.
fn labelled(ensemble: &Ensemble, dir: &Path, list: Option<&Path>) -> Result<Folder> {
    let dir = validation_dir(dir);
    match (ensemble.classes(), list) {
        (Some(classes), Some(list)) => open_with_labels(&dir, list, classes),
        (Some(classes), None) => Folder::open_with_classes(&dir, classes),
        (None, Some(_)) => {
            bail!("--labels: {} does not hold the names of its classes", ensemble.first().weights.display())
        }
        (None, None) => by_position(ensemble, &dir),
    }
}

fn by_position(ensemble: &Ensemble, dir: &Path) -> Result<Folder> {
    let (folder, model) = (Folder::open(dir)?, ensemble.first());
    let classes = model.experiment.network.classes;
    ensure!(
        folder.classes.len() as i64 == classes,
        "{} holds {} class folders and the model gives {classes} classes, whose names {} does not hold; without names all classes must be there",
        dir.display(),
        folder.classes.len(),
        model.weights.display()
    );
    Ok(folder)
}
