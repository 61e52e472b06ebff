//! `topfive eval`: the errors of a model on labelled images.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use serde_json::json;

use super::Outcome;
use crate::cli::Eval;
use crate::data::folder::{Folder, validation_dir};
use crate::data::labels::open_with_labels;
use crate::evaluation::evaluate;
use crate::model::Model;
use crate::report::{duration, write_json};

pub fn run(args: Eval) -> Result<Outcome> {
    let (model, pace, report) = super::open(&args.model, &args.common)?;
    let folder = labelled(&model, &args.data, args.labels.as_deref())?;
    let protocol = args.model.views.unwrap_or(model.experiment.evaluation.views);

    let begun = Instant::now();
    let mut bar = report.bar(folder.samples.len() as u64, protocol.name());
    let mut seen = 0;
    let evaluated = evaluate(&model.network, &model.experiment, &folder, protocol, pace, |tally| {
        seen += 1;
        let errors = tally.errors();
        let text = errors.map(|it| format!("top-1 error {:.2} %  top-5 error {:.2} %", it.top1_error, it.top5_error));
        bar.at(seen, text.unwrap_or_default());
        ControlFlow::Continue(())
    })?;
    bar.clear();
    let (tally, bad) = evaluated.unwrap_or_default();
    let seconds = begun.elapsed();

    for image in &bad {
        report.warn(format!("{}: {}; not counted", image.path.display(), image.reason));
    }
    let Some(errors) = tally.errors() else { bail!("{} holds no images", args.data.display()) };
    let images_per_second = tally.images as f64 / seconds.as_secs_f64();
    report.result(format!(
        "{}, {} view{}: top-1 error {:.2} %, top-5 error {:.2} %, loss {:.4}, on {} images ({}, {images_per_second:.0} images/s)",
        model.experiment.name,
        protocol.name(),
        if bad.is_empty() { String::new() } else { format!(", without {} images that could not be read", bad.len()) },
        errors.top1_error,
        errors.top5_error,
        errors.loss,
        tally.images,
        duration(seconds),
    ))?;
    if let Some(path) = &args.common.output.json {
        let unread: Vec<_> =
            bad.iter().map(|image| json!({ "path": image.path.to_string_lossy(), "error": image.reason })).collect();
        write_json(
            path,
            &json!({
                "network": model.experiment.name, "weights": model.weights.to_string_lossy(), "views": protocol.name(), "images": tally.images,
                "top1_error": errors.top1_error, "top5_error": errors.top5_error, "loss": errors.loss, "bad_images": unread,
                "seconds": seconds.as_secs_f64(), "images_per_second": images_per_second,
            }),
        )?;
    }
    Ok(Outcome::of(&bad))
}

/// The images of `dir`, labelled by the model's classes; by position only where the model does not know their names.
fn labelled(model: &Model, dir: &Path, list: Option<&Path>) -> Result<Folder> {
    let dir = validation_dir(dir);
    match (&model.classes, list) {
        (Some(classes), Some(list)) => open_with_labels(&dir, list, classes),
        (Some(classes), None) => Folder::open_with_classes(&dir, classes),
        (None, Some(_)) => bail!("--labels: {} does not hold the names of its classes", model.weights.display()),
        (None, None) => by_position(model, &dir),
    }
}

fn by_position(model: &Model, dir: &Path) -> Result<Folder> {
    let folder = Folder::open(dir)?;
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
