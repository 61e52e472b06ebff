//! Terminal output: progress, warnings and results.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{DecimalBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::stdout;
use crate::atomic::check_writable;

/// Where a command's text goes. With JSON on standard output, text moves to standard error.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    quiet: bool,
    to_error: bool,
    silent: bool,
}

impl Report {
    /// For a command that writes its JSON to `json`.
    ///
    /// # Errors
    /// Returns an error if the folder of that file does not exist, before hours of work rather than after.
    pub fn new(quiet: bool, json: Option<&Path>) -> Result<Self> {
        let file = json.filter(|path| *path != Path::new("-"));
        file.map_or(Ok(()), check_writable)?;
        Ok(Report { quiet, to_error: json.is_some_and(|path| path == Path::new("-")), silent: false })
    }

    /// A report that shows nothing, for a process of several that leaves that to another.
    pub fn silent() -> Self {
        Report { quiet: true, to_error: true, silent: true }
    }

    /// Prints a line of the result itself, even when quiet.
    ///
    /// # Errors
    /// Returns an error if standard output cannot be written to, or its reader went away ([`stdout::ReaderGone`]).
    pub fn result(&self, line: impl AsRef<str>) -> Result<()> {
        let line = format!("{}\n", line.as_ref());
        if self.to_error {
            if !self.silent {
                to_stderr(&line);
            }
            return Ok(());
        }
        stdout::print(&line)
    }

    /// Prints a status line, unless quiet.
    pub fn note(&self, line: impl AsRef<str>) {
        if !self.quiet {
            to_stderr(&format!("{}\n", line.as_ref()));
        }
    }

    /// Prints a warning.
    pub fn warn(&self, line: impl AsRef<str>) {
        if !self.silent {
            to_stderr(&format!("warning: {}\n", line.as_ref()));
        }
    }

    /// Shows progress: a bar if a person is watching, otherwise a line every few seconds.
    pub fn bar(&self, length: u64, what: &str) -> Bar {
        let template = "{prefix:>12} {wide_bar} {pos}/{len} {msg}";
        self.start(Some(length), what, template, |count| count.to_string())
    }

    /// The same for bytes, whose total may be unknown.
    pub fn bytes_bar(&self, total: Option<u64>, what: &str) -> Bar {
        let template = match total {
            Some(_) => "{prefix:>12} {wide_bar} {decimal_bytes}/{decimal_total_bytes} {msg}",
            None => "{prefix:>12} {decimal_bytes} {msg}",
        };
        self.start(total, what, template, |count| DecimalBytes(count).to_string())
    }

    fn start(&self, length: Option<u64>, what: &str, template: &str, amount: fn(u64) -> String) -> Bar {
        let shown = !self.quiet && io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(length, target);
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what.to_string());
        Bar { bar, report: *self, amount, last_line: Instant::now() }
    }
}

/// Writes to standard error. If that is closed, there is nowhere left to say so, and the work goes on.
pub fn to_stderr(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Time between two lines of progress if nobody is watching.
const LINE_INTERVAL: Duration = Duration::from_secs(15);

/// A progress bar.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    report: Report,
    /// How a position is written in a line.
    amount: fn(u64) -> String,
    last_line: Instant,
}

impl Bar {
    /// Moves the bar to `position` and shows `message`.
    pub fn at(&mut self, position: u64, message: impl Into<String>) {
        let message = message.into();
        if self.bar.is_hidden() && self.last_line.elapsed() >= LINE_INTERVAL {
            let total = self.bar.length().map_or(String::new(), |length| format!("/{}", (self.amount)(length)));
            self.report.note(format!("{}  {}{total}  {message}", self.bar.prefix(), (self.amount)(position)));
            self.last_line = Instant::now();
        }
        self.bar.set_message(message);
        self.bar.set_position(position);
    }

    /// Runs `print`, which writes lines, with the bar hidden.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
