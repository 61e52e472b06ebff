//! `topfive shapes`: a small labelled data set to try things on.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use super::Outcome;
use crate::cli::Shapes;
use crate::report::Report;
use crate::report::records::write_json;
use crate::shapes::{self, FIGURES, Options};

/// Draws.
pub fn run(args: Shapes) -> Result<Outcome> {
    let report = Report::new(args.output.quiet, args.output.json.as_deref())?;
    let options = Options { train_per_class: args.train, val_per_class: args.val, size: args.size, seed: args.seed };
    let length = (FIGURES.len() * (args.train + args.val)) as u64;
    let drawn = Mutex::new((0, report.bar(length, "drawing")));
    let images = shapes::write(&args.dir, &options, || {
        let (count, bar) = &mut *drawn.lock().unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        bar.at(*count, "");
    })?;
    drawn.into_inner().unwrap_or_else(PoisonError::into_inner).1.clear();
    let dir = args.dir.display();
    report.result(format!(
        "drew {images} images of {} classes: {dir}/train ({} per class) and {dir}/val ({} per class)",
        FIGURES.len(),
        args.train,
        args.val
    ))?;
    if let Some(path) = &args.output.json {
        let classes = FIGURES.map(|figure| figure.name);
        write_json(
            path,
            &serde_json::json!({ "dir": args.dir.to_string_lossy(), "images": images, "classes": classes }),
        )?;
    }
    Ok(Outcome::Done)
}
