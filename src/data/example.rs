//! Training examples: images that are read, decoded, randomly cropped to the size of the network's input, and randomly
//! edited.

use std::sync::Arc;

use anyhow::Result;
use image::RgbImage;

use super::augment::{self, crop as crops};
use super::dataset::{Dataset, Sample, by_class};
use super::loader::Loader;
use crate::experiment::{Experiment, Preprocess, Sampler, Training};
use crate::geometry::Size;
use crate::image::crop::crop;
use crate::random;

/// The examples of a data set.
#[derive(Clone, Debug)]
pub struct Examples {
    samples: Arc<[Sample]>,
    classes: usize,
    training: Training,
    upright: bool,
    input: Size,
    /// The mean colour, for what is erased.
    mean: [u8; 3],
}

/// A visit to a sample in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The sample's index.
    pub sample: u32,
    /// The key of its random choices in this epoch.
    key: u32,
}

/// A sample's index and its image, or why it could not be loaded.
pub type Example = (usize, Result<RgbImage, String>);

impl Examples {
    /// The training examples of a data set under `experiment`.
    pub fn new(dataset: &Dataset, experiment: &Experiment) -> Self {
        Examples::of(dataset, experiment.training.clone(), &experiment.preprocess, experiment.input())
    }

    /// The same for these settings and an input of this size.
    pub fn of(dataset: &Dataset, training: Training, preprocess: &Preprocess, input: Size) -> Self {
        Examples {
            samples: dataset.samples.clone(),
            classes: dataset.classes.len(),
            training,
            upright: preprocess.exif_orientation,
            input,
            mean: preprocess.mean_colour(),
        }
    }

    /// The visits of an epoch, in their order. Random choices are keyed by the sample; if it may be visited several times,
    /// by the visit's place in the epoch, so that it looks different each time.
    pub fn order(&self, epoch: u64) -> Vec<Visit> {
        let seed = self.training.seed;
        match self.training.sampler {
            Sampler::Uniform => {
                let order = random::order(seed, epoch, self.samples.len());
                order.into_iter().map(|sample| Visit { sample, key: sample }).collect()
            }
            Sampler::Balanced => {
                let order = random::balanced_order(seed, epoch, &by_class(&self.samples, self.classes));
                order.into_iter().zip(0..).map(|(sample, key)| Visit { sample, key }).collect()
            }
        }
    }

    /// The image of one visit in one epoch, of the input's size.
    ///
    /// # Errors
    /// Returns the reason if the image cannot be read or is too thin to be resized.
    pub fn get(&self, visit: Visit, epoch: u64) -> Result<RgbImage> {
        let image = self.samples[visit.sample as usize].source.open(self.upright)?;
        let mut random = random::sample_stream(self.training.seed, epoch, visit.key);
        let placement = crops::choose(&self.training, image.size(), self.input, &mut random);
        let edits = augment::choose(&self.training.augment, self.input, self.mean, &mut random);
        let cropped = crop(&image, placement)?;
        Ok(edits.iter().fold(cropped, |image, edit| edit.apply(image)))
    }

    /// Starts workers that load the samples of `visits`, and yields them in that order; at most `ahead` are ready or in
    /// progress.
    ///
    /// # Errors
    /// Returns an error if threads cannot be started.
    pub fn load(&self, visits: &[Visit], epoch: u64, workers: usize, ahead: usize) -> Result<Loader<Example>> {
        let (examples, visits) = (self.clone(), visits.to_vec());
        Loader::start(visits.len(), workers, ahead, move |job| {
            let image = examples.get(visits[job], epoch).map_err(|error| format!("{error:#}"));
            (visits[job].sample as usize, image)
        })
    }
}
