//! The parameters of a proved network: their names and sizes, computed without tensors.

use super::kernels::winograd;
use super::node::{Node, Op, Window};

/// A tensor of a network: a trainable one, or a running statistic.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// As in torchvision: `layer1.0.conv1.weight`.
    pub name: String,
    /// As PyTorch has it: (outputs, inputs / groups, height, width) for a convolution, (inputs, outputs, height, width) for
    /// its transpose.
    pub shape: Vec<i64>,
    /// Its role in the layer.
    pub role: Role,
    /// Part of an auxiliary classifier, which only training uses.
    pub auxiliary: bool,
}

/// The role of a parameter in its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The weights of a convolution or a linear layer.
    Weight,
    /// The bias of a convolution or a linear layer.
    Bias,
    /// What a batch norm multiplies by.
    Scale,
    /// What a batch norm adds.
    Shift,
    /// The mean of each channel, kept for evaluation.
    RunningMean,
    /// The variance of each channel, kept for evaluation.
    RunningVariance,
}

impl Role {
    /// How PyTorch names it: the last part of the parameter's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Role::Weight | Role::Scale => "weight",
            Role::Bias | Role::Shift => "bias",
            Role::RunningMean => "running_mean",
            Role::RunningVariance => "running_var",
        }
    }
}

impl Parameter {
    /// The number of values.
    pub fn elements(&self) -> i64 {
        self.shape.iter().product()
    }

    /// Whether it has this shape.
    pub fn has_shape(&self, shape: &[usize]) -> bool {
        self.shape.len() == shape.len()
            && self.shape.iter().zip(shape).all(|(own, side)| usize::try_from(*own) == Ok(*side))
    }

    /// The name of its layer.
    pub fn layer(&self) -> &str {
        self.name.rsplit_once('.').map_or("", |(layer, _)| layer)
    }

    /// Whether gradients change it; running statistics have none.
    pub fn is_trainable(&self) -> bool {
        !matches!(self.role, Role::RunningMean | Role::RunningVariance)
    }
}

/// Whether a layer is `part`, or lies inside it: `layer1.0.conv1` lies within `layer1`, `layer10` does not.
pub fn is_within(layer: &str, part: &str) -> bool {
    layer.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether a layer is one of these parts or lies in one.
pub fn is_within_any(layer: &str, parts: &[String]) -> bool {
    parts.iter().any(|part| is_within(layer, part))
}

/// The parameters of `nodes` and of all layers inside them, in the order of the forward pass.
pub fn parameters(nodes: &[Node]) -> Vec<Parameter> {
    let mut all = Vec::new();
    collect(nodes, false, &mut all);
    all
}

fn collect(nodes: &[Node], auxiliary: bool, all: &mut Vec<Parameter>) {
    for node in nodes {
        all.extend(own(node).into_iter().map(|parameter| Parameter { auxiliary, ..parameter }));
        let auxiliary = auxiliary || matches!(node.op, Op::Auxiliary { .. });
        node.inner().into_iter().for_each(|inner| collect(inner, auxiliary, all));
    }
}

/// A layer's own parameters, without those of the layers inside it.
pub fn own(node: &Node) -> Vec<Parameter> {
    let (inputs, outputs) = (node.input.channels(), node.output.channels());
    let parameter = |role: Role, shape: &[i64]| Parameter {
        name: format!("{}.{}", node.name, role.suffix()),
        shape: shape.to_vec(),
        role,
        auxiliary: false,
    };
    match &node.op {
        Op::Conv { window: Window { kernel: [height, width], .. }, groups, bias, .. } => {
            let weight = parameter(Role::Weight, &[outputs, inputs / groups, *height, *width]);
            let bias = bias.then(|| parameter(Role::Bias, &[outputs]));
            [weight].into_iter().chain(bias).collect()
        }
        Op::FusedConv { winograd: true, .. } => {
            vec![parameter(Role::Weight, &winograd::weight_shape(inputs, outputs)), parameter(Role::Bias, &[outputs])]
        }
        Op::FusedConv { window: Window { kernel: [height, width], .. }, groups, .. } => vec![
            parameter(Role::Weight, &[outputs, inputs / groups, *height, *width]),
            parameter(Role::Bias, &[outputs]),
        ],
        Op::ConvTranspose { window: Window { kernel: [height, width], .. }, bias } => {
            let weight = parameter(Role::Weight, &[inputs, outputs, *height, *width]);
            let bias = bias.then(|| parameter(Role::Bias, &[outputs]));
            [weight].into_iter().chain(bias).collect()
        }
        Op::Linear { .. } | Op::FusedLinear { .. } => {
            vec![parameter(Role::Weight, &[outputs, inputs]), parameter(Role::Bias, &[outputs])]
        }
        Op::BatchNorm { .. } => [Role::Scale, Role::Shift, Role::RunningMean, Role::RunningVariance]
            .map(|role| parameter(role, &[inputs]))
            .to_vec(),
        _ => Vec::new(),
    }
}
