//! How a network is trained.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

use super::balance::{self, ClassWeights, Sampler};
use super::optimizer::{self, Clip, MemoryFormat, OptimizerSpec, Precision, SgdSpec};
use crate::range::{positive, within};

/// The `training` section: gradient descent on the cross entropy.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Training {
    /// Passes over the training images.
    pub epochs: u64,
    /// Maximum number of images per step: an epoch's images are divided evenly among its steps.
    pub batch_size: usize,
    /// The number of batches whose gradients make one update: their mean over all images, as that of one batch this
    /// many times larger (but for batch norms, which see each batch alone). The last update of an epoch may have fewer.
    /// Steps, in schedules, logs and checkpoints, count batches.
    pub accumulate: u64,
    /// The optimiser.
    pub optimizer: OptimizerSpec,
    /// The learning rate that the schedule starts from.
    pub learning_rate: f64,
    /// How the learning rate decays after the warm-up.
    pub schedule: Schedule,
    /// Epochs over which the learning rate first rises from 0.
    pub warmup_epochs: f64,
    /// The factor by which each weight is added to its gradient (L2 regularisation).
    pub weight_decay: f64,
    /// Whether weights decay in batch norms and biases, too.
    pub decay_norms_and_biases: bool,
    /// Layers that are not trained, by name or the beginning of their names up to a dot: `features`, `layer1`. Their
    /// batch norms keep their running statistics, and normalise by them.
    pub freeze: Vec<String>,
    /// What the learning rate of some layers is multiplied by, named as in `freeze`; the longest name that fits a layer
    /// counts.
    pub rate_scale: BTreeMap<String, f64>,
    /// How large gradients are cut.
    pub clip: Option<Clip>,
    /// What convolutions and linear layers compute with.
    pub precision: Precision,
    /// The order of values in memory.
    pub memory_format: MemoryFormat,
    /// The fraction of the target probability that is spread over all classes.
    pub label_smoothing: f64,
    /// How inputs are cut out of images.
    pub crop: TrainingCrop,
    /// Whether half of the images are mirrored left to right.
    pub mirror: bool,
    /// Random changes of the cropped image, in their order.
    pub augment: Vec<Augmentation>,
    /// How much each image's loss counts.
    pub class_weights: ClassWeights,
    /// Which images an epoch visits.
    pub sampler: Sampler,
    /// The fraction of each class's images that is split off for validation, from data without validation images [default:
    /// 0.2].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_fraction: Option<f64>,
    /// The seed of all random choices.
    pub seed: u64,
}

impl Default for Training {
    fn default() -> Self {
        Training {
            epochs: 90,
            batch_size: 256,
            accumulate: 1,
            optimizer: OptimizerSpec::Sgd(SgdSpec::default()),
            learning_rate: 0.1,
            schedule: Schedule::Cosine,
            warmup_epochs: 0.0,
            weight_decay: 1e-4,
            decay_norms_and_biases: true,
            freeze: Vec::new(),
            rate_scale: BTreeMap::new(),
            clip: None,
            precision: Precision::F32,
            memory_format: MemoryFormat::Contiguous,
            label_smoothing: 0.0,
            crop: TrainingCrop::RandomResized { area: [0.08, 1.0], aspect: [3.0 / 4.0, 4.0 / 3.0] },
            mirror: true,
            augment: Vec::new(),
            class_weights: ClassWeights::None,
            sampler: Sampler::Uniform,
            val_fraction: None,
            seed: 0,
        }
    }
}

/// A random change to a cropped image. None exist yet, so only an empty list is accepted.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Augmentation {}

/// How the learning rate decays after the warm-up.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// No decay.
    Constant,
    /// Half a cosine, down to 0 at the end of training. Loshchilov and Hutter, arXiv:1608.03983.
    Cosine,
    /// Multiplied by a factor at the end of every `every` epochs.
    Step {
        /// Epochs between two steps.
        every: f64,
        /// What the rate is multiplied by.
        factor: f64,
    },
    /// Multiplied by a factor at the end of each of these epochs.
    Milestones {
        /// The epochs.
        at: Vec<f64>,
        /// What the rate is multiplied by.
        factor: f64,
    },
}

/// How training cuts an input out of an image.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TrainingCrop {
    /// Anywhere in the image, which is resized first.
    Random {
        /// The side of the crop over the shorter side of the resized image, drawn between least and most: [0.875,
        /// 0.875] is 224 of 256 (AlexNet, section 4.1), [0.4667, 0.875] is 224 of 256 to 480 (ResNet, section 3.4).
        crop_fraction: [f64; 2],
    },
    /// A random rectangle of the image, resized to the input. GoogLeNet, section 6.
    RandomResized {
        /// Its share of the image's area, least and most.
        area: [f64; 2],
        /// Its width over its height, least and most.
        aspect: [f64; 2],
    },
    /// Anywhere in the image, which is resized to the input and surrounded by black. He et al., section 4.2.
    Padded {
        /// The width of the black margin.
        pixels: u32,
    },
}

impl Training {
    /// # Errors
    /// Returns an error with the JSON path if a number is out of its range.
    pub fn check(&self) -> Result<()> {
        at("epochs", within(self.epochs, 1, 1_000_000))?;
        at("batch_size", within(self.batch_size, 1, 1_000_000))?;
        at("learning_rate", positive(self.learning_rate, 1e6))?;
        optimizer::check(self)?;
        balance::check(self)?;
        at("weight_decay", within(self.weight_decay, 0.0, 1e3))?;
        at("label_smoothing", within(self.label_smoothing, 0.0, 0.9999))?;
        at("warmup_epochs", within(self.warmup_epochs, 0.0, self.epochs as f64))?;
        self.schedule.check()?;
        self.crop.check()
    }
}

impl Schedule {
    fn check(&self) -> Result<()> {
        match self {
            Schedule::Constant | Schedule::Cosine => Ok(()),
            Schedule::Step { every, factor } => {
                at("schedule.step.every", within(*every, 1e-3, 1e6))?;
                at("schedule.step.factor", within(*factor, 0.0, 10.0))
            }
            Schedule::Milestones { at: epochs, factor } => {
                epochs.iter().try_for_each(|&epoch| at("schedule.milestones.at", within(epoch, 0.0, 1e6)))?;
                at("schedule.milestones.factor", within(*factor, 0.0, 10.0))
            }
        }
    }
}

impl TrainingCrop {
    fn check(&self) -> Result<()> {
        match self {
            TrainingCrop::Random { crop_fraction } => ordered("crop.random.crop_fraction", *crop_fraction, 0.05, 1.0),
            TrainingCrop::RandomResized { area, aspect } => {
                ordered("crop.random_resized.area", *area, 1e-3, 1.0)?;
                ordered("crop.random_resized.aspect", *aspect, 0.05, 20.0)
            }
            TrainingCrop::Padded { pixels } => at("crop.padded.pixels", within(*pixels, 0, 1024)),
        }
    }
}

/// Checks a range: two numbers, the first not above the second.
fn ordered(field: &str, [low, high]: [f64; 2], least: f64, most: f64) -> Result<()> {
    at(&format!("{field}[0]"), within(low, least, most))?;
    at(&format!("{field}[1]"), within(high, low, most))
}

pub(super) fn at(field: &str, checked: Result<(), String>) -> Result<()> {
    checked.map_err(|reason| anyhow!("training.{field}: {reason}"))
}
