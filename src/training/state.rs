//! Everything that training changes, and what of it a run needs, besides its weights, to be resumed.
//!
//! The state's file is named after its step and written before the checkpoint that it belongs to; only afterwards is the
//! previous checkpoint's state removed. So at any moment, even after a power cut, `last.safetensors` has its state.

use std::collections::HashMap;

use anyhow::{Context, Error, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::average::Average;
use super::events::Position;
use super::optimizer::BUFFER;
use super::run::RunFolder;
use super::scaler::SCALER;
use super::schedule::Plateau;
use super::step::Learner;
use crate::data::dataset::Fingerprint;
use crate::experiment::{Schedule, Training};
use crate::metrics::Errors;
use crate::model::checkpoint::{self, Note};
use crate::remedy::Remedy;
use crate::weights::{StoredTensor, safetensors};

/// Everything that training changes.
#[derive(Debug)]
pub struct Trained {
    /// The network and its optimiser.
    pub learner: Learner,
    /// The average of its weights, if the experiment keeps one.
    pub average: Option<Average>,
    /// The rest.
    pub state: State,
}

impl Trained {
    /// All tensors: the weights, the running statistics, what the optimiser keeps, and the average.
    pub fn tensors(&self) -> Vec<&Tensor> {
        let network = self.learner.network.parameters().map(|(_, tensor)| tensor);
        let kept = self.learner.state().map(|(_, tensor)| tensor);
        let average = self.average.iter().flat_map(Average::state).map(|(_, tensor)| tensor);
        network.chain(kept).chain(average).collect()
    }
}

/// What the training loop carries from step to step.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct State {
    /// Complete epochs, trained and validated.
    pub epoch: u64,
    /// Steps trained over all epochs.
    pub step: u64,
    /// The step after which the validation images were last classified; 0 in runs of version 0.1.0.
    #[serde(default)]
    pub validated: u64,
    /// Seconds spent training and validating, over all processes that took part.
    #[serde(default)]
    pub seconds: f64,
    /// Sum of the loss over this epoch's images so far.
    pub loss_sum: f64,
    /// The number of those images.
    pub loss_images: u64,
    /// Errors on the validation images after the last complete epoch, or at the end of the run.
    pub errors: Option<Errors>,
    /// Those of the averaged weights.
    #[serde(default)]
    pub averaged: Option<Errors>,
    /// The lowest errors so far, of the weights or of their average.
    pub best: Option<Errors>,
    /// Whether they are the average's.
    #[serde(default)]
    pub best_is_averaged: bool,
    /// Epochs since the lowest top-1 error.
    #[serde(default)]
    pub stale: u64,
    /// What a plateau schedule remembers.
    #[serde(default)]
    pub plateau: Plateau,
    /// The steps that the average of the weights is over.
    #[serde(default)]
    pub average_updates: u64,
    /// The end of the run's events, if it has written any.
    #[serde(default)]
    pub events: Position,
    /// The file that the initial weights came from, if any.
    #[serde(default)]
    pub weights: Option<String>,
    /// The threads that computed the last step: their number decides how sums are rounded.
    #[serde(default)]
    pub threads: i32,
    /// The processes that made the last step: with their number, steps become larger and an epoch has fewer of them.
    #[serde(default = "one")]
    pub processes: usize,
    /// The fingerprint of the training images.
    #[serde(flatten)]
    pub dataset: Fingerprint,
    /// That of the validation images; none in runs of version 0.1.0.
    #[serde(default)]
    pub validation: Option<Fingerprint>,
}

fn one() -> usize {
    1
}

/// Errors on the validation images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Validated {
    /// Of the weights themselves.
    pub weights: Errors,
    /// Of their average.
    pub averaged: Option<Errors>,
}

impl Validated {
    /// The lower errors of the two, and whether they are the average's.
    fn better(&self) -> (Errors, bool) {
        match self.averaged {
            Some(averaged) if is_better(averaged, self.weights) => (averaged, true),
            _ => (self.weights, false),
        }
    }
}

fn is_better(errors: Errors, than: Errors) -> bool {
    (errors.top1_error, errors.loss) < (than.top1_error, than.loss)
}

/// What a validation has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the errors are the lowest so far.
    pub is_best: bool,
    /// Whether the schedule lowers the learning rate.
    pub lowers_rate: bool,
}

impl State {
    /// The error about a run that diverges in the next step, with what another run could change.
    pub fn diverged(&self, problem: &str, changes: Vec<(&'static str, String)>) -> Error {
        let problem = format!(
            "{problem} at step {} (epoch {}): training diverged; start a new run, in another folder",
            self.step + 1,
            self.epoch + 1
        );
        Error::new(Remedy { problem, changes })
    }

    /// What has ended a run before its last epoch.
    pub fn ended_by(&self, training: &Training) -> String {
        let is_at_most = training.max_steps.is_some_and(|most| self.step >= most);
        let limit = if is_at_most { "max_steps" } else { "max_minutes" };
        format!("ended at step {}: training.{limit} is reached", self.step)
    }

    /// The mean loss over this epoch's images so far.
    pub fn loss(&self) -> f64 {
        self.loss_sum / self.loss_images.max(1) as f64
    }

    /// The note of the averaged weights, from that of the weights themselves.
    pub fn note_of_average(&self, note: &Note) -> Note {
        Note { averaged: true, errors: self.averaged, ..note.clone() }
    }

    /// Whether the weights as they are have been validated.
    pub fn is_validated(&self) -> bool {
        self.validated == self.step
    }

    /// The same place in a run of other steps: `then` and `now` steps make an epoch. An epoch that was under way goes on with
    /// the next image, or a few earlier, where a step begins.
    pub fn move_to_steps(&mut self, then: u64, now: u64) {
        let moved = |step: u64| step / then * now + step % then * now / then;
        (self.step, self.validated) = (moved(self.step), moved(self.validated));
    }

    /// Takes note of a validation. `is_whole` completes the current epoch; otherwise the run ends within it.
    pub fn finish(&mut self, found: Validated, is_whole: bool, schedule: &Schedule) -> Verdict {
        let (errors, is_averaged) = found.better();
        let is_best = self.best.is_none_or(|best| is_better(errors, best));
        let is_lower = self.best.is_none_or(|best| errors.top1_error < best.top1_error);
        if is_best {
            (self.best, self.best_is_averaged) = (Some(errors), is_averaged);
        }
        (self.errors, self.averaged) = (Some(found.weights), found.averaged);
        self.validated = self.step;
        let mut lowers_rate = false;
        if is_whole {
            self.epoch += 1;
            (self.loss_sum, self.loss_images) = (0.0, 0);
            self.stale = if is_lower { 0 } else { self.stale + 1 };
            if let Schedule::Plateau { patience, factor, floor } = schedule {
                let is_time = self.plateau.observe(found.weights.top1_error, *patience);
                lowers_rate = is_time && self.plateau.has_lowered(*factor, *floor);
            }
        }
        Verdict { is_best, lowers_rate }
    }
}

/// Writes the last checkpoint and its state into the run folder, and the average of its weights.
///
/// # Errors
/// Returns an error if they cannot be written; the previous ones are then intact.
pub fn save(run: &RunFolder, trained: &Trained, note: &Note) -> Result<()> {
    let Trained { learner, average, state } = trained;
    let mut tensors = Vec::new();
    for (name, tensor) in learner.state() {
        tensors.push(StoredTensor::of(name, tensor)?);
    }
    for (name, tensor) in average.iter().flat_map(Average::state) {
        tensors.push(StoredTensor::of(&name, tensor)?);
    }
    safetensors::write(&run.state(state.step), &tensors, state)?;
    drop(tensors);
    checkpoint::write(&run.last(), &learner.network, note)?;
    match average.as_ref().and_then(Average::network) {
        Some(network) => checkpoint::write(&run.average(), network, &state.note_of_average(note)),
        None => run.remove_average(),
    }
}

/// Restores the learner, but for its weights, and the average from the state of the last checkpoint, made at step `step`.
///
/// # Errors
/// Returns an error if the state is missing, corrupt or of a different network.
pub fn restore(run: &RunFolder, step: u64, learner: Learner, training: &Training) -> Result<Trained> {
    let path = run.state(step);
    let contents = safetensors::read(&path)
        .context("the run cannot be resumed without its state; start a new run from its weights instead")?;
    let text = safetensors::note_of(&contents, &path)?;
    let mut state: State =
        serde_json::from_str(&text).with_context(|| format!("{}: not the state of a run", path.display()))?;
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
    let mut average = training.average.as_ref().map(|kind| Average::new(kind, &learner.network)).transpose()?;
    let is_restored = match &mut average {
        Some(average) => average.restore(&mut stored, state.average_updates, &path)?,
        None => false,
    };
    if !is_restored {
        // An average that the state does not have begins now.
        (state.average_updates, state.averaged) = (0, None);
    }
    Ok(Trained { learner, average, state })
}
