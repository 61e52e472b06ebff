//! A network's layers by name, as `topfive summary` prints them, with the containers around them.

use anyhow::{Result, bail};

use crate::nearest::did_you_mean;
use crate::network::node::{Node, Op, Shape};

/// The layer or container of this name.
///
/// # Errors
/// Returns an error if there is none, with the nearest name, or it lies in an auxiliary classifier, which only training
/// runs.
pub fn find<'a>(nodes: &'a [Node], name: &str) -> Result<&'a Node> {
    let all = all(nodes);
    match all.iter().find(|node| node.name == name) {
        Some(node) => Ok(node),
        None => {
            let near = did_you_mean(name, all.iter().map(|node| node.name.as_str()));
            bail!("\"{name}\" is not one of the network's layers{near}; `topfive summary` lists them")
        }
    }
}

/// The layer of this name, which must output a map.
///
/// # Errors
/// Returns an error if there is none, or it outputs a vector.
pub fn find_map<'a>(nodes: &'a [Node], name: &str) -> Result<&'a Node> {
    let node = find(nodes, name)?;
    match node.output {
        Shape::Map { .. } => Ok(node),
        Shape::Vector { features } => {
            bail!("{name}: outputs {features} values without places; choose a layer that outputs a map")
        }
    }
}

/// All layers and containers, in the order of the forward pass, without auxiliary classifiers.
fn all(nodes: &[Node]) -> Vec<&Node> {
    let mut found = Vec::new();
    for node in nodes.iter().filter(|node| !matches!(node.op, Op::Auxiliary { .. })) {
        found.push(node);
        found.extend(node.inner().into_iter().flat_map(all));
    }
    found
}

/// The layers one after another: sequences are taken apart, residual blocks and branches are not.
pub fn chain(nodes: &[Node]) -> Vec<&Node> {
    let mut found = Vec::new();
    for node in nodes {
        match &node.op {
            Op::Auxiliary { .. } => {}
            Op::Sequence(layers) => found.extend(chain(layers)),
            _ => found.push(node),
        }
    }
    found
}

/// Whether a layer computes features: not a pool, and nothing that passes on what it gets.
fn computes(node: &Node) -> bool {
    !matches!(
        node.op,
        Op::MaxPool(_)
            | Op::AveragePool(_)
            | Op::GlobalAveragePool
            | Op::Dropout(_)
            | Op::Flatten
            | Op::Reshape
            | Op::LocalResponseNorm(_)
    )
}

/// The last layer of each size of map, but of 1x1, in the order of the forward pass: what a network's stages output.
pub fn stages(nodes: &[Node]) -> Vec<&Node> {
    let mut stages: Vec<(&Node, [i64; 2])> = Vec::new();
    for node in chain(nodes).into_iter().filter(|node| computes(node)) {
        let Shape::Map { height, width, .. } = node.output else { continue };
        if height * width == 1 {
            continue;
        }
        match stages.last_mut() {
            Some((last, size)) if *size == [height, width] => *last = node,
            _ => stages.push((node, [height, width])),
        }
    }
    stages.into_iter().map(|(node, _)| node).collect()
}

/// The first convolution of the forward pass.
pub fn first_convolution(nodes: &[Node]) -> Option<&Node> {
    all(nodes).into_iter().find(|node| matches!(node.op, Op::Conv { .. }))
}
