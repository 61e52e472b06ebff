//! A network as a convolution over images larger than its input: fully connected layers become convolutions with the
//! same weights. Sermanet et al., arXiv:1312.6229, section 3.5; Simonyan and Zisserman, arXiv:1409.1556, section 3.2.

use super::node::{Node, Op, Shape, Window};
use super::refusal::{Proof, refuse};

/// The layers of the same network, under their names, that output a map of class scores, or, after a global average
/// pool, one score per class over the whole map. Sizes stay those at the network's own input.
///
/// # Errors
/// Returns the first layer that has no counterpart, with its path and the reason.
pub fn dense(nodes: &[Node]) -> Proof<Vec<Node>> {
    if let Some(node) = reshape(nodes) {
        return refuse(&node.at, "this network cannot run over a whole image: a map of a fixed size is made here");
    }
    let mut flattened = Flattened::No;
    let mut nodes = convert(nodes, &mut flattened);
    match (flattened, nodes.last()) {
        (Flattened::Just { at, map }, _) => {
            let reason = format!(
                "this network cannot run over a whole image: a map of {map} is flattened into the class scores"
            );
            refuse(&at, format!("{reason}; follow it with a linear layer, or use global_average_pool instead"))
        }
        (Flattened::Before, Some(last)) => {
            let (input, features) = (as_map(last.output), last.output.channels());
            let (name, at, output) = ("average".to_string(), last.at.clone(), Shape::Vector { features });
            nodes.push(Node { name, at, input, output, op: Op::GlobalAveragePool });
            Ok(nodes)
        }
        _ => Ok(nodes),
    }
}

/// Whether values that are a vector in the network itself are a map here.
enum Flattened {
    No,
    /// By this layer, and no linear layer has come since.
    Just {
        at: String,
        map: Shape,
    },
    /// And every linear layer from here on is a 1x1 convolution.
    Before,
}

/// The first layer that makes a map of a vector.
fn reshape(nodes: &[Node]) -> Option<&Node> {
    nodes.iter().find_map(|node| match node.op {
        Op::Reshape => Some(node),
        _ => node.inner().into_iter().find_map(reshape),
    })
}

fn convert(nodes: &[Node], flattened: &mut Flattened) -> Vec<Node> {
    nodes.iter().filter_map(|node| convert_node(node, flattened)).collect()
}

/// The layer's counterpart; `None` for a flattening, which has none.
fn convert_node(node: &Node, flattened: &mut Flattened) -> Option<Node> {
    let (op, input, output) = match (&node.op, &*flattened) {
        (Op::Flatten, _) => {
            match node.input {
                Shape::Map { height: 1, width: 1, .. } => *flattened = Flattened::Before,
                Shape::Map { .. } => *flattened = Flattened::Just { at: node.at.clone(), map: node.input },
                // Flattening a vector changes nothing.
                Shape::Vector { .. } => {}
            }
            return None;
        }
        (Op::Linear { .. }, Flattened::No) => (node.op.clone(), node.input, node.output),
        (Op::Linear { start_bias }, _) => {
            let input = match flattened {
                Flattened::Just { map, .. } => *map,
                _ => as_map(node.input),
            };
            *flattened = Flattened::Before;
            let window = Window { kernel: extent(input), stride: [1, 1], padding: [0, 0], ceil: false };
            (Op::Conv { window, groups: 1, bias: true, start_bias: *start_bias }, input, as_map(node.output))
        }
        (Op::Sequence(layers), _) => (Op::Sequence(convert(layers, flattened)), node.input, node.output),
        // Maps go in and come out, and auxiliary classifiers only run in training.
        (op, Flattened::Before) => (op.clone(), as_map(node.input), as_map(node.output)),
        (op, _) => (op.clone(), node.input, node.output),
    };
    Some(Node { op, input, output, ..node.clone() })
}

/// A vector as a map of 1x1.
fn as_map(shape: Shape) -> Shape {
    match shape {
        Shape::Vector { features } => Shape::Map { channels: features, height: 1, width: 1 },
        map => map,
    }
}

/// Height and width.
fn extent(shape: Shape) -> [i64; 2] {
    match shape {
        Shape::Map { height, width, .. } => [height, width],
        Shape::Vector { .. } => [1, 1],
    }
}
