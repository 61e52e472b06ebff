//! A network as tensors: made from its proved layers, run forward.

use anyhow::{Context, Result};
use tch::{Device, Kind, TchError, Tensor};

use super::dense::dense;
use super::node::{Node, Op, Window};
use super::parameters::{self, Parameter, Start};
use super::shape;
use super::spec::{self, NetworkSpec};

/// A network on a device, with its parameters.
pub struct Network {
    nodes: Vec<Node>,
    layers: Vec<Layer>,
    parameters: Vec<(Parameter, Tensor)>,
    device: Device,
}

/// What a forward pass gives: logits, (images, classes).
pub struct Output {
    pub logits: Tensor,
    /// In training alone: each auxiliary head's loss weight and logits.
    pub auxiliary: Vec<(f64, Tensor)>,
}

/// The tensors of one layer and what it does with them.
enum Layer {
    Conv { weight: Tensor, bias: Option<Tensor>, window: Window, groups: i64 },
    Linear { weight: Tensor, bias: Tensor },
    BatchNorm { weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, epsilon: f64, momentum: f64 },
    LocalResponseNorm { size: i64, alpha: f64, beta: f64, k: f64 },
    Relu,
    MaxPool(Window),
    AveragePool(Window),
    GlobalAveragePool,
    Dropout(f64),
    Flatten,
    Sequence(Vec<Layer>),
    Residual { body: Vec<Layer>, shortcut: Vec<Layer> },
    ZeroPad { stride: [i64; 2], missing: i64 },
    Branches(Vec<Layer>),
    Auxiliary { weight: f64, layers: Vec<Layer> },
}

/// Of one value there is no variance: libtorch would write what is no number into the running one.
const SINGLE_VALUE: &str = "a batch norm in training needs more than one value per channel, and a single image whose map is 1x1 came in; use a larger --batch-size or a larger network.input";

type Pass<T> = std::result::Result<T, TchError>;

impl Network {
    /// Makes the network with its starting weights, the same for the same seed.
    ///
    /// # Errors
    /// Where a size does not work out (see [`shape::prove`]), or the device has no room for the parameters.
    pub fn new(spec: &NetworkSpec, device: Device, seed: i64) -> Result<Self> {
        let nodes = shape::prove(spec)?;
        tch::manual_seed(seed);
        let parameters = parameters::parameters(&nodes, &spec.start)
            .into_iter()
            .map(|parameter| {
                let tensor = started(&parameter, device).with_context(|| {
                    format!("no room on {device:?} for {} of {:?}", parameter.name, parameter.shape)
                })?;
                Ok((parameter, tensor))
            })
            .collect::<Result<Vec<_>>>()?;
        let mut tensors = parameters.iter().map(|(_, tensor)| tensor.shallow_clone());
        let layers = assemble(&nodes, &mut tensors)?;
        drop(tensors);
        Ok(Network { nodes, layers, parameters, device })
    }

    /// The same network, of the same tensors, as a convolution over images of the input's size and larger: the class scores
    /// are averaged over all places.
    ///
    /// # Errors
    /// Where a layer has no counterpart, with its path and why.
    pub fn dense(&self) -> Result<Self> {
        let nodes = dense(&self.nodes)?;
        let shapes = parameters::parameters(&nodes, &spec::Start::default());
        let reshaped = |((own, tensor), dense): (&(Parameter, Tensor), Parameter)| {
            let tensor = tensor.f_view(dense.shape.as_slice())?;
            Ok((Parameter { shape: dense.shape, ..own.clone() }, tensor))
        };
        let parameters = self.parameters.iter().zip(shapes).map(reshaped).collect::<Result<Vec<_>>>()?;
        let layers = assemble(&nodes, &mut parameters.iter().map(|(_, tensor)| tensor.shallow_clone()))?;
        Ok(Network { nodes, layers, parameters, device: self.device })
    }

    /// Every parameter with its tensor, running statistics too, in the order of the forward pass.
    pub fn parameters(&self) -> &[(Parameter, Tensor)] {
        &self.parameters
    }

    pub fn device(&self) -> Device {
        self.device
    }

    /// Runs a batch, (images, channels, height, width), through the network. In training, dropout draws from libtorch's
    /// generator, batch norms use the batch's own statistics and update the running ones, and auxiliary heads speak.
    ///
    /// # Errors
    /// What libtorch reports: in practice, that the memory does not suffice.
    pub fn forward(&self, images: &Tensor, training: bool) -> Pass<Output> {
        let mut auxiliary = Vec::new();
        let logits = chain(&self.layers, images, training, &mut auxiliary)?;
        // A dense network's map of class scores.
        let logits =
            if logits.dim() == 4 { logits.f_mean_dim([2i64, 3].as_slice(), false, None::<Kind>)? } else { logits };
        Ok(Output { logits, auxiliary })
    }
}

/// A parameter with its starting values, drawn from libtorch's generator.
fn started(parameter: &Parameter, device: Device) -> Pass<Tensor> {
    // Drawn on the processor, so that a seed gives the same weights on every device.
    let mut tensor = Tensor::f_empty(&parameter.shape, (Kind::Float, Device::Cpu))?;
    let _ = match parameter.start {
        Start::Constant(value) => tensor.f_fill_(value)?,
        Start::Uniform(bound) => tensor.f_uniform_(-bound, bound)?,
        Start::Normal(deviation) => tensor.f_normal_(0.0, deviation)?,
    };
    tensor.f_to_device(device)?.f_set_requires_grad(parameter.trainable)
}

/// Pairs the layers with their tensors, which come in the same order.
fn assemble(nodes: &[Node], tensors: &mut impl Iterator<Item = Tensor>) -> Result<Vec<Layer>> {
    nodes.iter().map(|node| layer(node, tensors).with_context(|| format!("at {}", node.at))).collect()
}

fn layer(node: &Node, tensors: &mut impl Iterator<Item = Tensor>) -> Result<Layer> {
    let mut next = || tensors.next().context("a layer has fewer parameters than it needs");
    Ok(match &node.op {
        Op::Conv(conv) => Layer::Conv {
            weight: next()?,
            bias: conv.bias.map(|_| next()).transpose()?,
            window: conv.window,
            groups: conv.groups,
        },
        Op::Linear { .. } => Layer::Linear { weight: next()?, bias: next()? },
        &Op::BatchNorm { epsilon, momentum, .. } => {
            Layer::BatchNorm { weight: next()?, bias: next()?, mean: next()?, variance: next()?, epsilon, momentum }
        }
        &Op::LocalResponseNorm { size, alpha, beta, k } => Layer::LocalResponseNorm { size, alpha, beta, k },
        Op::Relu => Layer::Relu,
        Op::MaxPool(window) => Layer::MaxPool(*window),
        Op::AveragePool(window) => Layer::AveragePool(*window),
        Op::GlobalAveragePool => Layer::GlobalAveragePool,
        Op::Dropout(probability) => Layer::Dropout(*probability),
        Op::Flatten => Layer::Flatten,
        Op::Sequence(layers) => Layer::Sequence(assemble(layers, tensors)?),
        Op::Residual { body, shortcut } => {
            Layer::Residual { body: assemble(body, tensors)?, shortcut: assemble(shortcut, tensors)? }
        }
        &Op::ZeroPad { stride, missing } => Layer::ZeroPad { stride, missing },
        Op::Branches(branches) => Layer::Branches(assemble(branches, tensors)?),
        Op::Auxiliary { weight, layers } => Layer::Auxiliary { weight: *weight, layers: assemble(layers, tensors)? },
    })
}

/// Layers one after another; auxiliary heads met on the way add their logits to `auxiliary`.
fn chain(layers: &[Layer], input: &Tensor, training: bool, auxiliary: &mut Vec<(f64, Tensor)>) -> Pass<Tensor> {
    layers.iter().try_fold(input.shallow_clone(), |x, layer| forward(layer, &x, training, auxiliary))
}

fn forward(layer: &Layer, x: &Tensor, training: bool, auxiliary: &mut Vec<(f64, Tensor)>) -> Pass<Tensor> {
    match layer {
        Layer::Conv { weight, bias, window, groups } => {
            x.f_conv2d(weight, bias.as_ref(), window.stride, window.padding, [1, 1], *groups)
        }
        Layer::Linear { weight, bias } => x.f_linear(weight, Some(bias)),
        Layer::BatchNorm { .. } if training && values_per_channel(x) == 1 => Err(TchError::Shape(SINGLE_VALUE.into())),
        Layer::BatchNorm { weight, bias, mean, variance, epsilon, momentum } => {
            x.f_batch_norm(Some(weight), Some(bias), Some(mean), Some(variance), training, *momentum, *epsilon, true)
        }
        Layer::LocalResponseNorm { size, alpha, beta, k } => local_response_norm(x, *size, *alpha, *beta, *k),
        Layer::Relu => x.f_relu(),
        Layer::MaxPool(w) => x.f_max_pool2d(w.kernel, w.stride, w.padding, [1, 1], w.ceil),
        Layer::AveragePool(w) => x.f_avg_pool2d(w.kernel, w.stride, w.padding, w.ceil, true, None),
        Layer::GlobalAveragePool => x.f_mean_dim([2i64, 3].as_slice(), false, None::<Kind>),
        Layer::Dropout(probability) => x.f_dropout(*probability, training),
        // Values are laid out by channel, row, column, whatever order they have in memory.
        Layer::Flatten => x.f_flatten(1, -1),
        Layer::Sequence(layers) => chain(layers, x, training, auxiliary),
        Layer::Residual { body, shortcut } => {
            let around = chain(shortcut, x, training, auxiliary)?;
            chain(body, x, training, auxiliary)?.f_add(&around)?.f_relu()
        }
        Layer::ZeroPad { stride, missing } => x
            .f_slice(2, None, None, stride[0])?
            .f_slice(3, None, None, stride[1])?
            .f_constant_pad_nd([0, 0, 0, 0, 0, *missing]),
        Layer::Branches(branches) => {
            let maps =
                branches.iter().map(|branch| forward(branch, x, training, auxiliary)).collect::<Pass<Vec<_>>>()?;
            Tensor::f_cat(&maps, 1)
        }
        Layer::Auxiliary { weight, layers } => {
            if training {
                let logits = chain(layers, x, training, &mut Vec::new())?;
                auxiliary.push((*weight, logits));
            }
            Ok(x.shallow_clone())
        }
    }
}

fn values_per_channel(x: &Tensor) -> i64 {
    match x.size().as_slice() {
        [images, _, height, width] => images * height * width,
        _ => 0,
    }
}

/// See [`super::spec::LocalResponseNorm`]. The sums over neighbouring channels are a 1x1 convolution by a band matrix: a
/// fifth of the time that pooling over channels takes on a processor.
fn local_response_norm(x: &Tensor, size: i64, alpha: f64, beta: f64, k: f64) -> Pass<Tensor> {
    let (channels, options) = (x.size()[1], (Kind::Float, x.device()));
    let band = Tensor::f_full([channels, channels], alpha / size as f64, options)?
        .f_tril((size - 1) / 2)?
        .f_triu(-(size / 2))?
        .f_view([channels, channels, 1, 1])?;
    let offset = Tensor::f_full([channels], k, options)?;
    let scale = x.f_square()?.f_conv2d(&band, Some(&offset), 1, 0, 1, 1)?;
    x.f_mul(&scale.f_pow_tensor_scalar(-beta)?)
}
