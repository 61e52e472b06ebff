//! Training: the loop, from images to weights, in the order in which it happens.

pub mod checkpoint;
mod curves;
pub mod optimizer;
pub mod run;
pub mod schedule;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use image::RgbImage;
use tch::{Reduction, TchError, Tensor};

use crate::config::{Experiment, Training};
use crate::data::batch;
use crate::data::decode::decode;
use crate::data::folder::Folder;
use crate::data::loader::Loader;
use crate::data::transform::{self, Normalisation};
use crate::device;
use crate::evaluation::{BadImage, Pace, evaluate};
use crate::metrics::Errors;
use crate::model;
use crate::network::{Network, Output};
use crate::random;
use crate::report::{Report, duration};

use checkpoint::{Note, Position};
use optimizer::Sgd;
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
            let mut images = self.images(&order[first..], position.epoch);

            while position.step_in_epoch < steps_per_epoch {
                let next = share(order.len(), steps_per_epoch, position.step_in_epoch + 1)
                    - share(order.len(), steps_per_epoch, position.step_in_epoch);
                let (inputs, labels) = self.take(&mut images, next, bad);
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
            self.finish_epoch(optimizer, &mut position, &progress, bad)?;
        }
        match (position.best, position.errors) {
            (Some(best), Some(last)) => Ok(Ended::Finished { best, last }),
            _ => bail!("no epoch was trained"),
        }
    }

    /// Starts workers that decode, cut and mirror the samples of `order`; all choices are keyed by seed, epoch and sample.
    fn images(&self, order: &[u32], epoch: u64) -> Loader<(usize, Result<RgbImage, String>)> {
        let experiment = self.experiment.clone();
        let input = model::input(self.experiment);
        let (order, samples) = (order.to_vec(), self.train.samples.clone());
        let ahead = 2 * experiment.training.batch_size + self.workers;
        Loader::start(order.len(), self.workers, ahead, move |job| {
            let sample = order[job] as usize;
            let image = decode(&samples[sample].path, experiment.preprocess.exif_orientation).map(|image| {
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
    ) -> (Vec<RgbImage>, Vec<i64>) {
        let (mut inputs, mut labels) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for (index, image) in images.by_ref().take(count) {
            let sample = &self.train.samples[index];
            match image {
                Ok(image) => {
                    inputs.push(image);
                    labels.push(sample.label as i64);
                }
                Err(reason) => self.remember(bad, BadImage { path: sample.path.clone(), reason }),
            }
        }
        (inputs, labels)
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
                optimizer.zero_grad();
                loss.f_backward()?;
                optimizer.step(rate)?;
            }
            Ok(value)
        };
        pass().map_err(|error| device::explain(error, inputs.len(), self.network.device()))
    }

    /// Validates, saves and logs.
    fn finish_epoch(
        &self,
        optimizer: &Sgd,
        position: &mut Position,
        progress: &Progress,
        bad: &mut Vec<BadImage>,
    ) -> Result<()> {
        let pace = Pace { batch_size: self.experiment.training.batch_size, workers: self.workers };
        let bar = self.report.bar(self.val.samples.len() as u64, "validation");
        let center = crate::views::Protocol::Center;
        let (tally, unread) = evaluate(self.network, self.experiment, self.val, center, pace, |_| bar.inc(1))?;
        bar.finish_and_clear();
        unread.into_iter().for_each(|image| self.remember(bad, image));
        let Some(errors) = tally.errors() else { bail!("there are no validation images") };

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
        Ok(())
    }

    fn save_last(&self, optimizer: &Sgd, position: &Position) -> Result<()> {
        let position = Position { training_images: self.train.samples.len() as u64, ..position.clone() };
        checkpoint::write_last(self.run.path(), self.network, &self.note(&position), optimizer, &position)
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

/// The mean cross entropy of the batch, plus that of each auxiliary head times its weight.
fn loss(output: &Output, labels: &Tensor, label_smoothing: f64) -> Result<Tensor, TchError> {
    let cross_entropy =
        |logits: &Tensor| logits.f_cross_entropy_loss(labels, None::<Tensor>, Reduction::Mean, -100, label_smoothing);
    output.auxiliary.iter().try_fold(cross_entropy(&output.logits)?, |sum, (weight, logits)| {
        sum.f_add(&cross_entropy(logits)?.f_multiply_scalar(*weight)?)
    })
}

fn diverged(position: &Position, rate: f64, loss: f64) -> String {
    format!(
        "the loss is {loss} at step {} (epoch {}), at a learning rate of {rate}: training has diverged. Lower the rate, for example --set training.learning_rate={}, or let it rise slowly: --set training.warmup_epochs=2. The checkpoints of the epochs before are unharmed",
        position.step + 1,
        position.epoch + 1,
        rate / 10.0
    )
}

/// What is said of an epoch while it runs.
struct Progress {
    report: Report,
    bar: indicatif::ProgressBar,
    begun: Instant,
    first_step: u64,
    images: u64,
    steps_per_epoch: u64,
    epochs: u64,
    waited: Duration,
    /// How long the training steps have taken so far, without validation and saving.
    spent: Duration,
    last_line: Instant,
}

/// Steps between two lines of the log.
const LOG_INTERVAL: u64 = 10;
/// Time between two lines on a terminal that is none.
const LINE_INTERVAL: Duration = Duration::from_secs(15);

impl Progress {
    fn new(report: Report, training: &Training, position: &Position, steps_per_epoch: u64) -> Self {
        let bar = report.bar(steps_per_epoch, &format!("epoch {}/{}", position.epoch + 1, training.epochs));
        bar.set_position(position.step_in_epoch);
        Progress {
            report,
            bar,
            begun: Instant::now(),
            first_step: position.step,
            images: 0,
            steps_per_epoch,
            epochs: training.epochs,
            waited: Duration::ZERO,
            spent: Duration::ZERO,
            last_line: Instant::now(),
        }
    }

    fn images_per_second(&self) -> f64 {
        self.images as f64 / self.spent.as_secs_f64().max(1e-9)
    }

    /// The share of the time, in percent, that the network waited for images.
    fn waiting(&self) -> f64 {
        100.0 * self.waited.as_secs_f64() / self.spent.as_secs_f64().max(1e-9)
    }

    /// Shows a step; gives the line to log now and then.
    fn step(&mut self, position: &Position, count: u64, rate: f64, waited: Duration) -> Option<serde_json::Value> {
        self.images += count;
        self.waited = waited;
        self.spent = self.begun.elapsed();
        let loss = position.loss_sum / position.loss_images.max(1) as f64;
        let done = position.step - self.first_step;
        let left = (self.epochs * self.steps_per_epoch).saturating_sub(position.step);
        let left = self.spent.mul_f64(left as f64 / done as f64);
        let text = format!(
            "loss {loss:.3}  rate {rate:.4}  {:.0} images/s  waiting {:.0} %  {} left",
            self.images_per_second(),
            self.waiting(),
            duration(left)
        );
        self.bar.set_position(position.step_in_epoch);
        if self.bar.is_hidden() && self.last_line.elapsed() >= LINE_INTERVAL {
            let [epoch, epochs, step, steps] =
                [position.epoch + 1, self.epochs, position.step_in_epoch, self.steps_per_epoch];
            self.report.note(format!("epoch {epoch}/{epochs}  step {step}/{steps}  {text}"));
            self.last_line = Instant::now();
        }
        self.bar.set_message(text);
        (position.step.is_multiple_of(LOG_INTERVAL)).then(|| {
            serde_json::json!({
                "kind": "step", "epoch": position.epoch + 1, "step": position.step, "loss": loss, "rate": rate,
                "images_per_second": self.images_per_second(), "waiting_percent": self.waiting(),
            })
        })
    }

    fn epoch(&self, position: &Position, training_loss: f64, errors: Errors) -> serde_json::Value {
        serde_json::json!({
            "kind": "epoch", "epoch": position.epoch, "step": position.step, "training_loss": training_loss,
            "loss": errors.loss, "top1_error": errors.top1_error, "top5_error": errors.top5_error,
            "images_per_second": self.images_per_second(), "waiting_percent": self.waiting(),
            "seconds": self.begun.elapsed().as_secs_f64(),
        })
    }

    fn epoch_text(&self, position: &Position, training_loss: f64, errors: Errors, is_best: bool) -> String {
        self.bar.finish_and_clear();
        format!(
            "epoch {}/{}  training loss {training_loss:.3}  validation loss {:.3}  top-1 error {:.2} %  top-5 error {:.2} %{}  ({:.0} images/s, {})",
            position.epoch,
            self.epochs,
            errors.loss,
            errors.top1_error,
            errors.top5_error,
            if is_best { "  best" } else { "" },
            self.images_per_second(),
            duration(self.begun.elapsed())
        )
    }
}
