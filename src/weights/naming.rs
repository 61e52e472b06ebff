//! The tensors of a file under the names of a network's parameters: without wrappers' words, and renamed on request.

use std::collections::HashSet;
use std::path::Path;

use anyhow::Result;

use super::StoredTensor;
use super::rename::{Named, Rename, SUFFIXES, rename, renamed};
use super::wrapper::{Own, Wrappers};
use crate::network::parameter::Parameter;

/// What the names of modules contain that trainers keep beside the network: counters of averages, losses with weights,
/// metrics with counts.
const BESIDE: [&str; 4] = ["n_averaged", "criteri", "loss", "metric"];

/// Gives the tensors of `file` the names that a network's parameters may have. Those that belong to something else are
/// taken out, and their names returned: the modules that trainers keep beside a network, and if it lacks none of its own
/// tensors, whatever lies outside of a wrapper, or outside of its modules and cannot be a layer's.
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
    let own = Own::of(parameters);
    let wrappers = Wrappers::of(&own, &given);
    let mut names: Vec<String> = given.iter().map(|name| wrappers.unwrap(name)).collect();
    if !renames.is_empty() {
        rename(&mut names, &unwrapped(renames, &wrappers), file)?;
        names = unwrap(&own, names);
    }
    let is_beside = beside(&own, &given, &names, renames, &wrappers);
    let mut foreign = Vec::new();
    let named = std::mem::take(stored).into_iter().zip(names).zip(is_beside);
    for ((tensor, name), is_beside) in named {
        if is_beside { foreign.push(tensor.name) } else { stored.push(StoredTensor { name, ..tensor }) }
    }
    Ok(foreign)
}

/// Which tensors belong to something else than the network.
fn beside(own: &Own, given: &[String], names: &[String], renames: &[Rename], wrappers: &Wrappers) -> Vec<bool> {
    let found: HashSet<&str> = names.iter().map(String::as_str).collect();
    let is_complete = own.parameters.iter().all(|(name, it)| it.auxiliary || found.contains(name));
    let is_wrapped = wrappers.wrap_the_whole() || renames.iter().any(Rename::drops);
    let is_beside = |(given, name): (&String, &String)| {
        let module = name.split('.').next().unwrap_or_default();
        let is_outside = is_complete && is_wrapped && wrappers.is_outside(given);
        let is_known = BESIDE.iter().any(|word| module.contains(word));
        // A layer more would make another network.
        let is_no_layers = is_complete && name.rsplit('.').next().is_none_or(|last| !SUFFIXES.contains(&last));
        !own.parameters.contains_key(name.as_str())
            && (is_outside || (is_known || is_no_layers) && wrappers.is_outside(name))
    };
    given.iter().zip(names).map(is_beside).collect()
}

/// How well tensors fit a network: a point for each that has the name of a parameter, another if it has its shape.
pub fn score(own: &Own, tensors: &[Named], renames: &[Rename]) -> usize {
    let names: Vec<String> = tensors.iter().map(|(name, _)| (*name).to_string()).collect();
    let wrappers = Wrappers::of(own, &names);
    let renames = unwrapped(renames, &wrappers);
    let names = names.iter().map(|name| wrappers.unwrap(name));
    let names = unwrap(own, names.map(|name| renamed(&renames, &name).unwrap_or(name)).collect());
    let points = |(name, (_, shape)): (&String, &Named)| match own.parameters.get(name.as_str()) {
        Some(parameter) => 1 + usize::from(parameter.has_shape(shape)),
        None => 0,
    };
    names.iter().zip(tensors).map(points).sum()
}

fn unwrap(own: &Own, names: Vec<String>) -> Vec<String> {
    let wrappers = Wrappers::of(own, &names);
    names.iter().map(|name| wrappers.unwrap(name)).collect()
}

/// The renames for names that have lost wrappers' words, which may be part of the old words.
fn unwrapped(renames: &[Rename], wrappers: &Wrappers) -> Vec<Rename> {
    renames.iter().map(|rename| rename.of_old(wrappers.unwrap(rename.old()))).collect()
}
