//! How many photographs per second one core decodes, crops at random, resizes to 224x224, mirrors and normalises.
//!
//!     cargo bench --bench loader -- DIR
//!
//! DIR contains JPEG photographs; scripts/bench_loader makes some of ordinary size and measures torchvision on the same
//! ones.

use std::env;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Error, Result, ensure};
use image::RgbImage;
use tch::Device;
use topfive::data::dataset::{Dataset, Sample, Source};
use topfive::data::example::{Examples, Visit};
use topfive::data::listing::{Listing, list};
use topfive::experiment::{Change, Experiment};
use topfive::image::batch::Batch;
use topfive::image::normalise::Normalisation;
use topfive::memory;

const BATCH: usize = 64;
const ROUNDS: u64 = 5;

fn main() -> Result<()> {
    memory::keep_freed();
    let dir =
        env::args().skip(1).find(|argument| !argument.starts_with("--")).context("expected a folder of photographs")?;
    let dataset = photographs(Path::new(&dir))?;
    // torchvision's RandomResizedCrop, which scripts/bench_loader measures on the same photographs.
    let crop = r#"training.crop={"random_resized":{"area":[0.08,1.0],"aspect":[0.75,1.3333333333333333]}}"#;
    let experiment = Experiment::load(Path::new("resnet34"), &[Change::Set(crop.to_string())])?;
    let examples = Examples::new(&dataset, &experiment);
    let loading = Loading {
        visits: examples.order(0),
        examples,
        normalisation: Normalisation::new(&experiment.preprocess.constants(), Device::Cpu)?,
    };
    tch::set_num_threads(1);
    let cores = std::thread::available_parallelism()?.get();
    for round in 0..ROUNDS {
        let (one, all) = (loading.alone(round)?, loading.with_workers(round, cores)?);
        println!(
            "one core {one:4.0} images/s;  loader with {cores} workers {all:4.0} images/s, {:4.0} per core",
            all / cores as f64
        );
    }
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
    })
}

struct Loading {
    examples: Examples,
    normalisation: Normalisation,
    visits: Vec<Visit>,
}

impl Loading {
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
