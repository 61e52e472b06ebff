//! Checkpoints: a network's weights in one safetensors file together with all that is needed to use them, and beside it
//! what only a resumed run needs.
//!
//! The state's file is named after its step and written before the checkpoint that names it; only then is the state of the
//! checkpoint before removed. So at any moment, a power cut included, `last.safetensors` has its state.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Kind;

use super::optimizer::Sgd;
use crate::aside::ASIDE;
use crate::config::Experiment;
use crate::metrics::Errors;
use crate::network::Network;
use crate::weights::{StoredTensor, safetensors};

/// What a checkpoint says beside its weights.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Note {
    /// The version of topfive that wrote it.
    pub version: String,
    pub experiment: Experiment,
    /// The names of the classes, in the order of the network's outputs.
    pub classes: Vec<String>,
    /// Whole epochs trained.
    pub epoch: u64,
    /// Steps trained, over all epochs.
    pub step: u64,
    /// On the validation images, after the last whole epoch.
    pub errors: Option<Errors>,
}

/// Where a run stands: all that the training loop carries from step to step beside weights and velocities.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Position {
    /// Whole epochs trained.
    pub epoch: u64,
    /// Steps trained in the epoch after those.
    pub step_in_epoch: u64,
    /// Steps trained over all epochs.
    pub step: u64,
    /// Sum of the loss over this epoch's images so far, and their number.
    pub loss_sum: f64,
    pub loss_images: u64,
    /// On the validation images, after the last whole epoch, and the best of all epochs.
    pub errors: Option<Errors>,
    pub best: Option<Errors>,
    /// How many training images there are, and which ([`crate::data::folder::Folder::digest`]).
    pub images: u64,
    pub digest: u64,
}

/// Reads a checkpoint.
///
/// # Errors
/// Where it is damaged, or not one of topfive's.
pub fn read(path: &Path) -> Result<(Note, Vec<StoredTensor>)> {
    let contents = crate::weights::read(path)?;
    let text = safetensors::note_of(&contents, path)?;
    let note = serde_json::from_str(&text).with_context(|| {
        format!(
            "{} was written by another version of topfive than this one ({})",
            path.display(),
            env!("CARGO_PKG_VERSION")
        )
    })?;
    Ok((note, contents.tensors))
}

/// Writes the network's weights with its note.
///
/// # Errors
/// Where the weights are no numbers any more, or it cannot be written; an older checkpoint is unharmed.
pub fn write(path: &Path, network: &Network, note: &Note) -> Result<()> {
    for (parameter, tensor) in network.parameters() {
        let is_finite = f64::try_from(tensor.f_sum(Kind::Double)?)?.is_finite();
        ensure!(
            is_finite,
            "{} holds values that are no numbers: training has diverged, and {} is left as it was. Lower the rate: --set training.learning_rate=...",
            parameter.name,
            path.display()
        );
    }
    let tensors = network.parameters().iter().map(|(parameter, tensor)| StoredTensor::of(&parameter.name, tensor));
    safetensors::write(path, &tensors.collect::<Result<Vec<_>>>()?, note)
}

fn last(run: &Path) -> PathBuf {
    run.join("last.safetensors")
}

fn state_of(run: &Path, step: u64) -> PathBuf {
    run.join(format!("state-{step}.safetensors"))
}

/// Writes `last.safetensors` and its state into the run folder.
///
/// # Errors
/// Where they cannot be written; the ones before are unharmed.
pub fn write_last(run: &Path, network: &Network, note: &Note, optimizer: &Sgd, position: &Position) -> Result<()> {
    let velocities = optimizer.velocities().map(|(name, tensor)| StoredTensor::of(name, tensor));
    let state = state_of(run, note.step);
    safetensors::write(&state, &velocities.collect::<Result<Vec<_>>>()?, position)?;
    write(&last(run), network, note)?;
    remove_other_states(run, &state)
}

/// Only after the checkpoint that they belonged to has been replaced; and what a killed program left unfinished.
fn remove_other_states(run: &Path, keep: &Path) -> Result<()> {
    for entry in fs::read_dir(run).with_context(|| format!("cannot read {}", run.display()))? {
        let path = entry?.path();
        let name = path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
        let step = name.strip_prefix("state-").and_then(|rest| rest.strip_suffix(".safetensors"));
        let is_state = step.is_some_and(|step| step.parse::<u64>().is_ok());
        if (is_state && path != keep) || name.starts_with(ASIDE) {
            fs::remove_file(&path).with_context(|| format!("cannot remove the outdated {}", path.display()))?;
        }
    }
    Ok(())
}

/// Reads the note of a run's last checkpoint.
///
/// # Errors
/// Where the folder holds none.
pub fn read_last(run: &Path) -> Result<(Note, Vec<StoredTensor>)> {
    let path = last(run);
    ensure!(
        path.is_file(),
        "{} holds no last.safetensors, so there is nothing to resume; leave --resume out to start anew",
        run.display()
    );
    read(&path)
}

/// Puts the state that belongs to step `step` into the optimiser and gives the position.
///
/// # Errors
/// Where the state is missing, damaged or of another network.
pub fn restore(run: &Path, step: u64, optimizer: &Sgd) -> Result<Position> {
    let path = state_of(run, step);
    let contents =
        safetensors::read(&path).context("the run cannot be resumed without its state; train anew from its weights")?;
    let text = safetensors::note_of(&contents, &path)?;
    let position = serde_json::from_str(&text).with_context(|| format!("{} holds no position", path.display()))?;
    let stored: HashMap<&str, &StoredTensor> =
        contents.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    for (name, velocity) in optimizer.velocities() {
        let found = stored.get(name).with_context(|| format!("{} lacks the velocity of {name}", path.display()))?;
        let shape: Vec<i64> = found.shape.iter().map(|&side| side as i64).collect();
        ensure!(
            shape == velocity.size(),
            "{}: {name}: expected {:?}, found {shape:?}",
            path.display(),
            velocity.size()
        );
        found.copy_to(velocity)?;
    }
    Ok(position)
}
