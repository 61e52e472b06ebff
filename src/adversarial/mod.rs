//! The training loop of a generator against a discriminator, in the order in which things happen. One step is in `step`, its
//! losses are in `losses`, and `watch` says when it goes wrong. What is trained `make`s images; `model` opens it again.

pub mod latent;
pub mod losses;
pub mod make;
pub mod model;
pub mod nearest;
pub mod pixels;
mod progress;
mod saves;
pub mod state;
pub mod step;
mod watch;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Error, Result, ensure};
use tch::Tensor;

use crate::data::dataset::Dataset;
use crate::data::example::Examples;
use crate::experiment::{Gan, Preprocess, Training};
use crate::image::grid::{enlarged, grid, square};
use crate::model::checkpoint::Note;
use crate::network::Network;
use crate::processes::Processes;
use crate::remedy::Remedy;
use crate::report::Report;
use crate::report::page::About;
use crate::training::average::Average;
use crate::training::batches::{BadImages, TrainingBatch, TrainingBatches};
use crate::training::length::Length;
use crate::training::run::RunFolder;
use crate::training::saves::SaveEvery;

use progress::Progress;
use saves::Saves;
use state::{Progressed, Sums, Trained};

/// Images in the picture of an epoch.
const SAMPLES: u64 = 64;
/// The side that they are enlarged to, if they are smaller.
const LEAST_SIDE: u32 = 56;

/// How training ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// At the end of the run.
    Finished {
        /// The picture of the last images that were made.
        sample: PathBuf,
    },
    /// Interrupted by a signal; the state is saved.
    Interrupted,
}

/// A training run, and everything that it uses.
#[derive(Debug)]
pub struct Trainer<'a> {
    /// What is trained, and how.
    pub gan: &'a Gan,
    /// The images to learn from.
    pub train: &'a Dataset,
    /// Where everything is written.
    pub run: &'a RunFolder,
    /// How often the run is saved besides the ends of its epochs.
    pub save_every: SaveEvery,
    /// What the run's page says about it.
    pub about: &'a About,
    /// Threads that prepare images.
    pub workers: usize,
    /// The terminal output.
    pub report: Report,
    /// Set by a signal; the loop then ends after the current step.
    pub interrupted: &'a AtomicBool,
}

impl Trainer<'_> {
    /// Trains to the end of the run. Images that cannot be read are reported once, skipped, and added to `bad`.
    ///
    /// # Errors
    /// Returns an error if a loss becomes NaN or infinite, the device is out of memory, or the last save fails.
    pub fn train(&self, trained: &mut Trained, bad: &mut BadImages) -> Result<Ended> {
        let (shared, alone) = (self.gan.shared(), Processes::alone());
        let batches = self.batches(&shared, &alone)?;
        let length = Length::new(&shared, batches.steps());
        let mut saves = Saves::new(self.run, self.save_every, self.report);
        if trained.state.run.step > 0 {
            // The interruption may have come in the middle of a save, after the first of its files, or before a picture.
            saves.save(trained, &self.note(&trained.state)?)?;
            self.draw_missing_sample(trained, &length, &mut saves)?;
        }
        let (begun, before) = (Instant::now(), trained.state.run.seconds);

        while !self.is_over(&trained.state, &length) {
            let mut progress = Progress::new(self.report, &trained.state, &length);
            let run = &trained.state.run;
            let mut epoch = batches.epoch(run.epoch, length.step_of_epoch(run))?;

            while !length.ends_epoch(&trained.state.run) {
                let batch = epoch.next(bad)?;
                let rate = length.rate(&shared, &trained.state.run);
                let images = self.play(trained, &batch, rate, &length)?;
                trained.state.run.step += 1;
                trained.state.run.seconds = before + begun.elapsed().as_secs_f64();

                if let Some(line) = progress.step(&trained.state, images, rate, epoch.waited()) {
                    saves.log(&line);
                    trained.state.recent = Sums::default();
                }
                if self.interrupted.load(Ordering::Relaxed) {
                    saves.finish(trained, &self.note(&trained.state)?)?;
                    return Ok(Ended::Interrupted);
                }
                if saves.is_due(trained.state.run.step) {
                    saves.save(trained, &self.note(&trained.state)?)?;
                }
            }
            drop(epoch);
            progress.clear();
            self.finish_epoch(trained, &length, &progress, &mut saves)?;
        }
        saves.finish(trained, &self.note(&trained.state)?)?;
        self.say_end(&trained.state);
        Ok(Ended::Finished { sample: self.run.sample(number(&trained.state, &length)) })
    }

    fn batches<'b>(&'b self, shared: &Training, alone: &'b Processes) -> Result<TrainingBatches<'b>> {
        let preprocess = Preprocess { exif_orientation: self.gan.preprocess.exif_orientation, ..Preprocess::default() };
        let examples = Examples::of(self.train, shared.clone(), &preprocess, self.gan.size());
        TrainingBatches::of(examples, self.train, shared.batch_size, self.gan.least_images(), self.workers, alone)
    }

    /// Plays a step, and takes the generator's new weights into their average; returns the number of real images.
    fn play(&self, trained: &mut Trained, batch: &TrainingBatch, rate: f64, length: &Length) -> Result<u64> {
        let Trained { opponents, average, state } = trained;
        let played = opponents.step(&batch.images, &batch.labels, state.run.step, rate)?;
        let losses = [Some(played.discriminator_loss), played.generator_loss];
        for (name, loss) in ["discriminator", "generator"].into_iter().zip(losses) {
            if let Some(loss) = loss.filter(|loss| !loss.is_finite()) {
                return Err(self.diverged(state, &format!("the loss of the {name} is {loss}")));
            }
        }
        state.epoch.add(&played);
        state.recent.add(&played);
        if let (Some(average), Some(_)) = (average, played.generator_loss) {
            average.update(length.share(&state.run))?;
            state.run.average_updates = average.updates;
        }
        Ok(played.images)
    }

    /// Whether nothing is left to train.
    fn is_over(&self, state: &Progressed, length: &Length) -> bool {
        state.run.epoch >= length.epochs || state.run.is_validated() && length.is_over(&state.run)
    }

    /// Logs and saves a complete epoch, or the end of a run within one, and draws what the generator makes by now.
    fn finish_epoch(
        &self,
        trained: &mut Trained,
        length: &Length,
        progress: &Progress,
        saves: &mut Saves,
    ) -> Result<()> {
        let means = trained.state.epoch.means();
        ensure!(means.images > 0, "none of the training images could be read");
        let run = &mut trained.state.run;
        run.validated = run.step;
        if length.is_whole(run) {
            run.epoch += 1;
            trained.state.epoch = Sums::default();
        }
        let made = self.samples(trained)?;
        let variety = make::variety(&made)?;
        saves.log(&progress.epoch(&trained.state, &means, variety));
        saves.save(trained, &self.note(&trained.state)?)?;
        saves.write_sample(number(&trained.state, length), &picture(&made)?);
        saves.write_page(&About { seconds: trained.state.run.seconds, ..self.about.clone() });
        self.report.note(progress.epoch_text(&trained.state, &means));
        watch::signs(self.gan.training.loss, &means, variety).iter().for_each(|sign| self.report.warn(sign));
        Ok(())
    }

    /// Draws the picture of the last epoch if the run was interrupted before it was written.
    fn draw_missing_sample(&self, trained: &Trained, length: &Length, saves: &mut Saves) -> Result<()> {
        let number = number(&trained.state, length);
        if trained.state.run.is_validated() && !saves.has_sample(number) {
            saves.write_sample(number, &picture(&self.samples(trained)?)?);
        }
        Ok(())
    }

    /// What the generator, or its average, makes of the same latent vectors after each epoch.
    fn samples(&self, trained: &Trained) -> Result<Tensor> {
        let generator: &Network = &trained.opponents.generator.network;
        let generator = trained.average.as_ref().and_then(Average::network).unwrap_or(generator);
        make::images(self.gan.training.seed, 0..SAMPLES, None, self.gan, generator)
    }

    fn say_end(&self, state: &Progressed) {
        let training = &self.gan.training;
        if state.run.epoch < training.epochs {
            let is_at_most = training.max_steps.is_some_and(|most| state.run.step >= most);
            let limit = if is_at_most { "max_steps" } else { "max_minutes" };
            self.report.note(format!("ended at step {}: training.{limit} is reached", state.run.step));
        }
    }

    fn note(&self, state: &Progressed) -> Result<Note> {
        Ok(Note {
            version: env!("CARGO_PKG_VERSION").to_string(),
            experiment: serde_json::to_value(self.gan)?,
            classes: self.train.classes.clone(),
            epoch: state.run.epoch,
            step: state.run.step,
            errors: None,
            averaged: false,
        })
    }

    fn diverged(&self, state: &Progressed, problem: &str) -> Error {
        let rate = self.gan.training.learning_rate / 4.0;
        let problem = format!(
            "{problem} at step {} (epoch {}): training diverged, and only a new run, in another folder, can do better",
            state.run.step + 1,
            state.run.epoch + 1
        );
        Error::new(Remedy { problem, changes: vec![("training.learning_rate", rate.to_string())] })
    }
}

/// The number of the last epoch, complete or not, from 1.
fn number(state: &Progressed, length: &Length) -> u64 {
    state.run.step.div_ceil(length.steps_per_epoch)
}

/// Made images side by side.
fn picture(made: &Tensor) -> Result<image::RgbImage> {
    let tiles: Vec<image::RgbImage> = make::pictures(made)?.iter().map(|tile| enlarged(tile, LEAST_SIDE)).collect();
    Ok(grid(&tiles, square(tiles.len())))
}
