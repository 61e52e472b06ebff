//! The arguments of `topfive generate`.

use std::path::PathBuf;

use clap::Args;

use super::Output;

/// `topfive generate`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  topfive generate runs/dcgan-mnist-mnist --out grid.png
  topfive generate runs/dcgan-mnist-mnist --count 1000 --out made/
  topfive generate runs/dcgan-mnist-mnist --count 8 --nearest mnist/ --out nearest.png")]
pub struct Generate {
    /// Run folder or checkpoint of a generator that was trained against a discriminator
    #[arg(value_name = "RUN|FILE")]
    pub model: PathBuf,
    /// Number of images
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub count: u64,
    /// Picture of all images side by side (.png), which must not exist yet; or a folder for single ones, which must not exist
    /// yet or be empty, of class folders if the networks are given classes
    #[arg(long, value_name = "FILE|DIR")]
    pub out: PathBuf,
    /// Seed of the latent vectors: an image depends on it and on its number alone
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Class of all images, for networks that are given classes [default: each in turn]
    #[arg(long, value_name = "NAME")]
    pub class: Option<String>,
    /// Walk from one latent vector to another in so many images, instead of making images of unrelated ones; --count is
    /// the number of images of all walks, the last of which is completed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=1000), conflicts_with = "nearest")]
    pub interpolate: Option<u64>,
    /// Show beside each image the training image that is nearest to it, pixel by pixel, so that copies show
    #[arg(long, value_name = "DATA")]
    pub nearest: Option<PathBuf>,
    /// Device to compute on: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto", help_heading = "Common options")]
    pub device: String,
    /// Number of threads that decode and resize images [default: number of cores]
    #[arg(long, value_name = "N", requires = "nearest", value_parser = clap::value_parser!(u32).range(1..=1024), help_heading = "Common options")]
    pub workers: Option<u32>,
    /// Number of threads that libtorch computes with [default: number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024), help_heading = "Common options")]
    pub threads: Option<u32>,
    /// How results are shown.
    #[command(flatten)]
    pub output: Output,
}
