//! What makes a network a classifier: it takes images and outputs one value per class.

use std::collections::HashSet;

use anyhow::{Error, Result};

use super::bounds;
use super::node::{Node, Op, Shape};
use super::parameter;
use super::refusal::{Proof, refuse};
use super::shape::{self, prove};
use super::spec::{Auxiliary, Branches, Layer, NetworkSpec, Residual, Sequence};
use crate::remedy::Remedy;

/// The channels of the images that a classifier takes: they are read as RGB.
const CHANNELS: i64 = 3;
/// The JSON path of a classifier's network.
const AT: &str = "network";

/// Proves a network's sizes, and that it is a classifier.
///
/// # Errors
/// Returns the first layer that cannot work, with its JSON path; with the smallest input that would do, if a larger one
/// would.
pub fn prove_classifier(spec: &NetworkSpec) -> Result<Vec<Node>> {
    let nodes = prove(spec, AT).map_err(|refusal| {
        let side = if refusal.too_small { smallest_side(spec) } else { None };
        side.map_or(Error::new(refusal.clone()), |side| {
            let problem = format!("{refusal}; the smallest input that this network supports is {side}x{side}");
            let [channels, ..] = spec.input;
            Error::new(Remedy { problem, changes: vec![("network.input", format!("[{channels},{side},{side}]"))] })
        })
    })?;
    check(&nodes, spec)?;
    Ok(nodes)
}

/// Inputs past this are not tried in the search for one that is large enough.
const LARGEST_TRIED: i64 = 512;
/// Nor are more layers than this proved in it, all together.
const MOST_PROVED: usize = 1_000_000;

/// The side of the smallest square input, not below the present one, with which the network can be proved; `None` if it
/// is not found soon.
fn smallest_side(spec: &NetworkSpec) -> Option<i64> {
    let [channels, height, width] = spec.input;
    let mut sides = (height.max(width)..=LARGEST_TRIED).take(MOST_PROVED / bounds::count(&spec.layers).max(1));
    sides.find(|&side| prove(&NetworkSpec { input: [channels, side, side], ..spec.clone() }, AT).is_ok())
}

fn check(nodes: &[Node], spec: &NetworkSpec) -> Proof<()> {
    let [channels, height, width] = spec.input;
    if channels != CHANNELS {
        return refuse(
            "network.input[0]",
            format!("expected {CHANNELS} channels, since images are read as RGB, found {channels}"),
        );
    }
    let output = shape::output(nodes, Shape::Map { channels, height, width });
    let expected = format!("expected one value for each of the {} classes", spec.classes);
    if output != (Shape::Vector { features: spec.classes }) {
        let way_out = "end with { \"linear\": { \"features\": \"classes\" } }";
        return refuse("network.layers", format!("the last layer outputs {output}, {expected}; {way_out}"));
    }
    for (node, layers) in heads(nodes) {
        let output = shape::output(layers, node.input);
        if output != (Shape::Vector { features: spec.classes }) {
            return refuse(&node.at, format!("the auxiliary classifier outputs {output}, {expected}"));
        }
    }
    Ok(())
}

/// The same network without its auxiliary classifiers. An empty sequence stands in the place of each, so that layers that
/// are named by their position keep their names.
pub fn without_auxiliary(spec: &NetworkSpec) -> NetworkSpec {
    NetworkSpec { layers: headless(&spec.layers), ..spec.clone() }
}

fn headless(layers: &[Layer]) -> Vec<Layer> {
    let without = |layer: &Layer| match layer {
        Layer::Auxiliary(Auxiliary { name, .. }) => {
            Layer::Sequence(Sequence { name: Some(name.clone()), layers: Vec::new() })
        }
        Layer::Sequence(it) => Layer::Sequence(Sequence { layers: headless(&it.layers), ..it.clone() }),
        Layer::Branches(it) => Layer::Branches(Branches { branches: headless(&it.branches), ..it.clone() }),
        Layer::Residual(it) => Layer::Residual(Residual { body: headless(&it.body), ..it.clone() }),
        other => other.clone(),
    };
    layers.iter().map(without).collect()
}

/// The names of the auxiliary classifiers.
pub fn auxiliary_names(nodes: &[Node]) -> Vec<&str> {
    heads(nodes).into_iter().map(|(node, _)| node.name.as_str()).collect()
}

/// The auxiliary classifiers, each with its layers.
fn heads(nodes: &[Node]) -> Vec<(&Node, &[Node])> {
    let mut found = Vec::new();
    for node in nodes {
        match &node.op {
            Op::Auxiliary { layers, .. } => found.push((node, layers.as_slice())),
            _ => node.inner().into_iter().for_each(|inner| found.extend(heads(inner))),
        }
    }
    found
}

/// The names of the parameters whose size follows the number of classes: those of the last layer with weights, and of
/// what comes after it, in the network itself and in each auxiliary classifier.
pub fn class_parameters(nodes: &[Node]) -> HashSet<String> {
    let mut names = HashSet::new();
    last_weights(nodes, &mut names);
    for (_, layers) in heads(nodes) {
        last_weights(layers, &mut names);
    }
    names
}

/// Collects from the end up to the first layer with weights; returns whether there was one.
fn last_weights(nodes: &[Node], names: &mut HashSet<String>) -> bool {
    nodes.iter().rev().filter(|node| !matches!(node.op, Op::Auxiliary { .. })).any(|node| {
        names.extend(parameter::own(node).into_iter().map(|parameter| parameter.name));
        match &node.op {
            Op::Conv { .. } | Op::ConvTranspose { .. } | Op::Linear { .. } => true,
            Op::Sequence(layers) => last_weights(layers, names),
            _ => false,
        }
    })
}
