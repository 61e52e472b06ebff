//! Test-time views: at which scales and in which crops images are evaluated, mirrored or not. Described here, named in
//! `protocol`, planned for a single image in `plan`. Pure geometry: no pixels, no tensors.

pub mod plan;
pub mod protocol;

use std::fmt;

use anyhow::{Result, anyhow, ensure};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use crate::geometry::Size;
use crate::range::within;

pub use protocol::{Named, Protocol};

/// The views of an image: those of a paper's protocol, or custom ones.
#[derive(Clone, Debug, PartialEq)]
pub enum Views {
    /// A protocol.
    Named(Named),
    /// Parts that count equally, whatever their numbers of views.
    Custom(Vec<Part>),
}

/// Crops of an image at several scales; all of them, and their mirrors if asked for, count equally.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The shorter sides, in pixels, that the image is resized to.
    pub scales: Vec<u32>,
    /// Whether crops are cut out of the left, central and right squares of the resized image (the top, central and
    /// bottom ones of a portrait) instead of the whole.
    #[serde(default)]
    pub squares: bool,
    /// What is cut out.
    pub crops: Vec<Crop>,
    /// Whether the mirror image of each crop counts, too.
    #[serde(default)]
    pub mirrors: bool,
    /// What is averaged over the crops.
    #[serde(default)]
    pub average: Average,
}

impl Part {
    /// Whether the network has to run as a convolution for it.
    pub fn is_dense(&self) -> bool {
        self.crops.contains(&Crop::Dense)
    }
}

/// What is cut out of a resized image, or of a square of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Crop {
    /// One crop of the input's size, in the middle.
    Center,
    /// Four crops of the input's size, in the corners.
    Corners,
    /// n x n crops of the input's size, evenly spread from corner to corner.
    Grid(u32),
    /// All of it, resized to the input's size.
    Whole,
    /// All of it as it is: the network runs over it as a convolution, and its scores are averaged over the places.
    Dense,
}

/// What is averaged over the views.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Average {
    /// Class probabilities.
    #[default]
    Softmax,
    /// Logits; the softmax is applied to their mean.
    Logits,
}

/// The sizes, in pixels, that a protocol's scales are derived from.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// The size of the network's input.
    pub input: Size,
    /// The shorter side of the image that a central crop is cut from.
    pub shorter_side: u32,
    /// The least and the greatest shorter side that training cut its crops from: the VGG paper's S_min and S_max.
    pub trained: [u32; 2],
}

/// Larger shorter sides, in pixels, are almost certainly typos.
const LARGEST_SIDE: u32 = 4096;

/// The most pixels of a dense view: with more, a network keeps some GB between two layers.
pub const MOST_DENSE_PIXELS: u64 = 1 << 23;
/// The most crops along each side of a grid.
const LARGEST_GRID: u32 = 64;

impl Views {
    /// The central crop, the default everywhere.
    pub fn center() -> Self {
        Views::Named(Named { protocol: Protocol::Center, side: None })
    }

    /// The parts of these views for a network; they count equally.
    ///
    /// # Errors
    /// Returns an error if a number is out of its range or a crop is larger than the image that it is cut from.
    pub fn parts(&self, sizes: &Sizes) -> Result<Vec<Part>> {
        let parts = match self {
            Views::Named(named) => named.parts(sizes),
            Views::Custom(parts) => parts.clone(),
        };
        ensure!(!parts.is_empty(), "{self}: expected at least one part, found none");
        parts.iter().try_for_each(|part| self.check(part, sizes))?;
        Ok(parts)
    }

    fn check(&self, part: &Part, sizes: &Sizes) -> Result<()> {
        let least = sizes.input.shorter_side();
        ensure!(!part.scales.is_empty(), "{self}: scales: expected at least one shorter side, found none");
        ensure!(!part.crops.is_empty(), "{self}: crops: expected at least one kind of crop, found none");
        for side in &part.scales {
            ensure!(
                (least..=LARGEST_SIDE).contains(side),
                "{self}: expected a shorter side from {least} pixels, the network's input, to {LARGEST_SIDE}, found {side}"
            );
        }
        for crop in &part.crops {
            match crop {
                Crop::Grid(count) => {
                    within(*count, 1, LARGEST_GRID).map_err(|reason| anyhow!("{self}: grid: {reason}"))?;
                }
                Crop::Dense => {
                    let most = (MOST_DENSE_PIXELS as f64).sqrt() as u32;
                    let side = part.scales.iter().copied().max().unwrap_or(0);
                    ensure!(
                        side <= most,
                        "{self}: expected shorter sides of at most {most} pixels for dense views, found {side}"
                    );
                }
                Crop::Center | Crop::Corners | Crop::Whole => {}
            }
        }
        Ok(())
    }
}

impl fmt::Display for Views {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Views::Named(named) => named.fmt(f),
            Views::Custom(_) => f.write_str("custom"),
        }
    }
}

impl Serialize for Views {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Views::Named(named) => serializer.collect_str(named),
            Views::Custom(parts) => match parts.as_slice() {
                [part] => part.serialize(serializer),
                parts => parts.serialize(serializer),
            },
        }
    }
}

impl<'de> Deserialize<'de> for Views {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(name) => name.parse().map(Views::Named).map_err(de::Error::custom),
            Value::Array(parts) => {
                parts.into_iter().map(part).collect::<Result<_, _>>().map(Views::Custom).map_err(de::Error::custom)
            }
            value @ Value::Object(_) => part(value).map(|part| Views::Custom(vec![part])).map_err(de::Error::custom),
            other => Err(de::Error::custom(format!(
                "expected the name of a protocol, an object with scales and crops, or a list of such objects, found {other}"
            ))),
        }
    }
}

fn part(value: Value) -> Result<Part, serde_json::Error> {
    serde_json::from_value(value)
}
