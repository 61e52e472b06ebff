//! A training step: forward, loss, gradients, their sum over all processes, update.

use anyhow::Result;
use image::RgbImage;
use tch::{Device, Kind, Reduction, TchError, Tensor, no_grad};

use super::accumulation::Accumulation;
use super::optimizer::{Optimizer, in_order};
use super::precision;
use super::scaler::Scaler;
use crate::data::mix;
use crate::device;
use crate::experiment::{Experiment, Mix};
use crate::geometry::Size;
use crate::image::batch::Batch;
use crate::image::normalise::Normalisation;
use crate::network::node::least_images;
use crate::network::{Mode, Network, Output, Precision, channels_last};
use crate::processes::Processes;
use crate::random;

/// A network in training, with everything that a step needs.
#[derive(Debug)]
pub struct Learner {
    /// The network.
    pub network: Network,
    optimizer: Optimizer,
    /// Only if several batches make an update.
    accumulation: Option<Accumulation>,
    /// Only in 16 bits.
    scaler: Option<Scaler>,
    weights: Vec<Tensor>,
    /// The running statistics that training changes.
    statistics: Vec<Tensor>,
    normalisation: Normalisation,
    channels_last: bool,
    label_smoothing: f64,
    mix: Option<Mix>,
    input: Size,
    classes: i64,
    class_weights: Option<Tensor>,
    /// The images that a step needs at least, in all processes.
    least: usize,
    sync_batch_norm: bool,
    seed: u64,
    processes: Processes,
}

/// What a step has learned from, in all processes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Learned {
    /// The mean loss, before the update.
    pub loss: f64,
    /// The number of images.
    pub images: u64,
}

impl Learner {
    /// Freezes the layers that the experiment does not train, and readies its optimiser.
    ///
    /// # Errors
    /// Returns an error if the device cannot train so, or is out of memory.
    pub fn new(mut network: Network, experiment: &Experiment) -> Result<Self> {
        let training = &experiment.training;
        precision::check(training, network.nodes(), network.device())?;
        network.freeze(&training.freeze)?;
        let precision = precision::of(training, network.device());
        network.train_in(precision);
        let channels_last = precision::puts_channels_last(training, network.nodes(), network.device());
        if channels_last && network.device() != Device::Cpu {
            network.put_channels_last()?;
        }
        Ok(Learner {
            optimizer: Optimizer::new(training, &network)?,
            accumulation: (training.accumulate > 1).then(|| Accumulation::new(&network)).transpose()?,
            scaler: (precision == Precision::F16).then(Scaler::new).transpose()?,
            weights: network.trainable().map(|(_, weight)| weight.shallow_clone()).collect(),
            statistics: network.statistics().map(Tensor::shallow_clone).collect(),
            normalisation: Normalisation::new(&experiment.preprocess.constants(), network.device())?,
            channels_last,
            label_smoothing: training.label_smoothing,
            mix: training.mix.clone(),
            input: experiment.input(),
            classes: experiment.network().classes,
            class_weights: None,
            least: least_images(network.nodes()),
            sync_batch_norm: training.sync_batch_norm,
            seed: training.seed,
            processes: Processes::alone(),
            network,
        })
    }

    /// The same as one of several that learn together, each from its own images.
    #[must_use]
    pub fn among(mut self, processes: &Processes) -> Self {
        if self.sync_batch_norm {
            self.network.normalise_over(processes);
        }
        Learner { processes: processes.clone(), ..self }
    }

    /// The same for classes with these numbers of images, by which losses are weighed if the experiment says so.
    ///
    /// # Errors
    /// See [`Learner::new`] and [`ClassWeights::of`](crate::experiment::ClassWeights::of).
    pub fn for_classes(network: Network, experiment: &Experiment, sizes: &[usize]) -> Result<Self> {
        let weights = experiment.training.class_weights.of(sizes)?;
        let weights = weights.map(|weights| Tensor::f_from_slice(&weights)?.f_to_kind(Kind::Float)).transpose()?;
        let weights = weights.map(|weights| weights.f_to_device(network.device())).transpose()?;
        Ok(Learner { class_weights: weights, ..Learner::new(network, experiment)? })
    }

    /// Trains on images of the input's size and their classes, those of all processes as one batch; this one may have none. The
    /// weights change once per group of batches, at the rate of the batch that `ends_group`. If the loss is NaN or
    /// infinite, no weight changes.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory, or another process has ended.
    pub fn step(
        &mut self,
        images: &[RgbImage],
        labels: &[i64],
        step: u64,
        rate: f64,
        ends_group: bool,
    ) -> Result<Learned> {
        let bytes = match images {
            // Batch norms over all processes need this one's part, even if it is nothing.
            [] if self.network.normalises_over_several() => Some(Batch::with_capacity(self.input, 0)?.tensor()?),
            [] => None,
            images => Some(Batch::of(images)?.tensor()?),
        };
        self.learn(bytes.as_ref(), labels, step, rate, ends_group)
            .map_err(|error| device::explain(error, images.len(), self.network.device()))
    }

    fn learn(
        &mut self,
        bytes: Option<&Tensor>,
        labels: &[i64],
        step: u64,
        rate: f64,
        ends_group: bool,
    ) -> Result<Learned, TchError> {
        let own = [labels.len() as f64, self.weight_of(labels)?];
        let [count, weight] = self.processes.totals(own)?;
        if count < self.least as f64 {
            if ends_group {
                self.end_group(rate)?;
            }
            return Ok(Learned::default());
        }
        // An accumulation divides by its images at its end.
        let scale = self.scaler.as_ref().map_or(Ok(1.0), Scaler::scale)?;
        let share = own[1] / weight;
        let factor = share * scale * if self.accumulation.is_some() { count } else { 1.0 };
        let (loss, gradients) = match bytes {
            Some(bytes) => self.gradients(bytes, labels, step, factor)?,
            None => (0.0, self.weights.iter().map(Tensor::f_zeros_like).collect::<Result<_, _>>()?),
        };
        let loss = self.combine(loss * share, &gradients, own[0] / count)?;
        if loss.is_finite() {
            match &mut self.accumulation {
                Some(accumulation) => {
                    accumulation.add(&gradients, count as u64)?;
                    drop(gradients);
                    if ends_group {
                        self.end_group(rate)?;
                    }
                }
                None => self.update(gradients, rate)?,
            }
        }
        Ok(Learned { loss, images: count as u64 })
    }

    /// How much the mean loss of images of these classes counts: as their number, or as the classes are weighted.
    fn weight_of(&self, labels: &[i64]) -> Result<f64, TchError> {
        match &self.class_weights {
            // The mean over mixed images is not weighted.
            Some(weights) if self.mix.is_none() && self.processes.are_several() => {
                let labels = device::send(&Tensor::f_from_slice(labels)?, self.network.device())?;
                weights.f_index_select(0, &labels)?.f_sum(Kind::Double)?.f_double_value(&[])
            }
            _ => Ok(labels.len() as f64),
        }
    }

    /// The mean loss of some images, and the gradients of `factor` times that.
    fn gradients(
        &self,
        bytes: &Tensor,
        labels: &[i64],
        step: u64,
        factor: f64,
    ) -> Result<(f64, Vec<Tensor>), TchError> {
        // Dropout draws from libtorch's generator.
        tch::manual_seed(random::dropout_seed(self.seed, step, self.processes.rank()));
        let inputs = self.normalisation.apply(bytes)?;
        let (mut inputs, targets) = self.mixed(inputs, labels, step)?;
        if self.channels_last {
            inputs = channels_last(&inputs)?;
        }
        let output = self.network.forward(&inputs, Mode::Training)?;
        let loss = loss(&output, &targets, self.label_smoothing, self.class_weights.as_ref())?;
        // The mean over no images is NaN, but has no gradient.
        let value = if labels.is_empty() { 0.0 } else { loss.f_double_value(&[])? };
        let loss = if factor == 1.0 { loss } else { loss.f_multiply_scalar(factor)? };
        let gradients = Tensor::f_run_backward(&[&loss], &self.weights, false, false);
        match gradients {
            Err(error) if self.network.normalises_over_several() => Err(self.processes.explain(error)),
            gradients => Ok((value, in_order(gradients?, &self.weights)?)),
        }
    }

    /// Sums the shares of all processes in the loss, which it returns, and in the gradients, in place; and takes the mean of
    /// their running statistics, each by its share of the images.
    fn combine(&self, loss: f64, gradients: &[Tensor], share: f64) -> Result<f64, TchError> {
        if !self.processes.are_several() {
            return Ok(loss);
        }
        no_grad(|| {
            for statistics in &self.statistics {
                let _ = statistics.shallow_clone().f_multiply_scalar_(share)?;
            }
            let loss = Tensor::f_full([1], loss, (Kind::Float, self.network.device()))?;
            let all: Vec<&Tensor> = gradients.iter().chain(&self.statistics).chain([&loss]).collect();
            self.processes.sum(&all)?;
            loss.f_double_value(&[0])
        })
    }

    /// The inputs and their targets: class indices, (images), or probabilities, (images, classes), if they are mixed.
    fn mixed(&self, inputs: Tensor, labels: &[i64], step: u64) -> Result<(Tensor, Tensor), TchError> {
        let targets = device::send(&Tensor::f_from_slice(labels)?, self.network.device())?;
        let mut random = random::mix_stream(self.seed, step, self.processes.rank());
        match self.mix.as_ref().and_then(|mix| mix::choose(mix, labels.len(), self.input, &mut random)) {
            Some(mixing) => Ok((mixing.inputs(&inputs)?, mixing.targets(&targets, self.classes)?)),
            None => Ok((inputs, targets)),
        }
    }

    /// Updates the weights by what a group of batches has gathered, if it has: for a group whose last batch could not be
    /// learned from.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn end_group(&mut self, rate: f64) -> Result<(), TchError> {
        let Some(gradients) = self.accumulation.as_mut().map_or(Ok(None), Accumulation::mean)? else { return Ok(()) };
        self.update(gradients, rate)?;
        self.accumulation.as_mut().map_or(Ok(()), Accumulation::clear)
    }

    /// Whether batches have been learned from since the last update.
    ///
    /// # Errors
    /// Returns libtorch's error; none is known.
    pub fn has_open_group(&self) -> Result<bool, TchError> {
        self.accumulation.as_ref().map_or(Ok(false), Accumulation::is_open)
    }

    /// Whether all weights are finite.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn is_finite(&self) -> Result<bool, TchError> {
        // A sum of 64-bit floats is finite exactly if all its 32-bit terms are.
        for weight in &self.weights {
            if !weight.f_sum(Kind::Double)?.f_double_value(&[])?.is_finite() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn update(&mut self, mut gradients: Vec<Tensor>, rate: f64) -> Result<(), TchError> {
        let are_finite = self.scaler.as_mut().map_or(Ok(true), |scaler| scaler.unscale(&mut gradients))?;
        if are_finite { self.optimizer.step(&self.weights, gradients, rate) } else { Ok(()) }
    }

    /// What a resumed run needs besides the weights: tensors by name.
    pub fn state(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        let accumulated = self.accumulation.iter().flat_map(Accumulation::state);
        self.optimizer.state().chain(accumulated).chain(self.scaler.iter().flat_map(Scaler::state))
    }
}

/// The mean cross entropy of the batch, plus that of each auxiliary classifier times its weight. `labels` holds one
/// class index per image, (images), or the probability of each class, (images, classes); `label_smoothing` spreads that
/// share of the target over all classes (Szegedy et al., arXiv:1512.00567). With `class_weights`, (classes), the mean is
/// weighted, as in PyTorch.
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn loss(
    output: &Output,
    labels: &Tensor,
    label_smoothing: f64,
    class_weights: Option<&Tensor>,
) -> Result<Tensor, TchError> {
    let cross_entropy =
        |logits: &Tensor| logits.f_cross_entropy_loss(labels, class_weights, Reduction::Mean, -100, label_smoothing);
    output.auxiliary.iter().try_fold(cross_entropy(&output.values)?, |sum, (weight, logits)| {
        sum.f_add(&cross_entropy(logits)?.f_multiply_scalar(*weight)?)
    })
}
