//! Renames: other names for the tensors of a file, by the beginnings of their names.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Result, ensure};

use crate::nearest::did_you_mean;

/// Tensors whose names begin with one word get names that begin with another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    old: String,
    new: String,
}

impl FromStr for Rename {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((old, new)) if old != new => Ok(Rename { old: old.to_string(), new: new.to_string() }),
            _ => Err("expected OLD=NEW, two prefixes of names: linear=fc, or backbone.= to drop one".to_string()),
        }
    }
}

impl fmt::Display for Rename {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}={}", self.old, self.new)
    }
}

impl Rename {
    /// The new name, unless the name does not begin with the old word, which ends at a dot: `layer1` is not the
    /// beginning of `layer10`.
    fn apply(&self, name: &str) -> Option<String> {
        let rest = name.strip_prefix(&self.old)?;
        let is_whole = self.old.is_empty() || self.old.ends_with('.') || rest.is_empty() || rest.starts_with('.');
        // `backbone=` drops the dot, too.
        let rest = if self.new.is_empty() { rest.trim_start_matches('.') } else { rest };
        is_whole.then(|| format!("{}{rest}", self.new))
    }

    /// The beginning that is replaced.
    pub fn old(&self) -> &str {
        &self.old
    }

    /// The same for names that begin with `old` instead.
    pub fn of_old(&self, old: String) -> Self {
        Rename { old, new: self.new.clone() }
    }

    /// Whether it only drops a beginning.
    pub fn drops(&self) -> bool {
        self.new.is_empty()
    }
}

/// The new name of a tensor: by the longest of the old words that it begins with.
pub fn renamed(renames: &[Rename], name: &str) -> Option<String> {
    let fitting = renames.iter().filter_map(|rename| Some((rename.old.len(), rename.apply(name)?)));
    fitting.max_by_key(|(length, _)| *length).map(|(_, name)| name)
}

/// Renames the tensors of `file`, each at most once.
///
/// # Errors
/// Returns an error if no tensor's name begins with an old word, or two tensors would have the same name.
pub fn rename(names: &mut [String], renames: &[Rename], file: &Path) -> Result<()> {
    for rename in renames {
        let acts = names.iter().any(|name| rename.apply(name).is_some());
        ensure!(
            acts,
            "{}: cannot rename {rename}: no tensor's name begins with \"{}\" up to a dot{}",
            file.display(),
            rename.old,
            did_you_mean(&rename.old, names.iter().flat_map(|name| beginnings(name)))
        );
    }
    let mut seen = HashSet::new();
    for name in names {
        if let Some(new) = renamed(renames, name) {
            *name = new;
        }
        ensure!(
            seen.insert(name.clone()),
            "{}: two tensors would be called {name} after renaming; give longer prefixes",
            file.display()
        );
    }
    Ok(())
}

/// A name, and each of its beginnings up to a dot.
fn beginnings(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('.').map(|(end, _)| &name[..end]).chain([name])
}

/// A tensor's name and shape; a side of 0 stands for any.
pub type Named<'a> = (&'a str, &'a [usize]);

/// More renames than this are not suggested.
const MOST_SUGGESTED: usize = 30;

/// What PyTorch calls the tensors of a layer.
pub const SUFFIXES: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

/// The renames that would give tensors that a network does not know (`unexpected`, in the file's order) the names of those
/// that it lacks (`missing`, in the network's order), and leave the others (`fitting`) as they are: if both lists pair up
/// exactly by their shapes, in their order or sorted by name.
pub fn suggest(missing: &[Named], unexpected: &[Named], fitting: &[&str]) -> Option<Vec<Rename>> {
    for (missing, unexpected) in [(missing, unexpected), (&sorted(missing), &sorted(unexpected))] {
        let Some(pairs) = pairs(missing, unexpected) else { continue };
        for shortest in [true, false] {
            let renames = renames(&pairs, shortest);
            let acts = pairs.iter().all(|(old, new)| renamed(&renames, old).as_deref() == Some(new));
            if acts && fitting.iter().all(|name| renamed(&renames, name).is_none()) {
                return (renames.len() <= MOST_SUGGESTED).then_some(renames);
            }
        }
    }
    None
}

fn sorted<'a>(names: &[Named<'a>]) -> Vec<Named<'a>> {
    let mut names = names.to_vec();
    names.sort_by_key(|&(name, _)| natural(name));
    names
}

/// A name in parts that sort as people count: `features.10` after `features.3`.
fn natural(name: &str) -> Vec<(u64, &str)> {
    name.split('.').map(|part| part.parse().map_or((u64::MAX, part), |number| (number, ""))).collect()
}

/// Whether a shape is the expected one, in which a side of 0 stands for any.
pub fn fits(expected: &[usize], found: &[usize]) -> bool {
    let mut sides = expected.iter().zip(found);
    expected.len() == found.len() && sides.all(|(&expected, found)| expected == 0 || expected == *found)
}

/// Old and new names, if all shapes and kinds of tensors agree.
fn pairs<'a>(missing: &[Named<'a>], unexpected: &[Named<'a>]) -> Option<Vec<(&'a str, &'a str)>> {
    let suffix = |name: &'a str| name.rsplit('.').next().filter(|suffix| SUFFIXES.contains(suffix));
    let agree = |((new, expected), (old, found)): (&Named<'a>, &Named<'a>)| {
        let same = fits(expected, found) && suffix(old).is_none_or(|old| Some(old) == suffix(new));
        same.then_some((*old, *new))
    };
    if missing.len() != unexpected.len() || missing.is_empty() {
        return None;
    }
    missing.iter().zip(unexpected).map(agree).collect()
}

/// The renames of pairs of names. The `shortest` leave out all parts that both names end with, the others only the last.
fn renames(pairs: &[(&str, &str)], shortest: bool) -> Vec<Rename> {
    let mut renames: Vec<Rename> = Vec::new();
    for (old, new) in pairs {
        let (old, new): (Vec<&str>, Vec<&str>) = (old.split('.').collect(), new.split('.').collect());
        let shared = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
        let shared = if shortest { shared } else { shared.min(1) };
        let word = |parts: &[&str], other: &[&str]| {
            let word = parts[..parts.len() - shared].join(".");
            let drops_or_adds = parts.len() == shared || other.len() == shared;
            if drops_or_adds && !word.is_empty() { word + "." } else { word }
        };
        let rename = Rename { old: word(&old, &new), new: word(&new, &old) };
        if !renames.contains(&rename) {
            renames.push(rename);
        }
    }
    renames
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggested(missing: &[Named], unexpected: &[Named], fitting: &[&str]) -> Option<Vec<String>> {
        suggest(missing, unexpected, fitting).map(|renames| renames.iter().map(Rename::to_string).collect())
    }

    #[test]
    fn a_beginning_ends_at_a_dot_and_the_longest_wins() {
        let renames: Vec<Rename> =
            ["layer1=stage1", "net.=", "net.head=fc", "=model."].map(|it| it.parse().expect(it)).into();
        assert_eq!(renamed(&renames[..1], "layer1.0.weight").as_deref(), Some("stage1.0.weight"));
        assert_eq!(renamed(&renames[..1], "layer10.weight"), None);
        assert_eq!(renamed(&renames, "net.conv1.weight").as_deref(), Some("conv1.weight"));
        assert_eq!(renamed(&renames, "net.head.weight").as_deref(), Some("fc.weight"));
        assert_eq!(renamed(&renames, "conv1.weight").as_deref(), Some("model.conv1.weight"));
        assert!("linear".parse::<Rename>().is_err() && "fc=fc".parse::<Rename>().is_err());
    }

    #[test]
    fn tensors_that_pair_up_by_shape_suggest_the_shortest_renames() {
        let (weight, bias): (&[usize], &[usize]) = (&[5, 4], &[5]);
        let fc = [("fc.weight", weight), ("fc.bias", bias)];
        let linear = [("linear.weight", weight), ("linear.bias", bias)];
        assert_eq!(suggested(&fc, &linear, &["conv1.weight"]), Some(vec!["linear=fc".to_string()]));
        // A safetensors file is sorted by name.
        let sorted = [("linear.bias", bias), ("linear.weight", weight)];
        assert_eq!(suggested(&fc, &sorted, &[]), Some(vec!["linear=fc".to_string()]));
        let inside = [("backbone.fc.weight", weight), ("backbone.fc.bias", bias)];
        assert_eq!(suggested(&fc, &inside, &[]), Some(vec!["backbone.=".to_string()]));
        assert_eq!(suggested(&inside, &fc, &[]), Some(vec!["=backbone.".to_string()]));
        // Dropping the prefix everywhere would rename a tensor that fits.
        assert_eq!(suggested(&fc, &inside, &["backbone.conv1.weight"]), Some(vec!["backbone.fc=fc".to_string()]));
    }

    #[test]
    fn tensors_that_do_not_pair_up_suggest_nothing() {
        let (square, bias): (&[usize], &[usize]) = (&[5, 5], &[5]);
        assert_eq!(suggested(&[("a.weight", square)], &[("b.weight", bias)], &[]), None);
        assert_eq!(suggested(&[("a.weight", bias)], &[("b.bias", bias)], &[]), None);
        assert_eq!(suggested(&[("a.weight", bias)], &[("b.weight", bias), ("c.weight", bias)], &[]), None);
    }
}
