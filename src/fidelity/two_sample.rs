//! The classifier two-sample test (Lopez-Paz and Oquab, arXiv:1610.06545): a fresh classifier learns to tell real images from
//! made ones on one half of them, and how often it is right on the other half says how far the two can be told apart.

use anyhow::{Result, ensure};
use image::RgbImage;
use tch::{Device, Kind, TchError, no_grad};

use super::judge::judge;
use crate::device;
use crate::experiment::Experiment;
use crate::geometry::Size;
use crate::image::batch::Batch;
use crate::image::normalise::Normalisation;
use crate::metrics::Interval;
use crate::network::{Mode, Network, init};
use crate::random;
use crate::report::Report;
use crate::training::schedule;
use crate::training::step::Learner;

/// The fewest images of each kind.
const FEWEST: usize = 20;

/// How often people told images of the best generators of Salimans et al., arXiv:1606.03498 (sections 5.1 and 5.2), from real
/// ones, in percent, by data set: the figures to set an accuracy beside. 50 would be guessing.
pub const PEOPLE: [(&str, f64); 2] = [("MNIST", 52.4), ("CIFAR-10", 78.7)];

/// How often a fresh classifier was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Passes over the images that it learned from.
    pub epochs: u64,
    /// The images that it learned from, half of them real.
    pub learned: u64,
    /// The images that it was tested on, half of them real.
    pub tested: u64,
    /// Those of them that it told right.
    pub right: u64,
}

impl Verdict {
    /// The percentage that was told right: about 50 if real and made images cannot be told apart.
    pub fn accuracy(&self) -> f64 {
        100.0 * self.right as f64 / self.tested as f64
    }

    /// The 95 % interval of the accuracy, in percent.
    pub fn interval(&self) -> Interval {
        Interval::wilson(self.right, self.tested)
    }
}

/// Trains a classifier on the first halves of real and made images and tests it on the rest. All images have one size, both
/// kinds come in random order, and of the kind with more images the last ones are left out.
///
/// # Errors
/// Returns an error if there are too few images, or the device is out of memory.
pub fn tell_apart(real: &[RgbImage], made: &[RgbImage], seed: u64, device: Device, report: Report) -> Result<Verdict> {
    let half = real.len().min(made.len()) / 2;
    ensure!(
        2 * half >= FEWEST,
        "the two-sample test needs {FEWEST} images or more of each kind, found {} real and {} made ones",
        real.len(),
        made.len()
    );
    let judge = judge(Size::from(real[0].dimensions()), seed)?;
    let learner = learn(&judge, [&real[..half], &made[..half]], device, report)?;
    let normalisation = Normalisation::new(&judge.preprocess.constants(), device)?;
    let mut right = 0;
    for (label, images) in [&real[half..2 * half], &made[half..2 * half]].into_iter().enumerate() {
        for batch in images.chunks(judge.training.batch_size) {
            right += count(&learner.network, &normalisation, batch, label as i64)?;
        }
    }
    Ok(Verdict { epochs: judge.training.epochs, learned: 2 * half as u64, tested: 2 * half as u64, right })
}

/// A classifier that has learned from two kinds of images, whose labels are 0 and 1.
fn learn(judge: &Experiment, kinds: [&[RgbImage]; 2], device: Device, report: Report) -> Result<Learner> {
    let training = &judge.training;
    let tensors = init::tensors(judge.nodes(), &judge.network().start, training.seed, device)?;
    let mut learner = Learner::new(Network::for_training(judge.nodes().to_vec(), tensors, device)?, judge)?;
    let images: Vec<(&RgbImage, i64)> =
        kinds.into_iter().zip(0..).flat_map(|(images, label)| images.iter().map(move |image| (image, label))).collect();
    let steps_per_epoch = images.len().div_ceil(training.batch_size) as u64;
    let mut bar = report.bar(training.epochs * steps_per_epoch, "two-sample test");
    let mut step = 0;
    for epoch in 0..training.epochs {
        for batch in random::order(training.seed, epoch, images.len()).chunks(training.batch_size) {
            let (inputs, labels): (Vec<RgbImage>, Vec<i64>) =
                batch.iter().map(|&index| images[index as usize]).map(|(image, label)| (image.clone(), label)).unzip();
            let rate = schedule::rate(training, step as f64, steps_per_epoch as f64, 0);
            let loss = learner.step(&inputs, &labels, step, rate, true)?.loss;
            ensure!(loss.is_finite(), "the training of the two-sample test diverged: its loss is {loss}");
            step += 1;
            bar.at(step, format!("loss {loss:.3}"));
        }
    }
    bar.clear();
    Ok(learner)
}

/// The number of images whose most probable class is `label`.
fn count(network: &Network, normalisation: &Normalisation, images: &[RgbImage], label: i64) -> Result<u64> {
    let bytes = Batch::of(images)?.tensor()?;
    let right = no_grad(|| {
        let logits = network.forward(&normalisation.apply(&bytes)?, Mode::Evaluation)?.values;
        logits.f_argmax(1, false)?.f_eq(label)?.f_sum(Kind::Int64)?.f_int64_value(&[])
    });
    right.map(|right| right as u64).map_err(|error: TchError| device::explain(error, images.len(), network.device()))
}
