//! The parameters that a proved network has: names, sizes and starting values, worked out without a tensor.

use super::node::{Conv, Node, Op};
use super::spec::{self, StartWeights};

/// A tensor that the network learns, or (running means and variances) keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// As in torchvision: `layer1.0.conv1.weight`.
    pub name: String,
    pub shape: Vec<i64>,
    pub start: Start,
    /// Learned by gradients; false for running statistics.
    pub trainable: bool,
    /// Part of an auxiliary head, which only training uses.
    pub auxiliary: bool,
    /// Part of a layer whose outputs are the classes.
    pub per_class: bool,
}

impl Parameter {
    pub fn elements(&self) -> i64 {
        self.shape.iter().product()
    }
}

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    Constant(f64),
    /// Uniform within plus or minus this.
    Uniform(f64),
    /// Normal around 0 with this standard deviation.
    Normal(f64),
}

/// The parameters of `nodes` and of all layers inside them, in the order of the forward pass.
pub fn parameters(nodes: &[Node], start: &spec::Start) -> Vec<Parameter> {
    let mut all = Vec::new();
    collect(nodes, start, false, &mut all);
    all
}

fn collect(nodes: &[Node], start: &spec::Start, auxiliary: bool, all: &mut Vec<Parameter>) {
    for node in nodes {
        let own = own_parameters(node, &start.weights).into_iter();
        all.extend(own.map(|parameter| Parameter { auxiliary, ..parameter }));
        let auxiliary = auxiliary || matches!(node.op, Op::Auxiliary { .. });
        node.inner().into_iter().for_each(|inner| collect(inner, start, auxiliary, all));
        if let (Op::Residual { body, .. }, true) = (&node.op, start.zero_residual) {
            zero_last_norm(body, all);
        }
    }
}

fn zero_last_norm(body: &[Node], all: &mut [Parameter]) {
    let last =
        body.last().filter(|node| matches!(node.op, Op::BatchNorm { .. })).map(|node| format!("{}.weight", node.name));
    if let Some(scale) = last.and_then(|name| all.iter_mut().rev().find(|parameter| parameter.name == name)) {
        scale.start = Start::Constant(0.0);
    }
}

/// What a layer itself has, without the layers inside it.
pub fn own_parameters(node: &Node, weights: &StartWeights) -> Vec<Parameter> {
    let per_class = matches!(&node.op, Op::Conv(Conv { per_class: true, .. }) | Op::Linear { per_class: true, .. });
    let parameter = |suffix: &str, shape: &[i64], start, trainable| Parameter {
        name: format!("{}.{suffix}", node.name),
        shape: shape.to_vec(),
        start,
        trainable,
        auxiliary: false,
        per_class,
    };
    match &node.op {
        Op::Conv(conv) => {
            let [height, width] = conv.window.kernel;
            let shape = [conv.outputs, conv.inputs / conv.groups, height, width];
            let mut all = vec![parameter("weight", &shape, start_of_conv(conv, weights), true)];
            all.extend(conv.bias.map(|bias| parameter("bias", &[conv.outputs], Start::Constant(bias), true)));
            all
        }
        &Op::Linear { inputs, outputs, bias, .. } => vec![
            parameter("weight", &[outputs, inputs], start_of_linear(inputs, outputs, weights), true),
            parameter("bias", &[outputs], Start::Constant(bias), true),
        ],
        Op::BatchNorm { channels, .. } => vec![
            parameter("weight", &[*channels], Start::Constant(1.0), true),
            parameter("bias", &[*channels], Start::Constant(0.0), true),
            parameter("running_mean", &[*channels], Start::Constant(0.0), false),
            parameter("running_var", &[*channels], Start::Constant(1.0), false),
        ],
        _ => Vec::new(),
    }
}

fn start_of_conv(conv: &Conv, weights: &StartWeights) -> Start {
    let area = (conv.window.kernel[0] * conv.window.kernel[1]) as f64;
    // As PyTorch and Caffe count: a group's weights see only its inputs, but fan-out is over all outputs.
    let fan_in = (conv.inputs / conv.groups) as f64 * area;
    let fan_out = conv.outputs as f64 * area;
    match weights {
        StartWeights::He => Start::Normal((2.0 / fan_out).sqrt()),
        StartWeights::Glorot => Start::Uniform((6.0 / (fan_in + fan_out)).sqrt()),
        StartWeights::Normal(deviation) => Start::Normal(*deviation),
    }
}

fn start_of_linear(inputs: i64, outputs: i64, weights: &StartWeights) -> Start {
    match weights {
        StartWeights::He => Start::Uniform(1.0 / (inputs as f64).sqrt()),
        StartWeights::Glorot => Start::Uniform((6.0 / (inputs + outputs) as f64).sqrt()),
        StartWeights::Normal(deviation) => Start::Normal(*deviation),
    }
}
