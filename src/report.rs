//! What a person or a program is shown: progress, warnings, results.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// Where a command's words go. With JSON on standard output, people's text moves to standard error.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    quiet: bool,
    to_error: bool,
}

impl Report {
    pub fn new(quiet: bool, json: Option<&Path>) -> Self {
        Report { quiet, to_error: json.is_some_and(|path| path == Path::new("-")) }
    }

    /// A line of people's text: the result itself, which even `--quiet` leaves.
    pub fn result(&self, line: impl AsRef<str>) {
        let line = line.as_ref();
        // A reader that went away (`| head`) is no failure of ours.
        let _ = if self.to_error { writeln!(io::stderr(), "{line}") } else { writeln!(io::stdout(), "{line}") };
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

    /// A bar where a person looks on; elsewhere nothing, and the command writes lines now and then.
    pub fn bar(&self, length: u64, what: &str) -> ProgressBar {
        if self.quiet || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix:>12} {wide_bar} {pos}/{len} {eta_precise} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what.to_string());
        bar
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

/// Writes a file so that it is, at any moment, either the old or the new one, whole: aside, synced, renamed.
///
/// # Errors
/// Where it cannot be written, with the path; the old file is then unharmed.
pub fn write_aside(path: &Path, bytes: &[u8]) -> Result<()> {
    // A link's target is replaced, not the link; a device or a pipe is written to.
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    if path.exists() && !path.is_file() {
        return std::fs::write(path, bytes).with_context(|| format!("cannot write to {}", path.display()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = || {
        format!(
            "cannot write {} ({} bytes); what was there before is unharmed. Is there room on the disk?",
            path.display(),
            bytes.len()
        )
    };
    let mut aside = tempfile::Builder::new().prefix(".aside-").tempfile_in(folder).with_context(failed)?;
    aside.write_all(bytes).with_context(failed)?;
    aside.as_file().sync_all().with_context(failed)?;
    let file = aside.persist(path).map_err(|error| error.error).with_context(failed)?;
    permit_reading(&file).with_context(failed)?;
    // The rename itself lasts only once the folder is on the disk.
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(failed)
}

/// Temporary files are made for their owner's eyes alone; results are not.
#[cfg(unix)]
fn permit_reading(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn permit_reading(_: &File) -> io::Result<()> {
    Ok(())
}

/// The word of `known` that is nearest to `wrong`, if one is near.
pub fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|word| (strsim::damerau_levenshtein(wrong, word), word))
        .filter(|&(distance, word)| distance <= word.chars().count().max(3) / 3)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, word)| word)
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
