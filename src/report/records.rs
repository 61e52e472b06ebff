//! Results for programs: JSON, and lines of CSV.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::atomic::write_atomically;

/// Writes a result as JSON to `path`; `-` is standard output.
///
/// # Errors
/// Returns an error if it cannot be written.
pub fn write_json(path: &Path, result: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(result)? + "\n";
    if path == Path::new("-") {
        io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
    } else {
        write_atomically(path, text.as_bytes())
    }
}

/// One line of CSV, without its line break.
///
/// # Errors
/// Returns an error only if memory runs out: the line is made in memory.
pub fn csv_line<const FIELDS: usize>(fields: [&str; FIELDS]) -> Result<String> {
    let mut line = csv::Writer::from_writer(Vec::new());
    line.write_record(fields)?;
    let line = String::from_utf8(line.into_inner()?)?;
    Ok(line.trim_end_matches('\n').to_string())
}
