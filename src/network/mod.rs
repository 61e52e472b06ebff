//! Networks: read from JSON (`spec`), its numbers checked (`bounds`), rows of the papers' tables written out (`rows`), sizes
//! proved (`shape`) for every layer in its place (`node`), parameters listed (`parameter`), initial values drawn (`init`), run
//! (`forward`), run over images larger than the input (`dense`), costs counted (`cost`). What speaks of classes is in
//! `classifier`: a network itself only turns one tensor into another.

mod bounds;
pub mod classifier;
pub mod cost;
mod dense;
mod forward;
pub mod init;
pub mod node;
pub mod parameter;
mod refusal;
mod rows;
pub mod shape;
pub mod spec;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use tch::{Device, Tensor};

pub use dense::dense;
pub use forward::{Mode, Output, SINGLE_VALUE};
use node::Node;
use parameter::{Parameter, parameters};
pub use refusal::Refusal;
use spec::Start;

/// Tensors by the names of the parameters that they are.
pub type Tensors = BTreeMap<String, Tensor>;

/// Proved layers and a tensor for each of their parameters, on one device.
#[derive(Debug)]
pub struct Network {
    nodes: Vec<Node>,
    tensors: Tensors,
    device: Device,
}

impl Network {
    /// A network with its initial values, to be trained.
    ///
    /// # Errors
    /// Returns an error if the device has no room for the parameters.
    pub fn initial(nodes: &[Node], start: &Start, seed: u64, device: Device) -> Result<Self> {
        Network::for_training(nodes.to_vec(), init::tensors(nodes, start, seed, device)?, device)
    }

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

    /// A network of these layers and tensors; further tensors are left out.
    ///
    /// # Errors
    /// Returns an error if a parameter has no tensor or one of another size.
    pub fn new(nodes: Vec<Node>, mut tensors: Tensors, device: Device) -> Result<Self> {
        let mut own = Tensors::new();
        for Parameter { name, shape, .. } in parameters(&nodes) {
            let tensor = tensors.remove(&name).with_context(|| format!("the network lacks a tensor for {name}"))?;
            ensure!(tensor.size() == shape, "{name}: expected a tensor of {shape:?}, found {:?}", tensor.size());
            own.insert(name, tensor);
        }
        Ok(Network { nodes, tensors: own, device })
    }

    /// The same network, of the same tensors, as a convolution over images of the input's size and larger: class scores are
    /// averaged over all positions.
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

    /// The parameters that gradients change, each with its tensor.
    pub fn trainable(&self) -> impl Iterator<Item = (Parameter, &Tensor)> {
        self.parameters().filter(|(parameter, _)| parameter.is_trainable())
    }

    /// The tensor of the parameter of this name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// Where the tensors lie.
    pub fn device(&self) -> Device {
        self.device
    }
}
