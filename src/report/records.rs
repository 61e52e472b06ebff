//! Results for programs: JSON, and lines of CSV.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::stdout;
use crate::atomic::write_atomically;

/// Writes a result as JSON to `path`; `-` is standard output.
///
/// # Errors
/// Returns an error if it cannot be written.
pub fn write_json(path: &Path, result: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(result)? + "\n";
    if path == Path::new("-") { stdout::print(&text) } else { write_atomically(path, text.as_bytes()) }
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
