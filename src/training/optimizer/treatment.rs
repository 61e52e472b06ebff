//! How an update treats each weight: what scales its rate, and how much it decays.

use tch::{Device, Kind, TchError, Tensor};

use crate::experiment::Training;
use crate::network::Network;
use crate::network::parameter::{Parameter, Role, is_within};

/// How one weight is treated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Treatment {
    /// What the learning rate is multiplied by.
    pub rate_scale: f64,
    /// The factor of its decay.
    pub weight_decay: f64,
}

/// The treatment of each trainable parameter of a network, in their order.
pub fn treatments(training: &Training, network: &Network) -> Vec<Treatment> {
    network.trainable().map(|(parameter, _)| treatment(training, &parameter)).collect()
}

fn treatment(training: &Training, parameter: &Parameter) -> Treatment {
    let scales = training.rate_scale.iter().filter(|(layer, _)| is_within(parameter.layer(), layer));
    let longest = scales.max_by_key(|(layer, _)| layer.len());
    let decays = training.decay_norms_and_biases || parameter.role == Role::Weight;
    Treatment {
        rate_scale: longest.map_or(1.0, |(_, &scale)| scale),
        weight_decay: if decays { training.weight_decay } else { 0.0 },
    }
}

/// Numbers as tensors on a device, each made once per update: an operation on a GPU that takes its factor as a tensor needs
/// it there, and factors are made there, as copying them from the host would wait for the GPU.
#[derive(Debug)]
pub struct Scalars {
    device: Device,
    made: Vec<(f64, Tensor)>,
}

impl Scalars {
    /// None yet.
    pub fn on(device: Device) -> Self {
        Scalars { device, made: Vec::new() }
    }

    /// The number as a tensor.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn get(&mut self, value: f64) -> Result<Tensor, TchError> {
        if let Some((_, tensor)) = self.made.iter().find(|(known, _)| *known == value) {
            return Ok(tensor.shallow_clone());
        }
        let tensor = Tensor::f_full([1i64], value, (Kind::Float, self.device))?;
        self.made.push((value, tensor.shallow_clone()));
        Ok(tensor)
    }
}
