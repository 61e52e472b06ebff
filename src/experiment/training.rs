//! How a network is trained.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::augmentation::{self, Augmentation};
use super::average::Average;
use super::balance::{ClassWeights, Sampler};
use super::field::{at, ordered};
use super::json::{optional_word_or_object, word_or_object, words_or_objects};
use super::mix::Mix;
use super::optimizer::{Clip, MemoryFormat, OptimizerSpec, SgdSpec};
use super::schedule::{EarlyStopping, Schedule};
use crate::network::Precision;
use crate::network::parameter::is_within_any;
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
    #[serde(deserialize_with = "word_or_object")]
    pub optimizer: OptimizerSpec,
    /// The learning rate that the schedule starts from.
    pub learning_rate: f64,
    /// How the learning rate moves after the warm-up.
    #[serde(deserialize_with = "word_or_object")]
    pub schedule: Schedule,
    /// Epochs over which the learning rate first rises from 0 to where the schedule begins.
    pub warmup_epochs: f64,
    /// The learning rate of the warm-up if it does not rise, as in He et al., section 4.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_rate: Option<f64>,
    /// The average of the weights that is kept beside them, validated too, and saved as `average.safetensors`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_word_or_object")]
    pub average: Option<Average>,
    /// Ends the run when the validation error has stopped falling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStopping>,
    /// Ends the run after this many steps, in the middle of an epoch too; schedule and warm-up span these steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// Ends the run after the step with which this time is over. Training and the validations between epochs count, a
    /// last validation comes on top. Schedule and warm-up follow the elapsed share of the time, so that such a run is
    /// not repeated bit for bit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_minutes: Option<f64>,
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
    /// Whether batch norms normalise over the images of all processes in training, rather than each process over its own.
    pub sync_batch_norm: bool,
    /// What convolutions and linear layers compute with; by itself in 32 bits, on a GPU with TF32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
    /// The order of values in memory.
    pub memory_format: MemoryFormat,
    /// The fraction of the target probability that is spread over all classes.
    pub label_smoothing: f64,
    /// How inputs are cut out of images.
    #[serde(deserialize_with = "word_or_object")]
    pub crop: TrainingCrop,
    /// Whether half of the images are mirrored left to right.
    pub mirror: bool,
    /// Random changes of the cropped image, in their order.
    #[serde(deserialize_with = "words_or_objects")]
    pub augment: Vec<Augmentation>,
    /// How the images of a batch are mixed in pairs, with soft labels [default: not at all].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_word_or_object")]
    pub mix: Option<Mix>,
    /// How much each image's loss counts.
    pub class_weights: ClassWeights,
    /// Which images an epoch visits.
    pub sampler: Sampler,
    /// The fraction of each class's images that is split off for validation, from data without validation images [default:
    /// 0.2].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_fraction: Option<f64>,
    /// The formats in which a run's log is written; `jsonl` always is one.
    pub log: Vec<LogFormat>,
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
            schedule: Schedule::Cosine { floor: 0.0 },
            warmup_epochs: 0.0,
            warmup_rate: None,
            average: None,
            early_stopping: None,
            max_steps: None,
            max_minutes: None,
            weight_decay: 1e-4,
            decay_norms_and_biases: true,
            freeze: Vec::new(),
            rate_scale: BTreeMap::new(),
            clip: None,
            sync_batch_norm: false,
            precision: None,
            memory_format: MemoryFormat::Auto,
            label_smoothing: 0.0,
            crop: TrainingCrop::RandomResized { area: TrainingCrop::area(), aspect: TrainingCrop::aspect() },
            mirror: true,
            augment: Vec::new(),
            mix: None,
            class_weights: ClassWeights::None,
            sampler: Sampler::Uniform,
            val_fraction: None,
            log: vec![LogFormat::Jsonl],
            seed: 0,
        }
    }
}

/// A format of a run's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// `log.jsonl`: a line of JSON for every epoch and one every few steps.
    Jsonl,
    /// `log.csv`: a row for every epoch.
    Csv,
    /// Event files for TensorBoard: the numbers of `log.jsonl` and, for every epoch, histograms of the weights and the
    /// confusion matrix.
    Tensorboard,
}

/// How training cuts an input out of an image.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TrainingCrop {
    /// Anywhere in the image, which is resized first.
    Random {
        /// The side of the crop over the shorter side of the resized image, drawn between least and most: [0.875,
        /// 0.875] is 224 of 256 (AlexNet, section 4.1), [0.4667, 0.875] is 224 of 256 to 480 (ResNet, section 3.4).
        #[serde(default = "TrainingCrop::crop_fraction")]
        crop_fraction: [f64; 2],
    },
    /// A random rectangle of the image, resized to the input. GoogLeNet, section 6.
    RandomResized {
        /// Its share of the image's area, least and most.
        #[serde(default = "TrainingCrop::area")]
        area: [f64; 2],
        /// Its width over its height, least and most.
        #[serde(default = "TrainingCrop::aspect")]
        aspect: [f64; 2],
    },
    /// Anywhere in the image, which is resized to the input and surrounded by black. He et al., section 4.2.
    Padded {
        /// The width of the black margin.
        #[serde(default = "TrainingCrop::pixels")]
        pixels: u32,
    },
}

impl Training {
    /// Whether the layer of this name is not trained.
    pub fn is_frozen(&self, layer: &str) -> bool {
        is_within_any(layer, &self.freeze)
    }

    /// # Errors
    /// Returns an error with the JSON path if a number is out of its range.
    pub fn check(&self) -> Result<()> {
        at("epochs", within(self.epochs, 1, 1_000_000))?;
        at("batch_size", within(self.batch_size, 1, 1_000_000))?;
        at("learning_rate", positive(self.learning_rate, 1e6))?;
        self.optimizer.check()?;
        self.rate_scale
            .iter()
            .try_for_each(|(layer, &scale)| at(&format!("rate_scale.{layer}"), positive(scale, 1e4)))?;
        self.clip.as_ref().map_or(Ok(()), Clip::check)?;
        at("accumulate", within(self.accumulate, 1, 10_000))?;
        self.class_weights.check(self.sampler, self.accumulate)?;
        at("val_fraction", self.val_fraction.map_or(Ok(()), |fraction| within(fraction, 0.001, 0.9)))?;
        at("weight_decay", within(self.weight_decay, 0.0, 1e3))?;
        at("label_smoothing", within(self.label_smoothing, 0.0, 0.9999))?;
        at("warmup_epochs", within(self.warmup_epochs, 0.0, self.epochs as f64))?;
        if let Some(rate) = self.warmup_rate {
            at("warmup_rate", positive(rate, 1e6))?;
            ensure!(
                self.warmup_epochs > 0.0,
                "training.warmup_rate: {rate} cannot act, as training.warmup_epochs is 0; give it the epochs of the warm-up, or remove this field"
            );
        }
        self.schedule.check()?;
        self.average.as_ref().map_or(Ok(()), Average::check)?;
        self.early_stopping.as_ref().map_or(Ok(()), EarlyStopping::check)?;
        at("max_steps", self.max_steps.map_or(Ok(()), |steps| within(steps, 1, 1_000_000_000_000)))?;
        at("max_minutes", self.max_minutes.map_or(Ok(()), |minutes| positive(minutes, 1e7)))?;
        self.crop.check()?;
        augmentation::check(&self.augment)?;
        self.mix.as_ref().map_or(Ok(()), |mix| mix.check(self.batch_size))
    }
}

/// The defaults: AlexNet's, GoogLeNet's and those of He et al. for CIFAR.
impl TrainingCrop {
    fn crop_fraction() -> [f64; 2] {
        [0.875, 0.875]
    }

    fn area() -> [f64; 2] {
        [0.08, 1.0]
    }

    fn aspect() -> [f64; 2] {
        [3.0 / 4.0, 4.0 / 3.0]
    }

    fn pixels() -> u32 {
        4
    }

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
