//! Results for programs: JSON, and tables and lines of CSV and JSON.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};

use super::stdout;
use crate::atomic::{AtomicFile, write_atomically};

/// Writes a result as JSON to `path`; `-` is standard output.
///
/// # Errors
/// Returns an error if it cannot be written.
pub fn write_json(path: &Path, result: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(result)? + "\n";
    if path == Path::new("-") { stdout::print(&text) } else { write_atomically(path, text.as_bytes()) }
}

/// Rows as CSV.
///
/// # Errors
/// Returns an error only if memory runs out: the rows are written to memory.
pub fn csv<Row: IntoIterator<Item: AsRef<[u8]>>>(rows: impl IntoIterator<Item = Row>) -> Result<String> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    rows.into_iter().try_for_each(|row| csv.write_record(row))?;
    Ok(String::from_utf8(csv.into_inner()?)?)
}

/// Results image by image, with a line of their own for images that could not be read.
#[derive(Debug)]
pub struct Records<const COLUMNS: usize> {
    to: Destination,
    format: Format<COLUMNS>,
}

/// What a line of records is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format<const COLUMNS: usize> {
    /// The fields of these columns, after a first line with their names. "path" and "error" are among them.
    Csv([&'static str; COLUMNS]),
    /// A JSON object.
    JsonLines,
}

#[derive(Debug)]
enum Destination {
    Stdout,
    File(AtomicFile),
}

impl<const COLUMNS: usize> Records<COLUMNS> {
    /// Records in a file, or on standard output if `path` is `-`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be made, or standard output cannot be written to.
    pub fn to(path: &Path, format: Format<COLUMNS>) -> Result<Self> {
        if path == Path::new("-") { Records::to_stdout(format) } else { Records::to_file(path, format) }
    }

    /// Records on standard output.
    ///
    /// # Errors
    /// Returns an error if it cannot be written to.
    pub fn to_stdout(format: Format<COLUMNS>) -> Result<Self> {
        Records { to: Destination::Stdout, format }.begin()
    }

    /// Records in a file, which appears when they are finished.
    ///
    /// # Errors
    /// Returns an error if the file cannot be made.
    pub fn to_file(path: &Path, format: Format<COLUMNS>) -> Result<Self> {
        Records { to: Destination::File(AtomicFile::create(path)?), format }.begin()
    }

    fn begin(mut self) -> Result<Self> {
        if let Format::Csv(columns) = self.format {
            self.put(&csv([columns])?)?;
        }
        Ok(self)
    }

    /// Writes an image's result: `rows` as CSV, or `object` as JSON.
    ///
    /// # Errors
    /// Returns an error if it cannot be written.
    pub fn write(&mut self, object: &Value, rows: impl IntoIterator<Item = [String; COLUMNS]>) -> Result<()> {
        let lines = match self.format {
            Format::Csv(_) => csv(rows)?,
            Format::JsonLines => format!("{object}\n"),
        };
        self.put(&lines)
    }

    /// Writes that the image `path` could not be read, and why; as CSV all other fields stay empty.
    ///
    /// # Errors
    /// Returns an error if it cannot be written.
    pub fn write_bad(&mut self, path: &str, reason: &str) -> Result<()> {
        let lines = match self.format {
            Format::Csv(columns) => csv([columns.map(|column| match column {
                "path" => path,
                "error" => reason,
                _ => "",
            })])?,
            Format::JsonLines => format!("{}\n", json!({ "path": path, "error": reason })),
        };
        self.put(&lines)
    }

    fn put(&mut self, lines: &str) -> Result<()> {
        match &mut self.to {
            Destination::Stdout => stdout::print(lines),
            Destination::File(file) => file.write(lines.as_bytes()),
        }
    }

    /// Moves a file to its path.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn finish(self) -> Result<()> {
        match self.to {
            Destination::Stdout => Ok(()),
            Destination::File(file) => file.finish(),
        }
    }
}
