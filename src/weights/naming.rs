//! The tensors of a file under the names of a network's parameters: without wrappers' words, and renamed on request.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::Result;

use super::StoredTensor;
use super::rename::{Named, Rename, rename, renamed};
use super::wrapper::Wrappers;
use crate::network::parameter::Parameter;

/// Modules that trainers keep beside the network: counters of averages, losses with weights, metrics with counts.
const BESIDE: [&str; 9] =
    ["n_averaged", "criterion", "criterions", "loss", "loss_fn", "loss_func", "loss_function", "metric", "metrics"];

/// Gives the tensors of `file` the names that a network's parameters may have. Those that belong to something else beside
/// the network are taken out, if the network lacks none of its own, and their names returned.
///
/// # Errors
/// Returns an error if a rename changes nothing, or two tensors would have the same name.
pub fn name(
    parameters: &[Parameter],
    stored: &mut Vec<StoredTensor>,
    renames: &[Rename],
    file: &Path,
) -> Result<Vec<String>> {
    let given: Vec<String> = stored.iter().map(|tensor| tensor.name.clone()).collect();
    let wrappers = Wrappers::of(parameters, &given);
    let mut names: Vec<String> = given.iter().map(|name| wrappers.unwrap(name)).collect();
    if !renames.is_empty() {
        rename(&mut names, &unwrapped(renames, &wrappers), file)?;
        names = unwrap(parameters, names);
    }
    let is_beside = beside(parameters, &given, &names, renames, &wrappers);
    let mut foreign = Vec::new();
    let named = std::mem::take(stored).into_iter().zip(names).zip(is_beside);
    for ((tensor, name), is_beside) in named {
        if is_beside { foreign.push(tensor.name) } else { stored.push(StoredTensor { name, ..tensor }) }
    }
    Ok(foreign)
}

/// Which tensors belong to something else than the network.
fn beside(
    parameters: &[Parameter],
    given: &[String],
    names: &[String],
    renames: &[Rename],
    wrappers: &Wrappers,
) -> Vec<bool> {
    let found: HashSet<&str> = names.iter().map(String::as_str).collect();
    let known: HashSet<&str> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    let is_complete = parameters.iter().all(|it| it.auxiliary || found.contains(it.name.as_str()));
    let is_wrapped = wrappers.wrap_the_whole() || renames.iter().any(Rename::drops);
    let is_beside = |(given, name): (&String, &String)| {
        let module = name.split('.').next().unwrap_or_default();
        let is_outside = is_complete && is_wrapped && wrappers.is_outside(given);
        !known.contains(name.as_str()) && (is_outside || BESIDE.contains(&module) && wrappers.is_outside(name))
    };
    given.iter().zip(names).map(is_beside).collect()
}

/// How well tensors fit a network: a point for each that has the name of a parameter, another if it has its shape.
pub fn score(parameters: &[Parameter], tensors: &[Named], renames: &[Rename]) -> usize {
    let names: Vec<String> = tensors.iter().map(|(name, _)| (*name).to_string()).collect();
    let wrappers = Wrappers::of(parameters, &names);
    let renames = unwrapped(renames, &wrappers);
    let names = names.iter().map(|name| wrappers.unwrap(name));
    let names = unwrap(parameters, names.map(|name| renamed(&renames, &name).unwrap_or(name)).collect());
    let shapes: HashMap<&str, &[usize]> =
        names.iter().map(String::as_str).zip(tensors.iter().map(|(_, shape)| *shape)).collect();
    let points = |parameter: &Parameter| match shapes.get(parameter.name.as_str()) {
        Some(shape) => 1 + usize::from(parameter.has_shape(shape)),
        None => 0,
    };
    parameters.iter().map(points).sum()
}

fn unwrap(parameters: &[Parameter], names: Vec<String>) -> Vec<String> {
    let wrappers = Wrappers::of(parameters, &names);
    names.iter().map(|name| wrappers.unwrap(name)).collect()
}

/// The renames for names that have lost wrappers' words, which may be part of the old words.
fn unwrapped(renames: &[Rename], wrappers: &Wrappers) -> Vec<Rename> {
    renames.iter().map(|rename| rename.of_old(wrappers.unwrap(rename.old()))).collect()
}
