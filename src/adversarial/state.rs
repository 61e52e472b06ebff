//! The whole state of a run, and how it is saved and restored: a resumed run continues as if it had not been interrupted.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::measure::Yardstick;
use super::step::{Opponents, Played};
use crate::experiment::Gan;
use crate::model::checkpoint::{self, Note};
use crate::network::Network;
use crate::training::average::Average;
use crate::training::run::RunFolder;
use crate::training::state::State;
use crate::weights::{StoredTensor, safetensors};

/// Everything that training changes.
#[derive(Debug)]
pub struct Trained {
    /// Both networks and their optimisers.
    pub opponents: Opponents,
    /// The average of the generator's weights, if the experiment keeps one.
    pub average: Option<Average>,
    /// The rest.
    pub state: Progressed,
}

impl Trained {
    /// The generator that makes the best images: the average, if there is one; and whether it is.
    pub fn generator(&self) -> (&Network, bool) {
        let average = self.average.as_ref().and_then(Average::network);
        average.map_or((&self.opponents.generator.network, false), |average| (average, true))
    }

    /// All tensors: the weights, the running statistics, what the optimisers keep, and the average.
    pub fn tensors(&self) -> Vec<&Tensor> {
        let networks = [&self.opponents.generator.network, &self.opponents.discriminator.network];
        let parameters = networks.into_iter().flat_map(|network| network.parameters()).map(|(_, tensor)| tensor);
        let kept = kept(&self.opponents).map(|(_, tensor)| tensor);
        let average = self.average.iter().flat_map(Average::state).map(|(_, tensor)| tensor);
        parameters.chain(kept).chain(average).collect()
    }
}

/// What the training loop carries from step to step.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Progressed {
    /// What a classifier's carries, too. `validated` is the step after which the generator was last measured.
    pub run: State,
    /// Sums over the current epoch.
    pub epoch: Sums,
    /// Sums since the last line of the log.
    pub recent: Sums,
    /// The shortest Fréchet distance so far of made images from real ones.
    #[serde(default)]
    pub best: Option<f64>,
    /// What the distances depend on, if they are measured.
    #[serde(default)]
    pub yardstick: Option<Yardstick>,
}

/// Sums over images, from which means are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Sums {
    /// The number of real images.
    pub images: u64,
    /// Of the discriminator's loss.
    pub discriminator_loss: f64,
    /// The images of the steps in which the generator learned.
    pub generator_images: u64,
    /// Of the generator's loss.
    pub generator_loss: f64,
    /// Of the discriminator's output for real images.
    pub real: f64,
    /// Of its output for made images.
    pub made: f64,
}

impl Sums {
    /// Adds a step.
    pub fn add(&mut self, played: &Played) {
        let images = played.images as f64;
        self.images += played.images;
        self.discriminator_loss += images * played.discriminator_loss;
        self.real += images * played.real;
        self.made += images * played.made;
        if let Some(loss) = played.generator_loss {
            self.generator_images += played.images;
            self.generator_loss += images * loss;
        }
    }

    /// The means.
    pub fn means(&self) -> Played {
        let mean = |sum: f64| sum / self.images.max(1) as f64;
        Played {
            images: self.images,
            discriminator_loss: mean(self.discriminator_loss),
            generator_loss: (self.generator_images > 0).then(|| self.generator_loss / self.generator_images as f64),
            real: mean(self.real),
            made: mean(self.made),
        }
    }
}

/// Writes the last checkpoint and its state into the run folder, and beside it the networks with the averaged generator.
///
/// # Errors
/// Returns an error if they cannot be written; the previous ones are then intact.
pub fn save(run: &RunFolder, trained: &Trained, note: &Note) -> Result<()> {
    let Trained { opponents, average, state } = trained;
    let mut tensors = Vec::new();
    for (name, tensor) in kept(opponents) {
        tensors.push(StoredTensor::of(&name, tensor)?);
    }
    for (name, tensor) in average.iter().flat_map(Average::state) {
        tensors.push(StoredTensor::of(&name, tensor)?);
    }
    safetensors::write(&run.state(state.run.step), &tensors, state)?;
    drop(tensors);
    let (generator, discriminator) = (&opponents.generator.network, &opponents.discriminator.network);
    checkpoint::write_parts(&run.last(), generator, discriminator, note)?;
    match average.as_ref().and_then(Average::network) {
        Some(generator) => {
            let note = Note { averaged: true, ..note.clone() };
            checkpoint::write_parts(&run.average(), generator, discriminator, &note)
        }
        None => run.remove_average(),
    }
}

/// What both optimisers keep, by names that begin with their network's.
fn kept(opponents: &Opponents) -> impl Iterator<Item = (String, &Tensor)> {
    let of = |part: &'static str| move |(name, tensor)| (format!("{part}.{name}"), tensor);
    let generator = opponents.generator.state().map(of(checkpoint::GENERATOR));
    generator.chain(opponents.discriminator.state().map(of(checkpoint::DISCRIMINATOR)))
}

/// Restores both optimisers and the average from the state of the last checkpoint, made at step `step`.
///
/// # Errors
/// Returns an error if the state is missing, corrupt or of other networks.
pub fn restore(run: &RunFolder, step: u64, opponents: Opponents, gan: &Gan) -> Result<Trained> {
    let path = run.state(step);
    let contents = safetensors::read(&path).context("the run cannot be resumed without its state; start a new one")?;
    let text = safetensors::note_of(&contents, &path)?;
    let mut state: Progressed =
        serde_json::from_str(&text).with_context(|| format!("{}: not the state of a run", path.display()))?;
    let mut stored: HashMap<String, StoredTensor> =
        contents.tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
    for (name, tensor) in kept(&opponents) {
        let found = stored.remove(&name).with_context(|| {
            format!(
                "{}: {name} is missing, so the run was trained with other settings of its optimiser; restore them",
                path.display()
            )
        })?;
        let values = found.into_tensor(tensor.device())?;
        let (expected, size) = (tensor.size(), values.size());
        ensure!(size == expected, "{}: {name}: expected {expected:?}, found {size:?}", path.display());
        tch::no_grad(|| tensor.shallow_clone().f_copy_(&values))?;
    }
    let average = gan.training.average.as_ref();
    let mut average = average.map(|kind| Average::new(kind, &opponents.generator.network)).transpose()?;
    let is_restored = match &mut average {
        Some(average) => average.restore(&mut stored, state.run.average_updates, &path)?,
        None => false,
    };
    if !is_restored {
        // An average that the state does not have begins now.
        state.run.average_updates = 0;
    }
    Ok(Trained { opponents, average, state })
}
