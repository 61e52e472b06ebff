//! A network as a convolution over images larger than its input: fully connected layers become convolutions of the same
//! weights. Sermanet et al., arXiv:1312.6229, section 3.5; Simonyan and Zisserman, arXiv:1409.1556, section 3.2.

use anyhow::{Result, bail};

use super::node::{Conv, Node, Op, Shape, Window};

/// The layers of the same network that give a map of class scores, or, behind a global average pool, one score for each
/// class over the whole map. Their parameters are the old ones in the same order, those of fully connected layers in a
/// convolution's shape; the layers' sizes stay those at the network's own input.
///
/// # Errors
/// The first layer that has no counterpart, with its path and why.
pub fn dense(nodes: &[Node]) -> Result<Vec<Node>> {
    let mut flattened = Flattened::No;
    let nodes = convert(nodes, &mut flattened)?;
    if let Flattened::Just { at, map } = flattened {
        bail!(
            "this network cannot run over a whole image: at {at} a map of {map} is flattened into the class scores; a linear layer behind it, or a global_average_pool in its place, could"
        );
    }
    Ok(nodes)
}

/// Whether values that the file has as a vector are a map here.
enum Flattened {
    No,
    /// By this layer, and no linear layer has come since.
    Just {
        at: String,
        map: Shape,
    },
    /// And every linear layer from here on is a convolution of 1x1.
    Before,
}

fn convert(nodes: &[Node], flattened: &mut Flattened) -> Result<Vec<Node>> {
    let mut converted = Vec::with_capacity(nodes.len());
    for node in nodes {
        let op = match &node.op {
            Op::Flatten => {
                // A vector flattened stays what it is.
                match node.input {
                    Shape::Map { height: 1, width: 1, .. } => *flattened = Flattened::Before,
                    Shape::Map { .. } => *flattened = Flattened::Just { at: node.at.clone(), map: node.input },
                    Shape::Vector { .. } => {}
                }
                continue;
            }
            Op::Linear { inputs, outputs, bias, per_class } => {
                let (inputs, kernel) = match flattened {
                    Flattened::No => {
                        converted.push(node.clone());
                        continue;
                    }
                    Flattened::Just { map: Shape::Map { channels, height, width }, .. } => {
                        (*channels, [*height, *width])
                    }
                    Flattened::Just { .. } | Flattened::Before => (*inputs, [1, 1]),
                };
                *flattened = Flattened::Before;
                let window = Window { kernel, stride: [1, 1], padding: [0, 0], ceil: false };
                Op::Conv(Conv {
                    inputs,
                    outputs: *outputs,
                    window,
                    groups: 1,
                    bias: Some(*bias),
                    per_class: *per_class,
                })
            }
            Op::Sequence(layers) => Op::Sequence(convert(layers, flattened)?),
            // Maps go in and come out, and heads only speak in training.
            _ => node.op.clone(),
        };
        converted.push(Node { op, ..node.clone() });
    }
    Ok(converted)
}
