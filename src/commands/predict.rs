//! `topfive predict`: the most probable classes of images.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use serde_json::json;

use super::Outcome;
use crate::aside::write_aside;
use crate::cli::{Format, Predict, ViewsArgument};
use crate::data::folder;
use crate::ensemble::Ensemble;
use crate::evaluation::{BadImage, classify};
use crate::imagenet;
use crate::metrics::top;
use crate::model::checkpoint_of;
use crate::report::Report;
use crate::views::Views;

/// One class that an image may show.
#[derive(Serialize)]
struct Guess {
    /// The name of its folder in the training images, a synset id for ImageNet's classes.
    class: String,
    /// What people call it.
    name: String,
    probability: f32,
}

pub fn run(args: Predict) -> Result<Outcome> {
    let (models, images) = split(&args.inputs)?;
    let (ensemble, pace, report) = super::open(models, &args.weights, &args.common)?;
    let paths = found(images)?;

    let mut lines = Lines::new(args.common.output.json.as_deref(), args.format, report)?;
    let mut bad = Vec::new();
    let mut bar = report.bar(paths.len() as u64, "predicting");
    let views = match args.views {
        ViewsArgument::Named(named) => Views::Named(named),
        ViewsArgument::Config => ensemble.views()?.clone(),
        ViewsArgument::All => bail!("--views all: predict takes one protocol; `topfive eval` compares them"),
    };
    let _ = classify(&ensemble.members(), &[views], paths.clone().into(), pace, |index, result| {
        bar.at(index as u64 + 1, "");
        bar.suspend(|| match result {
            Ok(scores) => lines.write(&paths[index], &guesses(&ensemble, &scores[0].mean, args.top as usize)),
            Err(image) => {
                report.warn(format!("{}: {}", image.path.display(), image.reason));
                lines.write_bad(&image)?;
                bad.push(image);
                Ok(())
            }
        })?;
        Ok(ControlFlow::Continue(()))
    })?;
    bar.clear();
    lines.finish()?;
    Ok(Outcome::of(&bad))
}

/// The models, which come first, and the images. Behind the first, a checkpoint, a JSON file and a folder of a run are
/// models.
fn split(inputs: &[PathBuf]) -> Result<(&[PathBuf], &[PathBuf])> {
    let is_model = |path: &PathBuf| match path.extension().and_then(|ending| ending.to_str()) {
        Some("json" | "safetensors") => true,
        _ => path.is_dir() && checkpoint_of(path).is_ok(),
    };
    let models = inputs.iter().skip(1).take_while(|path| is_model(path)).count() + 1;
    let (models, images) = inputs.split_at(models);
    if let Some(path) = images.iter().find(|path| !path.exists() && path.extension().is_none()) {
        bail!("there is no {}; expected an image, a folder of images, or the folder of a run", path.display());
    }
    ensure!(
        !images.is_empty(),
        "expected images behind the model; for example: topfive predict {} photo.jpg",
        models[0].display()
    );
    Ok((models, images))
}

/// Files as they were named, and all images in the folders that were named.
fn found(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for path in named {
        if path.is_dir() {
            let before = paths.len();
            folder::images(path, &mut Vec::new(), &mut |image| paths.push(image))?;
            ensure!(paths.len() > before, "the folder {} holds no images", path.display());
        } else {
            // A file that does not exist is reported like any other that cannot be read; the rest go on.
            paths.push(path.clone());
        }
    }
    Ok(paths)
}

fn guesses(ensemble: &Ensemble, probabilities: &[f32], k: usize) -> Vec<Guess> {
    let guess = |index: usize| {
        let class = ensemble.class(index);
        Guess { name: imagenet::readable(&class).to_string(), class, probability: probabilities[index] }
    };
    top(probabilities, k).into_iter().map(guess).collect()
}

/// The results, one image after another, in the forms that were asked for.
struct Lines {
    report: Report,
    /// `None` where standard output belongs to `--json -`.
    format: Option<Format>,
    json: Option<(PathBuf, Vec<u8>)>,
    json_to_stdout: bool,
}

impl Lines {
    fn new(json: Option<&Path>, format: Format, report: Report) -> Result<Self> {
        let json_to_stdout = json == Some(Path::new("-"));
        let clash = json_to_stdout && format != Format::Text;
        ensure!(!clash, "--json - and --format both claim standard output; leave one of them out");
        let lines = Lines {
            report,
            format: (!json_to_stdout).then_some(format),
            json: json.filter(|_| !json_to_stdout).map(|path| (path.to_path_buf(), Vec::new())),
            json_to_stdout,
        };
        if lines.format == Some(Format::Csv) {
            lines.csv(&["path", "rank", "class", "name", "probability", "error"])?;
        }
        Ok(lines)
    }

    fn write(&mut self, path: &Path, guesses: &[Guess]) -> Result<()> {
        let object = json!({ "path": path.to_string_lossy(), "predictions": guesses });
        self.write_object(&object)?;
        match self.format {
            Some(Format::Text) => {
                let named =
                    guesses.iter().map(|guess| format!("\n  {:6.2} %  {}", 100.0 * guess.probability, guess.name));
                self.report.result(format!("{}{}", path.display(), named.collect::<String>()))?;
            }
            Some(Format::Jsonl) => self.report.result(object.to_string())?,
            Some(Format::Csv) => {
                for (rank, guess) in guesses.iter().enumerate() {
                    let [rank, probability] = [(rank + 1).to_string(), guess.probability.to_string()];
                    self.csv(&[&path.to_string_lossy(), &rank, &guess.class, &guess.name, &probability, ""])?;
                }
            }
            None => {
                let best = guesses
                    .first()
                    .map_or(String::new(), |guess| format!("{} ({:.1} %)", guess.name, 100.0 * guess.probability));
                self.report.note(format!("{}: {best}", path.display()));
            }
        }
        Ok(())
    }

    fn write_bad(&mut self, image: &BadImage) -> Result<()> {
        let object = json!({ "path": image.path.to_string_lossy(), "error": image.reason });
        self.write_object(&object)?;
        match self.format {
            Some(Format::Jsonl) => self.report.result(object.to_string())?,
            Some(Format::Csv) => self.csv(&[&image.path.to_string_lossy(), "", "", "", "", &image.reason])?,
            Some(Format::Text) | None => {}
        }
        Ok(())
    }

    /// One JSON object a line: at once on standard output, gathered for a file.
    fn write_object(&mut self, object: &serde_json::Value) -> Result<()> {
        if self.json_to_stdout {
            writeln!(io::stdout(), "{object}").context("cannot write to standard output")?;
        }
        if let Some((_, gathered)) = &mut self.json {
            writeln!(gathered, "{object}")?;
        }
        Ok(())
    }

    fn csv(&self, fields: &[&str]) -> Result<()> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(fields)?;
        let line = String::from_utf8(writer.into_inner()?)?;
        self.report.result(line.trim_end())
    }

    fn finish(self) -> Result<()> {
        self.json.map_or(Ok(()), |(path, gathered)| write_aside(&path, &gathered))
    }
}
