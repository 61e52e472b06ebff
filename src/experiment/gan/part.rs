//! One of the two networks.

use serde::{Deserialize, Serialize};

use crate::network::node::{Node, Op};
use crate::network::shape::prove;
use crate::network::spec::{Layer, NetworkSpec, Start, batch_norm_epsilon};
use crate::network::{Proof, refuse};

/// A network: what a file says of a classifier's, without what follows from the rest.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// How many parameters it has: a claim, which tests check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<i64>,
    /// The initial values.
    #[serde(default)]
    pub start: Start,
    /// What batch norms add to the variance.
    #[serde(default = "batch_norm_epsilon")]
    batch_norm_epsilon: f64,
    layers: Vec<Layer>,
}

impl Part {
    /// Proves its sizes for an input of this size; its JSON path is `at`.
    ///
    /// # Errors
    /// Returns the first invalid layer.
    pub(super) fn prove(&self, input: [i64; 3], classes: i64, at: &str) -> Proof<Vec<Node>> {
        let spec = NetworkSpec {
            input,
            classes,
            parameters: None,
            parameters_with_auxiliary: None,
            start: self.start.clone(),
            batch_norm_epsilon: self.batch_norm_epsilon,
            layers: self.layers.clone(),
        };
        let nodes = prove(&spec, at)?;
        match auxiliary(&nodes) {
            Some(node) => {
                refuse(&node.at, "expected no auxiliary classifier, which only classifiers have; leave it out")
            }
            None => Ok(nodes),
        }
    }
}

fn auxiliary(nodes: &[Node]) -> Option<&Node> {
    nodes.iter().find_map(|node| match node.op {
        Op::Auxiliary { .. } => Some(node),
        _ => node.inner().into_iter().find_map(auxiliary),
    })
}
