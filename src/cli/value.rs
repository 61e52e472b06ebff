//! What values on the command line may be, and what completions offer for them.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Arg, ValueEnum};

use crate::experiment::builtin;
use crate::network::Precision;
use crate::training::attempts::SaveEvery;
use crate::views::{Named, Protocol};

/// A path whose completions also offer the built-in names.
#[derive(Clone, Copy, Debug)]
pub struct PathOrName(fn() -> Vec<&'static str>);

/// Built-in experiments, or files.
pub const EXPERIMENT: PathOrName = PathOrName(|| builtin::all().collect());
/// Built-in recipes, or files.
pub const RECIPE: PathOrName = PathOrName(|| builtin::recipes().collect());
/// The word `published`, or files.
pub const WEIGHTS: PathOrName = PathOrName(|| vec![PUBLISHED]);

/// On the command line: the published weights, or the protocols with published errors, of an experiment.
pub const PUBLISHED: &str = "published";

impl TypedValueParser for PathOrName {
    type Value = PathBuf;

    fn parse_ref(&self, command: &clap::Command, arg: Option<&Arg>, value: &OsStr) -> Result<PathBuf, clap::Error> {
        clap::builder::PathBufValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0().into_iter().map(PossibleValue::new)))
    }
}

/// The value of `--input`, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

impl FromStr for Input {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (height, width) = text.split_once('x').unwrap_or((text, text));
        match (height.parse(), width.parse()) {
            (Ok(height), Ok(width)) => Ok(Input { height, width }),
            _ => Err("expected a number of pixels such as 64, or HEIGHTxWIDTH such as 64x96".to_string()),
        }
    }
}

/// Reads a time.
///
/// # Errors
/// Returns what was expected.
pub fn time(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(SaveEvery::Time(time)) => Ok(time),
        _ => Err("expected a time such as 90s, 10m or 2h".to_string()),
    }
}

/// How the learning rate follows the number of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScaleRate {
    /// Times their number (Goyal et al., arXiv:1706.02677, section 2.1)
    Linear,
    /// Times the square root of their number (Krizhevsky, arXiv:1404.5997, section 5)
    Sqrt,
}

impl ScaleRate {
    /// What the rate is multiplied by.
    pub fn factor(self, processes: usize) -> f64 {
        match self {
            ScaleRate::Linear => processes as f64,
            ScaleRate::Sqrt => (processes as f64).sqrt(),
        }
    }
}

/// Reads a precision by its word.
pub fn precision() -> impl TypedValueParser<Value = Precision> {
    PossibleValuesParser::new(Precision::ALL.map(Precision::word)).try_map(|word| word.parse::<Precision>())
}

/// A value of `--views`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewsArgument {
    /// A protocol.
    Named(Named),
    /// The experiment's own.
    Paper,
    /// Every protocol for which the experiment publishes an error; for `eval` only.
    Published,
    /// Every protocol; for `eval` only.
    All,
}

/// Parses a value of `--views`; completions offer the names of the protocols.
#[derive(Clone, Copy, Debug)]
pub struct ViewsParser;

impl TypedValueParser for ViewsParser {
    type Value = ViewsArgument;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<ViewsArgument, clap::Error> {
        let parse = |text: &str| match text {
            "paper" => Ok(ViewsArgument::Paper),
            PUBLISHED => Ok(ViewsArgument::Published),
            "all" => Ok(ViewsArgument::All),
            _ => text.parse().map(ViewsArgument::Named),
        };
        TypedValueParser::parse_ref(&parse, command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let names = Protocol::all().map(Protocol::name).chain(["paper", PUBLISHED, "all"]);
        Some(Box::new(names.map(PossibleValue::new)))
    }
}

/// The protocols, as `--help` describes them.
pub const PROTOCOLS: &str = "\
Protocols (sizes for an input of 224 pixels; they follow the input):
  center                    shorter side 256, the central crop
  mirror                    the central crop and its mirror image
  ten-crop                  AlexNet: corners and center, and their mirror images
  googlenet-144             GoogLeNet: scales 256, 288, 320, 352, three squares
                            each, six crops of each square, and their mirrors
  dense                     VGG: run as a convolution over the whole image and
                            its mirror, at the (middle) scale of training
  dense-multiscale          dense at three scales: 224, 256, 288, or the smallest,
                            middle and largest of training
  multi-crop-50             VGG: a 5x5 grid and its mirrors, at dense's scale
  multi-crop-150            the same at the three scales of dense-multiscale
  dense+multi-crop          the mean of dense-multiscale and multi-crop-150
  resnet-multiscale         ResNet: run as a convolution over the image, at the
                            scales 224, 256, 384, 480, 640
  resnet-multiscale-mirror  the same with mirrors
  paper                     the experiment's own (evaluation.views), which may
                            be custom views
A protocol with a single scale accepts another one after a colon: dense:384.";

/// How `predict` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// One JSON object per line
    Jsonl,
    /// path,rank,class,name,probability,error,views
    Csv,
}
