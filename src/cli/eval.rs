//! The arguments of `topfive eval`.

use std::path::PathBuf;

use clap::Args;

use super::value::{EXPERIMENT, PROTOCOLS, ViewsArgument, ViewsParser};
use super::{Common, MethodArgument, Running, Weights};

/// `topfive eval`
#[derive(Debug, Args)]
#[command(after_help = "Example: topfive eval runs/resnet34-photos --data photos/ --views ten-crop", after_long_help = format!("{PROTOCOLS}\n\nExamples:\n  topfive eval runs/resnet34-photos --data photos/ --views center,ten-crop\n  topfive eval resnet34 --data imagenet/val --views published"))]
pub struct Eval {
    /// Models: checkpoints, run folders, or experiments with their weights; several form an ensemble. Or one generator, whose
    /// images are compared with real ones
    #[arg(required = true, value_name = "MODEL", value_parser = EXPERIMENT, hide_possible_values = true)]
    pub models: Vec<PathBuf>,
    /// The weights of experiments.
    #[command(flatten)]
    pub weights: Weights,
    /// Folder of class folders or of shards, or a folder whose val/ (or valid/, validation/, test/) contains them; or a pattern
    /// of shards such as val-{0000..0006}.tar; with --labels, a flat folder of images
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Labels of the images, which then need no class folders: a table of files and labels, as CSV or lines of FILE LABEL
    /// (ILSVRC's val.txt), or one class name per image in order. Images without a label are left out
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Test protocols, separated by commas; "published" for those with a published error, which is shown next to the
    /// measured one; or "all". --help lists them
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "center", value_parser = ViewsParser, hide_possible_values = true)]
    pub views: Vec<ViewsArgument>,
    /// Compare the models on the same images instead of averaging them: each one's errors, the images that only one of two
    /// gets right (--json lists them), and whether chance explains the difference
    #[arg(long, conflicts_with_all = ["per_image", "confusion", "per_class", "report", "boxes"])]
    pub compare: bool,
    /// Write each image's label, prediction, probability and rank of the true class (.csv or .jsonl)
    #[arg(long, value_name = "FILE")]
    pub per_image: Option<PathBuf>,
    /// Write the confusion matrix as a table (.csv) or a picture (.svg); may be repeated
    #[arg(long, value_name = "FILE")]
    pub confusion: Vec<PathBuf>,
    /// Write the errors of each class as a table (.csv) or a picture (.svg); may be repeated
    #[arg(long, value_name = "FILE")]
    pub per_class: Vec<PathBuf>,
    /// Write a page to look at (.html): errors, confusion, calibration, and the images that are worth a look, under the first
    /// of the protocols; it needs no other file, and must not exist yet
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Measure localisation errors, too: boxes around what the network sees of its guesses, against the true ones in a folder
    /// of ILSVRC's or PASCAL VOC's XML files, or a table (.csv) with the columns path, xmin, ymin, xmax, ymax
    #[arg(long, value_name = "DIR|FILE")]
    pub boxes: Option<PathBuf>,
    /// How --boxes finds its boxes [default: cam, or grad-cam if the network does not end in a global average pool and one
    /// linear layer]
    #[arg(long, value_enum, requires = "boxes")]
    pub method: Option<MethodArgument>,
    /// For a generator: classifier in whose features its images are compared with the real ones, best one that was trained on
    /// the same data
    #[arg(long, value_name = "MODEL", help_heading = "Generators")]
    pub features: Option<PathBuf>,
    /// For a generator: number of images that it makes, and of real ones [default: as many as the data has, up to 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Generators")]
    pub count: Option<u32>,
    /// For a generator: seed of its images, of the choice of real ones, and of the two-sample test [default: 0]
    #[arg(long, value_name = "N", help_heading = "Generators")]
    pub seed: Option<u64>,
    /// How the network runs.
    #[command(flatten)]
    pub running: Running,
    /// Options of all commands that run a network.
    #[command(flatten)]
    pub common: Common,
}
