//! The initial values of a network's parameters.

use anyhow::{Context, Result};
use rand::RngExt;
use rand_distr::StandardNormal;
use tch::{Device, Tensor};

use super::Tensors;
use super::node::{Node, Op};
use super::parameter::{self, Parameter, Role};
use super::spec::{Start, StartWeights};
use crate::{device, random};

/// How a parameter's initial values are distributed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// This value everywhere.
    Constant(f64),
    /// Uniform within plus or minus this.
    Uniform(f64),
    /// Normal around 0 with this standard deviation.
    Normal(f64),
}

/// Draws all parameters' initial values, the same for the same seed on every device.
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn tensors(nodes: &[Node], start: &Start, seed: u64, device: Device) -> Result<Tensors> {
    let draw = |(parameter, distribution): (Parameter, Distribution)| {
        let Parameter { name, shape, .. } = parameter;
        let tensor = draw(&name, &shape, distribution, seed, device)
            .with_context(|| format!("no room on {} for {name} of {shape:?}", device::name(device)))?;
        Ok((name, tensor))
    };
    distributions(nodes, start, false).into_iter().map(draw).collect()
}

/// Every parameter with its distribution. `is_body` says that the layers are a residual block's body, whose last batch norm
/// may start at scale 0.
fn distributions(nodes: &[Node], start: &Start, is_body: bool) -> Vec<(Parameter, Distribution)> {
    let mut all = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let is_zero = start.zero_residual && is_body && index + 1 == nodes.len();
        let own = parameter::own(node).into_iter();
        all.extend(own.map(|parameter| {
            let distribution = distribution(node, parameter.role, start, is_zero);
            (parameter, distribution)
        }));
        match &node.op {
            Op::Residual { body, shortcut } => {
                all.extend(distributions(body, start, true));
                all.extend(distributions(shortcut, start, false));
            }
            _ => node.inner().into_iter().for_each(|inner| all.extend(distributions(inner, start, false))),
        }
    }
    all
}

/// Whether `zero_residual` acts: some residual block's body ends in a batch norm.
pub fn has_zero_residual(nodes: &[Node]) -> bool {
    nodes.iter().any(|node| {
        let acts = |body: &[Node]| matches!(body.last(), Some(Node { op: Op::BatchNorm { .. }, .. }));
        matches!(&node.op, Op::Residual { body, .. } if acts(body)) || node.inner().into_iter().any(has_zero_residual)
    })
}

fn distribution(node: &Node, role: Role, start: &Start, is_zero: bool) -> Distribution {
    match (role, &node.op) {
        (Role::Weight, op @ Op::Linear { .. }) => weights(node, op, start.linear.as_ref().unwrap_or(&start.weights)),
        (Role::Weight, op) => weights(node, op, &start.weights),
        (Role::Bias, Op::Conv { start_bias, .. } | Op::Linear { start_bias }) => {
            Distribution::Constant(start_bias.unwrap_or(start.bias))
        }
        (Role::Bias, _) => Distribution::Constant(start.bias),
        (Role::Scale, _) => Distribution::Constant(if is_zero { 0.0 } else { 1.0 }),
        (Role::Shift | Role::RunningMean, _) => Distribution::Constant(0.0),
        (Role::RunningVariance, _) => Distribution::Constant(1.0),
    }
}

fn weights(node: &Node, op: &Op, rule: &StartWeights) -> Distribution {
    let (inputs, outputs) = (node.input.channels() as f64, node.output.channels() as f64);
    // As PyTorch and Caffe count: a group's weights see only its own inputs, but fan-out is over all outputs.
    let (fan_in, fan_out) = match op {
        Op::Conv { window, groups, .. } => {
            let area = (window.kernel[0] * window.kernel[1]) as f64;
            (inputs / *groups as f64 * area, outputs * area)
        }
        Op::ConvTranspose { window, .. } => {
            let area = (window.kernel[0] * window.kernel[1]) as f64;
            (inputs * area, outputs * area)
        }
        _ => (inputs, outputs),
    };
    match (rule, op) {
        (StartWeights::He, Op::Linear { .. }) => Distribution::Uniform(1.0 / fan_in.sqrt()),
        (StartWeights::He, _) => Distribution::Normal((2.0 / fan_out).sqrt()),
        (StartWeights::Glorot, _) => Distribution::Uniform((6.0 / (fan_in + fan_out)).sqrt()),
        (StartWeights::Normal(deviation), _) => Distribution::Normal(*deviation),
    }
}

/// Draws on the CPU, from the parameter's own random stream.
fn draw(name: &str, shape: &[i64], distribution: Distribution, seed: u64, device: Device) -> Result<Tensor> {
    let count = usize::try_from(shape.iter().product::<i64>())?;
    let mut values: Vec<f32> = Vec::new();
    values.try_reserve_exact(count)?;
    let mut stream = random::weights_stream(seed, name);
    match distribution {
        Distribution::Constant(value) => values.resize(count, value as f32),
        Distribution::Uniform(bound) => {
            let bound = bound as f32;
            values.extend((0..count).map(|_| bound * (2.0 * stream.random::<f32>() - 1.0)));
        }
        Distribution::Normal(deviation) => {
            let deviation = deviation as f32;
            values.extend((0..count).map(|_| deviation * stream.sample::<f32, _>(StandardNormal)));
        }
    }
    Ok(Tensor::f_from_slice(&values)?.f_view(shape)?.f_to_device(device)?)
}
