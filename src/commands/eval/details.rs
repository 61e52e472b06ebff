//! The optional output files of `eval`: each image's result, the confusion matrix, and the errors of each class.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::atomic::{AtomicFile, check_writable, write_atomically};
use crate::cli::Eval;
use crate::data::dataset::Sample;
use crate::evaluation::{BadImage, Outcome};
use crate::metrics::{Confusion, rank, top};
use crate::model::Ensemble;
use crate::report::confusion_picture;
use crate::report::records::csv_line;
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
    /// Returns an error if a file's ending is not one of a format that can be written, its folder does not exist, or
    /// classes are to be counted under several protocols at once.
    pub fn new(args: &'a Eval, protocols: &'a [Views], ensemble: &'a Ensemble) -> Result<Self> {
        let mut seen: Vec<&Path> = args.per_image.as_deref().into_iter().collect();
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
                ensure!(!seen.contains(&path.as_path()), "{option} {name}: another option already writes this file");
                check_writable(path).context(option)?;
                seen.push(path);
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
            Err(bad) => return self.per_image.as_mut().map_or(Ok(()), |per_image| per_image.write_bad(bad)),
        };
        let counts_classes = !self.matrix.is_empty() || !self.per_class.is_empty();
        if let (true, Some(first)) = (counts_classes, averaged.first()) {
            self.confusion.count(&first.mean, sample.label);
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
        self.per_image.map_or(Ok(()), |per_image| per_image.file.finish())?;
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
                _ => confusion.matrix_csv(&name),
            };
            write_atomically(path, &bytes?)?;
        }
        for path in self.per_class {
            let bytes = match ending(path) {
                Some("svg") => confusion_picture::per_class(confusion, &title("errors by class"), &name),
                _ => confusion.classes_csv(&name),
            };
            write_atomically(path, &bytes?)?;
        }
        Ok(())
    }
}

/// One line per image and protocol.
struct PerImage {
    file: AtomicFile,
    is_csv: bool,
}

impl PerImage {
    fn create(path: &Path) -> Result<Self> {
        let is_csv = match ending(path) {
            Some("csv") => true,
            Some("jsonl") => false,
            _ => bail!("--per-image {}: expected a name that ends in .csv or .jsonl", path.display()),
        };
        check_writable(path).context("--per-image")?;
        let file = AtomicFile::create(path)?;
        let mut per_image = PerImage { file, is_csv };
        if is_csv {
            per_image.csv(["path", "views", "label", "prediction", "probability", "rank", "error"])?;
        }
        Ok(per_image)
    }

    fn write(
        &mut self,
        name: &str,
        views: &Views,
        ensemble: &Ensemble,
        probabilities: &[f32],
        label: usize,
    ) -> Result<()> {
        let prediction = top(probabilities, 1)[0];
        let (truth, guess) = (ensemble.class(label), ensemble.class(prediction));
        let (probability, rank) = (probabilities[prediction], rank(probabilities, label) + 1);
        let views = views.to_string();
        if self.is_csv {
            self.csv([name, &views, &truth, &guess, &probability.to_string(), &rank.to_string(), ""])
        } else {
            self.object(&json!({
                "path": name, "views": views, "label": truth, "prediction": guess, "probability": probability, "rank": rank,
            }))
        }
    }

    fn write_bad(&mut self, bad: &BadImage) -> Result<()> {
        if self.is_csv {
            self.csv([&bad.name, "", "", "", "", "", &bad.reason])
        } else {
            self.object(&json!({ "path": bad.name, "error": bad.reason }))
        }
    }

    fn csv(&mut self, fields: [&str; 7]) -> Result<()> {
        self.file.write(format!("{}\n", csv_line(fields)?).as_bytes())
    }

    fn object(&mut self, object: &serde_json::Value) -> Result<()> {
        self.file.write(format!("{object}\n").as_bytes())
    }
}

fn ending(path: &Path) -> Option<&str> {
    path.extension().and_then(|ending| ending.to_str())
}
