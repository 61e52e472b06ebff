//! Training examples: images that are read, decoded, randomly cropped to the size of the network's input, and randomly
//! edited.

use std::sync::Arc;

use anyhow::Result;
use image::RgbImage;

use super::augment::{self, crop as crops};
use super::dataset::{Dataset, Sample};
use super::loader::Loader;
use crate::experiment::{Experiment, Training};
use crate::geometry::Size;
use crate::image::crop::crop;
use crate::random;

/// The examples of a data set.
#[derive(Clone, Debug)]
pub struct Examples {
    samples: Arc<[Sample]>,
    training: Training,
    upright: bool,
    input: Size,
    /// The mean colour, for what is erased.
    mean: [u8; 3],
}

/// A sample's index and its image, or why it could not be loaded.
pub type Example = (usize, Result<RgbImage, String>);

impl Examples {
    /// The training examples of a data set under `experiment`.
    pub fn new(dataset: &Dataset, experiment: &Experiment) -> Self {
        Examples {
            samples: dataset.samples.clone(),
            training: experiment.training.clone(),
            upright: experiment.preprocess.exif_orientation,
            input: experiment.input(),
            mean: experiment.preprocess.mean_colour(),
        }
    }

    /// The image of one sample in one epoch, of the input's size. All random choices are keyed by seed, epoch and
    /// sample.
    ///
    /// # Errors
    /// Returns the reason if the image cannot be read or is too thin to be resized.
    pub fn get(&self, sample: u32, epoch: u64) -> Result<RgbImage> {
        let image = self.samples[sample as usize].source.image(self.upright)?;
        let mut random = random::sample_stream(self.training.seed, epoch, sample);
        let placement = crops::choose(&self.training, image.dimensions().into(), self.input, &mut random);
        let edits = augment::choose(&self.training.augment, self.input, self.mean, &mut random);
        let cropped = crop(&image, placement)?;
        Ok(edits.iter().fold(cropped, |image, edit| edit.apply(image)))
    }

    /// Starts workers that load the samples in `order`, and yields them in that order; at most `ahead` are ready or in
    /// progress.
    ///
    /// # Errors
    /// Returns an error if threads cannot be started.
    pub fn load(&self, order: &[u32], epoch: u64, workers: usize, ahead: usize) -> Result<Loader<Example>> {
        let (examples, order) = (self.clone(), order.to_vec());
        Loader::start(order.len(), workers, ahead, move |job| {
            let image = examples.get(order[job], epoch).map_err(|error| format!("{error:#}"));
            (order[job] as usize, image)
        })
    }
}
