//! The arguments of `topfive train`.

use std::path::PathBuf;

use clap::Args;

use super::Common;
use super::value::{EXPERIMENT, Input, RECIPE, ScaleRate, WEIGHTS};
use crate::training::attempts::SaveEvery;
use crate::weights::rename::Rename;

/// `topfive train`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  topfive train resnet34 --data photos/
  topfive train resnet34 --data photos/ --weights published
  topfive train resnet34 --data photos/ --recipe small-images --input 64
  topfive train resnet34 --data photos/ --find-rate")]
pub struct Train {
    /// Experiment: the name of a built-in one (topfive summary lists them) or a JSON file
    #[arg(value_name = "EXPERIMENT", value_parser = EXPERIMENT, hide_possible_values = true)]
    pub experiment: PathBuf,
    /// Folder with train/ and val/ (or valid/, validation/, test/), each with one folder of images per class or with shards
    /// (topfive pack); or a folder of class folders, a folder of shards, or a pattern such as train-{0000..0146}.tar, of which
    /// a part is split off for validation
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Labels of the training images, which then need no class folders: a table of files and labels, as CSV (Kaggle's
    /// labels.csv) or lines of FILE LABEL. Files are found by their paths below DIR; images without a label are left out
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Labels of the validation images, which are in DIR, too; without them, a part of the training images is split off
    #[arg(long, value_name = "FILE", requires = "labels")]
    pub val_labels: Option<PathBuf>,
    /// Fraction of each class's images that is split off for validation, if there are no validation images
    /// [default: 0.2]
    #[arg(long, value_name = "FRACTION")]
    pub val_fraction: Option<f64>,
    /// Run folder [default: runs/EXPERIMENT-DATA]
    #[arg(long, value_name = "RUN")]
    pub out: Option<PathBuf>,
    /// Recipe to lay over the experiment: a built-in one or a JSON file; may be repeated
    #[arg(long = "recipe", value_name = "NAME|FILE", value_parser = RECIPE, hide_possible_values = true)]
    pub recipes: Vec<PathBuf>,
    /// Initial weights: a file (safetensors or PyTorch's .pth; FILE:KEY for one of several dictionaries in it), or
    /// "published" for the experiment's own. If they are for other classes, the classifier is reinitialised, and the
    /// recipe fine-tune applies unless --recipe names another
    #[arg(long, value_name = "FILE|published", value_parser = WEIGHTS, hide_possible_values = true)]
    pub weights: Option<PathBuf>,
    /// Take only the tensors of the weights whose names and shapes fit, and initialise the rest; the experiment's own recipe
    /// applies unless --recipe names one
    #[arg(long, requires = "weights")]
    pub partial: bool,
    /// Rename tensors of the weights: names that begin with OLD, up to a dot, begin with NEW instead (linear=fc;
    /// backbone.= drops a prefix, =model. adds one); may be repeated, and the longest OLD counts
    #[arg(long = "rename", value_name = "OLD=NEW", requires = "weights")]
    pub renames: Vec<Rename>,
    /// Names of the weights' classes, if the file contains none: a name per line in the order of the outputs, or JSON (a
    /// list, or a map between numbers and names). If they are those of the data, the classifier is kept
    #[arg(long, value_name = "FILE", requires = "weights")]
    pub classes: Option<PathBuf>,
    /// Continue the run in the run folder from where it was last saved; on the processor, with the same number of threads,
    /// the weights become those of a run that was never interrupted
    #[arg(long)]
    pub resume: bool,
    /// Search for a learning rate instead of training: draw the loss over a hundred updates at a rising rate beside the run
    /// folder (RUN-find-rate.svg), and suggest a rate
    #[arg(long, conflicts_with = "resume")]
    pub find_rate: bool,
    /// Number of passes over the training images [default: the experiment's]
    #[arg(long, value_name = "N")]
    pub epochs: Option<u64>,
    /// End the run after this many steps, in the middle of an epoch too; the learning rate's schedule spans them
    #[arg(long, value_name = "N")]
    pub max_steps: Option<u64>,
    /// End the run after this many minutes, plus a last validation; the schedule follows the elapsed share of them, so
    /// such a run is not repeated bit for bit
    #[arg(long, value_name = "M")]
    pub max_minutes: Option<f64>,
    /// Save the run every N steps (500) or after a time (90s, 10m, 2h), besides the end of every epoch
    #[arg(long, value_name = "STEPS|TIME", default_value = "10m")]
    pub save_every: SaveEvery,
    /// Initial learning rate [default: the experiment's]
    #[arg(long, value_name = "RATE")]
    pub lr: Option<f64>,
    /// Multiply the learning rate by the number of processes, or its square root; each has batches of its own, so that
    /// updates are fewer and learn from more images [default: the rate stays]
    #[arg(long, value_enum, value_name = "linear|sqrt")]
    pub scale_rate: Option<ScaleRate>,
    /// Size of the network's input in pixels: 64, or HEIGHTxWIDTH [default: the experiment's]
    #[arg(long, value_name = "SIZE")]
    pub input: Option<Input>,
    /// Seed of all random choices [default: the experiment's]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// For a generator: trained classifier in whose features the best generator is chosen, after each epoch, by the Fréchet
    /// distance of its images from held-out ones [default: an untrained network]
    #[arg(long, value_name = "MODEL", help_heading = "Generators")]
    pub features: Option<PathBuf>,
    /// Options of all commands that run a network.
    #[command(flatten)]
    pub common: Common,
}
