//! A run folder: the complete experiment, a log with one line per epoch and one every few steps (as a table and as event files
//! too, if the experiment says so), the checkpoints, their state, the best weights' answers to the validation images, made
//! images, the curves and the page. All its file names are defined here, except those of checkpoints (`model::checkpoint`).

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::atomic::{TEMPORARY, temporary_prefix, write_atomically};
use crate::model::checkpoint::{AVERAGE, BEST, LAST};

const EXPERIMENT: &str = "experiment.json";
const LOG: &str = "log.jsonl";
const TABLE: &str = "log.csv";
const CURVES: &str = "curves.svg";
const VALIDATION: &str = "validation.csv";
const PAGE: &str = "report.html";
const SAMPLES: &str = "samples";
const LOCK: &str = ".lock";
/// What the names of event files begin with; numbers follow, which other programs' files do not have there alone.
const EVENTS: &str = "events.out.tfevents.";

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
    pub fn create(path: &Path, experiment: &impl Serialize) -> Result<Self> {
        RunFolder::check_free(path)?;
        fs::create_dir_all(path).with_context(|| format!("cannot make the run folder {}", path.display()))?;
        let run = RunFolder::lock(path)?;
        // The process that held the lock until now may have saved a checkpoint.
        RunFolder::check_free(path)?;
        for file in [run.log(), run.table(), run.validation(), run.page()] {
            remove_if_there(&file)?;
        }
        run.remove_states_but(None)?;
        run.remove_events_after(0)?;
        run.write_experiment(experiment)?;
        Ok(run)
    }

    /// # Errors
    /// Returns an error if a new run cannot have this folder: asked before work begins that takes time.
    pub fn check_free(path: &Path) -> Result<()> {
        match find(path) {
            Found::Free => Ok(()),
            Found::Run => bail!("{}: already contains a run", path.display()),
            Found::Best => bail!("{}: {WITHOUT_LAST}", path.display()),
            Found::Other => bail!("{}: already contains other files", path.display()),
        }
    }

    /// Opens the folder of a run that has saved a checkpoint.
    ///
    /// # Errors
    /// Returns an error if there is none, or another process trains into the folder.
    pub fn open(path: &Path) -> Result<Self> {
        match find(path) {
            Found::Run => RunFolder::lock(path),
            Found::Best => bail!("{}: {WITHOUT_LAST}", path.display()),
            Found::Free | Found::Other => {
                bail!("{}: no {LAST} in this folder, so there is nothing to resume", path.display())
            }
        }
    }

    /// Removes the average of weights that the run no longer has.
    ///
    /// # Errors
    /// Returns an error if it is there and cannot be removed.
    pub fn remove_average(&self) -> Result<()> {
        remove_if_there(&self.average())
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

    /// The checkpoint of the epoch with the lowest error, or whose generator made the images closest to real ones.
    pub fn best(&self) -> PathBuf {
        self.file(BEST)
    }

    /// The last checkpoint.
    pub fn last(&self) -> PathBuf {
        self.file(LAST)
    }

    /// The average of the weights, as old as the last checkpoint.
    pub fn average(&self) -> PathBuf {
        self.file(AVERAGE)
    }

    /// The state that belongs to the last checkpoint, which was made after this many steps.
    pub fn state(&self, step: u64) -> PathBuf {
        self.file(&format!("state-{step}.safetensors"))
    }

    /// Removes all states except that of `step`.
    ///
    /// # Errors
    /// Returns an error if the folder cannot be read or a file cannot be removed.
    pub fn remove_states_but(&self, step: Option<u64>) -> Result<()> {
        let keep = step.map(|step| self.state(step));
        remove(&self.path, |path, name| is_state(name) && Some(path) != keep.as_deref())
    }

    /// An event file, by its number from 1. TensorBoard finds it by `.tfevents.`, and reads it after those of lower numbers.
    pub fn events(&self, number: u64) -> PathBuf {
        self.file(&format!("{EVENTS}{number:06}"))
    }

    /// Removes the event files of higher numbers.
    ///
    /// # Errors
    /// Returns an error if the folder cannot be read or a file cannot be removed.
    pub fn remove_events_after(&self, number: u64) -> Result<()> {
        remove(&self.path, |_, name| number_of_events(name).is_some_and(|other| other > number))
    }

    /// Removes what a killed process left of writing this run's files; those of other programs stay.
    fn remove_unfinished(&self) -> Result<()> {
        let own = [EXPERIMENT, LOG, TABLE, CURVES, VALIDATION, PAGE, BEST, LAST, AVERAGE, "state"];
        let own = own.map(|name| temporary_prefix(Path::new(name)));
        remove(&self.path, |_, name| own.iter().any(|prefix| name.starts_with(prefix)))?;
        let samples = self.file(SAMPLES);
        let own = temporary_prefix(Path::new("epoch"));
        if samples.is_dir() { remove(&samples, |_, name| name.starts_with(&own)) } else { Ok(()) }
    }

    /// Writes the complete experiment.
    ///
    /// # Errors
    /// Returns an error if it cannot be written.
    pub fn write_experiment(&self, experiment: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(experiment)? + "\n";
        write_atomically(&self.file(EXPERIMENT), text.as_bytes())
    }

    /// The log.
    pub fn log(&self) -> PathBuf {
        self.file(LOG)
    }

    /// The log's epochs as a table.
    pub fn table(&self) -> PathBuf {
        self.file(TABLE)
    }

    /// The picture of the curves.
    pub fn curves(&self) -> PathBuf {
        self.file(CURVES)
    }

    /// The answers of the best weights to the validation images.
    pub fn validation(&self) -> PathBuf {
        self.file(VALIDATION)
    }

    /// The page that shows the run.
    pub fn page(&self) -> PathBuf {
        self.file(PAGE)
    }

    /// The picture of the images that were made after an epoch, counted from 1.
    pub fn sample(&self, epoch: u64) -> PathBuf {
        self.path.join(SAMPLES).join(format!("epoch-{epoch:04}.png"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Removes files of a folder.
fn remove(folder: &Path, is_outdated: impl Fn(&Path, &str) -> bool) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let path = entry.path();
        if is_outdated(&path, &entry.file_name().to_string_lossy()) {
            fs::remove_file(&path).with_context(|| format!("cannot remove the outdated {}", path.display()))?;
        }
    }
    Ok(())
}

const WITHOUT_LAST: &str = "contains the best weights of a run that ended before its first last.safetensors was written, \
                            on a full disk perhaps, so it cannot be resumed";

fn remove_if_there(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

/// What a folder is to a run that is to be trained into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Free: it does not exist, is empty, or holds what a run leaves that ended before its first checkpoint.
    Free,
    /// A run that can be resumed.
    Run,
    /// The best weights of a run that cannot be resumed, because it has no last checkpoint. They are never overwritten.
    Best,
    /// Something else.
    Other,
}

/// What a folder holds.
pub fn find(folder: &Path) -> Found {
    if folder.join(LAST).is_file() {
        return Found::Run;
    }
    let Ok(entries) = fs::read_dir(folder) else {
        return if folder.exists() { Found::Other } else { Found::Free };
    };
    let is_ours =
        |name: &str| [EXPERIMENT, LOG, CURVES, LOCK].contains(&name) || is_state(name) || name.starts_with(TEMPORARY);
    // These names are common: they are a run's only beside its experiment.
    let has_experiment = folder.join(EXPERIMENT).is_file();
    let is_common = |name: &str| [TABLE, VALIDATION, PAGE].contains(&name) || number_of_events(name).is_some();
    let is_beside = |name: &str| has_experiment && is_common(name);
    let mut names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    match names.all(|name| is_ours(&name) || is_beside(&name) || name == BEST) {
        true if folder.join(BEST).is_file() => Found::Best,
        true => Found::Free,
        false => Found::Other,
    }
}

/// Whether a file name is that of a state.
fn is_state(name: &str) -> bool {
    let step = name.strip_prefix("state-").and_then(|rest| rest.strip_suffix(".safetensors"));
    step.is_some_and(|step| step.parse::<u64>().is_ok())
}

/// The number of an event file; `None` for any other name.
fn number_of_events(name: &str) -> Option<u64> {
    name.strip_prefix(EVENTS)?.parse().ok()
}
