//! What a run writes while it trains.

use std::fs;

use anyhow::{Context, Result};
use image::RgbImage;
use serde_json::Value;

use super::state::{self, Progressed, Trained};
use crate::atomic::write_atomically;
use crate::image::png;
use crate::model::checkpoint::{self, Note};
use crate::network::Network;
use crate::report::page::{About, MadePage, thinned};
use crate::report::{Report, curves};
use crate::training::attempts::{Attempts, SaveEvery};
use crate::training::log::Log;
use crate::training::run::RunFolder;
use crate::weights::{StoredTensor, safetensors};

/// The most pictures on a page, but for the last one: more would make it large.
const MOST_GRIDS: usize = 8;

/// The saves of a run; nothing in processes that leave them to another.
#[derive(Debug)]
pub struct Saves<'a> {
    run: Option<&'a RunFolder>,
    attempts: Attempts<'a, Progressed>,
    log: Option<Log>,
    /// The best networks so far with their note, until they are written.
    best: Option<(Vec<StoredTensor>, Note)>,
}

impl<'a> Saves<'a> {
    /// The saves of a run, which has not been saved yet.
    pub fn new(run: Option<&'a RunFolder>, every: SaveEvery, report: Report) -> Self {
        let log = run.map(|run| Log::at(run.log()));
        Saves { run, attempts: Attempts::new(run, every, report), log, best: None }
    }

    /// Whether it is time for a save between the ends of epochs, after this many steps.
    pub fn are_due(&self, step: u64) -> bool {
        self.attempts.are_due(step)
    }

    /// Whether a save should not wait until the generator has been measured.
    pub fn are_worthwhile(&self) -> bool {
        self.attempts.are_worthwhile()
    }

    /// Adds a line to the log.
    pub fn log(&mut self, line: &Value) {
        let written = self.log.as_mut().map_or(Ok(()), |log| log.add(line));
        self.attempts.warn_once(written);
    }

    /// Keeps these networks as the best; the next save writes them.
    ///
    /// # Errors
    /// Returns an error if a weight is NaN or infinite.
    pub fn keep_best(&mut self, generator: &Network, discriminator: &Network, note: Note) -> Result<()> {
        if let Some(run) = self.run {
            self.best = Some((checkpoint::weights_of_parts(generator, discriminator, &run.best())?, note));
        }
        Ok(())
    }

    /// Saves the run as it is now; a failure to write is a warning.
    ///
    /// # Errors
    /// Returns an error if a weight is NaN or infinite, or the device fails.
    pub fn save(&mut self, trained: &Trained, note: &Note) -> Result<()> {
        let written = self.write(trained, note);
        self.attempts.note(trained.state.run.step, &trained.state, written)
    }

    /// Saves the run for the last time, unless it has been saved as it is now.
    ///
    /// # Errors
    /// Returns an error if that fails.
    pub fn finish(&mut self, trained: &Trained, note: &Note) -> Result<()> {
        if !self.attempts.include(&trained.state) {
            self.write(trained, note)?;
            self.attempts.end(trained.state.run.step, &trained.state)?;
        }
        Ok(())
    }

    /// The best networks come first, and the log: the state takes both for written.
    fn write(&mut self, trained: &Trained, note: &Note) -> Result<()> {
        let Some(run) = self.run else { return Ok(()) };
        if let Some((weights, note)) = &self.best {
            safetensors::write(&run.best(), weights, note)?;
            self.best = None;
        }
        self.log.as_mut().map_or(Ok(()), Log::sync)?;
        state::save(run, trained, note)
    }

    /// Writes a picture of the images that were made after an epoch, and the page with it and the curves; the page is written
    /// again after the next epoch. Without a checkpoint there are none: the folder of such a run may be taken by another.
    pub fn show(&mut self, epoch: u64, picture: &RgbImage, about: &About) {
        if let (Some(run), true) = (self.run, self.attempts.have_succeeded()) {
            let written = write_sample(run, epoch, picture);
            self.attempts.warn_once(written);
            let written = self.log.as_ref().map_or(Ok(()), |log| write_page(run, log, about));
            self.attempts.warn_once(written);
        }
    }
}

fn write_sample(run: &RunFolder, epoch: u64, picture: &RgbImage) -> Result<()> {
    let path = run.sample(epoch);
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    folder.with_context(|| format!("cannot make the folder of {}", path.display()))?;
    png::write(&path, picture)
}

fn write_page(run: &RunFolder, log: &Log, about: &About) -> Result<()> {
    let (epochs, steps) = log.epochs_and_steps()?;
    let curves = curves::draw_adversarial(&steps, &epochs)?;
    write_atomically(&run.curves(), &curves)?;
    let last = epochs.last().and_then(|last| last["epoch"].as_f64()).unwrap_or_default();
    let numbers: Vec<u64> = (1..=last.ceil() as u64).filter(|&number| run.sample(number).exists()).collect();
    let grid = |&number: &u64| Ok((number, fs::read(run.sample(number))?));
    let grids = thinned(&numbers, MOST_GRIDS).map(grid).collect::<Result<Vec<_>>>()?;
    let page = MadePage { about, grids: &grids, curves: &curves, epochs: &epochs };
    write_atomically(&run.page(), page.html().as_bytes())
}
