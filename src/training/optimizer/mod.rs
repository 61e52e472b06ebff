//! Optimisers. Their state is tensors by name, so that a checkpoint can store any of them.

mod sgd;

use tch::{TchError, Tensor};

use crate::experiment::{self, Training};
use crate::network::Network;
pub use sgd::BUFFER;
use sgd::Sgd;

/// An optimiser with its state for each trainable parameter.
#[derive(Debug)]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum.
    Sgd(Sgd),
}

impl Optimizer {
    /// The optimiser of an experiment, in its initial state.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn new(training: &Training, network: &Network) -> Result<Self, TchError> {
        match &training.optimizer {
            experiment::OptimizerSpec::Sgd(sgd) => Sgd::new(sgd, training.weight_decay, network).map(Optimizer::Sgd),
        }
    }

    /// Moves each of the `weights`, in the order of [`Network::trainable`], along its gradient; one without a gradient
    /// stays.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn step(&mut self, weights: &[Tensor], gradients: Vec<Tensor>, rate: f64) -> Result<(), TchError> {
        match self {
            Optimizer::Sgd(sgd) => sgd.step(weights, gradients, rate),
        }
    }

    /// The state. A tensor's name is its kind, a dot, and the name of its parameter: `momentum_buffer.fc.weight`.
    pub fn state(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        match self {
            Optimizer::Sgd(sgd) => sgd.state(),
        }
    }
}
