//! The optional output files of `eval`: each image's result, the confusion matrix, and the errors of each class.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::atomic::{check_writable, write_atomically};
use crate::cli::Eval;
use crate::data::dataset::Sample;
use crate::evaluation::Outcome;
use crate::metrics::{Answer, Confusion};
use crate::model::Ensemble;
use crate::report::records::{Format, Records};
use crate::report::{confusion_picture, confusion_table};
use crate::views::Views;

/// The requested files.
pub struct Details<'a> {
    ensemble: &'a Ensemble,
    protocols: &'a [Views],
    per_image: Option<PerImage>,
    confusion: Confusion,
    matrix: &'a [PathBuf],
    per_class: &'a [PathBuf],
}

impl<'a> Details<'a> {
    /// # Errors
    /// Returns an error if a file's ending is not one of a format that can be written, its folder does not exist, two
    /// options name the same file, or classes are to be counted under several protocols at once.
    pub fn new(args: &'a Eval, protocols: &'a [Views], ensemble: &'a Ensemble) -> Result<Self> {
        refuse_shared_files(args)?;
        for (option, paths) in [("--confusion", &args.confusion), ("--per-class", &args.per_class)] {
            for path in paths {
                let name = path.display();
                ensure!(
                    matches!(ending(path), Some("csv" | "svg")),
                    "{option} {name}: expected a name that ends in .csv (a table) or .svg (a picture)"
                );
                ensure!(
                    protocols.len() == 1,
                    "{option} needs one protocol, but {} were requested; name one with --views",
                    protocols.len()
                );
                check_writable(path).context(option)?;
            }
        }
        Ok(Details {
            ensemble,
            protocols,
            per_image: args.per_image.as_deref().map(PerImage::create).transpose()?,
            confusion: Confusion::default(),
            matrix: &args.confusion,
            per_class: &args.per_class,
        })
    }

    /// Counts one image.
    ///
    /// # Errors
    /// Returns an error if a line cannot be written.
    pub fn count(&mut self, sample: &Sample, outcome: &Outcome) -> Result<()> {
        let averaged = match outcome {
            Ok(averaged) => averaged,
            Err(bad) => {
                let per_image = self.per_image.as_mut();
                return per_image.map_or(Ok(()), |PerImage(records)| records.write_bad(&bad.name, &bad.reason));
            }
        };
        let counts_classes = !self.matrix.is_empty() || !self.per_class.is_empty();
        if let (true, Some(first)) = (counts_classes, averaged.first()) {
            self.confusion.add(&Answer::of(&first.mean, sample.label));
        }
        if let Some(per_image) = &mut self.per_image {
            for (views, averaged) in self.protocols.iter().zip(averaged) {
                per_image.write(&sample.source.name(), views, self.ensemble, &averaged.mean, sample.label)?;
            }
        }
        Ok(())
    }

    /// Writes all files.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written.
    pub fn finish(self) -> Result<()> {
        self.per_image.map_or(Ok(()), |PerImage(records)| records.finish())?;
        let (confusion, name) = (&self.confusion, |class: usize| self.ensemble.class(class));
        let title = |what: &str| {
            let views = self.protocols.first().map_or_else(String::new, Views::to_string);
            format!("{}, {views} view: {what}", self.ensemble.name())
        };
        for path in self.matrix {
            let bytes = match ending(path) {
                Some("svg") => {
                    confusion_picture::confusion(confusion, &title("predictions for each true class (rows)"), &name)
                }
                _ => confusion_table::confusion(confusion, &name).map(String::into_bytes),
            };
            write_atomically(path, &bytes?)?;
        }
        for path in self.per_class {
            let bytes = match ending(path) {
                Some("svg") => confusion_picture::per_class(confusion, &title("errors by class"), &name),
                _ => confusion_table::per_class(confusion, &name).map(String::into_bytes),
            };
            write_atomically(path, &bytes?)?;
        }
        Ok(())
    }
}

/// Checks that no two options write the same file: the later one would replace the results of the earlier one.
fn refuse_shared_files(args: &Eval) -> Result<()> {
    let json = args.common.output.json.iter().filter(|path| *path != Path::new("-"));
    let files = json.map(|path| ("--json", path)).chain(args.per_image.iter().map(|path| ("--per-image", path)));
    let files = files.chain(args.report.iter().map(|path| ("--report", path)));
    let files = files.chain(args.confusion.iter().map(|path| ("--confusion", path)));
    let files = files.chain(args.per_class.iter().map(|path| ("--per-class", path)));
    let mut seen: Vec<(&str, PathBuf)> = Vec::new();
    for (option, path) in files {
        let (name, place) = (path.display(), std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        if let Some((other, _)) = seen.iter().find(|(_, other)| *other == place) {
            bail!("{option} {name}: {other} writes this file, too; choose another name for one of them");
        }
        seen.push((option, place));
    }
    Ok(())
}

/// One line per image and protocol.
struct PerImage(Records<7>);

const COLUMNS: [&str; 7] = ["path", "views", "label", "prediction", "probability", "rank", "error"];

impl PerImage {
    fn create(path: &Path) -> Result<Self> {
        let format = match ending(path) {
            Some("csv") => Format::Csv(COLUMNS),
            Some("jsonl") => Format::JsonLines,
            _ => bail!("--per-image {}: expected a name that ends in .csv or .jsonl", path.display()),
        };
        check_writable(path).context("--per-image")?;
        Records::to_file(path, format).map(PerImage)
    }

    fn write(
        &mut self,
        name: &str,
        views: &Views,
        ensemble: &Ensemble,
        probabilities: &[f32],
        label: usize,
    ) -> Result<()> {
        let Answer { prediction, probability, rank, .. } = Answer::of(probabilities, label);
        let (truth, guess, rank) = (ensemble.class(label), ensemble.class(prediction), rank + 1);
        let views = views.to_string();
        let object = json!({
            "path": name, "views": views, "label": truth, "prediction": guess, "probability": probability, "rank": rank,
        });
        let row = [name.into(), views, truth, guess, probability.to_string(), rank.to_string(), String::new()];
        self.0.write(&object, [row])
    }
}

fn ending(path: &Path) -> Option<&str> {
    path.extension().and_then(|ending| ending.to_str())
}
