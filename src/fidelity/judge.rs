//! A small network that looks at images: trained to tell real from made ones in the two-sample test, untrained for features.

use std::path::PathBuf;

use anyhow::Result;
use tch::Device;

use crate::experiment::{Change, Experiment};
use crate::geometry::Size;
use crate::model::Model;
use crate::network::{Network, init};

const JUDGE: &str = include_str!("judge.json");

/// Its experiment, for images of this size.
///
/// # Errors
/// Returns an error if an image is too large for a network.
pub fn judge(size: Size, seed: u64) -> Result<Experiment> {
    let Size { width, height } = size;
    let mut judge = Experiment::parse(JUDGE, &[Change::Set(format!("network.input=[3,{height},{width}]"))])?;
    judge.training.seed = seed;
    Ok(judge)
}

/// The network with its initial weights, always the same ones. Distances in the features of a network that has learned nothing
/// order generators where no classifier of the data is at hand: Naeem et al., arXiv:2002.09797. They put the first eight epochs
/// of `dcgan-mnist` on 4,000 digits in the same order as the features of a trained `lenet`.
///
/// # Errors
/// See [`judge`].
pub fn untrained(size: Size, device: Device) -> Result<Model> {
    let experiment = judge(size, 0)?;
    let nodes = experiment.nodes();
    let tensors = init::tensors(nodes, &experiment.network().start, experiment.training.seed, device)?;
    let network = Network::new(nodes.to_vec(), tensors, device)?;
    Ok(Model { experiment, network, classes: None, weights: PathBuf::new(), assumes_imagenet: false })
}
