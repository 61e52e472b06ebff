//! `topfive predict`: the most probable classes of images.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::json;

use super::explain::evidence::{Drawn, Explainer};
use super::explain::make_folder;
use super::{Outcome, assist, images, models, one_protocol, watch_signals};
use crate::cli::{Format, Predict};
use crate::data::dataset::Source;
use crate::evaluation::{BadImage, Classification};
use crate::imagenet;
use crate::metrics::top;
use crate::model::Ensemble;
use crate::processes::Processes;
use crate::report::Report;
use crate::report::records::{self, Records};
use crate::views::Views;

/// A predicted class.
#[derive(Serialize)]
struct Guess {
    /// The name of its folder in the training images, a synset id for ImageNet's classes.
    class: String,
    /// Its readable name.
    name: String,
    probability: f32,
}

/// Predicts.
pub fn run(args: Predict) -> Result<Outcome> {
    let (names, images) = images::split("predict", &args.inputs, args.files_from.is_some())?;
    let views = one_protocol(args.views, "predict")?;
    let processes = Processes::of_environment()?;
    let (ensemble, pace, report) = models::open(names, &args.weights, args.running, &args.common, processes)?;
    let processes = pace.processes.clone();
    let views = views.map_or_else(|| ensemble.paper_views().cloned(), Ok)?;
    let images: Arc<[Source]> = images::found(images, args.files_from.as_deref(), &processes, report)?.into();

    let interrupted = watch_signals()?;
    if !processes.is_first() {
        let views = std::slice::from_ref(&views);
        let outcomes = Classification::start(&ensemble.members(), views, images, pace, report)?;
        return assist(outcomes, &processes, &interrupted);
    }
    let mut explainer = args.explain.as_deref().map(|dir| explainer(&ensemble, &views, dir)).transpose()?;
    let mut lines = Lines::new(args.common.output.json.as_deref(), args.format, &views, report)?;
    let mut bad = Vec::new();
    let mut bar = report.bar(images.len() as u64, "predicting");
    let outcomes =
        Classification::start(&ensemble.members(), std::slice::from_ref(&views), images.clone(), pace, report)?;
    for (index, (outcome, image)) in outcomes.zip(images.iter()).enumerate() {
        let outcome = outcome?;
        bar.at(index as u64 + 1, "");
        bar.suspend(|| match outcome {
            Ok(averaged) => {
                let probabilities = averaged.first().map_or(&[][..], |averaged| &averaged.mean);
                let drawn = match (&mut explainer, top(probabilities, 1).first()) {
                    (Some(explainer), Some(&class)) => {
                        let name = explainer.name(image);
                        Some(explainer.draw(image, &name, class)?)
                    }
                    _ => None,
                };
                lines.write(&image.name(), &guesses(&ensemble, probabilities, args.top as usize), drawn)
            }
            Err(image) => {
                report.warn(format!("{}: {}", image.name, image.reason));
                lines.write_bad(&image)?;
                bad.push(image);
                Ok(())
            }
        })?;
        if processes.is_interrupted(index, &interrupted)? {
            bar.clear();
            lines.finish()?;
            report.note(format!("interrupted after {} of {} images", index + 1, images.len()));
            return Ok(Outcome::Interrupted);
        }
    }
    bar.clear();
    lines.finish()?;
    Ok(Outcome::of(&bad))
}

/// Draws the evidence into a new folder.
fn explainer<'a>(ensemble: &'a Ensemble, views: &Views, dir: &Path) -> Result<Explainer<'a>> {
    let models = ensemble.models().len();
    ensure!(models == 1, "--explain: evidence is that of one model, found {models}; explain each by itself");
    let explainer = Explainer::new(ensemble.first(), views.clone(), None, None, dir).context("--explain")?;
    make_folder(dir).context("--explain")?;
    Ok(explainer)
}

fn guesses(ensemble: &Ensemble, probabilities: &[f32], k: usize) -> Vec<Guess> {
    let guess = |index: usize| {
        let class = ensemble.class(index);
        Guess { name: imagenet::readable(&class).to_string(), class, probability: probabilities[index] }
    };
    top(probabilities, k).into_iter().map(guess).collect()
}

/// Writes the results image by image, in the requested formats.
struct Lines {
    report: Report,
    views: String,
    text: Text,
    records: Vec<Records<7>>,
}

/// What people read of an image.
enum Text {
    /// All guesses, on standard output.
    Guesses,
    /// The best guess, as a note: standard output belongs to `--json -`.
    Best,
    /// Nothing: standard output belongs to `--format`.
    Nothing,
}

const COLUMNS: [&str; 7] = ["path", "rank", "class", "name", "probability", "error", "views"];

impl Lines {
    fn new(json: Option<&Path>, format: Format, views: &Views, report: Report) -> Result<Self> {
        let json_to_stdout = json == Some(Path::new("-"));
        let clash = json_to_stdout && format != Format::Text;
        ensure!(!clash, "--json - and --format both write to standard output; use only one of them");
        let json_lines = records::Format::JsonLines;
        let mut records = Vec::new();
        records.extend(json.map(|path| Records::to(path, json_lines)).transpose()?);
        let (text, format) = match format {
            Format::Text if json_to_stdout => (Text::Best, None),
            Format::Text => (Text::Guesses, None),
            Format::Jsonl => (Text::Nothing, Some(json_lines)),
            Format::Csv => (Text::Nothing, Some(records::Format::Csv(COLUMNS))),
        };
        records.extend(format.map(Records::to_stdout).transpose()?);
        Ok(Lines { report, views: views.to_string(), text, records })
    }

    fn write(&mut self, name: &str, guesses: &[Guess], drawn: Option<Drawn>) -> Result<()> {
        let mut object = json!({ "path": name, "views": self.views, "predictions": guesses });
        if let Some(drawn) = &drawn {
            object["evidence"] = json!(drawn);
        }
        let picture = drawn.map_or(String::new(), |drawn| format!(", evidence in {}", drawn.picture));
        let row = |(index, guess): (usize, &Guess)| {
            let [rank, probability] = [(index + 1).to_string(), guess.probability.to_string()];
            [name.into(), rank, guess.class.clone(), guess.name.clone(), probability, String::new(), self.views.clone()]
        };
        self.records.iter_mut().try_for_each(|records| records.write(&object, guesses.iter().enumerate().map(row)))?;
        match self.text {
            Text::Guesses => {
                let named =
                    guesses.iter().map(|guess| format!("\n  {:6.2} %  {}", 100.0 * guess.probability, guess.name));
                self.report.result(format!("{name} ({} view{picture}){}", self.views, named.collect::<String>()))
            }
            Text::Best => {
                let best = guesses.first().map(|guess| format!("{} ({:.1} %)", guess.name, 100.0 * guess.probability));
                self.report.note(format!("{name}: {}{picture}", best.unwrap_or_default()));
                Ok(())
            }
            Text::Nothing => Ok(()),
        }
    }

    fn write_bad(&mut self, image: &BadImage) -> Result<()> {
        self.records.iter_mut().try_for_each(|records| records.write_bad(&image.name, &image.reason))
    }

    fn finish(self) -> Result<()> {
        self.records.into_iter().try_for_each(Records::finish)
    }
}
