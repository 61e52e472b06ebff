//! The forward pass: one match over a proved operation, on the tensors of its node.

use tch::{Device, Kind, TchError, Tensor};

use super::batch_norm::{self, Norm};
use super::kernels;
use super::node::{Node, Op, Window};
use super::parameter::Role;
use super::spec::LocalResponseNorm;
use super::{Network, Precision};
use crate::native::{self, convolution::convolution};

/// What a forward pass outputs.
#[derive(Debug)]
pub struct Output {
    /// The output of the last layer; for a classifier the logits, (images, classes).
    pub values: Tensor,
    /// In training only: each auxiliary classifier's loss weight and logits.
    pub auxiliary: Vec<(f64, Tensor)>,
}

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Dropout draws from libtorch's generator, batch norms use the batch's own statistics and update the running ones
    /// (unless they are frozen), and auxiliary classifiers run.
    Training,
    /// Nothing is random or changed.
    Evaluation,
}

type Result<T> = std::result::Result<T, TchError>;

impl Network {
    /// Runs a batch, (images, channels, height, width), through the network.
    ///
    /// # Errors
    /// Returns libtorch's error: in practice, that the device is out of memory.
    pub fn forward(&self, images: &Tensor, mode: Mode) -> Result<Output> {
        let mut pass = self.pass(mode, &[])?;
        let values = pass.chain(&self.nodes, images)?.f_to_kind(Kind::Float)?;
        Ok(Output { values, auxiliary: pass.auxiliary })
    }

    /// Evaluates a batch, and also returns what each of these layers outputs, in their order.
    ///
    /// # Errors
    /// Returns libtorch's error: in practice, that the device is out of memory, or that there is no layer of a name.
    pub fn forward_tapped(&self, images: &Tensor, layers: &[&str]) -> Result<(Tensor, Vec<Tensor>)> {
        let mut pass = self.pass(Mode::Evaluation, layers)?;
        let values = pass.chain(&self.nodes, images)?;
        let taps = layers.iter().map(|layer| {
            let tap = pass.taps.iter().find(|(name, _)| name == layer);
            let (_, tensor) = tap.ok_or_else(|| TchError::Shape(format!("the network has no layer {layer}")))?;
            Ok(tensor.shallow_clone())
        });
        Ok((values, taps.collect::<Result<_>>()?))
    }

    fn pass<'a>(&'a self, mode: Mode, tapped: &'a [&'a str]) -> Result<Pass<'a>> {
        let precision = match mode {
            Mode::Training => self.training,
            Mode::Evaluation => self.evaluation,
        };
        if self.device != Device::Cpu {
            native::tf32::allow(precision == Precision::Tf32)?;
        }
        Ok(Pass { network: self, mode, kind: precision.kind(), tapped, taps: Vec::new(), auxiliary: Vec::new() })
    }

    fn tensor_of(&self, node: &Node, role: Role) -> Result<&Tensor> {
        let name = format!("{}.{}", node.name, role.suffix());
        self.tensors.get(&name).ok_or_else(|| TchError::Shape(format!("the network lacks a tensor for {name}")))
    }
}

/// One forward pass through a network.
struct Pass<'a> {
    network: &'a Network,
    mode: Mode,
    /// What convolutions and linear layers compute with.
    kind: Kind,
    /// The names of the layers whose outputs are kept.
    tapped: &'a [&'a str],
    taps: Vec<(String, Tensor)>,
    auxiliary: Vec<(f64, Tensor)>,
}

impl Pass<'_> {
    /// Layers one after another. A ReLU overwrites its input where nothing else reads it, which saves a pass over fresh
    /// memory.
    fn chain(&mut self, nodes: &[Node], input: &Tensor) -> Result<Tensor> {
        nodes.iter().enumerate().try_fold(input.shallow_clone(), |mut x, (index, node)| {
            let output = match node.op {
                Op::Relu if self.may_overwrite(&nodes[..index]) => x.f_relu_(),
                _ => self.node(node, &x),
            }?;
            self.keep(node, &output);
            Ok(output)
        })
    }

    fn keep(&mut self, node: &Node, output: &Tensor) {
        if self.tapped.contains(&node.name.as_str()) {
            self.taps.push((node.name.clone(), output.shallow_clone()));
        }
    }

    /// Whether the output of these layers may be overwritten: it is a tensor of its own, no gradient is computed from it,
    /// and nobody keeps it.
    fn may_overwrite(&self, nodes: &[Node]) -> bool {
        nodes.last().is_some_and(|node| {
            let has_own = matches!(
                node.op,
                Op::Conv { .. } | Op::ConvTranspose { .. } | Op::Linear { .. } | Op::BatchNorm { .. }
            );
            has_own && !self.tapped.contains(&node.name.as_str())
        })
    }

    /// As what convolutions and linear layers compute with.
    fn cast(&self, tensor: &Tensor) -> Result<Tensor> {
        tensor.f_to_kind(self.kind)
    }

    /// Whether a convolution is trained by Winograd's minimal filtering: on a processor, in 32 bits, where it is faster.
    fn is_for_winograd(&self, node: &Node, window: Window, groups: i64, x: &Tensor) -> bool {
        self.network.device == Device::Cpu
            && self.kind == Kind::Float
            && !self.network.twice
            && kernels::winograd::suits(node, window, groups, x.size()[0])
    }

    fn node(&mut self, node: &Node, x: &Tensor) -> Result<Tensor> {
        let training = self.mode == Mode::Training;
        let tensor = |role| self.network.tensor_of(node, role);
        match &node.op {
            Op::Conv { window: w, groups, bias, .. } => {
                let bias = bias.then(|| self.cast(tensor(Role::Bias)?)).transpose()?;
                let weight = self.cast(tensor(Role::Weight)?)?;
                if training && self.is_for_winograd(node, *w, *groups, x) {
                    return convolution(x, &weight, bias.as_ref(), w.padding, kernels::winograd::algorithm);
                }
                self.cast(x)?.f_conv2d(&weight, bias.as_ref(), w.stride, w.padding, [1, 1], *groups)
            }
            Op::ConvTranspose { window: w, bias } => {
                let bias = bias.then(|| self.cast(tensor(Role::Bias)?)).transpose()?;
                let weight = self.cast(tensor(Role::Weight)?)?;
                self.cast(x)?.f_conv_transpose2d(&weight, bias.as_ref(), w.stride, w.padding, [0, 0], 1, [1, 1])
            }
            Op::Linear { .. } => {
                let (weight, bias) = (self.cast(tensor(Role::Weight)?)?, self.cast(tensor(Role::Bias)?)?);
                self.cast(x)?.f_linear(&weight, Some(&bias))
            }
            // Inputs of 16 bits are normalised in 32 and rounded again.
            Op::BatchNorm { epsilon, momentum } => {
                let norm = Norm {
                    scale: tensor(Role::Scale)?,
                    shift: tensor(Role::Shift)?,
                    mean: tensor(Role::RunningMean)?,
                    variance: tensor(Role::RunningVariance)?,
                    momentum: *momentum,
                    epsilon: *epsilon,
                };
                let learns = training && !self.network.is_frozen(&node.name);
                match self.network.together.as_ref().filter(|_| learns) {
                    Some(processes) => batch_norm::over_all(processes, x, &norm),
                    None => batch_norm::over_own(x, &norm, learns),
                }
            }
            Op::LocalResponseNorm(norm) => local_response_norm(x, norm),
            Op::Relu => x.f_relu(),
            // tch's `leaky_relu` takes no slope. It is linear in x once the signs are known, and its own gradient at x is
            // multiplied by x here.
            Op::LeakyRelu(slope) => x.f_detach()?.f_leaky_relu_backward(x, *slope, false),
            Op::Tanh => x.f_tanh(),
            Op::Sigmoid => x.f_sigmoid(),
            Op::Maxout(pieces) => x.f_unflatten(1, [-1, *pieces])?.f_amax(2, false),
            Op::MaxPool(w) => x.f_max_pool2d(w.kernel, w.stride, w.padding, [1, 1], w.ceil),
            Op::AveragePool(w) => x.f_avg_pool2d(w.kernel, w.stride, w.padding, w.ceil, true, None),
            Op::GlobalAveragePool => x.f_mean_dim([2i64, 3].as_slice(), false, None::<Kind>),
            Op::Dropout(probability) => x.f_dropout(*probability, training),
            // Values are ordered by channel, row, column, whatever their order in memory.
            Op::Flatten => x.f_flatten(1, -1),
            Op::Reshape => x.f_reshape([&[-1], node.output.dimensions().as_slice()].concat().as_slice()),
            Op::Sequence(layers) => self.chain(layers, x),
            Op::Residual { body, shortcut } => {
                let around = self.chain(shortcut, x)?;
                let mut sum = self.chain(body, x)?;
                sum = if self.may_overwrite(body) { sum.f_add_(&around)? } else { sum.f_add(&around)? };
                sum.f_relu_()
            }
            Op::ZeroPad { before, stride } => {
                let after = node.output.channels() - node.input.channels() - before;
                let strided = x.f_slice(2, None, None, stride[0])?.f_slice(3, None, None, stride[1])?;
                strided.f_constant_pad_nd([0, 0, 0, 0, *before, after])
            }
            Op::Branches(branches) => {
                let mut maps = Vec::with_capacity(branches.len());
                for branch in branches {
                    let map = self.node(branch, x)?;
                    self.keep(branch, &map);
                    maps.push(map);
                }
                Tensor::f_cat(&maps, 1)
            }
            Op::Auxiliary { weight, layers } => {
                if training {
                    let logits = self.chain(layers, x)?.f_to_kind(Kind::Float)?;
                    self.auxiliary.push((*weight, logits));
                }
                Ok(x.shallow_clone())
            }
            Op::FusedConv { .. } => self.fused_conv(node, x, None),
            Op::FusedLinear { relu } => {
                native::linear(&self.cast(x)?, tensor(Role::Weight)?, tensor(Role::Bias)?, *relu)
            }
            Op::FusedMaxPool(w) => kernels::max_pool(x, w),
            Op::FusedLocalResponseNorm(norm) => kernels::local_response_norm(x, norm),
            Op::FusedResidual { body, last, shortcut } => {
                let around = self.chain(shortcut, x)?;
                let x = self.chain(body, x)?;
                self.fused_conv(last, &x, Some(&around))
            }
        }
    }

    /// A fused convolution plus a map of its output's size, if there is one.
    fn fused_conv(&self, node: &Node, x: &Tensor, addend: Option<&Tensor>) -> Result<Tensor> {
        let Op::FusedConv { window, groups, relu, winograd } = node.op else {
            return Err(TchError::Shape(format!("{}: expected a fused convolution", node.name)));
        };
        let tensor = |role| self.network.tensor_of(node, role);
        let (weight, bias) = (tensor(Role::Weight)?, tensor(Role::Bias)?);
        if winograd {
            return kernels::winograd::convolution(x, weight, bias, window.padding, relu, addend);
        }
        let conv = native::Conv { weight, bias, stride: window.stride, padding: window.padding, groups, relu };
        let x = &self.cast(x)?;
        let addend = addend.map(|addend| self.cast(addend)).transpose()?;
        match addend.as_ref() {
            // oneDNN's sum refuses maps of one pixel.
            Some(addend) if addend.size().ends_with(&[1, 1]) => {
                let mut sum = native::convolution(x, native::Conv { relu: false, ..conv })?.f_add(addend)?;
                if relu { sum.f_relu_() } else { Ok(sum) }
            }
            Some(addend) => native::convolution_and_sum(x, conv, addend),
            None => native::convolution(x, conv),
        }
    }
}

/// The sums over neighbouring channels are a 1x1 convolution by a band matrix: a fifth of the time that pooling over
/// channels takes on a CPU.
fn local_response_norm(x: &Tensor, norm: &LocalResponseNorm) -> Result<Tensor> {
    let LocalResponseNorm { size, alpha, beta, k } = *norm;
    let (x, kind) = (x.f_to_kind(Kind::Float)?, x.kind());
    let (channels, options) = (x.size()[1], (Kind::Float, x.device()));
    let band = Tensor::f_full([channels, channels], alpha / size as f64, options)?
        .f_tril((size - 1) / 2)?
        .f_triu(-(size / 2))?
        .f_view([channels, channels, 1, 1])?;
    let offset = Tensor::f_full([channels], k, options)?;
    let scale = x.f_square()?.f_conv2d(&band, Some(&offset), 1, 0, 1, 1)?;
    x.f_mul(&scale.f_pow_tensor_scalar(-beta)?)?.f_to_kind(kind)
}
