//! Matches stored tensors with a network's parameters: all names, shapes and kinds are compared before any tensor is
//! used.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Error, Result, ensure};
use tch::{Device, Kind};

use super::StoredTensor;
use super::compared::{Compared, MOST_FAULTS, compare};
use super::rename::Rename;
use crate::network::Tensors;
use crate::network::parameter::Parameter;

/// Stored tensors that fit a network.
#[derive(Debug)]
pub struct Fitted {
    /// By the names of their parameters.
    tensors: BTreeMap<String, StoredTensor>,
    /// Parameters without a tensor, which keep their initial values.
    pub missing: Vec<String>,
    /// The names of tensors that the network has no use for.
    pub unused: Vec<String>,
    file: PathBuf,
}

/// Tensors that do not fit a network.
#[derive(Clone, Debug)]
pub struct Unfit {
    problem: String,
    /// The renames with which they would fit, if there are any.
    pub renames: Vec<Rename>,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl std::error::Error for Unfit {}

impl Fitted {
    /// The tensors as 32-bit floats on `device`.
    ///
    /// # Errors
    /// Returns an error if one of them holds NaN or infinity, or the device is out of memory.
    pub fn into_tensors(self, device: Device) -> Result<Tensors> {
        let (mut tensors, mut spoilt) = (Tensors::new(), Vec::new());
        for (name, stored) in self.tensors {
            let tensor = stored.into_tensor(device)?;
            // A sum of finite 32-bit floats is finite in 64 bits.
            if !f64::try_from(tensor.f_sum(Kind::Double)?)?.is_finite() {
                spoilt.push(name.clone());
            }
            tensors.insert(name, tensor);
        }
        ensure!(
            spoilt.is_empty(),
            "{}: expected finite 32-bit floats, found NaN or infinity in {} of {} tensors, first in {}. Its training diverged, or it is corrupt: use an earlier checkpoint, or fetch it again",
            self.file.display(),
            spoilt.len(),
            tensors.len(),
            spoilt[0]
        );
        Ok(tensors)
    }
}

/// The last words of names of tensors that no result depends on: PyTorch's count of the batches that a batch norm has seen,
/// and what thop, which counts operations, leaves behind in every module.
const UNUSED: [&str; 3] = ["num_batches_tracked", "total_ops", "total_params"];

/// Compares the tensors of `file` with a network's parameters. Those of auxiliary classifiers, which only training
/// uses, may be missing; those named in `fresh` are never taken, and may also be missing or for another number of classes.
///
/// # Errors
/// Returns all tensors that are missing, unexpected, or of another shape or kind, with the nearest names.
pub fn fit(
    parameters: &[Parameter],
    stored: Vec<StoredTensor>,
    fresh: &HashSet<String>,
    file: &Path,
) -> Result<Fitted> {
    let stored = useful(stored);
    let compared = compare(parameters, &stored, fresh);
    ensure!(compared.faults.is_empty(), unfit(&compared, parameters, &stored, file));
    Ok(take(parameters, stored, file, |name| !compared.missing.contains(name)))
}

/// Takes the tensors of `file` whose names and shapes fit, except those named in `fresh`.
///
/// # Errors
/// Returns an error if none fits.
pub fn fit_partly(
    parameters: &[Parameter],
    stored: Vec<StoredTensor>,
    fresh: &HashSet<String>,
    file: &Path,
) -> Result<Fitted> {
    let stored = useful(stored);
    let index: HashMap<&str, &StoredTensor> = stored.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let fits = |parameter: &&Parameter| {
        let found = index.get(parameter.name.as_str()).filter(|_| !fresh.contains(&parameter.name));
        found.is_some_and(|found| parameter.has_shape(&found.shape) && found.kind().is_some())
    };
    let fitting: HashSet<String> = parameters.iter().filter(fits).map(|parameter| parameter.name.clone()).collect();
    ensure!(
        !fitting.is_empty(),
        "{}: none of its {} tensors can be taken: expected the name and the shape of one of this network's{}, found {} and others; if they only have other names, rename them",
        file.display(),
        stored.len(),
        if fresh.is_empty() { "" } else { ", but for the classifier" },
        stored.first().map_or("none", |tensor| tensor.name.as_str())
    );
    Ok(take(parameters, stored, file, |name| fitting.contains(name)))
}

/// The tensors for the parameters that `takes` names.
fn take(parameters: &[Parameter], stored: Vec<StoredTensor>, file: &Path, takes: impl Fn(&String) -> bool) -> Fitted {
    let known: HashSet<&String> =
        parameters.iter().map(|parameter| &parameter.name).filter(|name| takes(name)).collect();
    let missing = parameters.iter().map(|parameter| &parameter.name).filter(|name| !takes(name)).cloned().collect();
    let (taken, unused): (Vec<_>, Vec<_>) = stored.into_iter().partition(|tensor| known.contains(&tensor.name));
    let tensors = taken.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
    let unused = unused.into_iter().map(|tensor| tensor.name).collect();
    Fitted { tensors, missing, unused, file: file.to_path_buf() }
}

/// The tensors without those that no result depends on.
fn useful(mut stored: Vec<StoredTensor>) -> Vec<StoredTensor> {
    stored.retain(|tensor| tensor.name.rsplit('.').next().is_none_or(|last| !UNUSED.contains(&last)));
    stored
}

/// The number of classes that stored weights are for: the first side of a tensor whose shape depends on it.
pub fn outputs(class_parameters: &HashSet<String>, stored: &[StoredTensor]) -> Option<usize> {
    let found = stored.iter().find(|tensor| class_parameters.contains(&tensor.name));
    found.and_then(|tensor| tensor.shape.first().copied())
}

/// The error that lists all faults.
fn unfit(compared: &Compared, parameters: &[Parameter], stored: &[StoredTensor], file: &Path) -> Error {
    let faults = &compared.faults;
    let shown = &faults[..faults.len().min(MOST_FAULTS)];
    let more = faults.len() - shown.len();
    let renames = compared.renames(parameters, stored).unwrap_or_default();
    let check = if !renames.is_empty() {
        ""
    } else if faults.len() == compared.unexpected.len() {
        "\nThe network itself is complete. If these do not belong to it, save the weights again without them"
    } else {
        "\nCheck that the weights were trained with this experiment"
    };
    let problem = format!(
        "{}: not the weights of this network; {}:\n  {}{}{check}",
        file.display(),
        if faults.len() == 1 { "1 tensor differs".into() } else { format!("{} tensors differ", faults.len()) },
        shown.join("\n  "),
        if more > 0 { format!("\n  and {more} more") } else { String::new() }
    );
    Error::new(Unfit { problem, renames })
}
