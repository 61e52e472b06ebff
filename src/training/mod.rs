//! The training loop, from images to weights, in the order in which things happen. One step is in `step`.

mod accumulation;
pub mod average;
pub mod find_rate;
mod length;
pub mod log;
pub mod optimizer;
pub mod precision;
mod progress;
pub mod run;
pub mod saves;
pub mod scaler;
pub mod schedule;
pub mod state;
pub mod step;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Error, Result, bail, ensure};
use image::RgbImage;

use crate::data::dataset::Dataset;
use crate::data::example::{Example, Examples};
use crate::data::loader::Loader;
use crate::evaluation::{BadImage, Classification, Measurement, Member, Pace};
use crate::experiment::Experiment;
use crate::metrics::Errors;
use crate::model::checkpoint::Note;
use crate::network::Network;
use crate::network::node::trains_on_single_images;
use crate::remedy::Remedy;
use crate::report::Report;
use crate::views::Views;

use average::Average;
use length::Length;
use progress::Progress;
use run::RunFolder;
use saves::{SaveEvery, Saves};
use state::{State, Trained, Validated};

/// How training ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ended {
    /// At the end of the run.
    Finished {
        /// The lowest errors of all epochs.
        best: Errors,
        /// Whether they are those of the averaged weights.
        best_is_averaged: bool,
        /// The errors at the end.
        last: Errors,
        /// Those of the averaged weights.
        averaged: Option<Errors>,
    },
    /// Interrupted by a signal; the state is saved.
    Interrupted,
}

/// A training run, and everything that it uses.
#[derive(Debug)]
pub struct Trainer<'a> {
    /// What is trained, and how.
    pub experiment: &'a Experiment,
    /// The images to learn from.
    pub train: &'a Dataset,
    /// The images to measure errors on after each epoch.
    pub val: &'a Dataset,
    /// Where everything is written.
    pub run: &'a RunFolder,
    /// How often the run is saved besides the ends of its epochs.
    pub save_every: SaveEvery,
    /// Threads that prepare images.
    pub workers: usize,
    /// The terminal output.
    pub report: Report,
    /// Set by a signal; the loop then ends after the current step.
    pub interrupted: &'a AtomicBool,
}

/// The images and labels of one step.
struct TrainingBatch {
    images: Vec<RgbImage>,
    labels: Vec<i64>,
}

impl Trainer<'_> {
    /// Trains to the end of the run. Images that cannot be read are reported once, skipped, and added to `bad`.
    ///
    /// # Errors
    /// Returns an error if the loss becomes NaN or infinite, the device is out of memory, or the last save fails.
    pub fn train(&self, trained: &mut Trained, bad: &mut Vec<BadImage>) -> Result<Ended> {
        let training = &self.experiment.training;
        let examples = Examples::new(self.train, self.experiment);
        let images = self.train.samples.len();
        let length = Length::new(training, images);
        let steps = length.steps_per_epoch;
        let ahead = 2 * training.batch_size + self.workers;
        let least = if trains_on_single_images(self.experiment.nodes()) { 1 } else { 2 };
        ensure!(training.batch_size as u64 >= least, single_image());
        let mut saves = Saves::new(self.run, self.save_every, self.report);
        if trained.state.step > 0 {
            // The interruption may have come in the middle of a save, after the first of its files.
            self.save(trained, &mut saves)?;
        }
        let (begun, before) = (Instant::now(), trained.state.seconds);
        let seconds = || before + begun.elapsed().as_secs_f64();

        while !self.is_over(&trained.state, &length) {
            let mut progress = Progress::new(self.report, &trained.state, &length);
            let first_step = trained.state.step - trained.state.epoch * steps;
            let order = examples.order(trained.state.epoch);
            let rest = &order[start_of(first_step, steps, images)..];
            let mut loaded = examples.load(rest, trained.state.epoch, self.workers, ahead)?;

            for step in first_step..steps {
                let Trained { learner, average, state } = &mut *trained;
                if length.is_over(state) {
                    break;
                }
                let count = start_of(step + 1, steps, images) - start_of(step, steps, images);
                let batch = self.take(&mut loaded, count, bad)?;
                let rate = length.rate(training, state);
                let learned = batch.images.len() as u64;
                let ends_group =
                    (step + 1).is_multiple_of(training.accumulate) || step + 1 == steps || length.is_last(state);
                // A single image that the network cannot be trained on is what is left of an uneven or partly unreadable batch.
                if learned >= least {
                    let loss = learner.step(&batch.images, &batch.labels, state.step, rate, ends_group)?;
                    ensure!(loss.is_finite(), self.diverged(state, rate, loss));
                    if let Some(average) = average.as_mut().filter(|_| ends_group) {
                        average.update(length.share(state))?;
                        state.average_updates = average.updates;
                    }
                    state.loss_sum += loss * learned as f64;
                    state.loss_images += learned;
                } else if ends_group {
                    learner.end_group(rate)?;
                }
                state.step += 1;
                state.seconds = seconds();

                if let Some(line) = progress.step(state, learned, rate, loaded.waited()) {
                    saves.log(&line);
                }
                if self.interrupted.load(Ordering::Relaxed) {
                    return self.interrupt(trained, &mut saves);
                }
                if saves.is_due(trained.state.step) {
                    self.save(trained, &mut saves)?;
                }
            }
            drop(loaded);
            progress.clear();
            ensure!(trained.state.loss_images > 0, "none of the training images could be read");
            // Validation may take long or fail; a resumed run continues with it.
            if saves.is_worthwhile() {
                self.save(trained, &mut saves)?;
            }
            let Some(found) = self.validate(trained, bad)? else { return self.interrupt(trained, &mut saves) };
            trained.state.seconds = seconds();
            self.finish_epoch(trained, found, &length, &progress, &mut saves)?;
        }
        saves.finish(trained, &self.note(&trained.state)?)?;
        self.end(&trained.state)
    }

    /// Whether nothing is left to train or to validate.
    fn is_over(&self, state: &State, length: &Length) -> bool {
        let early = self.experiment.training.early_stopping.as_ref();
        let is_early = early.is_some_and(|early| state.stale >= early.patience);
        state.epoch >= length.epochs || state.is_validated() && (is_early || length.is_over(state))
    }

    /// The next `count` images and labels; fewer if some cannot be read.
    fn take(&self, loaded: &mut Loader<Example>, count: usize, bad: &mut Vec<BadImage>) -> Result<TrainingBatch> {
        let mut step = TrainingBatch { images: Vec::with_capacity(count), labels: Vec::with_capacity(count) };
        for example in loaded.take(count) {
            let (index, image) = example?;
            let sample = &self.train.samples[index];
            match image {
                Ok(image) => {
                    step.images.push(image);
                    step.labels.push(sample.label as i64);
                }
                Err(reason) => self.remember(bad, BadImage { name: sample.source.name(), reason }),
            }
        }
        Ok(step)
    }

    /// Reports a bad image the first time it occurs.
    fn remember(&self, bad: &mut Vec<BadImage>, image: BadImage) {
        if bad.iter().all(|known| known.name != image.name) {
            self.report.warn(format!("{}: {}; skipped", image.name, image.reason));
            bad.push(image);
        }
    }

    /// The errors on the validation images, of the weights and of their average; `None` if interrupted by a signal.
    fn validate(&self, trained: &Trained, bad: &mut Vec<BadImage>) -> Result<Option<Validated>> {
        let Some(weights) = self.errors(&trained.learner.network, "validation", bad)? else { return Ok(None) };
        let Some(network) = trained.average.as_ref().and_then(Average::network) else {
            return Ok(Some(Validated { weights, averaged: None }));
        };
        let averaged = self.errors(network, "averaged", bad)?;
        Ok(averaged.map(|averaged| Validated { weights, averaged: Some(averaged) }))
    }

    fn errors(&self, network: &Network, title: &str, bad: &mut Vec<BadImage>) -> Result<Option<Errors>> {
        let pace = Pace { batch_size: self.experiment.training.batch_size, workers: self.workers };
        let member = Member { network, experiment: self.experiment, order: None };
        let outcomes = Classification::start(&[member], &[Views::center()], self.val.samples.clone(), pace)?;
        let mut measurement = Measurement::default();
        let mut bar = self.report.bar(self.val.samples.len() as u64, title);
        for (index, (outcome, sample)) in outcomes.zip(self.val.samples.iter()).enumerate() {
            measurement.count(&outcome?, sample.label);
            bar.at(index as u64 + 1, "");
            if self.interrupted.load(Ordering::Relaxed) {
                bar.clear();
                return Ok(None);
            }
        }
        bar.clear();
        measurement.check().context("validation")?;
        measurement.bad.into_iter().for_each(|image| self.remember(bad, image));
        Ok(measurement.protocols.first().and_then(|measured| measured.tally.errors()))
    }

    /// Logs and saves a complete epoch, or the end of a run within one.
    fn finish_epoch(
        &self,
        trained: &mut Trained,
        found: Validated,
        length: &Length,
        progress: &Progress,
        saves: &mut Saves,
    ) -> Result<()> {
        let training = &self.experiment.training;
        let training_loss = trained.state.loss();
        let verdict = trained.state.finish(found, length.is_whole(&trained.state), &training.schedule);
        let state = &trained.state;
        if verdict.is_best {
            let (note, average) = (self.note(state)?, trained.average.as_ref().and_then(Average::network));
            match average.filter(|_| state.best_is_averaged) {
                Some(average) => saves.keep_best(average, state.note_of_average(&note))?,
                None => saves.keep_best(&trained.learner.network, note)?,
            }
        }
        saves.log(&progress.epoch(state, training_loss, found, verdict.is_best));
        self.save(trained, saves)?;
        saves.draw_curves();
        self.report.note(progress.epoch_text(state, training_loss, found, verdict.is_best));
        if verdict.lowers_rate {
            self.report.note("the top-1 error has stopped falling: the schedule lowers the learning rate");
        }
        Ok(())
    }

    fn save(&self, trained: &Trained, saves: &mut Saves) -> Result<()> {
        saves.save(trained, &self.note(&trained.state)?)
    }

    fn interrupt(&self, trained: &Trained, saves: &mut Saves) -> Result<Ended> {
        saves.finish(trained, &self.note(&trained.state)?)?;
        Ok(Ended::Interrupted)
    }

    fn end(&self, state: &State) -> Result<Ended> {
        if state.epoch < self.experiment.training.epochs {
            let reason = if self
                .experiment
                .training
                .early_stopping
                .as_ref()
                .is_some_and(|early| state.stale >= early.patience)
            {
                format!("no lower top-1 error for {} epochs", state.stale)
            } else {
                "the number of steps or minutes that was asked for".to_string()
            };
            self.report.note(format!("ended after {} steps: {reason}", state.step));
        }
        match (state.best, state.errors) {
            (Some(best), Some(last)) => {
                Ok(Ended::Finished { best, best_is_averaged: state.best_is_averaged, last, averaged: state.averaged })
            }
            _ => bail!("no epoch was trained"),
        }
    }

    fn note(&self, state: &State) -> Result<Note> {
        Ok(Note {
            version: env!("CARGO_PKG_VERSION").to_string(),
            experiment: serde_json::to_value(self.experiment)?,
            classes: self.train.classes.clone(),
            epoch: state.epoch,
            step: state.step,
            errors: state.errors,
            averaged: false,
        })
    }

    fn diverged(&self, state: &State, rate: f64, loss: f64) -> Error {
        let intact = if state.epoch > 0 { "; earlier checkpoints are intact" } else { "" };
        let (step, epoch) = (state.step + 1, state.epoch + 1);
        let problem = format!(
            "loss is {loss} at step {step} (epoch {epoch}, learning rate {rate:.4}): training diverged{intact}"
        );
        let lower = self.experiment.training.learning_rate / 10.0;
        let changes = vec![("training.learning_rate", lower.to_string()), ("training.warmup_epochs", "2".to_string())];
        Error::new(Remedy { problem, changes })
    }
}

/// The first image of step `step` in an epoch of `images` images: all steps are of equal size, give or take one image,
/// so that no image is dropped and no batch is much smaller than the others.
fn start_of(step: u64, steps: u64, images: usize) -> usize {
    (images as u64 * step / steps) as usize
}

fn single_image() -> Error {
    let problem =
        "this network has a batch norm over a 1x1 map, which cannot be trained on one image at a time".to_string();
    Error::new(Remedy { problem, changes: vec![("training.batch_size", "2".to_string())] })
}
