//! The arguments of `topfive pack`.

use std::path::PathBuf;

use clap::Args;

use super::Output;

/// `topfive pack`
#[derive(Debug, Args)]
#[command(
    after_help = "The same command goes on after an interruption. Training from the shards of whole images gives the same weights as
training from the folders.
Example: topfive pack photos/ packed/ && topfive train resnet34 --data packed/"
)]
pub struct Pack {
    /// Data set: a folder with train/ and val/ (or valid/, validation/, test/), each with one folder of images per class, or
    /// with shards; a folder of class folders; shards; or a folder with MNIST's IDX files, cifar-10-batches-bin,
    /// cifar-100-binary, ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar, or Kaggle's ILSVRC/Data/CLS-LOC
    pub data: PathBuf,
    /// Folder for the shards, in train/ and val/ if the data set has them; it must not exist yet, or be empty
    pub out: PathBuf,
    /// Shrink images to this shorter side, upright, as JPEG; smaller ones stay as they are [default: all stay as they are]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub shorter_side: Option<u32>,
    /// Quality of the JPEG files of shrunk images, from 1 to 100
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u8).range(1..=100), requires = "shorter_side")]
    pub quality: u8,
    /// Most images per shard
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub shard_images: u32,
    /// Most megabytes of images per shard, before they are shrunk
    #[arg(long, value_name = "MB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub shard_size: u32,
    /// Seed of the order of the images in the shards
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Number of threads that read images [default: number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024), help_heading = "Common options")]
    pub workers: Option<u32>,
    /// How results are shown.
    #[command(flatten)]
    pub output: Output,
}
