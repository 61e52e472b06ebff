//! The experiments and recipes that are built into the program: the files of `configs/`, `configs/gans/` and
//! `configs/recipes/`.

use std::path::Path;

use anyhow::{Result, bail, ensure};

use crate::nearest::did_you_mean;
use crate::text;

// `EXPERIMENTS`, `GANS` and `RECIPES`: each file's name without its ending and its text, sorted by name.
include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// The names of the built-in classifiers, sorted.
pub fn experiments() -> impl Iterator<Item = &'static str> {
    EXPERIMENTS.iter().map(|&(name, _)| name)
}

/// The names of the built-in experiments with a generator and a discriminator, sorted.
pub fn gans() -> impl Iterator<Item = &'static str> {
    GANS.iter().map(|&(name, _)| name)
}

/// The names of all built-in experiments.
pub fn all() -> impl Iterator<Item = &'static str> {
    experiments().chain(gans())
}

/// The names of the built-in recipes, sorted.
pub fn recipes() -> impl Iterator<Item = &'static str> {
    RECIPES.iter().map(|&(name, _)| name)
}

/// The text of a built-in experiment of either kind.
pub fn experiment(name: &str) -> Option<&'static str> {
    find(EXPERIMENTS, name).or_else(|| find(GANS, name))
}

/// The text of an experiment: a JSON file, or a built-in one by its name.
///
/// # Errors
/// Returns an error with the nearest name if neither exists.
pub fn read_experiment(name: &Path) -> Result<String> {
    read(name, &[EXPERIMENTS, GANS].concat(), "experiment")
}

/// The text of a recipe: a JSON file, or a built-in one by its name.
///
/// # Errors
/// Returns an error with the nearest name if neither exists.
pub fn read_recipe(name: &Path) -> Result<String> {
    read(name, RECIPES, "recipe")
}

fn find(files: &[(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    files.iter().find(|(known, _)| *known == name).map(|&(_, text)| text)
}

/// The longest JSON file that is read: more than the layers of any network take.
const MOST_BYTES: u64 = 2 << 20;

fn read(name: &Path, built_in: &[(&'static str, &'static str)], what: &str) -> Result<String> {
    if name.is_file() {
        let (at, found) = (name.display(), name.metadata().map_or(0, |metadata| metadata.len()));
        ensure!(
            found <= MOST_BYTES,
            "{at}: the {what}'s file has {found} bytes, expected at most {MOST_BYTES}. Is this the right file?"
        );
        return text::read(name);
    }
    let asked = name.to_string_lossy();
    if let Some(found) = find(built_in, &asked) {
        return Ok(found.to_string());
    }
    let stem = asked.strip_suffix(".json").unwrap_or(&asked).rsplit('/').next().unwrap_or_default();
    let near = match find(built_in, stem) {
        Some(_) => format!(" (did you mean \"{stem}\"?)"),
        None => did_you_mean(stem, built_in.iter().map(|(known, _)| *known)),
    };
    let known: Vec<&str> = built_in.iter().map(|(known, _)| *known).collect();
    bail!("{asked}: neither a JSON file nor a built-in {what}{near}. The built-in ones are {}", known.join(", "))
}
