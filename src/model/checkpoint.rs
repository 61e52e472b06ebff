//! Checkpoints: a network's weights in one safetensors file, together with everything that is needed to use them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use tch::Kind;

use crate::experiment::{Change, Experiment};
use crate::metrics::Errors;
use crate::network::Network;
use crate::text::composed;
use crate::weights::{StoredTensor, read, safetensors};

/// The file name of a run's best checkpoint.
pub const BEST: &str = "best.safetensors";
/// The file name of a run's last checkpoint.
pub const LAST: &str = "last.safetensors";
/// The file name of the average of a run's weights.
pub const AVERAGE: &str = "average.safetensors";

/// What a checkpoint records besides its weights.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Note {
    /// The version of topfive that wrote it.
    pub version: String,
    /// The complete experiment, as that version wrote it.
    pub experiment: Value,
    /// The names of the classes, in the order of the network's outputs.
    #[serde(deserialize_with = "composed_names")]
    pub classes: Vec<String>,
    /// Complete epochs trained.
    pub epoch: u64,
    /// Steps trained, over all epochs.
    pub step: u64,
    /// Errors on the validation images after the last complete epoch.
    pub errors: Option<Errors>,
    /// Whether the weights are an average over many steps (`training.average`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub averaged: bool,
}

fn composed_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    Ok(names.iter().map(|name| composed(name)).collect())
}

impl Note {
    /// The experiment, changed.
    ///
    /// # Errors
    /// Returns what is wrong, with its JSON path.
    pub fn experiment(&self, changes: &[Change]) -> Result<Experiment> {
        Experiment::from_value(self.experiment.clone(), changes)
    }
}

/// Reads a checkpoint.
///
/// # Errors
/// Returns an error if it is corrupt, or was not written by topfive.
pub fn open(path: &Path) -> Result<(Note, Vec<StoredTensor>)> {
    let contents = read(path)?;
    let text = safetensors::note_of(&contents, path)?;
    let note = serde_json::from_str(&text).with_context(|| {
        format!("{}: written by a different version of topfive (this is {})", path.display(), env!("CARGO_PKG_VERSION"))
    })?;
    Ok((note, contents.tensors))
}

/// The note of a checkpoint, if it is one, without its weights and unverified: for a first look at what it holds.
pub fn peek(path: &Path) -> Option<Note> {
    serde_json::from_str(&safetensors::peek(path)?).ok()
}

/// What the names of a generator's tensors begin with, before a dot.
pub const GENERATOR: &str = "generator";
/// What those of a discriminator's begin with.
pub const DISCRIMINATOR: &str = "discriminator";

/// Writes the weights of a generator and a discriminator with their note: `generator.0.weight`.
///
/// # Errors
/// See [`write()`].
pub fn write_parts(path: &Path, generator: &Network, discriminator: &Network, note: &Note) -> Result<()> {
    safetensors::write(path, &weights_of_parts(generator, discriminator, path)?, note)
}

/// Copies the weights of a generator and a discriminator for a checkpoint that is to be written at `path`.
///
/// # Errors
/// See [`weights_of`].
pub fn weights_of_parts(generator: &Network, discriminator: &Network, path: &Path) -> Result<Vec<StoredTensor>> {
    let mut tensors = Vec::new();
    for (part, network) in [(GENERATOR, generator), (DISCRIMINATOR, discriminator)] {
        let of_part = |tensor: StoredTensor| StoredTensor { name: format!("{part}.{}", tensor.name), ..tensor };
        tensors.extend(weights_of(network, path)?.into_iter().map(of_part));
    }
    Ok(tensors)
}

/// The tensors of a part among those of a checkpoint, under their own names.
pub fn part_of(tensors: &[StoredTensor], part: &str) -> Vec<StoredTensor> {
    let own = |tensor: &StoredTensor| {
        let name = tensor.name.strip_prefix(part)?.strip_prefix('.')?.to_string();
        Some(StoredTensor { name, ..tensor.clone() })
    };
    tensors.iter().filter_map(own).collect()
}

/// Writes the network's weights with their note.
///
/// # Errors
/// Returns an error if a weight is NaN or infinite, or the file cannot be written; an earlier checkpoint is then
/// intact.
pub fn write(path: &Path, network: &Network, note: &Note) -> Result<()> {
    safetensors::write(path, &weights_of(network, path)?, note)
}

/// Copies the network's weights for a checkpoint that is to be written at `path`.
///
/// # Errors
/// Returns an error if a weight is NaN or infinite.
pub fn weights_of(network: &Network, path: &Path) -> Result<Vec<StoredTensor>> {
    let mut stored = Vec::new();
    for (parameter, tensor) in network.parameters() {
        let is_finite = f64::try_from(tensor.f_sum(Kind::Double)?)?.is_finite();
        ensure!(
            is_finite,
            "{}: not written, because {} contains NaN or infinity: training diverged",
            path.display(),
            parameter.name
        );
        stored.push(StoredTensor::of(&parameter.name, tensor)?);
    }
    Ok(stored)
}

/// The checkpoint itself, or the best one of a run folder.
///
/// # Errors
/// Returns an error if the folder does not contain one.
pub fn of(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_path_buf());
    }
    for name in [BEST, LAST] {
        let inside = path.join(name);
        if inside.is_file() {
            return Ok(inside);
        }
    }
    bail!("{}: no {BEST} in this folder; expected a run folder of `topfive train`", path.display())
}
