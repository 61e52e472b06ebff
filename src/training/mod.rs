//! Training: the loop, from images to weights, in the order in which it happens.

pub mod checkpoint;
mod curves;
pub mod optimizer;
mod progress;
pub mod run;
pub mod schedule;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail, ensure};
use image::RgbImage;
use tch::{Reduction, TchError, Tensor};

use crate::config::Experiment;
use crate::data::batch;
use crate::data::decode::{self, decode};
use crate::data::folder::Folder;
use crate::data::loader::Loader;
use crate::data::transform::{self, Normalisation};
use crate::device;
use crate::evaluation::{BadImage, Member, Pace, evaluate};
use crate::metrics::Errors;
use crate::network::{Network, Output};
use crate::random;
use crate::report::Report;
use crate::views::Views;

use checkpoint::{Note, Position};
use optimizer::Sgd;
use progress::Progress;
use run::RunFolder;

/// How training ended.
pub enum Ended {
    Finished {
        best: Errors,
        last: Errors,
    },
    /// By a signal; the state is saved.
    Interrupted,
}

/// What training works on.
pub struct Trainer<'a> {
    pub experiment: &'a Experiment,
    pub network: &'a Network,
    pub train: &'a Folder,
    pub val: &'a Folder,
    pub run: &'a RunFolder,
    pub workers: usize,
    pub report: Report,
    /// Set by a signal; the loop then ends after its step.
    pub interrupted: &'a AtomicBool,
}

impl Trainer<'_> {
    /// Trains from `position` to the last epoch. Images that cannot be read are reported once, left out, and added to `bad`.
    ///
    /// # Errors
    /// Where the loss is no longer a number, the memory does not suffice, or a file cannot be written.
    pub fn train(&self, optimizer: &mut Sgd, mut position: Position, bad: &mut Vec<BadImage>) -> Result<Ended> {
        let training = &self.experiment.training;
        let normalisation = Normalisation::new(&self.experiment.preprocess, self.network.device())?;
        let steps_per_epoch = (self.train.samples.len().div_ceil(training.batch_size)) as u64;

        while position.epoch < training.epochs {
            let mut progress = Progress::new(self.report, training, &position, steps_per_epoch);
            let order = random::order(training.seed, position.epoch, self.train.samples.len());
            let first = share(order.len(), steps_per_epoch, position.step_in_epoch);
            let mut images = self.images(&order[first..], position.epoch)?;

            while position.step_in_epoch < steps_per_epoch {
                let next = share(order.len(), steps_per_epoch, position.step_in_epoch + 1)
                    - share(order.len(), steps_per_epoch, position.step_in_epoch);
                let (inputs, labels) = self.take(&mut images, next, bad)?;
                let rate = schedule::rate(training, position.step, steps_per_epoch);
                let count = inputs.len() as u64;
                if count > 0 {
                    tch::manual_seed(random::of_step(training.seed, position.step));
                    let loss = self.step(optimizer, &normalisation, &inputs, &labels, rate)?;
                    ensure!(loss.is_finite(), diverged(&position, rate, loss));
                    position.loss_sum += loss * count as f64;
                    position.loss_images += count;
                }
                position.step += 1;
                position.step_in_epoch += 1;

                if let Some(line) = progress.step(&position, count, rate, images.waited()) {
                    self.run.log(&line)?;
                }
                if self.interrupted.load(Ordering::Relaxed) {
                    self.save_last(optimizer, &position)?;
                    return Ok(Ended::Interrupted);
                }
            }
            drop(images);
            ensure!(position.loss_images > 0, "none of the training images could be read");
            // Validation takes its time, and may fail; a resumed run goes on with it.
            self.save_last(optimizer, &position)?;
            if !self.finish_epoch(optimizer, &mut position, &progress, bad)? {
                return Ok(Ended::Interrupted);
            }
        }
        match (position.best, position.errors) {
            (Some(best), Some(last)) => Ok(Ended::Finished { best, last }),
            _ => bail!("no epoch was trained"),
        }
    }

    /// Starts workers that decode, cut and mirror the samples of `order`; all choices are keyed by seed, epoch and sample.
    fn images(&self, order: &[u32], epoch: u64) -> Result<Loader<(usize, Result<RgbImage, String>)>> {
        let experiment = self.experiment.clone();
        let input = self.experiment.input();
        let (order, samples) = (order.to_vec(), self.train.samples.clone());
        let ahead = 2 * experiment.training.batch_size + self.workers;
        Loader::start(order.len(), self.workers, ahead, move |job| {
            let sample = order[job] as usize;
            let path = &samples[sample].path;
            let upright = experiment.preprocess.exif_orientation;
            let image = decode::read(path).and_then(|bytes| decode(&bytes, path, upright)).and_then(|image| {
                let training = &experiment.training;
                let mut random = random::of_sample(training.seed, epoch, order[job]);
                let placement =
                    transform::choose(&training.crop, training.mirror, image.dimensions(), input, &mut random);
                transform::apply(&image, placement, input)
            });
            (sample, image.map_err(|error| format!("{error:#}")))
        })
    }

    /// The next `count` images and labels; fewer where some cannot be read.
    fn take(
        &self,
        images: &mut Loader<(usize, Result<RgbImage, String>)>,
        count: usize,
        bad: &mut Vec<BadImage>,
    ) -> Result<(Vec<RgbImage>, Vec<i64>)> {
        let (mut inputs, mut labels) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for next in images.by_ref().take(count) {
            let (index, image) = next?;
            let sample = &self.train.samples[index];
            match image {
                Ok(image) => {
                    inputs.push(image);
                    labels.push(sample.label as i64);
                }
                Err(reason) => self.remember(bad, BadImage { path: sample.path.clone(), reason }),
            }
        }
        Ok((inputs, labels))
    }

    /// Reports a bad image the first time it is met.
    fn remember(&self, bad: &mut Vec<BadImage>, image: BadImage) {
        if bad.iter().all(|known| known.path != image.path) {
            self.report.warn(format!("{}: {}; left out", image.path.display(), image.reason));
            bad.push(image);
        }
    }

    /// One step of the optimiser on one batch; gives the batch's mean loss.
    fn step(
        &self,
        optimizer: &mut Sgd,
        normalisation: &Normalisation,
        inputs: &[RgbImage],
        labels: &[i64],
        rate: f64,
    ) -> Result<f64> {
        let bytes = batch::stack(inputs)?;
        let mut pass = || -> Result<f64, TchError> {
            let labels = Tensor::f_from_slice(labels)?.f_to_device(self.network.device())?;
            let output = self.network.forward(&normalisation.apply(&bytes)?, true)?;
            let loss = loss(&output, &labels, self.experiment.training.label_smoothing)?;
            let value = loss.f_double_value(&[])?;
            if value.is_finite() {
                optimizer.step(&loss, rate)?;
            }
            Ok(value)
        };
        pass().map_err(|error| device::explain(error, inputs.len(), self.network.device()))
    }

    /// Validates, saves and logs; false if a signal came meanwhile.
    fn finish_epoch(
        &self,
        optimizer: &Sgd,
        position: &mut Position,
        progress: &Progress,
        bad: &mut Vec<BadImage>,
    ) -> Result<bool> {
        let pace = Pace { batch_size: self.experiment.training.batch_size, workers: self.workers };
        progress.clear();
        let mut bar = self.report.bar(self.val.samples.len() as u64, "validation");
        let mut seen = 0;
        let member = Member { network: self.network, experiment: self.experiment, order: None };
        let validated = evaluate(&[member], &[Views::center()], self.val, pace, |_, _, _| {
            seen += 1;
            bar.at(seen, "");
            let is_over = self.interrupted.load(Ordering::Relaxed);
            Ok(if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        bar.clear();
        let Some((measured, unread)) = validated else { return Ok(false) };
        unread.into_iter().for_each(|image| self.remember(bad, image));
        let Some(errors) = measured[0].tally.errors() else { bail!("there are no validation images") };

        let training_loss = position.loss_sum / position.loss_images as f64;
        let is_best = position.best.is_none_or(|best| (errors.top1_error, errors.loss) < (best.top1_error, best.loss));
        position.epoch += 1;
        position.step_in_epoch = 0;
        (position.loss_sum, position.loss_images) = (0.0, 0);
        position.errors = Some(errors);
        if is_best {
            position.best = Some(errors);
            checkpoint::write(&self.run.best(), self.network, &self.note(position))?;
        }
        self.save_last(optimizer, position)?;
        self.run.log(&progress.epoch(position, training_loss, errors))?;
        curves::draw(self.run)?;
        self.report.note(progress.epoch_text(position, training_loss, errors, is_best));
        Ok(true)
    }

    fn save_last(&self, optimizer: &Sgd, position: &Position) -> Result<()> {
        checkpoint::write_last(self.run.path(), self.network, &self.note(position), optimizer, position)
    }

    fn note(&self, position: &Position) -> Note {
        Note {
            version: env!("CARGO_PKG_VERSION").to_string(),
            experiment: self.experiment.clone(),
            classes: self.train.classes.clone(),
            epoch: position.epoch,
            step: position.step,
            errors: position.errors,
        }
    }
}

/// Where step `step` begins in an epoch of `images` images: all steps are of equal size, give or take one image, so that
/// no image is dropped and no batch is much smaller than the others.
fn share(images: usize, steps: u64, step: u64) -> usize {
    (images as u64 * step / steps) as usize
}

/// The mean cross entropy of the batch, plus that of each auxiliary head times its weight. `labels` holds one class index
/// an image; `label_smoothing` spreads that share of the target over all classes (Szegedy et al., arXiv:1512.00567).
///
/// # Errors
/// Where the memory does not suffice.
pub fn loss(output: &Output, labels: &Tensor, label_smoothing: f64) -> Result<Tensor, TchError> {
    let cross_entropy =
        |logits: &Tensor| logits.f_cross_entropy_loss(labels, None::<Tensor>, Reduction::Mean, -100, label_smoothing);
    output.auxiliary.iter().try_fold(cross_entropy(&output.logits)?, |sum, (weight, logits)| {
        sum.f_add(&cross_entropy(logits)?.f_multiply_scalar(*weight)?)
    })
}

fn diverged(position: &Position, rate: f64, loss: f64) -> String {
    let before = if position.epoch > 0 { ". The checkpoints of the epochs before are unharmed" } else { "" };
    format!(
        "the loss is {loss} at step {} (epoch {}), at a learning rate of {rate}: training has diverged. Lower the rate, for example --set training.learning_rate={}, or let it rise slowly: --set training.warmup_epochs=2{before}",
        position.step + 1,
        position.epoch + 1,
        rate / 10.0
    )
}
