//! Stochastic gradient descent with momentum.

use tch::{TchError, Tensor, no_grad};

use crate::experiment;
use crate::network::Network;

/// g = gradient + weight_decay * w;  b = momentum * b + g;  w -= rate * b, or with Nesterov's momentum rate * (g +
/// momentum * b), as in PyTorch's SGD. b is the momentum buffer.
#[derive(Debug)]
pub struct Sgd {
    momentum: f64,
    nesterov: bool,
    weight_decay: f64,
    buffers: Vec<(String, Tensor)>,
}

/// The prefix of a momentum buffer's name, after PyTorch's word for it.
pub const BUFFER: &str = "momentum_buffer.";

impl Sgd {
    /// The optimiser, with buffers of zeros.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory: the buffers take as much as the parameters.
    pub fn new(sgd: &experiment::SgdSpec, weight_decay: f64, network: &Network) -> Result<Self, TchError> {
        let buffer = |weight: &Tensor| weight.f_zeros_like()?.f_detach();
        let buffers = network.trainable().map(|(it, weight)| Ok((format!("{BUFFER}{}", it.name), buffer(weight)?)));
        let buffers = buffers.collect::<Result<_, TchError>>()?;
        Ok(Sgd { momentum: sgd.momentum, nesterov: sgd.nesterov, weight_decay, buffers })
    }

    /// See [`super::Optimizer::step`]. For large networks this is bound by memory bandwidth, so each value is touched
    /// in three passes, without a copy.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn step(&mut self, weights: &[Tensor], gradients: Vec<Tensor>, rate: f64) -> Result<(), TchError> {
        let Some(first) = weights.first() else { return Ok(()) };
        let scalar = |value: f64| Tensor::f_from_slice(&[value as f32])?.f_to_device(first.device());
        let (weight_decay, momentum, rate) = (scalar(self.weight_decay)?, scalar(self.momentum)?, scalar(-rate)?);
        no_grad(|| {
            for ((weight, (_, buffer)), mut gradient) in weights.iter().zip(&mut self.buffers).zip(gradients) {
                if !gradient.defined() {
                    continue;
                }
                let mut weight = weight.shallow_clone();
                let _ = gradient.f_addcmul_(&weight, &weight_decay)?;
                let _ = gradient.f_addcmul_out(buffer, buffer, &momentum)?;
                let _ = if self.nesterov {
                    weight.f_addcmul_(&gradient.f_addcmul_(buffer, &momentum)?, &rate)?
                } else {
                    weight.f_addcmul_(buffer, &rate)?
                };
            }
            Ok(())
        })
    }

    /// The momentum buffers by name.
    pub fn state(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.buffers.iter().map(|(name, buffer)| (name.as_str(), buffer))
    }
}
