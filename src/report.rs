//! What a person or a program is shown: progress, warnings, results.

use std::io::{self, IsTerminal, Write};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::aside::{check_place, write_aside};

/// Where a command's words go. With JSON on standard output, people's text moves to standard error.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    quiet: bool,
    to_error: bool,
}

impl Report {
    /// # Errors
    /// Where the folder that `json` is to be written into does not exist: told before hours of work, not after.
    pub fn new(quiet: bool, json: Option<&Path>) -> Result<Self> {
        let file = json.filter(|path| *path != Path::new("-"));
        file.map_or(Ok(()), check_place)?;
        Ok(Report { quiet, to_error: json.is_some_and(|path| path == Path::new("-")) })
    }

    /// A line of people's text: the result itself, which even `--quiet` leaves.
    ///
    /// # Errors
    /// Where it cannot be written; that its reader went away (`| head`) is no failure.
    pub fn result(&self, line: impl AsRef<str>) -> Result<()> {
        let line = line.as_ref();
        let written = if self.to_error { writeln!(io::stderr(), "{line}") } else { writeln!(io::stdout(), "{line}") };
        match written {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot write the result"),
            _ => Ok(()),
        }
    }

    /// A line on how the work goes.
    pub fn note(&self, line: impl AsRef<str>) {
        if !self.quiet {
            let _ = writeln!(io::stderr(), "{}", line.as_ref());
        }
    }

    /// A line on what went wrong without ending the work.
    pub fn warn(&self, line: impl AsRef<str>) {
        let _ = writeln!(io::stderr(), "warning: {}", line.as_ref());
    }

    /// Progress: a bar where a person looks on, a line now and then elsewhere.
    pub fn bar(&self, length: u64, what: &str) -> Bar {
        let shown = !self.quiet && io::stderr().is_terminal();
        let bar = if shown {
            ProgressBar::new(length)
        } else {
            ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden())
        };
        let style = ProgressStyle::with_template("{prefix:>12} {wide_bar} {pos}/{len} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what.to_string());
        Bar { bar, report: *self, last_line: Instant::now() }
    }
}

/// Time between two lines of progress where no person looks on.
const LINE_INTERVAL: Duration = Duration::from_secs(15);

pub struct Bar {
    bar: ProgressBar,
    report: Report,
    last_line: Instant,
}

impl Bar {
    pub fn at(&mut self, position: u64, message: impl Into<String>) {
        let message = message.into();
        if self.bar.is_hidden() && self.last_line.elapsed() >= LINE_INTERVAL {
            let length = self.bar.length().unwrap_or(position);
            self.report.note(format!("{}  {position}/{length}  {message}", self.bar.prefix()));
            self.last_line = Instant::now();
        }
        self.bar.set_message(message);
        self.bar.set_position(position);
    }

    /// Runs `print`, which writes lines, with the bar out of the way.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// Writes a result for programs to `path`, `-` being standard output.
///
/// # Errors
/// Where it cannot be written.
pub fn write_json(path: &Path, result: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(result)? + "\n";
    if path == Path::new("-") {
        io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
    } else {
        write_aside(path, text.as_bytes())
    }
}

/// A table whose columns of numbers are aligned to the right.
pub fn table<const COLUMNS: usize>(
    header: [&str; COLUMNS],
    rows: impl Iterator<Item = [String; COLUMNS]>,
    numbers: Range<usize>,
) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    rows.for_each(|row| {
        table.add_row(row);
    });
    for (index, column) in table.column_iter_mut().enumerate() {
        if numbers.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// 1234567 as 1,234,567.
pub fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// 3725 seconds as 1 h 02 min, 65 as 1 min 05 s, 5 as 5 s.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}
