//! The training loop, from images to weights, in the order in which things happen. One step is in `step`.

mod accumulation;
pub mod optimizer;
pub mod precision;
mod progress;
pub mod run;
pub mod scaler;
pub mod schedule;
pub mod state;
pub mod step;

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Error, Result, bail, ensure};
use image::RgbImage;

use crate::data::dataset::Dataset;
use crate::data::example::{Example, Examples};
use crate::data::loader::Loader;
use crate::evaluation::{BadImage, Classification, Measurement, Member, Pace};
use crate::experiment::Experiment;
use crate::metrics::Errors;
use crate::model::checkpoint::{self, Note};
use crate::network::node::trains_on_single_images;
use crate::remedy::Remedy;
use crate::report::Report;
use crate::views::Views;

use progress::Progress;
use run::RunFolder;
use state::State;
use step::Learner;

/// How training ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ended {
    /// After the last epoch.
    Finished {
        /// The errors of the best epoch.
        best: Errors,
        /// The errors of the last one.
        last: Errors,
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
    /// Trains from `state` to the last epoch. Images that cannot be read are reported once, skipped, and added to
    /// `bad`.
    ///
    /// # Errors
    /// Returns an error if the loss becomes NaN or infinite, the device is out of memory, or a file cannot be written.
    pub fn train(&self, learner: &mut Learner, mut state: State, bad: &mut Vec<BadImage>) -> Result<Ended> {
        let training = &self.experiment.training;
        let examples = Examples::new(self.train, self.experiment);
        let images = self.train.samples.len();
        let steps = images.div_ceil(training.batch_size) as u64;
        let ahead = 2 * training.batch_size + self.workers;
        let least = if trains_on_single_images(self.experiment.nodes()) { 1 } else { 2 };
        ensure!(training.batch_size as u64 >= least, single_image());

        while state.epoch < training.epochs {
            let mut progress = Progress::new(self.report, &state, training.epochs, steps);
            let first_step = state.step - state.epoch * steps;
            let order = examples.order(state.epoch);
            let rest = &order[start_of(first_step, steps, images)..];
            let mut loaded = examples.load(rest, state.epoch, self.workers, ahead)?;

            for step in first_step..steps {
                let count = start_of(step + 1, steps, images) - start_of(step, steps, images);
                let batch = self.take(&mut loaded, count, bad)?;
                let rate = schedule::rate(training, state.step, steps);
                let learned = batch.images.len() as u64;
                let ends_group = (step + 1).is_multiple_of(training.accumulate) || step + 1 == steps;
                // A single image that the network cannot be trained on is what is left of an uneven or partly unreadable batch.
                if learned >= least {
                    let loss = learner.step(&batch.images, &batch.labels, state.step, rate, ends_group)?;
                    ensure!(loss.is_finite(), self.diverged(&state, rate, loss));
                    state.loss_sum += loss * learned as f64;
                    state.loss_images += learned;
                } else if ends_group {
                    learner.end_group(rate)?;
                }
                state.step += 1;

                if let Some(line) = progress.step(&state, learned, rate, loaded.waited()) {
                    self.run.log(&line)?;
                }
                if self.interrupted.load(Ordering::Relaxed) {
                    self.save(learner, &state)?;
                    return Ok(Ended::Interrupted);
                }
            }
            drop(loaded);
            progress.clear();
            ensure!(state.loss_images > 0, "none of the training images could be read");
            // Validation may take long or fail; a resumed run continues with it.
            self.save(learner, &state)?;
            let Some(errors) = self.validate(learner, bad)? else { return Ok(Ended::Interrupted) };
            self.finish_epoch(learner, &mut state, errors, &progress)?;
        }
        match (state.best, state.errors) {
            (Some(best), Some(last)) => Ok(Ended::Finished { best, last }),
            _ => bail!("no epoch was trained"),
        }
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

    /// The errors on the validation images; `None` if interrupted by a signal.
    fn validate(&self, learner: &Learner, bad: &mut Vec<BadImage>) -> Result<Option<Errors>> {
        let pace = Pace { batch_size: self.experiment.training.batch_size, workers: self.workers };
        let member = Member { network: &learner.network, experiment: self.experiment, order: None };
        let outcomes = Classification::start(&[member], &[Views::center()], self.val.samples.clone(), pace)?;
        let mut measurement = Measurement::default();
        let mut bar = self.report.bar(self.val.samples.len() as u64, "validation");
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

    /// Saves and logs a complete epoch.
    fn finish_epoch(&self, learner: &Learner, state: &mut State, errors: Errors, progress: &Progress) -> Result<()> {
        let training_loss = state.loss();
        let is_best = state.finish_epoch(errors);
        if is_best {
            checkpoint::write(&self.run.best(), &learner.network, &self.note(state)?)?;
        }
        self.save(learner, state)?;
        self.run.log(&progress.epoch(state, training_loss, errors))?;
        self.run.draw_curves()?;
        self.report.note(progress.epoch_text(state, training_loss, errors, is_best));
        Ok(())
    }

    fn save(&self, learner: &Learner, state: &State) -> Result<()> {
        state::save(self.run, learner, &self.note(state)?, state)
    }

    fn note(&self, state: &State) -> Result<Note> {
        Ok(Note {
            version: env!("CARGO_PKG_VERSION").to_string(),
            experiment: serde_json::to_value(self.experiment)?,
            classes: self.train.classes.clone(),
            epoch: state.epoch,
            step: state.step,
            errors: state.errors,
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
