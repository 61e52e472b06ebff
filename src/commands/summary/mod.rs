//! `topfive summary`: the layers of networks, with their parameters and multiply-adds.

mod classifier;
mod cost;
mod gan;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Outcome, changes};
use crate::cli::Summary;
use crate::experiment::gan::is_one as is_gan;
use crate::experiment::{self, Change, Experiment, Gan, builtin};
use crate::model::{Found, checkpoint, find};
use crate::report::Report;
use crate::report::records::write_json;
use classifier::Classifier;
use gan::Opponents;

/// What is named, with what it costs.
enum Described {
    Classifier(Box<Classifier>),
    Gan(Box<Opponents>),
}

/// Shows the layers of what is named, or several side by side; all built-in experiments if nothing is named.
pub fn run(args: Summary) -> Result<Outcome> {
    let report = Report::new(args.output.quiet, args.output.json.as_deref())?;
    let (changes, mut names) = (changes(&args.sets), args.models);
    if names.is_empty() {
        names = builtin::all().map(PathBuf::from).collect();
    }
    let described = names.iter().map(|name| Described::read(name, &changes)).collect::<Result<Vec<_>>>()?;
    let json = match described.as_slice() {
        [one] => {
            one.show(report)?;
            one.json()
        }
        several => {
            side_by_side(several, report)?;
            several.iter().map(Described::json).collect()
        }
    };
    args.output.json.map_or(Ok(()), |path| write_json(&path, &json))?;
    Ok(Outcome::Done)
}

/// A table of the classifiers, and one of the others.
fn side_by_side(all: &[Described], report: Report) -> Result<()> {
    let classifiers: Vec<&Classifier> =
        all.iter().filter_map(|it| if let Described::Classifier(it) = it { Some(&**it) } else { None }).collect();
    let gans: Vec<&Opponents> =
        all.iter().filter_map(|it| if let Described::Gan(it) = it { Some(&**it) } else { None }).collect();
    if !classifiers.is_empty() {
        report.result(classifier::side_by_side(&classifiers).trim_fmt())?;
    }
    if !gans.is_empty() {
        report.result(gan::side_by_side(&gans).trim_fmt())?;
    }
    Ok(())
}

impl Described {
    fn read(name: &Path, changes: &[Change]) -> Result<Self> {
        let (path, value) = match find(name)? {
            Found::Experiment(path) => (path.clone(), experiment::read(&path)?),
            Found::Checkpoint(path) => (path.clone(), checkpoint::open(&path)?.0.experiment),
        };
        let described = if is_gan(&value) {
            Gan::from_value(value, changes).map(|gan| Described::Gan(Box::new(Opponents::of(gan))))
        } else {
            let experiment = Experiment::from_value(value, changes);
            experiment.map(|experiment| Described::Classifier(Box::new(Classifier::of(experiment))))
        };
        described.with_context(|| format!("{}: invalid experiment", path.display()))
    }

    fn show(&self, report: Report) -> Result<()> {
        match self {
            Described::Classifier(it) => it.show(report),
            Described::Gan(it) => it.show(report),
        }
    }

    fn json(&self) -> Value {
        match self {
            Described::Classifier(it) => it.json(),
            Described::Gan(it) => it.json(),
        }
    }
}
