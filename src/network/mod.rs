//! Networks. Their JSON description (`spec`) is range-checked (`bounds`), the papers' rows are expanded into layers
//! (`rows`), and shapes are inferred and proved (`shape`), which yields nodes (`node`). Parameters are listed
//! (`parameter`), initialised (`init`) and used by the forward pass (`forward`), also over images larger than the input
//! (`dense`), with layers joined for evaluation (`fused`, with `kernels` of its own) and with batch norms over several
//! processes (`batch_norm`); `cost` counts parameters and operations. Only `classifier` knows classes: a network itself
//! turns one tensor into another.

mod batch_norm;
mod bounds;
pub mod classifier;
pub mod cost;
mod dense;
mod forward;
mod fused;
pub mod init;
mod kernels;
pub mod node;
pub mod parameter;
mod precision;
mod refusal;
mod rows;
pub mod shape;
pub mod spec;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, TchError, Tensor, no_grad};

pub use dense::dense;
pub use forward::{Mode, Output};
use fused::Target;
use node::Node;
use parameter::{Parameter, is_within_any, parameters};
pub use precision::Precision;
pub use refusal::{Proof, Refusal, refuse};

use crate::native;
use crate::processes::Processes;

/// Tensors by the name of their parameter.
pub type Tensors = BTreeMap<String, Tensor>;

/// Proved layers and a tensor for each of their parameters, on one device.
#[derive(Debug)]
pub struct Network {
    nodes: Vec<Node>,
    tensors: Tensors,
    device: Device,
    frozen: Vec<String>,
    /// Those over whose images batch norms normalise in training; `None` for this one's own.
    together: Option<Processes>,
    training: Precision,
    evaluation: Precision,
    /// Whether gradients of its gradients are asked for.
    twice: bool,
}

impl Network {
    /// A network of these layers and tensors whose parameters keep gradients.
    ///
    /// # Errors
    /// See [`Network::new`].
    pub fn for_training(nodes: Vec<Node>, tensors: Tensors, device: Device) -> Result<Self> {
        let mut network = Network::new(nodes, tensors, device)?;
        for parameter in parameters(&network.nodes).iter().filter(|parameter| parameter.is_trainable()) {
            if let Some(tensor) = network.tensors.get_mut(&parameter.name) {
                *tensor = tensor.f_set_requires_grad(true)?;
            }
        }
        Ok(network)
    }

    /// A network of these layers and tensors; other tensors are dropped.
    ///
    /// # Errors
    /// Returns an error if a parameter has no tensor or one of a different shape.
    pub fn new(nodes: Vec<Node>, mut tensors: Tensors, device: Device) -> Result<Self> {
        let mut own = Tensors::new();
        for Parameter { name, shape, .. } in parameters(&nodes) {
            let tensor = tensors.remove(&name).with_context(|| format!("the network lacks a tensor for {name}"))?;
            ensure!(tensor.size() == shape, "{name}: expected a tensor of {shape:?}, found {:?}", tensor.size());
            own.insert(name, tensor);
        }
        Ok(Network {
            nodes,
            tensors: own,
            device,
            frozen: Vec::new(),
            together: None,
            training: Precision::F32,
            evaluation: Precision::F32,
            twice: false,
        })
    }

    /// Freezes layers, by name or the beginning of their names up to a dot: their parameters keep no gradients, and their
    /// batch norms use and keep the running statistics in training, too.
    ///
    /// # Errors
    /// Returns libtorch's error; none is known.
    pub fn freeze(&mut self, layers: &[String]) -> Result<()> {
        self.frozen = layers.to_vec();
        for (name, tensor) in &mut self.tensors {
            let layer = name.rsplit_once('.').map_or("", |(layer, _)| layer);
            if is_within_any(layer, layers) {
                *tensor = tensor.f_set_requires_grad(false)?;
            }
        }
        Ok(())
    }

    /// Sets what convolutions and linear layers compute with in training.
    pub fn train_in(&mut self, precision: Precision) {
        self.training = precision;
    }

    /// Lets batch norms in training normalise over the images of all these processes, which then must all run the network,
    /// forward and backward.
    pub fn normalise_over(&mut self, processes: &Processes) {
        self.together = Some(processes.clone()).filter(Processes::are_several);
    }

    /// Whether batch norms in training normalise over the images of several processes.
    pub fn normalises_over_several(&self) -> bool {
        self.together.is_some()
    }

    /// Lets training ask for gradients of gradients, too, which only libtorch's own operations have.
    pub fn differentiate_twice(&mut self) {
        self.twice = true;
    }

    /// Lays out the weights of convolutions as a GPU reads them fastest: (outputs, height, width, inputs) in memory.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn put_channels_last(&mut self) -> Result<()> {
        for tensor in self.tensors.values_mut().filter(|tensor| tensor.dim() == 4) {
            *tensor = channels_last(&tensor.f_detach()?)?.f_set_requires_grad(tensor.requires_grad())?;
        }
        Ok(())
    }

    fn is_frozen(&self, layer: &str) -> bool {
        is_within_any(layer, &self.frozen)
    }

    /// The same network, with the same tensors, as a convolution over images at least as large as its input: class
    /// scores are averaged over all positions.
    ///
    /// # Errors
    /// Returns an error if a layer has no counterpart, with its path and the reason.
    pub fn dense(&self) -> Result<Self> {
        let nodes = dense(&self.nodes)?;
        let mut tensors = Tensors::new();
        for Parameter { name, shape, .. } in parameters(&nodes) {
            tensors.insert(name.clone(), self.tensors[&name].f_view(shape.as_slice())?);
        }
        Network::new(nodes, tensors, self.device)
    }

    /// The same network for evaluation in this precision: batch norms are folded into convolutions, and on a processor
    /// layers are joined into one operation each, and weights are packed for `batch` images. `None` in 32 bits on a GPU,
    /// where nothing is gained, or if libtorch lacks these operations; and if a parameter is NaN or infinite, which fused
    /// ReLUs would hide.
    ///
    /// # Errors
    /// Returns libtorch's error: in practice, out of memory.
    pub fn fused(&self, batch: i64, precision: Precision) -> Result<Option<Self>> {
        let is_needed = precision != Precision::F32;
        let helps = if self.device == Device::Cpu { native::is_present() } else { is_needed };
        ensure!(helps || !is_needed, "this libtorch lacks oneDNN's fused layers, which {precision} needs");
        if !helps || !self.is_finite()? {
            return Ok(None);
        }
        let target = if self.device == Device::Cpu { Target::Processor { batch } } else { Target::Gpu };
        let (nodes, tensors) = no_grad(|| fused::fused(&self.nodes, &self.tensors, precision.kind(), target))?;
        let network = Network::new(nodes, tensors, self.device)?;
        Ok(Some(Network { evaluation: precision, ..network }))
    }

    /// Whether all parameters are finite, running statistics too.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn is_finite(&self) -> Result<bool> {
        // A sum of 64-bit floats is finite exactly if all its 32-bit terms are.
        let sums = self.tensors.values().map(|tensor| tensor.f_sum(Kind::Double)?.f_double_value(&[]));
        Ok(sums.collect::<std::result::Result<Vec<f64>, TchError>>()?.into_iter().all(f64::is_finite))
    }

    /// The layers.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Every parameter with its tensor, running statistics too, in the order of the forward pass.
    pub fn parameters(&self) -> impl Iterator<Item = (Parameter, &Tensor)> {
        parameters(&self.nodes).into_iter().map(|parameter| {
            let tensor = &self.tensors[&parameter.name];
            (parameter, tensor)
        })
    }

    /// The parameters that gradients change, each with its tensor: without those of frozen layers.
    pub fn trainable(&self) -> impl Iterator<Item = (Parameter, &Tensor)> {
        self.parameters().filter(|(parameter, _)| parameter.is_trainable() && !self.is_frozen(parameter.layer()))
    }

    /// The running statistics that training changes: without those of frozen layers.
    pub fn statistics(&self) -> impl Iterator<Item = &Tensor> {
        let changing = |parameter: &Parameter| !parameter.is_trainable() && !self.is_frozen(parameter.layer());
        self.parameters().filter(move |(parameter, _)| changing(parameter)).map(|(_, tensor)| tensor)
    }

    /// The tensor of a parameter.
    ///
    /// # Errors
    /// Returns an error if there is no parameter of this name.
    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).with_context(|| format!("the network lacks a tensor for {name}"))
    }

    /// The device of the tensors.
    pub fn device(&self) -> Device {
        self.device
    }
}

/// A map or a convolution's weights with the channels last in memory.
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn channels_last(tensor: &Tensor) -> Result<Tensor, TchError> {
    tensor.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}
