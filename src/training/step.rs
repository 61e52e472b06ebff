//! A training step: forward, loss, gradients, update.

use anyhow::Result;
use image::RgbImage;
use tch::{Reduction, TchError, Tensor};

use super::optimizer::Optimizer;
use crate::data::mix;
use crate::device;
use crate::experiment::{Experiment, Mix};
use crate::geometry::Size;
use crate::image::batch::Batch;
use crate::image::normalise::Normalisation;
use crate::network::{Mode, Network, Output};
use crate::random;

/// A network in training, with everything that a step needs.
#[derive(Debug)]
pub struct Learner {
    /// The network.
    pub network: Network,
    /// Its optimiser.
    pub optimizer: Optimizer,
    weights: Vec<Tensor>,
    normalisation: Normalisation,
    label_smoothing: f64,
    mix: Option<Mix>,
    input: Size,
    classes: i64,
    seed: u64,
}

impl Learner {
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn new(network: Network, experiment: &Experiment) -> Result<Self> {
        let training = &experiment.training;
        Ok(Learner {
            optimizer: Optimizer::new(training, &network)?,
            weights: network.trainable().map(|(_, weight)| weight.shallow_clone()).collect(),
            normalisation: Normalisation::new(&experiment.preprocess.constants(), network.device())?,
            label_smoothing: training.label_smoothing,
            mix: training.mix.clone(),
            input: experiment.input(),
            classes: experiment.network().classes,
            seed: training.seed,
            network,
        })
    }

    /// Trains on images of the input's size and their classes; returns their mean loss. If it is NaN or infinite, the
    /// weights stay unchanged.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn step(&mut self, images: &[RgbImage], labels: &[i64], step: u64, rate: f64) -> Result<f64> {
        let bytes = Batch::of(images)?.tensor()?;
        self.learn(&bytes, labels, step, rate)
            .map_err(|error| device::explain(error, images.len(), self.network.device()))
    }

    fn learn(&mut self, bytes: &Tensor, labels: &[i64], step: u64, rate: f64) -> Result<f64, TchError> {
        // Dropout draws from libtorch's generator.
        tch::manual_seed(random::dropout_seed(self.seed, step));
        let inputs = self.normalisation.apply(bytes)?;
        let (inputs, labels) = self.mixed(inputs, labels, step)?;

        let output = self.network.forward(&inputs, Mode::Training)?;
        let loss = loss(&output, &labels, self.label_smoothing)?;
        let value = loss.f_double_value(&[])?;
        if value.is_finite() {
            let gradients = Tensor::f_run_backward(&[&loss], &self.weights, false, false)?;
            self.optimizer.step(&self.weights, gradients, rate)?;
        }
        Ok(value)
    }

    /// The inputs and their targets: class indices, (images), or probabilities, (images, classes), if they are mixed.
    fn mixed(&self, inputs: Tensor, labels: &[i64], step: u64) -> Result<(Tensor, Tensor), TchError> {
        let targets = Tensor::f_from_slice(labels)?.f_to_device(self.network.device())?;
        let mut random = random::mix_stream(self.seed, step);
        match self.mix.as_ref().and_then(|mix| mix::choose(mix, labels.len(), self.input, &mut random)) {
            Some(mixing) => Ok((mixing.inputs(&inputs)?, mixing.targets(&targets, self.classes)?)),
            None => Ok((inputs, targets)),
        }
    }
}

/// The mean cross entropy of the batch, plus that of each auxiliary classifier times its weight. `labels` holds one
/// class index per image, (images), or the probability of each class, (images, classes); `label_smoothing` spreads that
/// share of the target over all classes (Szegedy et al.,
/// arXiv:1512.00567).
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn loss(output: &Output, labels: &Tensor, label_smoothing: f64) -> Result<Tensor, TchError> {
    let cross_entropy =
        |logits: &Tensor| logits.f_cross_entropy_loss(labels, None::<Tensor>, Reduction::Mean, -100, label_smoothing);
    output.auxiliary.iter().try_fold(cross_entropy(&output.values)?, |sum, (weight, logits)| {
        sum.f_add(&cross_entropy(logits)?.f_multiply_scalar(*weight)?)
    })
}
