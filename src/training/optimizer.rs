//! Stochastic gradient descent with momentum, its state open to be saved.

use anyhow::Result;
use tch::{TchError, Tensor, no_grad};

use crate::config::Training;
use crate::network::Network;

/// g = gradient + weight_decay * w;  v = momentum * v + g;  w -= rate * v, or with Nesterov's momentum rate * (g +
/// momentum * v), as PyTorch's SGD has it.
pub struct Sgd {
    learned: Vec<Learned>,
    momentum: f64,
    weight_decay: f64,
    nesterov: bool,
}

/// A parameter and its velocity.
struct Learned {
    name: String,
    weight: Tensor,
    velocity: Tensor,
}

impl Sgd {
    /// Starts at rest.
    ///
    /// # Errors
    /// Where the device has no room for the velocities, as many values as the network has parameters.
    pub fn new(network: &Network, training: &Training) -> Result<Self, TchError> {
        let learned =
            network.parameters().iter().filter(|(parameter, _)| parameter.trainable).map(|(parameter, weight)| {
                let velocity = weight.f_zeros_like()?.f_detach()?;
                Ok(Learned { name: parameter.name.clone(), weight: weight.shallow_clone(), velocity })
            });
        Ok(Sgd {
            learned: learned.collect::<Result<_, TchError>>()?,
            momentum: training.momentum,
            weight_decay: training.weight_decay,
            nesterov: training.nesterov,
        })
    }

    /// Forgets the gradients of the step before.
    pub fn zero_grad(&mut self) {
        self.learned.iter_mut().for_each(|learned| learned.weight.zero_grad());
    }

    /// Moves every weight along its gradient; one that has none (a head that was not used) stays.
    pub fn step(&mut self, rate: f64) -> Result<(), TchError> {
        no_grad(|| {
            self.learned.iter_mut().try_for_each(|learned| {
                let gradient = learned.weight.f_grad()?;
                if !gradient.defined() {
                    return Ok(());
                }
                let gradient = gradient.f_add(&(&learned.weight * self.weight_decay))?;
                let _ = learned.velocity.f_multiply_scalar_(self.momentum)?.f_add_(&gradient)?;
                let _ = if self.nesterov {
                    let ahead = gradient.f_add(&(&learned.velocity * self.momentum))?;
                    learned.weight.f_sub_(&ahead.f_multiply_scalar(rate)?)?
                } else {
                    learned.weight.f_sub_(&learned.velocity.f_multiply_scalar(rate)?)?
                };
                Ok(())
            })
        })
    }

    /// The velocities by their parameters' names.
    pub fn velocities(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.learned.iter().map(|learned| (learned.name.as_str(), &learned.velocity))
    }
}
