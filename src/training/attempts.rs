//! The attempts to save a run: how often they are made, and what follows if one fails. A write that fails, on a full disk for
//! instance, does not end the run: the previous save is intact, and the next one writes everything.

use std::io;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Error, Result};

use super::run::RunFolder;
use crate::model::checkpoint;
use crate::report::Report;

/// How often a run is saved besides the ends of its epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveEvery {
    /// After each step whose number is a multiple of this.
    Steps(u64),
    /// After the first step that ends this long after the last save.
    Time(Duration),
}

impl SaveEvery {
    /// Whether it is time for a save, after this many steps, the last save having been at `last`.
    fn is_due(self, step: u64, last: Instant) -> bool {
        match self {
            SaveEvery::Steps(steps) => step.is_multiple_of(steps),
            SaveEvery::Time(time) => last.elapsed() >= time,
        }
    }
}

impl FromStr for SaveEvery {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected a number of steps such as 500, or a time such as 90s, 10m or 2h".to_string();
        let digits = text.trim_end_matches(['s', 'm', 'h']);
        let number = digits.parse::<u64>().ok().filter(|number| (1..=1_000_000_000).contains(number));
        let number = number.ok_or_else(expected)?;
        match &text[digits.len()..] {
            "" => Ok(SaveEvery::Steps(number)),
            "s" => Ok(SaveEvery::Time(Duration::from_secs(number))),
            "m" => Ok(SaveEvery::Time(Duration::from_secs(60 * number))),
            "h" => Ok(SaveEvery::Time(Duration::from_secs(3600 * number))),
            _ => Err(expected()),
        }
    }
}

/// What training since the last save may cost if the measuring after an epoch fails or is killed. Saving more often would
/// take longer than the epochs of a small network.
const WORTH_SAVING: Duration = Duration::from_secs(10);

/// The saves of a run so far, whose state after each step is an `S`.
#[derive(Debug)]
pub struct Attempts<'a, S> {
    /// Where they go; nowhere in processes that leave that to another.
    run: Option<&'a RunFolder>,
    every: SaveEvery,
    report: Report,
    last: Instant,
    /// The state that was saved last, and its step.
    saved: Option<(u64, S)>,
    /// Why something was not written since.
    failure: Option<Error>,
}

impl<'a, S: Clone + PartialEq> Attempts<'a, S> {
    /// None yet.
    pub fn new(run: Option<&'a RunFolder>, every: SaveEvery, report: Report) -> Self {
        Attempts { run, every, report, last: Instant::now(), saved: None, failure: None }
    }

    /// Whether it is time for a save between the ends of epochs, after this many steps.
    pub fn are_due(&self, step: u64) -> bool {
        self.every.is_due(step, self.last)
    }

    /// Whether a save should not wait for the measuring after an epoch. The first one never does, so that no best checkpoint
    /// is ever without a last one, and a run that was killed can always be resumed or started again.
    pub fn are_worthwhile(&self) -> bool {
        self.saved.is_none() || self.last.elapsed() >= WORTH_SAVING
    }

    /// Whether a save has succeeded. Before that, another run may take the folder.
    pub fn have_succeeded(&self) -> bool {
        self.saved.is_some()
    }

    /// Whether everything is saved as it is in this state.
    pub fn include(&self, state: &S) -> bool {
        self.failure.is_none() && self.saved.as_ref().is_some_and(|(_, saved)| saved == state)
    }

    /// Takes note of how a save of this state went. A failure of the disk is a warning.
    ///
    /// # Errors
    /// Returns any other failure.
    pub fn note(&mut self, step: u64, state: &S, written: Result<()>) -> Result<()> {
        self.last = Instant::now();
        match written {
            Ok(()) => (self.saved, self.failure) = (Some((step, state.clone())), None),
            Err(error) if is_of_the_disk(&error) => self.fail(error),
            Err(error) => return Err(error),
        }
        // If that fails, the next save does it; more states than one do no harm.
        let _ = self.remove_other_states();
        Ok(())
    }

    /// Takes note of a last save of this state, which succeeded.
    ///
    /// # Errors
    /// Returns an error if the states of earlier saves cannot be removed.
    pub fn end(&mut self, step: u64, state: &S) -> Result<()> {
        (self.last, self.saved, self.failure) = (Instant::now(), Some((step, state.clone())), None);
        self.remove_other_states()
    }

    /// Shows the first failure since the last save; the next save tries again.
    pub fn warn_once(&mut self, written: Result<()>) {
        if let (Err(error), None) = (written, &self.failure) {
            self.fail(error);
        }
    }

    /// Removes all states but that of the last checkpoint, also what a failed save left: it would fill the disk further.
    fn remove_other_states(&self) -> Result<()> {
        let Some(run) = self.run else { return Ok(()) };
        let step = match (&self.saved, &self.failure) {
            (Some((step, _)), None) => Some(*step),
            _ if run.last().exists() => Some(checkpoint::open(&run.last())?.0.step),
            _ => None,
        };
        run.remove_states_but(step)
    }

    fn fail(&mut self, error: Error) {
        self.report.warn(format!("{error:#}. Training goes on, and the next save tries again"));
        self.failure = Some(error);
    }
}

/// Whether a write failed because of the disk, so that the next one may succeed.
fn is_of_the_disk(error: &Error) -> bool {
    error.chain().any(|cause| cause.is::<io::Error>())
}
