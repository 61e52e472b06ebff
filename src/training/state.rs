//! Everything besides the weights that a run needs to resume.
//!
//! The state's file is named after its step and written before the checkpoint that it belongs to; only then is the
//! previous checkpoint's state removed. So at any moment, even after a power cut, `last.safetensors` has its state.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::optimizer::BUFFER;
use super::run::RunFolder;
use super::scaler::SCALER;
use super::step::Learner;
use crate::data::dataset::Fingerprint;
use crate::metrics::Errors;
use crate::model::checkpoint::{self, Note};
use crate::weights::{StoredTensor, safetensors};

/// What the training loop carries from step to step.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct State {
    /// Complete epochs, trained and validated.
    pub epoch: u64,
    /// Steps trained over all epochs.
    pub step: u64,
    /// Sum of the loss over this epoch's images so far.
    pub loss_sum: f64,
    /// The number of those images.
    pub loss_images: u64,
    /// Errors on the validation images after the last complete epoch.
    pub errors: Option<Errors>,
    /// The best of all epochs.
    pub best: Option<Errors>,
    /// The fingerprint of the training images.
    #[serde(flatten)]
    pub dataset: Fingerprint,
}

impl State {
    /// The mean loss over this epoch's images so far.
    pub fn loss(&self) -> f64 {
        self.loss_sum / self.loss_images.max(1) as f64
    }

    /// Completes the current epoch with its errors; returns whether it is the best so far.
    pub fn finish_epoch(&mut self, errors: Errors) -> bool {
        let is_best = self.best.is_none_or(|best| (errors.top1_error, errors.loss) < (best.top1_error, best.loss));
        self.epoch += 1;
        (self.loss_sum, self.loss_images) = (0.0, 0);
        self.errors = Some(errors);
        if is_best {
            self.best = Some(errors);
        }
        is_best
    }
}

/// Writes the last checkpoint and its state into the run folder.
///
/// # Errors
/// Returns an error if they cannot be written; the previous ones are then intact.
pub fn save(run: &RunFolder, learner: &Learner, note: &Note, state: &State) -> Result<()> {
    let tensors = learner.state().map(|(name, tensor)| StoredTensor::of(name, tensor));
    safetensors::write(&run.state(state.step), &tensors.collect::<Result<Vec<_>>>()?, state)?;
    checkpoint::write(&run.last(), &learner.network, note)?;
    run.remove_states_but(state.step)
}

/// Restores the learner, but for its weights, from the state of the last checkpoint, made at step `step`, and returns
/// the rest of the state.
///
/// # Errors
/// Returns an error if the state is missing, corrupt or of a different network.
pub fn restore(run: &RunFolder, step: u64, learner: &mut Learner) -> Result<State> {
    let path = run.state(step);
    let contents = safetensors::read(&path)
        .context("the run cannot be resumed without its state; start a new run from its weights instead")?;
    let text = safetensors::note_of(&contents, &path)?;
    let state = serde_json::from_str(&text).with_context(|| format!("{}: not the state of a run", path.display()))?;
    let mut stored: HashMap<String, StoredTensor> =
        contents.tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
    for (name, tensor) in learner.state() {
        // Version 0.1.0 named a momentum buffer like its parameter.
        let earlier = name.strip_prefix(BUFFER).unwrap_or(name);
        let found = stored.remove(name).or_else(|| stored.remove(earlier));
        if found.is_none() && name.starts_with(SCALER) {
            // The run went on in 16 bits only now: the scale starts as in a new run.
            continue;
        }
        let found = found.with_context(|| {
            format!(
                "{}: {name} is missing, so the run was trained with other settings of its optimiser; restore them, or start a new run from its weights",
                path.display()
            )
        })?;
        let shape: Vec<i64> = found.shape.iter().map(|&side| side as i64).collect();
        let expected = tensor.size();
        ensure!(shape == expected, "{}: {name}: expected {expected:?}, found {shape:?}", path.display());
        let values = found.into_tensor(tensor.device())?;
        tch::no_grad(|| tensor.shallow_clone().f_copy_(&values))?;
    }
    Ok(state)
}
