//! The images that a network learns from: epoch by epoch, batch by batch.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Error, Result, ensure};
use image::RgbImage;

use crate::data::dataset::Dataset;
use crate::data::example::{Example, Examples, Visit};
use crate::data::loader::Loader;
use crate::evaluation::BadImage;
use crate::experiment::Experiment;
use crate::network::node::least_images;
use crate::processes::Processes;
use crate::remedy::Remedy;
use crate::report::Report;

/// A data set in batches.
#[derive(Debug)]
pub struct TrainingBatches<'a> {
    train: &'a Dataset,
    examples: Examples,
    batch_size: usize,
    workers: usize,
    processes: &'a Processes,
    /// The images that this process needs at least, to take part in a step.
    pub least: usize,
}

/// An epoch, from some batch on.
pub struct Epoch<'a> {
    batches: &'a TrainingBatches<'a>,
    loaded: Loader<Example>,
    /// The step of the next batch within the epoch.
    step: u64,
}

/// The images and the classes of one step.
#[derive(Debug)]
pub struct TrainingBatch {
    /// Of the input's size.
    pub images: Vec<RgbImage>,
    /// The class of each.
    pub labels: Vec<i64>,
    /// The places of this process's images among those of the step, if all can be read.
    pub places: Range<usize>,
    /// The number of images of the step in all processes, if all can be read.
    pub of: usize,
}

/// The images that cannot be read, each of which is reported when it first occurs.
#[derive(Debug)]
pub struct BadImages {
    /// Those so far.
    pub found: Vec<BadImage>,
    report: Report,
}

impl<'a> TrainingBatches<'a> {
    /// This process's part of the batches of `train` as the experiment says, prepared by this many threads.
    ///
    /// # Errors
    /// Returns an error if the network cannot be trained on batches of this size.
    pub fn new(experiment: &Experiment, train: &'a Dataset, workers: usize, processes: &'a Processes) -> Result<Self> {
        // Batch norms over all processes need enough images in all of them together.
        let together = if experiment.training.sync_batch_norm { processes.count() } else { 1 };
        let least = least_images(experiment.nodes()).div_ceil(together);
        let examples = Examples::new(train, experiment);
        TrainingBatches::of(examples, train, experiment.training.batch_size, least, workers, processes)
    }

    /// The same for examples that are made in another way, and networks that need at least this many at a time.
    ///
    /// # Errors
    /// Returns an error if the batches are smaller.
    pub fn of(
        examples: Examples,
        train: &'a Dataset,
        batch_size: usize,
        least: usize,
        workers: usize,
        processes: &'a Processes,
    ) -> Result<Self> {
        ensure!(batch_size >= least, single_image());
        Ok(TrainingBatches { train, examples, batch_size, workers, processes, least })
    }

    /// Steps of an epoch, in each of which all processes have a batch.
    pub fn steps(&self) -> u64 {
        steps(self.train.samples.len(), self.batch_size, self.processes.count())
    }

    /// Starts an epoch at this step.
    ///
    /// # Errors
    /// Returns an error if threads cannot be started.
    pub fn epoch(&self, epoch: u64, step: u64) -> Result<Epoch<'_>> {
        let order = self.examples.order(epoch);
        let own: Vec<Visit> = (step..self.steps()).flat_map(|step| order[self.part(step)].iter().copied()).collect();
        let ahead = 2 * self.batch_size + self.workers;
        let loaded = self.examples.load(&own, epoch, self.workers, ahead)?;
        Ok(Epoch { batches: self, loaded, step })
    }

    /// What this process visits of an epoch's order in a step.
    fn part(&self, step: u64) -> Range<usize> {
        let (start, share) = (self.start_of(step), self.processes.share(self.count(step)));
        start + share.start..start + share.end
    }

    /// The number of images of a step in all processes.
    fn count(&self, step: u64) -> usize {
        self.start_of(step + 1) - self.start_of(step)
    }

    /// The first image of a step: all steps are of equal size, give or take one image, so that no image is dropped and no
    /// batch is much smaller than the others.
    fn start_of(&self, step: u64) -> usize {
        (self.train.samples.len() as u64 * step / self.steps()) as usize
    }
}

/// Steps of an epoch over this many images, if this many processes have a batch each.
pub fn steps(images: usize, batch_size: usize, processes: usize) -> u64 {
    images.div_ceil(batch_size * processes) as u64
}

impl Epoch<'_> {
    /// The next batch, with fewer images if some cannot be read, and none if they are too few to learn from.
    ///
    /// # Errors
    /// Returns an error if a worker has panicked.
    pub fn next(&mut self, bad: &mut BadImages) -> Result<TrainingBatch> {
        let of = self.batches.count(self.step);
        let places = self.batches.processes.share(of);
        self.step += 1;
        let mut batch = TrainingBatch { images: Vec::new(), labels: Vec::new(), places, of };
        for example in self.loaded.by_ref().take(batch.places.len()) {
            let (index, image) = example?;
            let sample = &self.batches.train.samples[index];
            match image {
                Ok(image) => {
                    batch.images.push(image);
                    batch.labels.push(sample.label as i64);
                }
                Err(reason) => bad.remember(BadImage { name: sample.source.name(), reason }),
            }
        }
        if batch.images.len() < self.batches.least {
            batch.images.clear();
            batch.labels.clear();
        }
        Ok(batch)
    }

    /// How long the caller has waited for images.
    pub fn waited(&self) -> Duration {
        self.loaded.waited()
    }
}

impl BadImages {
    /// None so far.
    pub fn new(report: Report) -> Self {
        BadImages { found: Vec::new(), report }
    }

    /// Takes in what the other processes have found.
    ///
    /// # Errors
    /// Returns an error if another process has ended.
    pub fn share(&mut self, processes: &Processes) -> Result<()> {
        processes.gather(self.found.clone())?.into_iter().flatten().for_each(|image| self.remember(image));
        Ok(())
    }

    /// Reports an image unless it is known.
    pub fn remember(&mut self, image: BadImage) {
        if self.found.iter().all(|known| known.name != image.name) {
            self.report.warn(format!("{}: {}; skipped", image.name, image.reason));
            self.found.push(image);
        }
    }
}

fn single_image() -> Error {
    let problem =
        "this network has a batch norm over a 1x1 map, which cannot be trained on one image at a time".to_string();
    Error::new(Remedy { problem, changes: vec![("training.batch_size", "2".to_string())] })
}
