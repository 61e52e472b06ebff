//! How a generator and a discriminator are trained.

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::AdversarialLoss;
use crate::experiment::field::at;
use crate::experiment::json::{optional_word_or_object, word_or_object};
use crate::experiment::{AdamwSpec, Average, OptimizerSpec, Schedule, Training, TrainingCrop};
use crate::network::Precision;
use crate::range::within;

/// The `training` section. Fields that a classifier's has, too, mean the same; both networks have optimisers of their own
/// with these settings.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GanTraining {
    /// Passes over the training images.
    pub epochs: u64,
    /// Maximum number of real images per step; as many are made.
    pub batch_size: usize,
    /// What both networks minimise.
    #[serde(deserialize_with = "word_or_object")]
    pub loss: AdversarialLoss,
    /// How far below 1 the discriminator's target for real images is: Salimans et al., arXiv:1606.03498, section 3.4.
    pub label_smoothing: f64,
    /// Updates of the discriminator per update of the generator: Goodfellow et al., algorithm 1. Each is a step.
    pub discriminator_steps: u64,
    /// The optimiser. AdamW without weight decay, as here, is Adam.
    #[serde(deserialize_with = "word_or_object")]
    pub optimizer: OptimizerSpec,
    /// The learning rate that the schedule starts from.
    pub learning_rate: f64,
    /// How the learning rate moves.
    #[serde(deserialize_with = "word_or_object")]
    pub schedule: Schedule,
    /// The average of the generator's weights that is kept beside them, and made images with.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_word_or_object")]
    pub average: Option<Average>,
    /// Ends the run after this many steps, in the middle of an epoch too; the schedule spans these steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// Ends the run after the step with which this time is over; the schedule follows the elapsed share of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_minutes: Option<f64>,
    /// Whether batch norms of several processes normalise over the images of all of them; otherwise each over its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sync_batch_norm: bool,
    /// What convolutions and linear layers compute with; by itself in 32 bits, on a GPU with TF32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
    /// How images are cut to the generator's size.
    #[serde(deserialize_with = "word_or_object")]
    pub crop: TrainingCrop,
    /// Whether half of the images are mirrored left to right.
    pub mirror: bool,
    /// The seed of all random choices.
    pub seed: u64,
}

impl Default for GanTraining {
    /// The settings of Radford et al., arXiv:1511.06434, section 4; images are resized and lose only what is longer than the
    /// generator's shape.
    fn default() -> Self {
        GanTraining {
            epochs: 25,
            batch_size: 128,
            loss: AdversarialLoss::NonSaturating {},
            label_smoothing: 0.0,
            discriminator_steps: 1,
            optimizer: OptimizerSpec::Adamw(AdamwSpec { betas: [0.5, 0.999], ..AdamwSpec::default() }),
            learning_rate: 2e-4,
            schedule: Schedule::Constant {},
            average: None,
            max_steps: None,
            max_minutes: None,
            sync_batch_norm: false,
            precision: None,
            crop: TrainingCrop::Random { crop_fraction: [1.0, 1.0] },
            mirror: false,
            seed: 0,
        }
    }
}

impl GanTraining {
    /// The section in a classifier's words, for what trains both kinds: loader, schedule and optimiser.
    pub(super) fn shared(&self) -> Training {
        Training {
            epochs: self.epochs,
            batch_size: self.batch_size,
            optimizer: self.optimizer.clone(),
            learning_rate: self.learning_rate,
            schedule: self.schedule.clone(),
            average: self.average.clone(),
            max_steps: self.max_steps,
            max_minutes: self.max_minutes,
            weight_decay: 0.0,
            sync_batch_norm: self.sync_batch_norm,
            precision: self.precision,
            crop: self.crop.clone(),
            mirror: self.mirror,
            seed: self.seed,
            ..Training::default()
        }
    }

    /// # Errors
    /// Returns an error with the JSON path if a number is out of its range, or a setting cannot act.
    pub(super) fn check(&self) -> Result<()> {
        self.shared().check()?;
        self.loss.check()?;
        at("discriminator_steps", within(self.discriminator_steps, 1, 1000))?;
        at("label_smoothing", within(self.label_smoothing, 0.0, 0.5))?;
        ensure!(
            self.label_smoothing == 0.0 || self.loss.has_target(),
            "training.label_smoothing: cannot act, as training.loss has no target for real images that could be smoothed; set it to 0"
        );
        ensure!(
            !self.sync_batch_norm || !matches!(self.loss, AdversarialLoss::Wasserstein { .. }),
            "training.sync_batch_norm: cannot act with the loss wasserstein, whose gradient penalty takes each image alone; set it to false, and leave out the discriminator's batch norms"
        );
        ensure!(
            self.precision != Some(Precision::F16),
            "training.precision: f16 is for classifiers alone, whose loss can be scaled; use bf16, tf32 or f32"
        );
        match self.schedule {
            Schedule::Plateau { .. } => {
                bail!(
                    "training.schedule: plateau follows the validation error of a classifier, and there is none here; use another schedule"
                )
            }
            _ => Ok(()),
        }
    }
}
