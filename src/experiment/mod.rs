//! An experiment: one JSON file with a network, its preprocessing, its training and its evaluation; or with the two networks of
//! a `gan`.
//!
//! It is read, changed by recipes and single settings, completed with defaults and checked in one step. The complete
//! experiment is stored in the run folder and in every checkpoint.

mod augmentation;
mod average;
mod balance;
pub mod builtin;
mod change;
mod field;
pub mod fine_tune;
pub mod gan;
mod json;
mod layers;
mod mix;
mod moved;
mod optimizer;
mod preprocess;
mod published;
mod schedule;
mod training;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::geometry::Size;
use crate::imagenet;
use crate::network::classifier::{prove_classifier, without_auxiliary};
use crate::network::dense;
use crate::network::init::has_zero_residual;
use crate::network::node::Node;
use crate::network::spec::NetworkSpec;
use crate::views::{Part, Sizes, Views};
use crate::weights;

pub use augmentation::{
    Augmentation, AutoAugmentPolicy, ColorJitter, ErasedFill, GaussianBlur, Grayscale, Lighting, RandAugment,
    RandomErasing, Rotation,
};
pub use average::Average;
pub use balance::{ClassWeights, Sampler};
pub use change::Change;
pub use gan::Gan;
pub use mix::Mix;
pub use optimizer::{AdamwSpec, Clip, MemoryFormat, OptimizerSpec, RmspropSpec, SgdSpec};
pub use preprocess::{Channels, Preprocess, Scale};
pub use published::{Published, PublishedLocalisation, PublishedWeights};
pub use schedule::{EarlyStopping, Schedule};
pub use training::{LogFormat, Training, TrainingCrop};

/// An experiment, complete and checked.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// The network's name.
    pub name: String,
    /// Where the network was published.
    #[serde(default)]
    pub paper: String,
    /// Where and why the file departs from the paper.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The errors that were published for this network: claims.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<Published>,
    /// Where trained weights can be fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<PublishedWeights>,
    /// The recipes that were laid over it, by name: what was done, kept for whoever reads or resumes the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipes: Vec<String>,
    network: NetworkSpec,
    /// From pixels to values.
    #[serde(default)]
    pub preprocess: Preprocess,
    /// How it is trained.
    #[serde(default)]
    pub training: Training,
    /// How it is evaluated.
    #[serde(default)]
    pub evaluation: Evaluation,
    /// The network's layers, proved.
    #[serde(skip)]
    nodes: Vec<Node>,
}

/// The `evaluation` section.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evaluation {
    /// The protocol that the paper used.
    pub views: Views,
}

impl Default for Evaluation {
    fn default() -> Self {
        Evaluation { views: Views::center() }
    }
}

impl Experiment {
    /// Reads an experiment, a JSON file or a built-in one by its name, and changes it.
    ///
    /// # Errors
    /// Returns what is wrong, with the file and the JSON path.
    pub fn load(name: &Path, changes: &[Change]) -> Result<Self> {
        let value = read(name)?;
        Experiment::from_value(value, changes).with_context(|| format!("{}: {INVALID}", name.display()))
    }

    /// Parses an experiment and changes it.
    ///
    /// # Errors
    /// Returns what is wrong, with its JSON path.
    pub fn parse(text: &str, changes: &[Change]) -> Result<Self> {
        Experiment::from_value(json::parse(text)?, changes)
    }

    /// Reads an experiment from JSON and changes it.
    ///
    /// # Errors
    /// Returns what is wrong, with its JSON path.
    pub fn from_value(mut value: Value, changes: &[Change]) -> Result<Self> {
        ensure!(value.is_object(), "expected an object with a network and its training, found {value:.40}");
        ensure!(
            !gan::is_one(&value),
            "describes a generator and a discriminator, expected a classifier; `train`, `eval` and `summary` take both kinds, and `generate` makes images with this one"
        );
        moved::upgrade(&mut value);
        let network = value["network"].clone();
        for change in changes {
            change.apply(&mut value)?;
        }
        let mut experiment: Experiment = json::read(&value)?;
        if value["network"] != network {
            experiment.withdraw_claims();
        }
        experiment.check()?;
        Ok(experiment)
    }

    /// The network, as the file describes it.
    pub fn network(&self) -> &NetworkSpec {
        &self.network
    }

    /// The network's layers, proved.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The size of the images that the network takes.
    pub fn input(&self) -> Size {
        // Proved to lie in 1..=65536.
        let [_, height, width] = self.network.input.map(|side| side as u32);
        Size { width, height }
    }

    /// What is published for a protocol.
    pub fn published_for(&self, views: &Views) -> Option<&Published> {
        self.published.iter().find(|it| it.views == *views)
    }

    /// Makes it the same experiment for these classes.
    ///
    /// # Errors
    /// Returns an error if the network cannot have that many; the experiment is then unchanged.
    pub fn set_classes(&mut self, names: &[String]) -> Result<()> {
        let classes = i64::try_from(names.len())?;
        let is_imagenets = names.len() == imagenet::CLASSES;
        if self.network.classes != classes {
            let network = NetworkSpec { classes, ..self.network.clone() };
            self.nodes = prove_classifier(&network)?;
            self.network = network;
            self.withdraw_claims();
        } else if is_imagenets && names != imagenet::synsets() {
            // As many classes, but other ones: what was published is about other data.
            self.published.clear();
            self.weights = None;
        }
        Ok(())
    }

    /// Leaves out the auxiliary classifiers. The other layers keep their names.
    ///
    /// # Errors
    /// Returns an error if `training` names a layer of theirs; the experiment is then unchanged.
    pub fn leave_out_auxiliary(&mut self) -> Result<()> {
        let network = without_auxiliary(&self.network);
        let nodes = prove_classifier(&network)?;
        layers::check(&self.training, &nodes)?;
        (self.network, self.nodes) = (network, nodes);
        self.withdraw_claims();
        Ok(())
    }

    /// Removes the claims (parameters, errors, weights), which do not hold for a changed network.
    fn withdraw_claims(&mut self) {
        self.network.parameters = None;
        self.network.parameters_with_auxiliary = None;
        self.published.clear();
        self.weights = None;
    }

    /// The parts of a protocol for this network; they count equally.
    ///
    /// # Errors
    /// See [`Views::parts`].
    pub fn parts(&self, views: &Views) -> Result<Vec<Part>> {
        let input = self.input();
        let side = |fraction: f64| (f64::from(input.shorter_side()) / fraction).round() as u32;
        let shorter_side = side(self.preprocess.crop_fraction);
        let trained = match self.training.crop {
            TrainingCrop::Random { crop_fraction: [least, most] } => [side(most), side(least)],
            TrainingCrop::RandomResized { .. } | TrainingCrop::Padded { .. } => [shorter_side, shorter_side],
        };
        views.parts(&Sizes { input, shorter_side, trained })
    }

    fn check(&mut self) -> Result<()> {
        self.preprocess.check()?;
        self.training.check()?;
        check_name(&self.name)?;
        if let Some(PublishedWeights { url, sha256 }) = &self.weights {
            weights::published::check(url, sha256)?;
        }
        self.nodes = prove_classifier(&self.network)?;
        augmentation::check_input(&self.training.augment, self.input())?;
        ensure!(
            !self.network.start.zero_residual || has_zero_residual(&self.nodes),
            "network.start.zero_residual: expected a residual block whose body ends in a batch norm, found none; set it to false"
        );
        layers::check(&self.training, &self.nodes)?;
        let parts = self.parts(&self.evaluation.views).context("evaluation.views")?;
        if parts.iter().any(Part::is_dense) {
            dense(&self.nodes).context("evaluation.views")?;
        }
        Ok(())
    }
}

const INVALID: &str = "invalid experiment";

/// Reads an experiment of any kind, a JSON file or a built-in one by its name, as it is written.
///
/// # Errors
/// Returns an error if there is none, or it is not JSON.
pub fn read(name: &Path) -> Result<Value> {
    let text = builtin::read_experiment(name)?;
    json::parse(&text).with_context(|| format!("{}: {INVALID}", name.display()))
}

/// Run folders are named after an experiment.
fn check_name(name: &str) -> Result<()> {
    let is_plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']);
    ensure!(is_plain, "name: expected a name without slashes that does not start with a dot, found \"{name}\"");
    Ok(())
}
