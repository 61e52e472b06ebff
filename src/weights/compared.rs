//! How stored tensors differ from a network's parameters, and the renames with which they would not.

use std::collections::{HashMap, HashSet};

use super::StoredTensor;
use super::rename::{Named, Rename, fits, suggest};
use crate::nearest::nearest;
use crate::network::parameter::Parameter;

/// Further faults are listed without the nearest name: a hostile file may have any number.
const MOST_HINTS: usize = 50;
/// Nor are more names than this compared, all together.
const MOST_COMPARED: usize = 500_000;

/// Further faults are only counted.
pub const MOST_FAULTS: usize = 1000;

/// A parameter without a tensor: its index, and the shape that the tensor must have; a side of 0 stands for any.
type Lacking = (usize, Vec<usize>);

/// What a comparison found.
#[derive(Default)]
pub struct Compared {
    /// Parameters that may be without a tensor and are.
    pub missing: HashSet<String>,
    /// What else differs, a line each.
    pub faults: Vec<String>,
    /// Parameters that need a tensor and have none.
    lacking: Vec<Lacking>,
    /// Those that are not taken from the file anyway, and are not in it.
    absent: Vec<Lacking>,
    /// Those of auxiliary classifiers that have none.
    spared: Vec<Lacking>,
    /// Tensors that no parameter is called by, by their index.
    pub unexpected: Vec<usize>,
}

impl Compared {
    /// The renames with which everything would fit.
    pub fn renames(&self, parameters: &[Parameter], stored: &[StoredTensor]) -> Option<Vec<Rename>> {
        let missing = self.lacking.len() + self.absent.len();
        if self.faults.len() != missing + self.unexpected.len() || self.faults.len() > MOST_FAULTS {
            return None;
        }
        // With the classifier that is not taken anyway, or without it; and the same with auxiliary ones.
        let with = |more: &[&[Lacking]]| -> Vec<Lacking> { [&[&self.lacking[..]], more].concat().concat() };
        let wanted = [with(&[&self.absent]), with(&[]), with(&[&self.absent, &self.spared]), with(&[&self.spared])];
        let paired = wanted.iter().find_map(|lacking| self.renames_to(lacking, parameters, stored));
        paired.or_else(|| Some(vec![wanted[..2].iter().find_map(|lacking| self.inner(lacking, parameters, stored))?]))
    }

    /// The rename that drops what stands before the names of the network's tensors, if all that are lacking lie under one
    /// word: of several networks in a file, the first.
    fn inner(&self, lacking: &[Lacking], parameters: &[Parameter], stored: &[StoredTensor]) -> Option<Rename> {
        let shapes: HashMap<&str, &[usize]> = self
            .unexpected
            .iter()
            .map(|place| (stored[*place].name.as_str(), stored[*place].shape.as_slice()))
            .collect();
        let first = parameters[lacking.first()?.0].name.as_str();
        let words = stored.iter().filter_map(|tensor| tensor.name.strip_suffix(first).filter(|it| it.ends_with('.')));
        let is_whole = |word: &&str| {
            lacking.iter().all(|(place, expected)| {
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
pub fn compare(parameters: &[Parameter], stored: &[StoredTensor], fresh: &HashSet<String>) -> Compared {
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
            compared.absent.push((place, any.collect()));
        }
    }
    compared
}

fn hint<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    nearest(name, candidates).map_or(String::new(), |near| format!(" (near: {near})"))
}

fn shape(parameter: &Parameter) -> Vec<usize> {
    parameter.shape.iter().map(|&side| side as usize).collect()
}
