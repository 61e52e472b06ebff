//! `topfive check`: everything that is wrong or odd about the images of a data set.

mod json;
mod text;

use std::sync::atomic::Ordering;

use anyhow::Result;

use super::{Outcome, watch_signals, workers};
use crate::check::Reading;
use crate::check::layout::Layout;
use crate::cli::Check;
use crate::processes::Processes;
use crate::report::Report;
use crate::report::records::write_json;

/// Checks.
pub fn run(args: Check) -> Result<Outcome> {
    let report = Report::new(args.output.quiet, args.output.json.as_deref())?;
    let layout = Layout::of(&args.dir)?;
    let interrupted = watch_signals()?;
    let images = layout.items.len();
    let mut bar = report.bar(images as u64, "checking");
    let mut reading = Reading::start(layout, workers(args.workers, &Processes::alone()))?;
    while let Some(read) = reading.step()? {
        bar.at(read as u64, "");
        if interrupted.load(Ordering::Relaxed) {
            bar.clear();
            report.note(format!("interrupted after {read} of {images} images"));
            return Ok(Outcome::Interrupted);
        }
    }
    bar.clear();
    let findings = reading.finish();
    // The file is written even if the reader of standard output went away.
    let shown = text::show(&findings, &args, report);
    let written = args.output.json.as_ref().map_or(Ok(()), |path| write_json(path, &json::json(&findings, &args)));
    written.and(shown)?;
    Ok(if findings.is_wrong() { Outcome::SomeBad } else { Outcome::Done })
}
