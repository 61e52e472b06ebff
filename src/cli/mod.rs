//! The command line: commands, arguments and their help texts. No work is done here.

mod eval;
mod explain;
mod generate;
mod pack;
mod train;
mod value;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::network::Precision;
use crate::weights::rename::Rename;

pub use eval::Eval;
pub use explain::{Explain, MethodArgument};
pub use generate::Generate;
pub use pack::Pack;
pub use train::Train;
use value::{EXPERIMENT, PROTOCOLS, ViewsParser, WEIGHTS, precision};
pub use value::{Format, Input, PUBLISHED, ViewsArgument};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "topfive",
    version,
    about = "Trains, evaluates and runs ImageNet-style image classifiers, and reports top-1 and top-5 error under the protocols of the papers.",
    after_help = "Exit status: 0 success; 1 success, but some images could not be read (0 under torchrun, srun or mpirun, which take 1 for a failure); 2 failure; 130 interrupted (a training run saves its state).",
    arg_required_else_help = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a network on folders of images
    Train(Train),
    /// Measure a model's top-1 and top-5 error on labelled images
    Eval(Eval),
    /// Classify images
    #[command(mut_arg("json", |arg| arg.help("Write the results as JSON lines, one object per image, to a file, or to standard output (-); text output then goes to standard error")))]
    Predict(Predict),
    /// Show where in images a model sees a class, and what its layers have learned
    Explain(Explain),
    /// Make images with a generator that was trained against a discriminator
    Generate(Generate),
    /// Show the layers, parameters and multiply-adds of networks
    Summary(Summary),
    /// Read every image of a data set once, and show what is wrong or odd
    Check(Check),
    /// Pack a data set into shards: tar files in WebDataset's form, which are read faster than many small files
    Pack(Pack),
    /// Draw a small labelled data set of JPEG files for trying things out
    Shapes(Shapes),
    /// Show which libtorch and devices are available, and what is missing
    Doctor(Doctor),
    /// Print shell completions
    Completions(Completions),
}

/// Options of all commands that run a network.
#[derive(Debug, Args)]
pub struct Common {
    /// Device to compute on: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto", help_heading = "Common options")]
    pub device: String,
    /// Number of images (for eval and predict: crops) per forward pass
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Common options")]
    pub batch_size: Option<u32>,
    /// Number of threads that decode and resize images [default: number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024), help_heading = "Common options")]
    pub workers: Option<u32>,
    /// Number of threads that libtorch computes with [default: number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024), help_heading = "Common options")]
    pub threads: Option<u32>,
    /// How long processes that torchrun, srun or mpirun has started together wait for one another: 90s, 10m, 2h
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = value::time, help_heading = "Common options")]
    pub timeout: Duration,
    /// How results are shown.
    #[command(flatten)]
    pub output: Output,
    /// Set a field of the experiment, for example training.epochs=5 or training.schedule=cosine; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = "Common options")]
    pub sets: Vec<String>,
}

/// How results are shown.
#[derive(Debug, Args)]
pub struct Output {
    /// Write the result as JSON to a file, or to standard output (-); text output then goes to standard error
    #[arg(long, value_name = "FILE", help_heading = "Common options")]
    pub json: Option<PathBuf>,
    /// Show only results, warnings and errors
    #[arg(long, short, help_heading = "Common options")]
    pub quiet: bool,
}

/// The weights of the experiments among the models of `eval` and `predict`.
#[derive(Debug, Args)]
pub struct Weights {
    /// Weights of an experiment: a safetensors file or PyTorch's .pth, one per experiment, in order; FILE:KEY for one of
    /// several dictionaries in a .pth file [default: the experiment's published weights]
    #[arg(long = "weights", value_name = "FILE|published", value_parser = WEIGHTS, hide_possible_values = true)]
    pub files: Vec<PathBuf>,
    /// Rename tensors of the weights: names that begin with OLD, up to a dot, begin with NEW instead (linear=fc;
    /// backbone.= drops a prefix, =model. adds one); may be repeated, and the longest OLD counts
    #[arg(long = "rename", value_name = "OLD=NEW")]
    pub renames: Vec<Rename>,
    /// Names of the classes, for weights that contain none: a name per line in the order of the outputs, or JSON (a list, or
    /// a map between numbers and names)
    #[arg(long, value_name = "FILE")]
    pub classes: Option<PathBuf>,
}

/// How the networks of `eval` and `predict` run.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Running {
    /// Run the network layer by layer, as it is written, to check the fused one that is run on a processor
    #[arg(long, conflicts_with = "precision")]
    pub plain: bool,
    /// Number format of convolutions and linear layers: f32; bf16, faster on processors with instructions for it; on a GPU
    /// also tf32 (convolutions only) and f16, several times as fast. Formats other than f32 change scores by 0.1 to 1 %
    #[arg(long, value_name = "FORMAT", default_value = "f32", value_parser = precision(), hide_possible_values = true)]
    pub precision: Precision,
}

/// `topfive predict`
#[derive(Debug, Args)]
#[command(
    override_usage = "topfive predict [OPTIONS] <MODEL>... <IMAGE|DIR|->...",
    after_help = "Example: topfive predict runs/resnet34-photos new/*.jpg",
    after_long_help = format!("{PROTOCOLS}\n\nExample: topfive predict runs/resnet34-photos new/*.jpg")
)]
pub struct Predict {
    /// Models (checkpoints, run folders, or experiments with their weights; several form an ensemble), then image files,
    /// folders of images, shards, or - for an image on standard input
    #[arg(required = true, value_name = "MODEL|IMAGE|DIR", value_parser = EXPERIMENT, hide_possible_values = true)]
    pub inputs: Vec<PathBuf>,
    /// Read further paths of images and folders from a file, or from standard input (-): one per line, or separated by NUL
    /// (find -print0)
    #[arg(long, value_name = "FILE|-")]
    pub files_from: Option<PathBuf>,
    /// The weights of experiments.
    #[command(flatten)]
    pub weights: Weights,
    /// Test protocol; --help lists them
    #[arg(long, value_name = "NAME", default_value = "center", value_parser = ViewsParser, hide_possible_values = true)]
    pub views: ViewsArgument,
    /// Folder for pictures that show where in each image the evidence for its most probable class lies; it must not exist
    /// yet, or be empty (`topfive explain` has more)
    #[arg(long, value_name = "DIR")]
    pub explain: Option<PathBuf>,
    /// Number of classes to print per image
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub top: u32,
    /// Format of standard output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// How the network runs.
    #[command(flatten)]
    pub running: Running,
    /// Options of all commands that run a network.
    #[command(flatten)]
    pub common: Common,
}

/// `topfive summary`
#[derive(Debug, Args)]
#[command(
    after_help = "Without a model, it lists all built-in experiments.\nExample: topfive summary alexnet vgg16 googlenet resnet34"
)]
pub struct Summary {
    /// Experiments, checkpoints or run folders; several are shown side by side
    #[arg(value_name = "MODEL", value_parser = EXPERIMENT, hide_possible_values = true)]
    pub models: Vec<PathBuf>,
    /// Set a field of the experiment first; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = "Common options")]
    pub sets: Vec<String>,
    /// How results are shown.
    #[command(flatten)]
    pub output: Output,
}

/// `topfive check`
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status 1 means that something is wrong: images or folders that cannot be read, classes without
images or unknown in training, or the same image in two classes or in two parts of the data set.
Everything else is only noted.
Example: topfive check photos/ --lighting"
)]
pub struct Check {
    /// Folder with train/ and val/ (or valid/, validation/, test/), each with one folder of images per class or with shards;
    /// or a folder of class folders; or a folder of images; or shards
    pub dir: PathBuf,
    /// Compute the principal components of the colours, for AlexNet's augmentation (training.augment: lighting)
    #[arg(long)]
    pub lighting: bool,
    /// Number of threads that read images [default: number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024), help_heading = "Common options")]
    pub workers: Option<u32>,
    /// How results are shown.
    #[command(flatten)]
    pub output: Output,
}

/// `topfive shapes`
#[derive(Debug, Args)]
pub struct Shapes {
    /// Folder to create; it must not exist yet, or be empty
    pub dir: PathBuf,
    /// Number of training images per class
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub train: usize,
    /// Number of validation images per class
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub val: usize,
    /// Shorter side of the images in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 96)]
    pub size: u32,
    /// Seed of all random choices
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// How results are shown.
    #[command(flatten)]
    pub output: Output,
}

/// `topfive doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// How results are shown.
    #[command(flatten)]
    pub output: Output,
}

/// `topfive completions`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  topfive completions bash > ~/.local/share/bash-completion/completions/topfive
  topfive completions zsh > ~/.zfunc/_topfive
  topfive completions fish > ~/.config/fish/completions/topfive.fish")]
pub struct Completions {
    /// Shell to complete for
    pub shell: Shell,
}
