//! What a network costs: its layers with their parameters and multiply-adds, and its depth. Worked out without a tensor.

use super::node::{Node, Op};
use super::parameters::own_parameters;
use super::spec::StartWeights;

/// One layer's share.
#[derive(Clone, Debug)]
pub struct Row {
    /// The name that its parameters' names start with.
    pub path: String,
    pub kind: &'static str,
    pub output: String,
    /// How many values one image has at its output.
    pub neurons: i64,
    pub parameters: i64,
    pub multiply_adds: i64,
    pub auxiliary: bool,
}

/// The layers that do the work, in the order of the forward pass, without the containers around them.
pub fn rows(nodes: &[Node]) -> Vec<Row> {
    let mut rows = Vec::new();
    collect(nodes, false, &mut rows);
    rows
}

fn collect(nodes: &[Node], auxiliary: bool, rows: &mut Vec<Row>) {
    for node in nodes {
        let inner = node.inner();
        if inner.is_empty() {
            rows.push(row(node, auxiliary));
        }
        let auxiliary = auxiliary || matches!(node.op, Op::Auxiliary { .. });
        inner.into_iter().for_each(|inner| collect(inner, auxiliary, rows));
    }
}

fn row(node: &Node, auxiliary: bool) -> Row {
    let learned = own_parameters(node, &StartWeights::He).into_iter().filter(|parameter| parameter.trainable);
    Row {
        path: node.name.clone(),
        kind: node.kind(),
        output: node.output.to_string(),
        neurons: node.output.elements(),
        parameters: learned.map(|parameter| parameter.elements()).sum(),
        multiply_adds: multiply_adds(node),
        auxiliary,
    }
}

/// Those of convolutions and linear layers, as the papers count; the rest is below a percent of them.
fn multiply_adds(node: &Node) -> i64 {
    match &node.op {
        Op::Conv(conv) => {
            let [height, width] = conv.window.kernel;
            node.output.elements() * height * width * (conv.inputs / conv.groups)
        }
        Op::Linear { inputs, outputs, .. } => inputs * outputs,
        _ => 0,
    }
}

/// How many layers with parameters (convolutions and linear layers) follow one another, along the longest way through, as
/// the papers count depth: shortcuts, branches and auxiliary heads add nothing of their own.
pub fn depth(nodes: &[Node]) -> usize {
    nodes
        .iter()
        .map(|node| match &node.op {
            Op::Conv(_) | Op::Linear { .. } => 1,
            Op::Sequence(layers) => depth(layers),
            Op::Residual { body, .. } => depth(body),
            Op::Branches(branches) => {
                branches.iter().map(|branch| depth(std::slice::from_ref(branch))).max().unwrap_or(0)
            }
            _ => 0,
        })
        .sum()
}

/// How many pooling layers the trunk has; those inside branches and auxiliary heads do not count.
pub fn pools(nodes: &[Node]) -> usize {
    nodes
        .iter()
        .map(|node| match &node.op {
            Op::MaxPool(_) | Op::AveragePool(_) | Op::GlobalAveragePool => 1,
            Op::Sequence(layers) => pools(layers),
            _ => 0,
        })
        .sum()
}
