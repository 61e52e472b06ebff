//! The end of a network from which class activation maps can be read off: a global average pool, and a linear layer after
//! it (Zhou et al., arXiv:1512.04150, section 2) or none (Lin et al., arXiv:1312.4400).

use super::layers::chain;
use crate::network::node::{Node, Op, Shape, Window};

/// Where a class activation map comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The layer whose map is averaged.
    pub layer: String,
    /// The linear layer whose weights say how much each channel counts for a class; `None` if the channels are the classes.
    pub linear: Option<String>,
}

impl Head {
    /// The head of a network; `None` if it ends in another way.
    pub fn of(nodes: &[Node]) -> Option<Self> {
        let mut layers = chain(nodes);
        let linear = match layers.last()?.op {
            Op::Linear { .. } => layers.pop().map(|node| node.name.clone()),
            _ => None,
        };
        let passes_on = |node: &Node| matches!(node.op, Op::Dropout(_) | Op::Flatten);
        layers.truncate(layers.iter().rposition(|node| !passes_on(node))? + 1);
        layers.pop().filter(|node| averages_all(node))?;
        layers.truncate(layers.iter().rposition(|node| !passes_on(node))? + 1);
        Some(Head { layer: layers.pop()?.name.clone(), linear })
    }
}

/// Whether a layer averages its whole map.
fn averages_all(node: &Node) -> bool {
    match (&node.op, node.input) {
        (Op::GlobalAveragePool, Shape::Map { .. }) => true,
        (Op::AveragePool(Window { kernel, padding: [0, 0], .. }), Shape::Map { height, width, .. }) => {
            *kernel == [height, width]
        }
        _ => false,
    }
}
