//! How many photographs per second one core decodes, crops at random, resizes to 224x224, mirrors and normalises.
//!
//!     cargo bench --bench loader -- DIR
//!
//! DIR contains JPEG photographs; scripts/bench_loader makes some of ordinary size and measures torchvision on the same ones.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use topfive::config::{Preprocess, Training};
use topfive::data::decode::{self, decode};
use topfive::data::loader::Loader;
use topfive::data::transform::{Normalisation, apply, choose};
use topfive::data::{batch, folder};
use topfive::{memory, random};

const INPUT: [u32; 2] = [224, 224];
const BATCH: usize = 64;
const ROUNDS: u64 = 5;

fn main() -> Result<()> {
    memory::keep_freed();
    let dir =
        env::args().skip(1).find(|argument| !argument.starts_with("--")).context("expected a folder of photographs")?;
    let mut paths = Vec::new();
    folder::images(Path::new(&dir), &mut Vec::new(), &mut |path| paths.push(path))?;
    ensure!(!paths.is_empty(), "{dir}: contains no images");
    tch::set_num_threads(1);
    let cores = std::thread::available_parallelism()?.get();
    for round in 0..ROUNDS {
        let one = alone(&paths, round)?;
        let all = through_loader(&paths, round, cores)?;
        println!(
            "one core {one:4.0} images/s;  loader with {cores} workers {all:4.0} images/s, {:4.0} per core",
            all / cores as f64
        );
    }
    Ok(())
}

fn cut(path: &Path, epoch: u64, index: usize) -> Result<image::RgbImage> {
    let training = Training::default();
    let image =
        decode::read(path).and_then(|bytes| decode(&bytes, path, true)).with_context(|| path.display().to_string())?;
    let mut random = random::of_sample(0, epoch, index as u32);
    apply(&image, choose(&training.crop, true, image.dimensions(), INPUT, &mut random), INPUT)
}

/// Images per second when a single thread does everything.
fn alone(paths: &[PathBuf], epoch: u64) -> Result<f64> {
    let normalisation = Normalisation::new(&Preprocess::default(), tch::Device::Cpu)?;
    let begun = Instant::now();
    for (first, chunk) in paths.chunks(BATCH).enumerate() {
        let images = chunk.iter().enumerate().map(|(index, path)| cut(path, epoch, first * BATCH + index));
        let _ = normalisation.apply(&batch::stack(&images.collect::<Result<Vec<_>>>()?)?)?;
    }
    Ok(paths.len() as f64 / begun.elapsed().as_secs_f64())
}

/// Images per second as in training: workers decode and crop, this thread stacks and normalises.
fn through_loader(paths: &[PathBuf], epoch: u64, workers: usize) -> Result<f64> {
    let normalisation = Normalisation::new(&Preprocess::default(), tch::Device::Cpu)?;
    let owned = paths.to_vec();
    let begun = Instant::now();
    let mut images = Loader::start(paths.len(), workers, 2 * BATCH, move |index| cut(&owned[index], epoch, index))?;
    loop {
        let chunk = images.by_ref().take(BATCH).map(|image| image?).collect::<Result<Vec<_>>>()?;
        if chunk.is_empty() {
            break;
        }
        let _ = normalisation.apply(&batch::stack(&chunk)?)?;
    }
    Ok(paths.len() as f64 / begun.elapsed().as_secs_f64())
}
