//! A generator against a discriminator, as one JSON file: two networks, where their latent vectors come from, and how they
//! are trained. Goodfellow et al., arXiv:1406.2661.
//!
//! The generator turns a latent vector, a map of 1x1, into an image; the discriminator turns an image into one number, the
//! higher the more it takes it for real. The sizes of both inputs follow from the rest and are not written.

mod latent;
mod loss;
mod part;
mod training;

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Change, INVALID, Training, check_name, json, read};
use crate::geometry::Size;
use crate::network::node::{Node, Op, Shape, has_batch_norm, least_images};
use crate::network::shape::output;
use crate::network::{Proof, refuse};
use crate::range::within;

pub use latent::{Latent, LatentDistribution};
pub use loss::AdversarialLoss;
pub use part::Part;
pub use training::GanTraining;

/// An experiment with two networks, complete and checked.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Gan {
    /// Its name.
    pub name: String,
    /// Where it was published.
    #[serde(default)]
    pub paper: String,
    /// Where and why the file departs from the paper, and where it follows it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The recipes that were laid over it, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipes: Vec<String>,
    /// Where latent vectors come from.
    pub latent: Latent,
    /// Whether both networks are given the class of an image, as one channel per class, 1 everywhere in the image's own and
    /// 0 in the others: after the latent vector, and after the image's own channels. Mirza and Osindero, arXiv:1411.1784.
    #[serde(default)]
    pub conditional: bool,
    /// The number of classes, which acts if the networks are given them, and is then that of the training images.
    #[serde(default = "ten")]
    classes: i64,
    generator: Part,
    discriminator: Part,
    /// From pixels to values, and back.
    #[serde(default)]
    pub preprocess: GanPreprocess,
    /// How it is trained.
    #[serde(default)]
    pub training: GanTraining,
    /// The layers of both, proved.
    #[serde(skip)]
    nodes: [Vec<Node>; 2],
}

/// The `preprocess` section.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GanPreprocess {
    /// The values of black and of white.
    pub range: [f64; 2],
    /// Whether the EXIF orientation is applied.
    pub exif_orientation: bool,
}

impl Default for GanPreprocess {
    /// The range of tanh. Radford et al., section 4.
    fn default() -> Self {
        GanPreprocess { range: [-1.0, 1.0], exif_orientation: true }
    }
}

fn ten() -> i64 {
    10
}

const GENERATOR: &str = "generator";
const DISCRIMINATOR: &str = "discriminator";

/// Whether a file describes two networks rather than a classifier.
pub fn is_one(experiment: &Value) -> bool {
    [GENERATOR, DISCRIMINATOR].iter().any(|part| experiment.get(part).is_some())
}

impl Gan {
    /// Reads an experiment, a JSON file or a built-in one by its name, and changes it.
    ///
    /// # Errors
    /// Returns what is wrong, with the file and the JSON path.
    pub fn load(name: &Path, changes: &[Change]) -> Result<Self> {
        let value = read(name)?;
        Gan::from_value(value, changes).with_context(|| format!("{}: {INVALID}", name.display()))
    }

    /// Reads an experiment from JSON and changes it.
    ///
    /// # Errors
    /// Returns what is wrong, with its JSON path.
    pub fn from_value(mut value: Value, changes: &[Change]) -> Result<Self> {
        let described = ["latent", "conditional", GENERATOR, DISCRIMINATOR];
        let before = described.map(|key| value.get(key).cloned());
        for change in changes {
            change.apply(&mut value)?;
        }
        let mut gan: Gan = json::read(&value)?;
        if described.map(|key| value.get(key).cloned()) != before {
            gan.withdraw_claims();
        }
        gan.check()?;
        Ok(gan)
    }

    /// The generator's layers, proved.
    pub fn generator(&self) -> &[Node] {
        &self.nodes[0]
    }

    /// The discriminator's layers, proved.
    pub fn discriminator(&self) -> &[Node] {
        &self.nodes[1]
    }

    /// Both networks, as the file describes them, each with its name and its layers.
    pub fn parts(&self) -> [(&'static str, &Part, &[Node]); 2] {
        [(GENERATOR, &self.generator, self.generator()), (DISCRIMINATOR, &self.discriminator, self.discriminator())]
    }

    /// The images' channels, rows and columns.
    pub fn image(&self) -> [i64; 3] {
        match self.generator().last().map(|node| node.output) {
            Some(Shape::Map { channels, height, width }) => [channels, height, width],
            // Proved to be a map.
            _ => [0; 3],
        }
    }

    /// The images' size.
    pub fn size(&self) -> Size {
        let [_, height, width] = self.image().map(|side| side as u32);
        Size { width, height }
    }

    /// The difference between the values of white and of black.
    pub fn span(&self) -> f64 {
        self.preprocess.range[1] - self.preprocess.range[0]
    }

    /// The number of classes that both networks are given; 0 if they are given none.
    pub fn classes(&self) -> i64 {
        if self.conditional { self.classes } else { 0 }
    }

    /// The images that both networks need at least to be trained.
    pub fn least_images(&self) -> usize {
        self.nodes.iter().map(|nodes| least_images(nodes)).fold(1, usize::max)
    }

    /// The `training` section in a classifier's words.
    pub fn shared(&self) -> Training {
        self.training.shared()
    }

    /// Makes it the same experiment for this many classes, if the networks are given any.
    ///
    /// # Errors
    /// Returns an error if they cannot have that many; the experiment is then unchanged.
    pub fn set_classes(&mut self, classes: usize) -> Result<()> {
        let classes = i64::try_from(classes)?;
        if self.conditional && self.classes != classes {
            let mut changed = Gan { classes, ..self.clone() };
            changed.withdraw_claims();
            changed.check()?;
            *self = changed;
        }
        Ok(())
    }

    fn withdraw_claims(&mut self) {
        (self.generator.parameters, self.discriminator.parameters) = (None, None);
    }

    fn check(&mut self) -> Result<()> {
        check_name(&self.name)?;
        within(self.latent.size, 1, 10_000).map_err(|reason| anyhow!("latent.size: {reason}"))?;
        let [black, white] = self.preprocess.range;
        ensure!(
            (-1e6..white).contains(&black) && white <= 1e6,
            "preprocess.range: expected the values of black and of white, the first below the second, found [{black}, {white}]"
        );
        self.training.check()?;
        self.nodes = [self.proved_generator()?, Vec::new()];
        self.nodes[1] = self.proved_discriminator()?;
        ensure!(
            !self.training.sync_batch_norm || self.nodes.iter().any(|nodes| has_batch_norm(nodes)),
            "training.sync_batch_norm: true cannot act, as neither network has a batch norm; set it to false"
        );
        Ok(())
    }

    fn proved_generator(&self) -> Proof<Vec<Node>> {
        let nodes = self.generator.prove([self.latent.size + self.classes(), 1, 1], self.classes, GENERATOR)?;
        let at = format!("{GENERATOR}.layers");
        let found = output(&nodes, Shape::Vector { features: self.latent.size });
        if !matches!(found, Shape::Map { channels: 1 | 3, .. }) {
            return refuse(&at, format!("expected an image of 1 or 3 channels at the end, found {found}"));
        }
        let range = match nodes.last().map(|node| &node.op) {
            Some(Op::Tanh) => [-1.0, 1.0],
            Some(Op::Sigmoid) => [0.0, 1.0],
            _ => self.preprocess.range,
        };
        if range != self.preprocess.range {
            let found = self.preprocess.range;
            return refuse(
                "preprocess.range",
                format!("expected {range:?}, the range of the generator's last layer, found {found:?}"),
            );
        }
        Ok(nodes)
    }

    fn proved_discriminator(&self) -> Proof<Vec<Node>> {
        let [channels, height, width] = self.image();
        let nodes =
            self.discriminator.prove([channels + self.classes(), height, width], self.classes, DISCRIMINATOR)?;
        let at = format!("{DISCRIMINATOR}.layers");
        match nodes.last() {
            Some(node) if node.op == Op::Sigmoid => refuse(
                &node.at,
                "expected no sigmoid at the end, as the losses take what comes before it; leave it out",
            ),
            Some(Node { output: Shape::Vector { features: 1 }, .. }) => Ok(nodes),
            last => {
                let found = last.map_or("nothing".to_string(), |node| node.output.to_string());
                refuse(
                    &at,
                    format!(
                        "expected a vector of one value at the end, found {found}; end with one channel of 1x1 and \"flatten\", or with {{ \"linear\": {{ \"features\": 1 }} }}"
                    ),
                )
            }
        }
    }
}
