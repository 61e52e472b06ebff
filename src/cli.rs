//! What may be typed. No work is done here.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::views::Named;

#[derive(Parser)]
#[command(
    name = "topfive",
    version,
    about = "Trains, evaluates and runs ImageNet-style image classifiers, and reports top-1 and top-5 error under the protocols that the papers used.",
    after_help = "Exit status: 0 done; 1 done, but some images could not be read; 2 could not do the work; 130 interrupted, the state of a training saved.",
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Train a network on folders of images
    Train(Train),
    /// Measure a model's top-1 and top-5 error on labelled images
    Eval(Eval),
    /// Name what images show
    Predict(Predict),
    /// Show a network's layers, parameters and multiply-adds
    Summary(Summary),
    /// Draw a small labelled data set of JPEG files to try things on
    Shapes(Shapes),
    /// Say which libtorch and which devices there are, and what is missing
    Doctor(Doctor),
}

/// Options that all commands share that run a network.
#[derive(Args)]
pub struct Common {
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto", help_heading = "Common options")]
    pub device: String,
    /// Images (for eval and predict: crops) that go through the network together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Common options")]
    pub batch_size: Option<u32>,
    /// Threads that read, decode and resize images [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024), help_heading = "Common options")]
    pub workers: Option<u32>,
    /// Threads that libtorch computes with [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024), help_heading = "Common options")]
    pub threads: Option<u32>,
    #[command(flatten)]
    pub output: Output,
    /// Change a field of the experiment, for example training.epochs=5 or network.input=[3,64,64]; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = "Common options")]
    pub changes: Vec<String>,
}

/// How results are shown.
#[derive(Args)]
pub struct Output {
    /// Write the result for programs, to a file or (-) to standard output; people's text then goes to standard error
    #[arg(long, value_name = "FILE", help_heading = "Common options")]
    pub json: Option<PathBuf>,
    /// Show results, warnings and errors only
    #[arg(long, short, help_heading = "Common options")]
    pub quiet: bool,
}

#[derive(Args)]
#[command(after_help = "Example: topfive train configs/resnet34.json --data photos/ --set network.input=[3,64,64]")]
pub struct Train {
    /// The experiment: a JSON file, such as configs/resnet34.json
    pub config: PathBuf,
    /// The folder with train/ and val/, each with one folder of images for each class
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The run folder [default: runs/NETWORK-DATA]
    #[arg(long, value_name = "RUN")]
    pub out: Option<PathBuf>,
    /// Start from these weights (safetensors or PyTorch's .pth); a classifier for other classes starts fresh
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub weights: Option<PathBuf>,
    /// Go on with the run in the run folder, from its last checkpoint
    #[arg(long)]
    pub resume: bool,
    /// The seed of all random choices [default: the experiment's]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub common: Common,
}

/// What `--views` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewsArgument {
    Named(Named),
    /// Those that the experiment names, or spells out.
    Config,
    /// Every protocol; for `eval` alone.
    All,
}

impl FromStr for ViewsArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "config" => Ok(ViewsArgument::Config),
            "all" => Ok(ViewsArgument::All),
            _ => text.parse().map(ViewsArgument::Named),
        }
    }
}

/// What `--help` says of the protocols.
const PROTOCOLS: &str = "\
Protocols (sizes for an input of 224 pixels; they follow the input):
  center                    the shorter side to 256, the central crop
  mirror                    the central crop and its mirror
  ten-crop                  AlexNet: corners and center, and their mirrors
  googlenet-144             GoogLeNet: sides 256, 288, 320, 352, three squares
                            of each, six crops of each, and their mirrors
  dense                     VGG: as a convolution over the whole image and its
                            mirror, at the side of training (its middle side)
  dense-multiscale          dense at three sides: 224, 256, 288, or the least,
                            middle and greatest of training
  multi-crop-50             VGG: a 5x5 grid and its mirrors, at dense's side
  multi-crop-150            the same at the three sides of dense-multiscale
  dense+multi-crop          the mean of dense-multiscale and multi-crop-150
  resnet-multiscale         ResNet: as a convolution over the whole image, at
                            the sides 224, 256, 384, 480, 640
  resnet-multiscale-mirror  the same with mirrors
  config                    evaluation.views of the JSON file, where views of
                            your own can be spelled out
Those of one side take another behind a colon: dense:384.";

#[derive(Args)]
#[command(after_help = "Example: topfive eval runs/resnet34-photos --data photos/ --views ten-crop", after_long_help = format!("{PROTOCOLS}\n\nExample: topfive eval runs/resnet34-photos --data photos/ --views center,ten-crop"))]
pub struct Eval {
    /// A checkpoint, a run folder, or a config together with --weights; several are an ensemble
    #[arg(required = true, value_name = "MODEL")]
    pub models: Vec<PathBuf>,
    /// The weights for a config: a safetensors file or PyTorch's .pth; once for each config, in their order
    #[arg(long, value_name = "FILE")]
    pub weights: Vec<PathBuf>,
    /// The folder of class folders, or one that holds them in val/; with --labels a flat folder of images
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The labels of a flat folder: lines of FILE LABEL (ILSVRC's val.txt), or one class name for each image in order
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Test protocols, one or several with commas between, or all; --help lists them
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "config")]
    pub views: Vec<ViewsArgument>,
    /// Write every image's label, prediction, probability and rank of the true class (.csv or .jsonl)
    #[arg(long, value_name = "FILE")]
    pub per_image: Option<PathBuf>,
    /// Write how often each class was taken for which: a table (.csv) or a picture (.svg); may be repeated
    #[arg(long, value_name = "FILE")]
    pub confusion: Vec<PathBuf>,
    /// Write the errors of each class: a table (.csv) or a picture (.svg); may be repeated
    #[arg(long, value_name = "FILE")]
    pub per_class: Vec<PathBuf>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
#[command(
    override_usage = "topfive predict [OPTIONS] <MODEL>... <IMAGE|DIR>...",
    after_help = "Example: topfive predict runs/resnet34-photos new/*.jpg",
    after_long_help = format!("{PROTOCOLS}\n\nExample: topfive predict runs/resnet34-photos new/*.jpg")
)]
pub struct Predict {
    /// A checkpoint, a run folder, or a config together with --weights (several are an ensemble); then image files, and
    /// folders of them
    #[arg(required = true, value_name = "MODEL|IMAGE|DIR")]
    pub inputs: Vec<PathBuf>,
    /// The weights for a config: a safetensors file or PyTorch's .pth; once for each config, in their order
    #[arg(long, value_name = "FILE")]
    pub weights: Vec<PathBuf>,
    /// The test protocol; --help lists them
    #[arg(long, value_name = "NAME", default_value = "config")]
    pub views: ViewsArgument,
    /// How many classes to name for each image
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub top: u32,
    /// How to print them on standard output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    /// One JSON object a line
    Jsonl,
    /// path,rank,class,name,probability
    Csv,
}

#[derive(Args)]
pub struct Summary {
    /// A config, a checkpoint or a run folder; several are set side by side
    #[arg(required = true, value_name = "MODEL")]
    pub models: Vec<PathBuf>,
    /// Change a field of the experiment first; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = "Common options")]
    pub changes: Vec<String>,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args)]
pub struct Shapes {
    /// The folder to write; it must not exist, or be empty
    pub dir: PathBuf,
    /// Training images of each class
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub train: usize,
    /// Validation images of each class
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub val: usize,
    /// The shorter side of the images, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 96)]
    pub size: u32,
    /// The seed of all random choices
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args)]
pub struct Doctor {
    #[command(flatten)]
    pub output: Output,
}
