//! A network as it is evaluated: batch norms are folded into the convolutions before them, and what only training uses is
//! left out. Maps lie in channels-last order. On a processor, a convolution or a linear layer is one operation with the ReLU
//! or the sum that follows, and weights lie as oneDNN packs them.

use std::iter::Peekable;

use tch::{Kind, TchError, Tensor};

use super::kernels::winograd;
use super::node::{Node, Op, Shape, Window};
use super::parameter::{self, Role};
use super::{Tensors, channels_last};
use crate::native::convolution::Direction;

type Result<T> = std::result::Result<T, TchError>;

/// What a network is fused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Weights are packed for so many images.
    Processor { batch: i64 },
    /// Layers stay apart.
    Gpu,
}

/// The fused layers, under the names of their convolutions and linear layers, and their tensors. Those of convolutions and
/// linear layers are of this kind.
///
/// # Errors
/// Returns libtorch's error: in practice, out of memory.
pub fn fused(nodes: &[Node], tensors: &Tensors, kind: Kind, target: Target) -> Result<(Vec<Node>, Tensors)> {
    let mut fusion = Fusion { tensors, kind, target, fused: Tensors::new() };
    let nodes = fusion.list(nodes)?;
    Ok((nodes, fusion.fused))
}

struct Fusion<'a> {
    tensors: &'a Tensors,
    kind: Kind,
    target: Target,
    fused: Tensors,
}

impl Fusion<'_> {
    fn list(&mut self, nodes: &[Node]) -> Result<Vec<Node>> {
        let mut layers = evaluated(nodes).into_iter().peekable();
        let mut done = Vec::new();
        while let Some(node) = layers.next() {
            let op = match &node.op {
                Op::Conv { window, groups, .. } => {
                    let (window, groups) = (*window, *groups);
                    let norm = layers.next_if(|next| matches!(next.op, Op::BatchNorm { .. }));
                    let winograd = self.is_for_winograd(node, window, groups);
                    self.conv(node, window, groups, norm, winograd)?;
                    match self.target {
                        Target::Processor { .. } => {
                            Op::FusedConv { window, groups, relu: relu_in(&mut layers), winograd }
                        }
                        Target::Gpu => Op::Conv { window, groups, bias: true, start_bias: None },
                    }
                }
                Op::Linear { .. } => {
                    self.keep(node)?;
                    match self.target {
                        Target::Processor { .. } => Op::FusedLinear { relu: relu_in(&mut layers) },
                        Target::Gpu => node.op.clone(),
                    }
                }
                Op::Residual { body, shortcut } => self.residual(body, shortcut)?,
                Op::Branches(branches) => {
                    Op::Branches(branches.iter().map(|branch| self.branch(branch)).collect::<Result<_>>()?)
                }
                Op::MaxPool(window) if self.has_kernels() => Op::FusedMaxPool(*window),
                Op::LocalResponseNorm(norm) if self.has_kernels() => Op::FusedLocalResponseNorm(norm.clone()),
                op => {
                    self.keep(node)?;
                    op.clone()
                }
            };
            done.push(Node { op, ..node.clone() });
        }
        Ok(done)
    }

    /// A branch is one node, whatever is left of it.
    fn branch(&mut self, branch: &Node) -> Result<Node> {
        Ok(Node { op: Op::Sequence(self.list(std::slice::from_ref(branch))?), ..branch.clone() })
    }

    /// Whether the layers with kernels of their own run in them: on a processor, in 32 bits.
    fn has_kernels(&self) -> bool {
        self.target != Target::Gpu && self.kind == Kind::Float
    }

    fn residual(&mut self, body: &[Node], shortcut: &[Node]) -> Result<Op> {
        let (mut body, shortcut) = (self.list(body)?, self.list(shortcut)?);
        Ok(match body.pop() {
            Some(mut last) if matches!(last.op, Op::FusedConv { relu: false, .. }) => {
                if let Op::FusedConv { relu, .. } = &mut last.op {
                    *relu = true;
                }
                Op::FusedResidual { body, last: Box::new(last), shortcut }
            }
            last => {
                body.extend(last);
                Op::Residual { body, shortcut }
            }
        })
    }

    /// Takes over a layer's own tensors, those of a linear layer in the kind that it computes with.
    fn keep(&mut self, node: &Node) -> Result<()> {
        let kind = if matches!(node.op, Op::Linear { .. }) { self.kind } else { Kind::Float };
        for parameter in parameter::own(node) {
            self.fused.insert(parameter.name, self.tensor(node, parameter.role)?.f_to_kind(kind)?);
        }
        Ok(())
    }

    /// The weights and biases of a convolution with those of the batch norm after it.
    fn folded(&self, node: &Node, norm: Option<&Node>) -> Result<(Tensor, Tensor)> {
        let weight = self.tensor(node, Role::Weight)?;
        let bias = match node.op {
            Op::Conv { bias: true, .. } => self.tensor(node, Role::Bias)?,
            _ => Tensor::f_zeros([node.output.channels()], (Kind::Float, weight.device()))?,
        };
        let Some(norm) = norm else { return Ok((weight, bias)) };
        let factor = self.factor(norm)?;
        let centred = bias.f_to_kind(Kind::Double)?.f_sub(&self.tensor(norm, Role::RunningMean)?)?;
        let bias = centred.f_mul(&factor)?.f_add(&self.tensor(norm, Role::Shift)?)?;
        let factor = factor.f_to_kind(Kind::Float)?.f_view([-1, 1, 1, 1])?;
        Ok((weight.f_mul(&factor)?, bias.f_to_kind(Kind::Float)?))
    }

    /// Keeps a convolution's weights and biases, folded and packed, under its name.
    fn conv(&mut self, node: &Node, window: Window, groups: i64, norm: Option<&Node>, winograd: bool) -> Result<()> {
        let (weight, bias) = self.folded(node, norm)?;
        let weight = match self.target {
            _ if winograd => winograd::transform(&weight, Direction::Forward)?,
            Target::Processor { batch } => pack(&weight.f_to_kind(self.kind)?, batch, node.input, window, groups)?,
            Target::Gpu => channels_last(&weight.f_to_kind(self.kind)?)?,
        };
        self.fused.insert(name(node, Role::Weight), weight);
        self.fused.insert(name(node, Role::Bias), bias.f_to_kind(self.kind)?);
        Ok(())
    }

    /// Whether a convolution runs by Winograd's minimal filtering.
    fn is_for_winograd(&self, node: &Node, window: Window, groups: i64) -> bool {
        let Target::Processor { batch } = self.target else { return false };
        self.has_kernels() && winograd::suits(node, window, groups, batch)
    }

    /// What a batch norm multiplies each channel by, in 64 bits.
    fn factor(&self, norm: &Node) -> Result<Tensor> {
        let epsilon = if let Op::BatchNorm { epsilon, .. } = norm.op { epsilon } else { 0.0 };
        let variance = self.tensor(norm, Role::RunningVariance)?.f_to_kind(Kind::Double)?;
        self.tensor(norm, Role::Scale)?.f_to_kind(Kind::Double)?.f_div(&variance.f_add_scalar(epsilon)?.f_sqrt()?)
    }

    fn tensor(&self, node: &Node, role: Role) -> Result<Tensor> {
        let name = name(node, role);
        let tensor = self.tensors.get(&name);
        tensor.ok_or_else(|| TchError::Shape(format!("the network lacks a tensor for {name}")))?.f_detach()
    }
}

/// The weights in the order in which oneDNN reads them for an input of this shape; for others it reorders them itself.
fn pack(weight: &Tensor, batch: i64, input: Shape, window: Window, groups: i64) -> Result<Tensor> {
    let size = [&[batch], input.dimensions().as_slice()].concat();
    let plain = weight.f_to_mkldnn(None::<Kind>)?;
    plain.f_mkldnn_reorder_conv2d_weight(window.padding, window.stride, [1, 1], groups, size.as_slice())
}

/// Whether a ReLU comes next, which is then passed over.
fn relu_in<'a>(layers: &mut Peekable<impl Iterator<Item = &'a Node>>) -> bool {
    layers.next_if(|next| next.op == Op::Relu).is_some()
}

/// The layers that evaluation runs, those of sequences in their place.
fn evaluated(nodes: &[Node]) -> Vec<&Node> {
    let mut layers = Vec::new();
    for node in nodes {
        match &node.op {
            Op::Sequence(inner) => layers.extend(evaluated(inner)),
            Op::Dropout(_) | Op::Auxiliary { .. } => {}
            _ => layers.push(node),
        }
    }
    layers
}

fn name(node: &Node, role: Role) -> String {
    format!("{}.{}", node.name, role.suffix())
}
