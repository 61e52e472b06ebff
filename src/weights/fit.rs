//! Matches stored tensors with a network's parameters: all names, shapes and kinds are compared before any tensor is
//! used.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use anyhow::{Result, ensure};
use tch::Device;

use super::StoredTensor;
use crate::nearest::nearest;
use crate::network::Tensors;
use crate::network::parameter::Parameter;

/// Stored tensors that fit a network.
#[derive(Debug)]
pub struct Fitted {
    /// By the names of their parameters.
    tensors: BTreeMap<String, StoredTensor>,
    /// Parameters that have no tensor in the file, or one for another number of classes.
    pub missing: Vec<String>,
}

impl Fitted {
    /// The tensors as 32-bit floats on `device`.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn into_tensors(self, device: Device) -> Result<Tensors> {
        self.tensors.into_iter().map(|(name, stored)| Ok((name, stored.into_tensor(device)?))).collect()
    }
}

/// What wrappers of PyTorch modules (DataParallel, torch.compile, training frameworks) put before every name.
const WRAPPERS: [&str; 3] = ["module.", "_orig_mod.", "model."];

/// PyTorch's count of the batches that a batch norm has seen; no result depends on it.
const UNUSED: &str = ".num_batches_tracked";

/// Compares the tensors of `file` with a network's parameters. Those of auxiliary classifiers, which only training
/// uses, may be missing; those named in `may_differ` may be for another number of classes.
///
/// # Errors
/// Returns all tensors that are missing, unexpected, or of another shape or kind, with the nearest names.
pub fn fit(
    parameters: &[Parameter],
    mut stored: Vec<StoredTensor>,
    may_differ: &HashSet<String>,
    file: &Path,
) -> Result<Fitted> {
    let wrapping = wrapping(parameters, &stored);
    stored.iter_mut().for_each(|tensor| drop(tensor.name.drain(..wrapping)));
    stored.retain(|tensor| !tensor.name.ends_with(UNUSED));
    let mut stored: HashMap<String, StoredTensor> =
        stored.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
    let (missing, faults) = compare(parameters, &stored, may_differ);
    let shown = &faults[..faults.len().min(MOST_FAULTS)];
    let more = faults.len() - shown.len();
    ensure!(
        faults.is_empty(),
        "{}: not the weights of this network; {} tensors differ:\n  {}{}\nCheck that the weights were trained with this experiment",
        file.display(),
        faults.len(),
        shown.join("\n  "),
        if more > 0 { format!("\n  and {more} more") } else { String::new() }
    );
    let fitting = parameters.iter().filter(|parameter| !missing.contains(&parameter.name));
    let tensors = fitting.filter_map(|Parameter { name, .. }| Some((name.clone(), stored.remove(name)?))).collect();
    Ok(Fitted { tensors, missing })
}

/// How many bytes of every name are wrappers' prefixes.
fn wrapping(parameters: &[Parameter], tensors: &[StoredTensor]) -> usize {
    let mut length = 0;
    let shared = |length: usize, prefix: &str| tensors.iter().all(|tensor| tensor.name[length..].starts_with(prefix));
    let own = |prefix: &str| parameters.iter().any(|parameter| parameter.name.starts_with(prefix));
    while let Some(prefix) = WRAPPERS.iter().find(|prefix| shared(length, prefix) && !own(prefix)) {
        if tensors.is_empty() {
            break;
        }
        length += prefix.len();
    }
    length
}

/// Further faults are listed without the nearest name: a hostile file may have any number.
const MOST_HINTS: usize = 50;

/// Further faults are only counted.
const MOST_FAULTS: usize = 1000;

/// The parameters that may be missing and are, and everything that does not fit.
fn compare(
    parameters: &[Parameter],
    stored: &HashMap<String, StoredTensor>,
    may_differ: &HashSet<String>,
) -> (Vec<String>, Vec<String>) {
    let known: HashSet<&str> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    let (mut missing, mut faults) = (Vec::new(), Vec::new());
    for parameter in parameters {
        let name = parameter.name.as_str();
        let expected: Vec<usize> = parameter.shape.iter().map(|&side| side as usize).collect();
        match stored.get(name) {
            None if parameter.auxiliary => missing.push(name.to_string()),
            None => {
                let others = stored.keys().map(String::as_str).filter(|name| !known.contains(name));
                let near = if faults.len() < MOST_HINTS { hint(name, others) } else { String::new() };
                faults.push(format!("missing     {name} {expected:?}{near}"));
            }
            Some(found) if found.shape == expected && found.kind().is_some() => {}
            Some(found) if found.shape == expected => {
                faults.push(format!("wrong kind  {name}: expected floating-point numbers, found {:?}", found.dtype));
            }
            Some(found) if may_differ.contains(name) && found.shape.get(1..) == expected.get(1..) => {
                missing.push(name.to_string());
            }
            Some(found) => faults.push(format!("wrong shape {name}: expected {expected:?}, found {:?}", found.shape)),
        }
    }
    let mut unexpected: Vec<&String> = stored.keys().filter(|name| !known.contains(name.as_str())).collect();
    unexpected.sort();
    for (count, name) in unexpected.into_iter().enumerate() {
        let near = if count < MOST_HINTS { hint(name, known.iter().copied()) } else { String::new() };
        faults.push(format!("unexpected  {name} {:?}{near}", stored[name].shape));
    }
    (missing, faults)
}

fn hint<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    nearest(name, candidates).map_or(String::new(), |near| format!(" (near: {near})"))
}
