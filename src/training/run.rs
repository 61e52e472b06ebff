//! A run folder: the complete experiment, a log with one line per epoch and one every few steps, the checkpoints and
//! the curves. All its file names are defined here, except those of checkpoints (`model::checkpoint`).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::atomic::{TEMPORARY, temporary_prefix, write_atomically};
use crate::experiment::Experiment;
use crate::model::checkpoint::{BEST, LAST};
use crate::report::curves;

const EXPERIMENT: &str = "experiment.json";
const LOG: &str = "log.jsonl";
const CURVES: &str = "curves.svg";
const LOCK: &str = ".lock";

/// A run's folder, which no other process trains into.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Released when the process ends, however it ends.
    _lock: File,
}

impl RunFolder {
    /// Makes the folder of a new run and writes the experiment into it.
    ///
    /// # Errors
    /// Returns an error if there is something in the folder already, or another process trains into it. Nothing is ever
    /// overwritten, except the remains of a run that ended before its first checkpoint.
    pub fn create(path: &Path, experiment: &Experiment) -> Result<Self> {
        RunFolder::check_free(path)?;
        fs::create_dir_all(path).with_context(|| format!("cannot make the run folder {}", path.display()))?;
        let run = RunFolder::lock(path)?;
        if run.file(LOG).exists() {
            fs::remove_file(run.file(LOG)).with_context(|| format!("cannot remove {}", run.file(LOG).display()))?;
        }
        run.write_experiment(experiment)?;
        Ok(run)
    }

    /// # Errors
    /// Returns an error if a new run cannot have this folder: asked before work begins that takes time.
    pub fn check_free(path: &Path) -> Result<()> {
        let contents = if is_run(path) { "a run" } else { "other files" };
        ensure!(!path.exists() || is_free(path), "{}: already contains {contents}", path.display());
        Ok(())
    }

    /// Opens the folder of a run that has saved a checkpoint.
    ///
    /// # Errors
    /// Returns an error if there is none, or another process trains into the folder.
    pub fn open(path: &Path) -> Result<Self> {
        ensure!(
            path.join(LAST).is_file(),
            "{}: no {LAST} in this folder, so there is nothing to resume",
            path.display()
        );
        RunFolder::lock(path)
    }

    fn lock(path: &Path) -> Result<Self> {
        let at = path.join(LOCK);
        let lock = File::options().create(true).truncate(false).write(true).open(&at);
        let lock = lock.with_context(|| format!("cannot open {}", at.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("{}: another process is training into this folder; wait for it", path.display())
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", at.display()));
            }
        }
        let run = RunFolder { path: path.to_path_buf(), _lock: lock };
        run.remove_unfinished()?;
        Ok(run)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The checkpoint of the epoch with the lowest error.
    pub fn best(&self) -> PathBuf {
        self.file(BEST)
    }

    /// The last checkpoint.
    pub fn last(&self) -> PathBuf {
        self.file(LAST)
    }

    /// The state that belongs to the last checkpoint, which was made after this many steps.
    pub fn state(&self, step: u64) -> PathBuf {
        self.file(&format!("state-{step}.safetensors"))
    }

    /// Removes all states except that of `step`.
    ///
    /// # Errors
    /// Returns an error if the folder cannot be read or a file cannot be removed.
    pub fn remove_states_but(&self, step: u64) -> Result<()> {
        let keep = self.state(step);
        self.remove(|path, name| {
            let step = name.strip_prefix("state-").and_then(|rest| rest.strip_suffix(".safetensors"));
            step.is_some_and(|step| step.parse::<u64>().is_ok()) && path != keep
        })
    }

    /// Removes what a killed process left of writing this run's files; those of other programs stay.
    fn remove_unfinished(&self) -> Result<()> {
        let own = [EXPERIMENT, CURVES, BEST, LAST, "state"].map(|name| temporary_prefix(Path::new(name)));
        self.remove(|_, name| own.iter().any(|prefix| name.starts_with(prefix)))
    }

    fn remove(&self, is_outdated: impl Fn(&Path, &str) -> bool) -> Result<()> {
        for entry in fs::read_dir(&self.path).with_context(|| format!("cannot read {}", self.path.display()))? {
            let entry = entry?;
            let path = entry.path();
            if is_outdated(&path, &entry.file_name().to_string_lossy()) {
                fs::remove_file(&path).with_context(|| format!("cannot remove the outdated {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// Writes the complete experiment.
    ///
    /// # Errors
    /// Returns an error if it cannot be written.
    pub fn write_experiment(&self, experiment: &Experiment) -> Result<()> {
        let text = serde_json::to_string_pretty(experiment)? + "\n";
        write_atomically(&self.file(EXPERIMENT), text.as_bytes())
    }

    /// Adds a line to the log.
    ///
    /// # Errors
    /// Returns an error if it cannot be written.
    pub fn log(&self, line: &Value) -> Result<()> {
        let path = self.file(LOG);
        let file = OpenOptions::new().append(true).create(true).open(&path);
        let mut file = file.with_context(|| format!("cannot open {}", path.display()))?;
        // One write per line: only a full disk or a power failure can truncate a line, and readers skip such lines.
        file.write_all(format!("{line}\n").as_bytes()).with_context(|| {
            format!("cannot write to {}; is there room on the disk? The last checkpoint is intact", path.display())
        })
    }

    /// Draws the curves from the log.
    ///
    /// # Errors
    /// Returns an error if the log cannot be read or the picture cannot be written.
    pub fn draw_curves(&self) -> Result<()> {
        write_atomically(&self.file(CURVES), &curves::draw(&self.epochs()?)?)
    }

    /// The log's lines of whole epochs, the last one of each: a run that was resumed may have repeated some.
    fn epochs(&self) -> Result<Vec<Value>> {
        let path = self.file(LOG);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut epochs: Vec<Value> = Vec::new();
        for line in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if line["kind"] == "epoch" {
                epochs.retain(|earlier| earlier["epoch"].as_u64() < line["epoch"].as_u64());
                epochs.push(line);
            }
        }
        Ok(epochs)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Whether the folder holds a run.
pub fn is_run(folder: &Path) -> bool {
    folder.join(EXPERIMENT).exists()
}

/// Whether a folder is empty, or holds only what a run writes before its first checkpoint.
fn is_free(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let names: Vec<String> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let is_ours = |name: &String| [EXPERIMENT, LOG, LOCK].contains(&name.as_str()) || name.starts_with(TEMPORARY);
    names.iter().all(is_ours)
}
