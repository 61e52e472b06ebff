//! What a run writes while it trains, and what follows if that fails.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Error, Result};
use image::RgbImage;
use serde_json::Value;

use super::state::{self, Progressed, Trained};
use crate::atomic::write_atomically;
use crate::image::png;
use crate::model::checkpoint::{self, Note};
use crate::report::page::{About, MadePage, thinned};
use crate::report::{Report, curves};
use crate::training::log::Log;
use crate::training::run::RunFolder;
use crate::training::saves::{SaveEvery, is_of_the_disk};

/// The most pictures on a page, but for the last one: more would make it large.
const MOST_GRIDS: usize = 8;

/// The saves of a run. A write that fails, on a full disk for instance, does not end the run: the previous save is intact,
/// and the next one writes everything.
#[derive(Debug)]
pub struct Saves<'a> {
    run: &'a RunFolder,
    every: SaveEvery,
    report: Report,
    log: Log,
    last: Instant,
    /// The state that was saved last.
    saved: Option<Progressed>,
    /// Why something was not written since.
    failure: Option<Error>,
}

impl<'a> Saves<'a> {
    /// The saves of a run, which has not been saved yet.
    pub fn new(run: &'a RunFolder, every: SaveEvery, report: Report) -> Self {
        Saves { run, every, report, log: Log::at(run.log()), last: Instant::now(), saved: None, failure: None }
    }

    /// Whether it is time for a save between the ends of epochs, after this many steps.
    pub fn is_due(&self, step: u64) -> bool {
        self.every.is_due(step, self.last)
    }

    /// Adds a line to the log.
    pub fn log(&mut self, line: &Value) {
        let written = self.log.add(line);
        self.warn_once(written);
    }

    /// Saves the run as it is now; a failure to write is a warning.
    ///
    /// # Errors
    /// Returns an error if a weight is NaN or infinite, or the device fails.
    pub fn save(&mut self, trained: &Trained, note: &Note) -> Result<()> {
        self.last = Instant::now();
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
    pub fn finish(&mut self, trained: &Trained, note: &Note) -> Result<()> {
        if self.saved.as_ref() != Some(&trained.state) || self.failure.is_some() {
            self.write(trained, note)?;
            (self.saved, self.failure) = (Some(trained.state.clone()), None);
            self.remove_other_states()?;
        }
        Ok(())
    }

    /// The log comes first: the state takes it for written.
    fn write(&mut self, trained: &Trained, note: &Note) -> Result<()> {
        self.log.sync()?;
        state::save(self.run, trained, note)
    }

    /// Removes all states but that of the last checkpoint.
    fn remove_other_states(&self) -> Result<()> {
        let step = match (&self.saved, &self.failure) {
            (Some(saved), None) => Some(saved.run.step),
            _ if self.run.last().exists() => Some(checkpoint::open(&self.run.last())?.0.step),
            _ => None,
        };
        self.run.remove_states_but(step)
    }

    /// Whether there is a picture of the images that were made after an epoch.
    pub fn has_sample(&self, epoch: u64) -> bool {
        self.run.sample(epoch).exists()
    }

    /// Writes a picture of the images that were made after an epoch; without a checkpoint there is none, since the folder of
    /// such a run may be taken by another.
    pub fn write_sample(&mut self, epoch: u64, picture: &RgbImage) {
        if self.saved.is_some() {
            let path = self.run.sample(epoch);
            let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
            let folder = folder.with_context(|| format!("cannot make the folder of {}", path.display()));
            self.warn_once(folder.and_then(|()| png::write(&path, picture)));
        }
    }

    /// Draws the curves, and puts them on the page with the images made so far; they are written again after the next epoch.
    pub fn write_page(&mut self, about: &About) {
        if self.saved.is_some() {
            let written = self.page(about);
            self.warn_once(written);
        }
    }

    fn page(&self, about: &About) -> Result<()> {
        let (epochs, steps) = self.log.epochs_and_steps()?;
        let curves = curves::draw_adversarial(&steps)?;
        write_atomically(&self.run.curves(), &curves)?;
        let last = epochs.last().and_then(|last| last["epoch"].as_f64()).unwrap_or_default();
        let numbers: Vec<u64> = (1..=last.ceil() as u64).filter(|&number| self.has_sample(number)).collect();
        let grid = |&number: &u64| Ok((number, fs::read(self.run.sample(number))?));
        let grids = thinned(&numbers, MOST_GRIDS).map(grid).collect::<Result<Vec<_>>>()?;
        let page = MadePage { about, grids: &grids, curves: &curves, epochs: &epochs };
        write_atomically(&self.run.page(), page.html().as_bytes())
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
