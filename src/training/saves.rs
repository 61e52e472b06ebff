//! What a run writes while it trains.

use anyhow::Result;
use serde_json::Value;

use super::attempts::{Attempts, SaveEvery};
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

/// What a run writes while it trains; nothing in processes that leave that to another.
#[derive(Debug)]
pub struct Saves<'a> {
    run: Option<&'a RunFolder>,
    attempts: Attempts<'a, State>,
    log: Option<Log>,
    /// Whether the log is written as a table, too.
    has_table: bool,
    /// The event file, if the experiment wants one.
    events: Option<Events>,
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
            attempts: Attempts::new(run, every, report),
            log: run.map(|run| Log::at(run.log())),
            has_table: formats.contains(&LogFormat::Csv),
            events: with_events.map(|run| Events::after(run, state.events, state.step)),
            best: None,
        }
    }

    /// Whether it is time for a save between the ends of epochs, after this many steps.
    pub fn are_due(&self, step: u64) -> bool {
        self.attempts.are_due(step)
    }

    /// Whether a save should not wait for a validation.
    pub fn are_worthwhile(&self) -> bool {
        self.attempts.are_worthwhile()
    }

    /// Adds a line to the log.
    pub fn log(&mut self, line: &Value) {
        let written = self.log.as_mut().map_or(Ok(()), |log| log.add(line));
        let told = self.events.as_mut().map_or(Ok(()), |events| events.add_line(line));
        self.attempts.warn_once(written.and(told));
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
            self.attempts.warn_once(written);
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
        self.mark(&mut trained.state);
        let written = self.write(trained, note);
        self.attempts.note(trained.state.step, &trained.state, written)
    }

    /// Saves the run for the last time, unless it has been saved as it is now.
    ///
    /// # Errors
    /// Returns an error if that fails.
    pub fn finish(&mut self, trained: &mut Trained, note: &Note) -> Result<()> {
        self.mark(&mut trained.state);
        if !self.attempts.include(&trained.state) {
            self.write(trained, note)?;
            self.attempts.end(trained.state.step, &trained.state)?;
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

    /// Draws the curves; they are drawn again after the next epoch.
    pub fn draw_curves(&mut self) {
        let draw = |run: &RunFolder, log: &Log| write_atomically(&run.curves(), &curves::draw(&log.epochs()?)?);
        self.attempts.warn_once(self.write_from_log(draw));
    }

    /// Writes the log as a table, if the experiment wants one; it is written again after the next epoch.
    pub fn write_table(&mut self) {
        let write = |run: &RunFolder, log: &Log| {
            let (epochs, steps) = log.epochs_and_steps()?;
            write_atomically(&run.table(), log_table::table(&epochs, &steps)?.as_bytes())
        };
        if self.has_table {
            self.attempts.warn_once(self.write_from_log(write));
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
        if self.attempts.have_succeeded() {
            self.attempts.warn_once(self.write_from_log(write));
        }
    }

    fn write_from_log(&self, write: impl Fn(&RunFolder, &Log) -> Result<()>) -> Result<()> {
        match (self.run, &self.log) {
            (Some(run), Some(log)) => write(run, log),
            _ => Ok(()),
        }
    }
}
