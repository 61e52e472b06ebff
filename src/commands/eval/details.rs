//! What `eval` writes besides the errors: every image's outcome, and where the model errs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::aside::{Aside, check_place, write_aside};
use crate::cli::Eval;
use crate::ensemble::Ensemble;
use crate::evaluation::{Averaged, BadImage};
use crate::metrics::{Confusion, picture, rank, top};
use crate::views::Views;

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
    /// Where a file's ending says no form that can be written, its folder does not exist, or the classes are to be counted
    /// under several protocols at once.
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
                    "{option} needs one protocol, and {} are to be evaluated; name one with --views",
                    protocols.len()
                );
                ensure!(!seen.contains(&path.as_path()), "{option} {name}: another option writes that file");
                check_place(path).context(option)?;
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

    /// # Errors
    /// Where a line cannot be written.
    pub fn count(&mut self, path: &Path, label: usize, result: Result<&[Averaged], &BadImage>) -> Result<()> {
        match result {
            Ok(scores) => {
                let counts_classes = !self.matrix.is_empty() || !self.per_class.is_empty();
                if let (true, Some(averaged)) = (counts_classes, scores.first()) {
                    self.confusion.count(&averaged.mean, label);
                }
                for (views, averaged) in self.protocols.iter().zip(scores) {
                    if let Some(per_image) = &mut self.per_image {
                        per_image.write(path, views, self.ensemble, &averaged.mean, label)?;
                    }
                }
                Ok(())
            }
            Err(bad) => self.per_image.as_mut().map_or(Ok(()), |per_image| per_image.write_bad(bad)),
        }
    }

    /// # Errors
    /// Where a file cannot be written.
    pub fn finish(self) -> Result<()> {
        self.per_image.map_or(Ok(()), |per_image| per_image.file.finish())?;
        let (confusion, name) = (&self.confusion, |class: usize| self.ensemble.class(class));
        let title = |what: &str| {
            let views = self.protocols.first().map_or_else(String::new, Views::to_string);
            format!("{}, {views} view: {what}", self.ensemble.name())
        };
        for path in self.matrix {
            let bytes = match ending(path) {
                Some("svg") => picture::confusion(confusion, &title("what each row's class was taken for"), &name),
                _ => confusion.matrix_csv(&name),
            };
            write_aside(path, &bytes?)?;
        }
        for path in self.per_class {
            let bytes = match ending(path) {
                Some("svg") => picture::per_class(confusion, &title("errors by class"), &name),
                _ => confusion.classes_csv(&name),
            };
            write_aside(path, &bytes?)?;
        }
        Ok(())
    }
}

/// A line for each image and protocol.
struct PerImage {
    file: Aside,
    is_csv: bool,
}

impl PerImage {
    fn create(path: &Path) -> Result<Self> {
        let is_csv = match ending(path) {
            Some("csv") => true,
            Some("jsonl") => false,
            _ => bail!("--per-image {}: expected a name that ends in .csv or .jsonl", path.display()),
        };
        check_place(path).context("--per-image")?;
        let file = Aside::create(path)?;
        let mut per_image = PerImage { file, is_csv };
        if is_csv {
            per_image.csv(["path", "views", "label", "prediction", "probability", "rank", "error"])?;
        }
        Ok(per_image)
    }

    fn write(
        &mut self,
        path: &Path,
        views: &Views,
        ensemble: &Ensemble,
        probabilities: &[f32],
        label: usize,
    ) -> Result<()> {
        let prediction = top(probabilities, 1)[0];
        let (path, views) = (path.to_string_lossy(), views.to_string());
        let (truth, guess) = (ensemble.class(label), ensemble.class(prediction));
        let (probability, rank) = (probabilities[prediction], rank(probabilities, label) + 1);
        if self.is_csv {
            self.csv([&path, &views, &truth, &guess, &probability.to_string(), &rank.to_string(), ""])
        } else {
            self.object(&json!({
                "path": path, "views": views, "label": truth, "prediction": guess, "probability": probability, "rank": rank,
            }))
        }
    }

    fn write_bad(&mut self, bad: &BadImage) -> Result<()> {
        let path = bad.path.to_string_lossy();
        if self.is_csv {
            self.csv([&path, "", "", "", "", "", &bad.reason])
        } else {
            self.object(&json!({ "path": path, "error": bad.reason }))
        }
    }

    fn csv(&mut self, fields: [&str; 7]) -> Result<()> {
        let mut line = csv::Writer::from_writer(Vec::new());
        line.write_record(fields)?;
        self.file.write(&line.into_inner()?)
    }

    fn object(&mut self, object: &serde_json::Value) -> Result<()> {
        self.file.write(format!("{object}\n").as_bytes())
    }
}

fn ending(path: &Path) -> Option<&str> {
    path.extension().and_then(|ending| ending.to_str())
}
