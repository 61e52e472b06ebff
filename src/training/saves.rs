//! When a run is saved, and what follows if that fails.

use std::io;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use serde_json::Value;

use super::events::{self, Events};
use super::log::Log;
use super::page::progress;
use super::run::RunFolder;
use super::state::{self, State, Trained};
use crate::atomic::write_atomically;
use crate::experiment::LogFormat;
use crate::metrics::Answer;
use crate::model::checkpoint::{self, Note};
use crate::network::Network;
use crate::report::page::{About, Page};
use crate::report::{Report, curves, log_table};
use crate::weights::{StoredTensor, safetensors};

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
    pub fn is_due(self, step: u64, last: Instant) -> bool {
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

/// What training since the last save may cost if a validation fails or is killed. Saving more often would take longer
/// than the epochs of a small network.
const WORTH_SAVING: Duration = Duration::from_secs(10);

/// What a run writes while it trains; nothing in processes that leave that to another. A write that fails, on a full disk
/// for instance, does not end the run: the previous save is intact, and the next one writes everything.
#[derive(Debug)]
pub struct Saves<'a> {
    run: Option<&'a RunFolder>,
    every: SaveEvery,
    report: Report,
    log: Option<Log>,
    /// Whether the log is written as a table, too.
    has_table: bool,
    /// The event file, if the experiment wants one.
    events: Option<Events>,
    last: Instant,
    /// The state that was saved last.
    saved: Option<State>,
    /// Why something was not written since.
    failure: Option<Error>,
    /// The best weights so far, until they are written.
    best: Option<Best>,
}

/// Weights with their note, and their answers to the validation images as a table.
#[derive(Debug)]
struct Best {
    weights: Vec<StoredTensor>,
    note: Note,
    answers: String,
}

impl<'a> Saves<'a> {
    /// The saves of a run that goes on from `state`, with a log of these formats. Nothing has been saved yet.
    pub fn new(
        run: Option<&'a RunFolder>,
        every: SaveEvery,
        formats: &[LogFormat],
        state: &State,
        report: Report,
    ) -> Self {
        let with_events = run.filter(|_| formats.contains(&LogFormat::Tensorboard));
        Saves {
            run,
            every,
            report,
            log: run.map(|run| Log::at(run.log())),
            has_table: formats.contains(&LogFormat::Csv),
            events: with_events.map(|run| Events::after(run, state.events, state.step)),
            last: Instant::now(),
            saved: None,
            failure: None,
            best: None,
        }
    }

    /// Whether it is time for a save between the ends of epochs, after this many steps.
    pub fn is_due(&self, step: u64) -> bool {
        self.every.is_due(step, self.last)
    }

    /// Whether a save should not wait for a validation. The first one never does, so that no best checkpoint is ever
    /// without a last one, and a run that was killed can always be resumed or started again.
    pub fn is_worthwhile(&self) -> bool {
        self.saved.is_none() || self.last.elapsed() >= WORTH_SAVING
    }

    /// Adds a line to the log.
    pub fn log(&mut self, line: &Value) {
        let written = self.log.as_mut().map_or(Ok(()), |log| log.add(line));
        let told = self.events.as_mut().map_or(Ok(()), |events| events.add_line(line));
        self.warn_once(written.and(told));
    }

    /// Adds histograms of an epoch's weights, and the confusion matrix of their answers to the validation images, to the event
    /// file if there is one.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn log_pictures(&mut self, trained: &Trained, answers: &[Option<Answer>]) -> Result<()> {
        if let Some(events) = &mut self.events {
            let pictures = events::pictures(&trained.learner.network, answers)?;
            let written = events.add(trained.state.step, &pictures);
            self.warn_once(written);
        }
        Ok(())
    }

    /// Keeps these weights as the best, with their answers to the validation images; the next save writes them.
    ///
    /// # Errors
    /// Returns an error if a weight is NaN or infinite.
    pub fn keep_best(&mut self, network: &Network, note: Note, answers: String) -> Result<()> {
        if let Some(run) = self.run {
            self.best = Some(Best { weights: checkpoint::weights_of(network, &run.best())?, note, answers });
        }
        Ok(())
    }

    /// Saves the run as it is now; a failure to write is a warning. The state takes note of the end of the events.
    ///
    /// # Errors
    /// Returns an error if a weight is NaN or infinite, or the device fails.
    pub fn save(&mut self, trained: &mut Trained, note: &Note) -> Result<()> {
        self.last = Instant::now();
        self.mark(&mut trained.state);
        match self.write(trained, note) {
            Ok(()) => (self.saved, self.failure) = (Some(trained.state.clone()), None),
            Err(error) if is_of_the_disk(&error) => self.fail(error),
            Err(error) => return Err(error),
        }
        // If that fails, the next save does it; more states than one do no harm.
        let _ = self.remove_other_states();
        Ok(())
    }

    /// Saves the run for the last time, unless it has been saved as it is now.
    ///
    /// # Errors
    /// Returns an error if that fails.
    pub fn finish(&mut self, trained: &mut Trained, note: &Note) -> Result<()> {
        self.mark(&mut trained.state);
        if self.saved.as_ref() != Some(&trained.state) || self.failure.is_some() {
            self.last = Instant::now();
            self.write(trained, note)?;
            (self.saved, self.failure) = (Some(trained.state.clone()), None);
            self.remove_other_states()?;
        }
        Ok(())
    }

    /// Notes where the events end.
    fn mark(&self, state: &mut State) {
        state.events = self.events.as_ref().map_or(state.events, Events::end);
    }

    /// The best weights come first, and the logs: the state takes both for written.
    fn write(&mut self, trained: &Trained, note: &Note) -> Result<()> {
        let Some(run) = self.run else { return Ok(()) };
        if let Some(Best { weights, note, answers }) = &self.best {
            safetensors::write(&run.best(), weights, note)?;
            write_atomically(&run.validation(), answers.as_bytes())?;
            self.best = None;
        }
        self.log.as_mut().map_or(Ok(()), Log::sync)?;
        self.events.as_mut().map_or(Ok(()), Events::sync)?;
        state::save(run, trained, note)
    }

    /// Removes all states but that of the last checkpoint, also what a failed save left: it would fill the disk further.
    fn remove_other_states(&self) -> Result<()> {
        let Some(run) = self.run else { return Ok(()) };
        let step = match (&self.saved, &self.failure) {
            (Some(saved), None) => Some(saved.step),
            _ if run.last().exists() => Some(checkpoint::open(&run.last())?.0.step),
            _ => None,
        };
        run.remove_states_but(step)
    }

    /// Draws the curves; they are drawn again after the next epoch.
    pub fn draw_curves(&mut self) {
        let draw = |run: &RunFolder, log: &Log| write_atomically(&run.curves(), &curves::draw(&log.epochs()?)?);
        self.warn_once(self.write_from_log(draw));
    }

    /// Writes the log as a table, if the experiment wants one; it is written again after the next epoch.
    pub fn write_table(&mut self) {
        let write = |run: &RunFolder, log: &Log| {
            let (epochs, steps) = log.epochs_and_steps()?;
            write_atomically(&run.table(), log_table::table(&epochs, &steps)?.as_bytes())
        };
        if self.has_table {
            self.warn_once(self.write_from_log(write));
        }
    }

    /// Writes the page, of what there is to see so far; it is written again after the next epoch. Without a checkpoint
    /// there is none: the folder of such a run may be taken by another.
    pub fn write_page(&mut self, about: &About) {
        let write = |run: &RunFolder, log: &Log| {
            let progress = Some(progress(log)?);
            let page = Page { about, progress, errors: Vec::new(), measured: None, results: Value::Null };
            write_atomically(&run.page(), page.html().as_bytes())
        };
        if self.saved.is_some() {
            self.warn_once(self.write_from_log(write));
        }
    }

    fn write_from_log(&self, write: impl Fn(&RunFolder, &Log) -> Result<()>) -> Result<()> {
        match (self.run, &self.log) {
            (Some(run), Some(log)) => write(run, log),
            _ => Ok(()),
        }
    }

    /// Shows the first failure since the last save; the next save tries again.
    fn warn_once(&mut self, written: Result<()>) {
        if let (Err(error), None) = (written, &self.failure) {
            self.fail(error);
        }
    }

    fn fail(&mut self, error: Error) {
        self.report.warn(format!("{error:#}. Training goes on, and the next save tries again"));
        self.failure = Some(error);
    }
}

/// Whether a write failed because of the disk, so that the next one may succeed.
pub fn is_of_the_disk(error: &Error) -> bool {
    error.chain().any(|cause| cause.is::<io::Error>())
}
