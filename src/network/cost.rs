//! What a network costs: its layers with their parameters and multiply-adds, and its depth. Computed without tensors.

use super::node::{Node, Op, Shape, Window};
use super::parameter;

/// The cost of one layer.
#[derive(Clone, Debug)]
pub struct LayerCost {
    /// The name that its parameters' names start with.
    pub path: String,
    /// Its name in the JSON format.
    pub kind: &'static str,
    /// The size of its output per image.
    pub output: Shape,
    /// The number of trainable parameters.
    pub parameters: i64,
    /// Multiply-adds per image.
    pub multiply_adds: i64,
    /// Part of an auxiliary classifier, which only training uses.
    pub auxiliary: bool,
}

/// The cost of every layer, in the order of the forward pass, without the containers around them.
pub fn rows(nodes: &[Node]) -> Vec<LayerCost> {
    let mut rows = Vec::new();
    collect(nodes, false, &mut rows);
    rows
}

fn collect(nodes: &[Node], auxiliary: bool, rows: &mut Vec<LayerCost>) {
    for node in nodes {
        let inner = node.inner();
        if inner.is_empty() {
            rows.push(row(node, auxiliary));
        }
        let auxiliary = auxiliary || matches!(node.op, Op::Auxiliary { .. });
        inner.into_iter().for_each(|inner| collect(inner, auxiliary, rows));
    }
}

fn row(node: &Node, auxiliary: bool) -> LayerCost {
    let trainable = parameter::own(node).into_iter().filter(parameter::Parameter::is_trainable);
    LayerCost {
        path: node.name.clone(),
        kind: node.kind(),
        output: node.output,
        parameters: trainable.map(|parameter| parameter.elements()).sum(),
        multiply_adds: multiply_adds(node),
        auxiliary,
    }
}

/// Those of convolutions and linear layers, as the papers count; the rest is below one percent of them.
fn multiply_adds(node: &Node) -> i64 {
    match &node.op {
        Op::Conv { window: Window { kernel: [height, width], .. }, groups, .. } => {
            let per_value = (height * width).saturating_mul(node.input.channels() / groups);
            node.output.elements().saturating_mul(per_value)
        }
        Op::ConvTranspose { window: Window { kernel: [height, width], .. }, .. } => {
            node.input.elements().saturating_mul(height * width * node.output.channels())
        }
        Op::Linear { .. } => node.input.channels() * node.output.channels(),
        _ => 0,
    }
}

/// How many layers with parameters (convolutions and linear layers) follow one another along the longest path, as the
/// papers count depth: shortcuts, branches and auxiliary classifiers add nothing of their own.
pub fn depth(nodes: &[Node]) -> usize {
    let depth_of = |node: &Node| match &node.op {
        Op::Conv { .. } | Op::ConvTranspose { .. } | Op::Linear { .. } => 1,
        Op::Sequence(layers) => depth(layers),
        Op::Residual { body, .. } => depth(body),
        Op::Branches(branches) => branches.iter().map(|branch| depth(std::slice::from_ref(branch))).max().unwrap_or(0),
        _ => 0,
    };
    nodes.iter().map(depth_of).sum()
}

/// How many pooling layers the trunk has; those inside branches and auxiliary classifiers do not count.
pub fn pools(nodes: &[Node]) -> usize {
    let pools_of = |node: &Node| match &node.op {
        Op::MaxPool(_) | Op::AveragePool(_) | Op::GlobalAveragePool => 1,
        Op::Sequence(layers) => pools(layers),
        _ => 0,
    };
    nodes.iter().map(pools_of).sum()
}
