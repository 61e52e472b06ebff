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

    /// Moves every weight along the gradient of `loss`; one that has none (a head that was not used) stays.
    ///
    /// Large networks wait for their memory here, so each value is touched in three passes, without a copy.
    ///
    /// # Errors
    /// Where the device has no room for the gradients.
    pub fn step(&mut self, loss: &Tensor, rate: f64) -> Result<(), TchError> {
        let weights: Vec<&Tensor> = self.learned.iter().map(|learned| &learned.weight).collect();
        let gradients = Tensor::f_run_backward(&[loss], &weights, false, false)?;
        let scalar = |value: f64| Tensor::f_from_slice(&[value as f32])?.f_to_device(loss.device());
        let (weight_decay, momentum, rate) = (scalar(self.weight_decay)?, scalar(self.momentum)?, scalar(-rate)?);
        no_grad(|| {
            for (learned, mut gradient) in self.learned.iter_mut().zip(gradients) {
                if !gradient.defined() {
                    continue;
                }
                let Learned { weight, velocity, .. } = learned;
                let _ = gradient.f_addcmul_(weight, &weight_decay)?;
                let _ = gradient.f_addcmul_out(velocity, velocity, &momentum)?;
                let _ = if self.nesterov {
                    weight.f_addcmul_(&gradient.f_addcmul_(velocity, &momentum)?, &rate)?
                } else {
                    weight.f_addcmul_(velocity, &rate)?
                };
            }
            Ok(())
        })
    }

    /// The velocities by their parameters' names.
    pub fn velocities(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.learned.iter().map(|learned| (learned.name.as_str(), &learned.velocity))
    }
}
