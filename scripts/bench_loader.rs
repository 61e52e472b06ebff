//! How many photographs per second one core decodes, and how many it prepares for training: decodes, crops at random,
//! resizes to 224x224, mirrors and normalises.
//!
//!     cargo bench --bench loader -- DIR
//!
//! DIR contains JPEG photographs; scripts/bench_loader measures other libraries on the same ones. Prints lines of what is
//! measured, by what, and images per second, separated by tabs.

use std::env;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Error, Result, ensure};
use image::{ImageFormat, RgbImage};
use tch::Device;
use topfive::data::dataset::{Dataset, Sample, Source};
use topfive::data::example::{Examples, Visit};
use topfive::data::listing::{Listing, list};
use topfive::experiment::{Change, Experiment};
use topfive::image::batch::Batch;
use topfive::image::normalise::Normalisation;
use topfive::memory;

const BATCH: usize = 64;
/// Each measurement goes through at least so many images.
const LEAST: usize = 400;

fn main() -> Result<()> {
    memory::keep_freed();
    let dir =
        env::args().skip(1).find(|argument| !argument.starts_with("--")).context("expected a folder of photographs")?;
    let dataset = photographs(Path::new(&dir))?;
    // torchvision's RandomResizedCrop, which scripts/bench_loader measures on the same photographs.
    let crop = r#"training.crop={"random_resized":{"area":[0.08,1.0],"aspect":[0.75,1.3333333333333333]}}"#;
    let changes = [crop, "training.augment=[]"].map(|change| Change::Set(change.to_string()));
    let experiment = Experiment::load(Path::new("resnet34"), &changes)?;
    let examples = Examples::new(&dataset, &experiment);
    let visits = examples.order(0);
    let loading = Loading {
        visits: visits.repeat(LEAST.div_ceil(visits.len())),
        examples,
        normalisation: Normalisation::new(&experiment.preprocess.constants(), Device::Cpu)?,
    };
    tch::set_num_threads(1);
    let cores = std::thread::available_parallelism()?.get();
    // The first round is slower: it makes the memory that all others use.
    loading.alone(0)?;
    println!("decode\ttopfive\t{:.1}", loading.decoding(&dataset, topfive)?);
    println!("decode\tzune-jpeg (image)\t{:.1}", loading.decoding(&dataset, zune)?);
    println!("prepare\ttopfive\t{:.1}", loading.alone(1)?);
    println!("prepare\ttopfive, {cores} workers\t{:.1}", loading.with_workers(1, cores)?);
    Ok(())
}

fn topfive(path: &Path) -> Result<()> {
    Source::file(path.to_path_buf()).image(true).map(drop)
}

fn zune(path: &Path) -> Result<()> {
    let _ = image::load_from_memory_with_format(&fs::read(path)?, ImageFormat::Jpeg)?.into_rgb8();
    Ok(())
}

fn photographs(dir: &Path) -> Result<Dataset> {
    let Listing { images, left_out } = list(dir, &[])?;
    ensure!(!images.is_empty(), "{}: contains no images", dir.display());
    Ok(Dataset {
        root: dir.to_path_buf(),
        classes: vec!["photograph".to_string()],
        samples: images.into_iter().map(|path| Sample { source: Source::file(path), label: 0 }).collect(),
        left_out: left_out.into(),
        notes: Vec::new(),
    })
}

struct Loading {
    examples: Examples,
    normalisation: Normalisation,
    visits: Vec<Visit>,
}

impl Loading {
    /// Images per second that are only decoded.
    fn decoding(&self, dataset: &Dataset, decode: fn(&Path) -> Result<()>) -> Result<f64> {
        let begun = Instant::now();
        for visit in &self.visits {
            decode(Path::new(&dataset.samples[visit.sample as usize].source.name()))?;
        }
        Ok(self.visits.len() as f64 / begun.elapsed().as_secs_f64())
    }

    /// Images per second when a single thread does everything.
    fn alone(&self, epoch: u64) -> Result<f64> {
        let begun = Instant::now();
        for chunk in self.visits.chunks(BATCH) {
            self.normalise(chunk.iter().map(|&visit| self.examples.get(visit, epoch)))?;
        }
        Ok(self.visits.len() as f64 / begun.elapsed().as_secs_f64())
    }

    /// Images per second as in training: workers decode and crop, this thread gathers and normalises.
    fn with_workers(&self, epoch: u64, workers: usize) -> Result<f64> {
        let begun = Instant::now();
        let mut images = self.examples.load(&self.visits, epoch, workers, 2 * BATCH)?;
        for _ in 0..self.visits.len().div_ceil(BATCH) {
            self.normalise(images.by_ref().take(BATCH).map(|example| example?.1.map_err(Error::msg)))?;
        }
        Ok(self.visits.len() as f64 / begun.elapsed().as_secs_f64())
    }

    fn normalise(&self, images: impl Iterator<Item = Result<RgbImage>>) -> Result<()> {
        let _ = self.normalisation.apply(&Batch::of(&images.collect::<Result<Vec<_>>>()?)?.tensor()?)?;
        Ok(())
    }
}
