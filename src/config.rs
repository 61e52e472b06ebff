//! An experiment: one JSON file with a network, its preprocessing, its training and its evaluation.
//!
//! It is read, changed by `--set`, filled up with defaults and checked in one go; afterwards it is complete and goes, as it
//! is, into the run folder and every checkpoint.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::network::spec::{NetworkSpec, StartWeights};
use crate::network::{dense, shape};
use crate::views::{Part, Sizes, Views};

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    pub name: String,
    #[serde(default)]
    pub paper: String,
    /// Where and why the file departs from the paper.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The errors that the paper reports for this network: claims.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<Published>,
    pub network: NetworkSpec,
    #[serde(default)]
    pub preprocess: Preprocess,
    #[serde(default)]
    pub training: Training,
    #[serde(default)]
    pub evaluation: Evaluation,
}

/// A published result, in percent.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    pub views: Views,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top1_error: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top5_error: Option<f64>,
}

/// How the pixels of an image become the values that the network takes; training and evaluation share it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preprocess {
    pub channels: Channels,
    pub scale: Scale,
    /// Subtracted from each channel, in the order and the scale given above.
    pub mean: [f64; 3],
    /// Divides each channel afterwards.
    pub std: [f64; 3],
    /// The side of the crop over the shorter side of the image that it is cut from: 224 of 256 is 0.875.
    pub crop_fraction: f64,
    /// Whether an image is turned upright as its EXIF orientation says.
    pub exif_orientation: bool,
}

impl Default for Preprocess {
    /// torchvision's, on which most published weights rest.
    fn default() -> Self {
        Preprocess {
            channels: Channels::Rgb,
            scale: Scale::Unit,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            crop_fraction: 0.875,
            exif_orientation: true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Channels {
    Rgb,
    /// As OpenCV reads images, and so Caffe's networks.
    Bgr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// 0..1
    Unit,
    /// 0..255
    Byte,
}

/// Stochastic gradient descent with momentum on the cross entropy.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Training {
    pub epochs: u64,
    /// Images a step, at most: an epoch's images are dealt evenly over its steps.
    pub batch_size: usize,
    pub learning_rate: f64,
    pub schedule: Schedule,
    /// Epochs over which the rate first rises from 0.
    pub warmup_epochs: f64,
    pub momentum: f64,
    pub nesterov: bool,
    pub weight_decay: f64,
    /// The share of the target probability that is spread over all classes.
    pub label_smoothing: f64,
    pub crop: TrainingCrop,
    /// Whether half of the images are mirrored left to right.
    pub mirror: bool,
    pub seed: u64,
}

impl Default for Training {
    fn default() -> Self {
        Training {
            epochs: 90,
            batch_size: 256,
            learning_rate: 0.1,
            schedule: Schedule::Cosine,
            warmup_epochs: 0.0,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 1e-4,
            label_smoothing: 0.0,
            crop: TrainingCrop::RandomResized { area: [0.08, 1.0], aspect: [3.0 / 4.0, 4.0 / 3.0] },
            mirror: true,
            seed: 0,
        }
    }
}

/// How the learning rate falls after the warm-up.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    Constant,
    /// Half a cosine, down to 0 at the end of training. Loshchilov and Hutter, arXiv:1608.03983.
    Cosine,
    /// Times `factor` at the end of every `every` epochs.
    Step {
        every: f64,
        factor: f64,
    },
    /// Times `factor` at the end of each of these epochs.
    Milestones {
        at: Vec<f64>,
        factor: f64,
    },
}

/// How training cuts an input out of an image.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TrainingCrop {
    /// Anywhere in the image, resized first so that the crop's side is this fraction of its shorter side, drawn between
    /// least and most: [0.875, 0.875] is 224 of 256 (AlexNet, section 4.1), [0.4667, 0.875] is 224 of 256 to 480 (VGG).
    Random { crop_fraction: [f64; 2] },
    /// A rectangle with this share of the image's area and this aspect ratio, resized. GoogLeNet, section 6.
    RandomResized { area: [f64; 2], aspect: [f64; 2] },
    /// Anywhere in the image, resized to the input's size, with so many black pixels around it. He et al., section 4.2.
    Padded { pixels: u32 },
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evaluation {
    pub views: Views,
}

impl Default for Evaluation {
    fn default() -> Self {
        Evaluation { views: Views::center() }
    }
}

impl Experiment {
    /// Reads an experiment from a file and applies `--set` changes to it.
    ///
    /// # Errors
    /// What is wrong, with the file and the JSON path.
    pub fn load(path: &Path, changes: &[String]) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read the config {}", path.display()))?;
        Experiment::parse(&text, changes).with_context(|| format!("the config {} does not work", path.display()))
    }

    /// Parses an experiment and applies `--set` changes to it.
    ///
    /// # Errors
    /// What is wrong, with its JSON path.
    pub fn parse(text: &str, changes: &[String]) -> Result<Self> {
        let mut value: Value = serde_json::from_str(text).context("not a JSON file")?;
        for change in changes {
            apply(&mut value, change).with_context(|| format!("--set {change}"))?;
        }
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(&value, &mut track);
        let mut experiment =
            Experiment::deserialize(tracked).map_err(|error| located(&track.path(), &error.to_string()))?;
        if changes.iter().any(|change| change.starts_with("network")) {
            experiment.withdraw_claims();
        }
        experiment.check()?;
        Ok(experiment)
    }

    /// The same experiment for another number of classes.
    pub fn set_classes(&mut self, classes: usize) {
        if self.network.classes != classes as i64 {
            self.network.classes = classes as i64;
            self.withdraw_claims();
        }
    }

    /// A changed network is no longer the one that the paper counted and measured.
    fn withdraw_claims(&mut self) {
        self.network.parameters = None;
        self.network.parameters_with_auxiliary = None;
        self.published.clear();
    }

    /// Height and width of the network's input, in pixels.
    pub fn input(&self) -> [u32; 2] {
        // Proved to lie in 1..65536.
        [self.network.input[1] as u32, self.network.input[2] as u32]
    }

    /// The views of a protocol for this network, worked out; they count equally.
    ///
    /// # Errors
    /// See [`Views::parts`].
    pub fn parts(&self, views: &Views) -> Result<Vec<Part>> {
        let input = self.input();
        let side = |fraction: f64| (f64::from(input[0].min(input[1])) / fraction).round() as u32;
        let shorter_side = side(self.preprocess.crop_fraction);
        let trained = match self.training.crop {
            TrainingCrop::Random { crop_fraction: [least, most] } => [side(most), side(least)],
            TrainingCrop::RandomResized { .. } | TrainingCrop::Padded { .. } => [shorter_side, shorter_side],
        };
        views.parts(&Sizes { input, shorter_side, trained })
    }

    fn check(&self) -> Result<()> {
        let training = &self.training;
        let channels = self.network.input[0];
        ensure!(channels == 3, "network.input[0]: expected 3 channels, since images are read as RGB, found {channels}");
        within("training.epochs", training.epochs as f64, 1.0, 1e6)?;
        within("training.batch_size", training.batch_size as f64, 1.0, 1e6)?;
        within("training.learning_rate", training.learning_rate, f64::MIN_POSITIVE, 1e6)?;
        within("training.momentum", training.momentum, 0.0, 0.9999)?;
        within("training.weight_decay", training.weight_decay, 0.0, 1e3)?;
        within("training.label_smoothing", training.label_smoothing, 0.0, 0.9999)?;
        within("training.warmup_epochs", training.warmup_epochs, 0.0, training.epochs as f64)?;
        self.check_schedule()?;
        self.check_crop()?;
        within("network.start.bias", self.network.start.bias, -1e3, 1e3)?;
        if let StartWeights::Normal(deviation) = self.network.start.weights {
            within("network.start.weights.normal", deviation, f64::MIN_POSITIVE, 1e3)?;
        }
        within("network.batch_norm_epsilon", self.network.batch_norm_epsilon, f64::MIN_POSITIVE, 1.0)?;
        within("preprocess.crop_fraction", self.preprocess.crop_fraction, 0.05, 1.0)?;
        for (index, &std) in self.preprocess.std.iter().enumerate() {
            within(&format!("preprocess.std[{index}]"), std, f64::MIN_POSITIVE, 1e6)?;
        }
        let nodes = shape::prove(&self.network)?;
        let parts = self.parts(&self.evaluation.views).context("evaluation.views")?;
        if parts.iter().any(Part::is_dense) {
            dense(&nodes).context("evaluation.views")?;
        }
        Ok(())
    }

    fn check_schedule(&self) -> Result<()> {
        match &self.training.schedule {
            Schedule::Constant | Schedule::Cosine => Ok(()),
            Schedule::Step { every, factor } => {
                within("training.schedule.step.every", *every, 1e-3, 1e6)?;
                within("training.schedule.step.factor", *factor, 0.0, 10.0)
            }
            Schedule::Milestones { at, factor } => {
                at.iter().try_for_each(|&epoch| within("training.schedule.milestones.at", epoch, 0.0, 1e6))?;
                within("training.schedule.milestones.factor", *factor, 0.0, 10.0)
            }
        }
    }

    fn check_crop(&self) -> Result<()> {
        match &self.training.crop {
            TrainingCrop::Random { crop_fraction } => {
                range("training.crop.random.crop_fraction", *crop_fraction, 0.05, 1.0)
            }
            TrainingCrop::RandomResized { area, aspect } => {
                range("training.crop.random_resized.area", *area, 1e-3, 1.0)?;
                range("training.crop.random_resized.aspect", *aspect, 0.05, 20.0)
            }
            TrainingCrop::Padded { pixels } => within("training.crop.padded.pixels", f64::from(*pixels), 0.0, 1024.0),
        }
    }
}

fn within(at: &str, value: f64, least: f64, most: f64) -> Result<()> {
    let floor = if least == f64::MIN_POSITIVE { "above 0".to_string() } else { format!("at least {least}") };
    ensure!((least..=most).contains(&value), "{at}: expected a number {floor} and at most {most}, found {value}");
    Ok(())
}

fn range(at: &str, [low, high]: [f64; 2], least: f64, most: f64) -> Result<()> {
    within(&format!("{at}[0]"), low, least, most)?;
    within(&format!("{at}[1]"), high, low, most)
}

/// Sets one field: `training.epochs=5`, `network.input=[3,64,64]`, `network.layers[0].conv.kernel=7`.
fn apply(experiment: &mut Value, change: &str) -> Result<()> {
    let (path, text) = change.split_once('=').context("expected KEY=VALUE, found no '='")?;
    // What is no JSON is a bare word: --set training.schedule=cosine
    let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_string()));
    let path = path.trim().replace('[', ".").replace(']', "");
    let mut place = experiment;
    let mut walked = String::new();
    for key in path.split('.') {
        place = match place {
            Value::Object(fields) => fields.entry(key).or_insert(Value::Null),
            Value::Array(items) => {
                let length = items.len();
                let index = key.parse().ok().filter(|&index: &usize| index < length);
                let index =
                    index.with_context(|| format!("{walked}: expected an index below {length}, found '{key}'"))?;
                &mut items[index]
            }
            Value::Null => {
                *place = Value::Object(Map::new());
                &mut place[key]
            }
            other => {
                bail!("{walked} is {other} and has no '{key}' inside; set it as a whole: --set '{walked}={{...}}'")
            }
        };
        walked = if walked.is_empty() { key.to_string() } else { format!("{walked}.{key}") };
    }
    *place = value;
    Ok(())
}

/// An error of serde's with its JSON path and, for a word that does not exist, the nearest one that does.
fn located(path: &serde_path_to_error::Path, message: &str) -> anyhow::Error {
    let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let near = match words.split_first() {
        Some((wrong, known)) if message.starts_with("unknown") => crate::nearest::nearest(wrong, known.iter().copied()),
        _ => None,
    };
    let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    anyhow::anyhow!("{path}: {message}{hint}")
}
