//! Matches stored tensors with a network's parameters: all names, shapes and kinds are compared before any tensor is
//! used.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Error, Result, ensure};
use tch::{Device, Kind};

use super::StoredTensor;
use super::rename::{Named, Rename, fits, suggest};
use crate::nearest::nearest;
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
        "{}: none of its {} tensors can be taken: expected the name and the shape of one of this network's{}, found {} and others; if they only have other names, add --rename OLD=NEW",
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

fn shape(parameter: &Parameter) -> Vec<usize> {
    parameter.shape.iter().map(|&side| side as usize).collect()
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

/// Further faults are listed without the nearest name: a hostile file may have any number.
const MOST_HINTS: usize = 50;
/// Nor are more names than this compared, all together.
const MOST_COMPARED: usize = 500_000;

/// Further faults are only counted.
const MOST_FAULTS: usize = 1000;

/// A parameter without a tensor: its index, and the shape that the tensor must have; a side of 0 stands for any.
type Lacking = (usize, Vec<usize>);

/// What a comparison found.
#[derive(Default)]
struct Compared {
    /// Parameters that may be without a tensor and are.
    missing: HashSet<String>,
    faults: Vec<String>,
    /// Parameters that need a tensor and have none.
    lacking: Vec<Lacking>,
    /// Those of auxiliary classifiers that have none.
    spared: Vec<Lacking>,
    /// Tensors that no parameter is called by, by their index.
    unexpected: Vec<usize>,
}

impl Compared {
    /// The renames with which everything would fit.
    fn renames(&self, parameters: &[Parameter], stored: &[StoredTensor]) -> Option<Vec<Rename>> {
        if self.faults.len() != self.lacking.len() + self.unexpected.len() || self.faults.len() > MOST_FAULTS {
            return None;
        }
        let whole: Vec<Lacking> = self.lacking.iter().chain(&self.spared).cloned().collect();
        let paired =
            [&self.lacking, &whole].into_iter().find_map(|lacking| self.renames_to(lacking, parameters, stored));
        paired.or_else(|| Some(vec![self.inner(parameters, stored)?]))
    }

    /// The rename that drops what stands before the names of the network's tensors, if all that are lacking lie under one
    /// word: of several networks in a file, the first.
    fn inner(&self, parameters: &[Parameter], stored: &[StoredTensor]) -> Option<Rename> {
        let shapes: HashMap<&str, &[usize]> = self
            .unexpected
            .iter()
            .map(|place| (stored[*place].name.as_str(), stored[*place].shape.as_slice()))
            .collect();
        let first = parameters[self.lacking.first()?.0].name.as_str();
        let words = stored.iter().filter_map(|tensor| tensor.name.strip_suffix(first).filter(|it| it.ends_with('.')));
        let is_whole = |word: &&str| {
            self.lacking.iter().all(|(place, expected)| {
                let found = shapes.get(format!("{word}{}", parameters[*place].name).as_str());
                found.is_some_and(|shape| fits(expected, shape))
            })
        };
        words.take(MOST_HINTS).find(is_whole).and_then(|word| format!("{word}=").parse().ok())
    }

    /// The renames with which the unexpected tensors are those that are lacking.
    fn renames_to(
        &self,
        lacking: &[Lacking],
        parameters: &[Parameter],
        stored: &[StoredTensor],
    ) -> Option<Vec<Rename>> {
        let mut lacking: Vec<&Lacking> = lacking.iter().collect();
        lacking.sort_unstable();
        let missing: Vec<Named> =
            lacking.into_iter().map(|(index, shape)| (parameters[*index].name.as_str(), shape.as_slice())).collect();
        let unexpected: HashSet<usize> = self.unexpected.iter().copied().collect();
        let (others, fitting): (Vec<_>, Vec<_>) =
            stored.iter().enumerate().partition(|(index, _)| unexpected.contains(index));
        let others: Vec<Named> =
            others.into_iter().map(|(_, tensor)| (tensor.name.as_str(), tensor.shape.as_slice())).collect();
        let fitting: Vec<&str> = fitting.into_iter().map(|(_, tensor)| tensor.name.as_str()).collect();
        suggest(&missing, &others, &fitting)
    }
}

/// Compares all names, shapes and kinds.
fn compare(parameters: &[Parameter], stored: &[StoredTensor], fresh: &HashSet<String>) -> Compared {
    let known: HashSet<&str> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    let index: HashMap<&str, &StoredTensor> = stored.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let most_hints = MOST_HINTS.min(MOST_COMPARED / stored.len().max(parameters.len()).max(1));
    let (mut compared, mut absent) = (Compared::default(), Vec::new());
    let faults = &mut compared.faults;
    for (place, parameter) in parameters.iter().enumerate() {
        let (name, expected) = (parameter.name.as_str(), shape(parameter));
        let is_fresh = fresh.contains(name);
        match index.get(name) {
            None if parameter.auxiliary => {
                compared.missing.insert(name.to_string());
                compared.spared.push((place, expected));
            }
            None if is_fresh => absent.push(place),
            None => {
                let others = index.keys().copied().filter(|name| !known.contains(name));
                let near = if faults.len() < most_hints { hint(name, others) } else { String::new() };
                faults.push(format!("missing     {name} {expected:?}{near}"));
                compared.lacking.push((place, expected));
            }
            Some(found) if is_fresh && found.shape.get(1..) == expected.get(1..) => {
                compared.missing.insert(name.to_string());
            }
            Some(found) if found.shape == expected && found.kind().is_some() => {}
            Some(found) if found.shape == expected => {
                faults.push(format!("wrong kind  {name}: expected floating-point numbers, found {:?}", found.dtype));
            }
            Some(found) => faults.push(format!("wrong shape {name}: expected {expected:?}, found {:?}", found.shape)),
        }
    }
    let unexpected = stored.iter().enumerate().filter(|(_, tensor)| !known.contains(tensor.name.as_str()));
    let mut unexpected: Vec<(&String, usize)> = unexpected.map(|(place, tensor)| (&tensor.name, place)).collect();
    unexpected.sort();
    for (count, &(name, place)) in unexpected.iter().enumerate() {
        let near = if count < most_hints { hint(name, known.iter().copied()) } else { String::new() };
        faults.push(format!("unexpected  {name} {:?}{near}", stored[place].shape));
    }
    compared.unexpected = unexpected.into_iter().map(|(_, place)| place).collect();
    // A file may lack the classifier that is not taken anyway; but with tensors that nobody asked for, they may be it.
    for place in absent {
        let name = &parameters[place].name;
        if compared.faults.is_empty() {
            compared.missing.insert(name.clone());
        } else {
            compared.faults.push(format!("missing     {name} {:?}", shape(&parameters[place])));
            let any = [0].into_iter().chain(shape(&parameters[place]).into_iter().skip(1));
            compared.lacking.push((place, any.collect()));
        }
    }
    compared
}

fn hint<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    nearest(name, candidates).map_or(String::new(), |near| format!(" (near: {near})"))
}
