//! The arguments of `topfive explain`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::value::{EXPERIMENT, ViewsParser};
use super::{Common, ViewsArgument, Weights};
use crate::explain::evidence::Method;

/// `topfive explain`
#[derive(Debug, Args)]
#[command(
    override_usage = "topfive explain [OPTIONS] --out <DIR> <MODEL> [IMAGE|DIR|-]...",
    after_help = "Examples:
  topfive explain runs/resnet34-photos new/*.jpg --out why
  topfive explain vgg16 cat.jpg --class n02123045 --method grad-cam --layer features.22 --out why
  topfive explain alexnet-owt --filters --patches photos/ --layer features.10 --out learned"
)]
pub struct Explain {
    /// Model (a checkpoint, a run folder, or an experiment with its weights), then image files, folders of images, or - for
    /// an image on standard input
    #[arg(required = true, value_name = "MODEL|IMAGE|DIR", value_parser = EXPERIMENT, hide_possible_values = true)]
    pub inputs: Vec<PathBuf>,
    /// Folder for the pictures; it must not exist yet, or be empty
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// How the evidence for a class is found [default: cam, or grad-cam if the network does not end in a global average
    /// pool and one linear layer, or a layer is named]
    #[arg(long, value_enum)]
    pub method: Option<MethodArgument>,
    /// Layer that --patches, --features and grad-cam look at, as `topfive summary` names it [default: for --features the
    /// last of each size of map, for grad-cam the last that computes a map]
    #[arg(long, value_name = "NAME")]
    pub layer: Option<String>,
    /// Class whose evidence is sought [default: each image's most probable class]
    #[arg(long, value_name = "NAME")]
    pub class: Option<String>,
    /// Test protocol whose crops are looked at, and whose maps are put together; `topfive eval --help` lists them
    #[arg(long, value_name = "NAME", default_value = "center", value_parser = ViewsParser, hide_possible_values = true)]
    pub views: ViewsArgument,
    /// Draw the filters of the first convolution, too
    #[arg(long)]
    pub filters: bool,
    /// Draw the feature maps of each image, too
    #[arg(long)]
    pub features: bool,
    /// Draw the patches that excite the channels of --layer most, of the images in a folder, or in a data set's val/
    #[arg(long, value_name = "DATA", requires = "layer")]
    pub patches: Option<PathBuf>,
    /// Channels that --patches looks at, counted from 0
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "0,1,2,3,4,5,6,7", requires = "patches")]
    pub channels: Vec<u32>,
    /// Read further paths of images and folders from a file, or from standard input (-): one per line, or separated by NUL
    #[arg(long, value_name = "FILE|-")]
    pub files_from: Option<PathBuf>,
    /// The weights of an experiment.
    #[command(flatten)]
    pub weights: Weights,
    /// Options of all commands that run a network.
    #[command(flatten)]
    pub common: Common,
}

/// How evidence is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MethodArgument {
    /// Class activation map
    Cam,
    /// Gradients, at any layer
    GradCam,
    /// Covering the image place by place
    Occlusion,
}

impl From<MethodArgument> for Method {
    fn from(argument: MethodArgument) -> Self {
        match argument {
            MethodArgument::Cam => Method::ClassActivation,
            MethodArgument::GradCam => Method::GradCam,
            MethodArgument::Occlusion => Method::Occlusion,
        }
    }
}
