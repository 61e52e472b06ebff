//! The measure by which a run's best generator is chosen: the Fréchet distance of its images from real ones.

use anyhow::{Result, ensure};
use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::make;
use super::real;
use crate::data::dataset::{Dataset, Fingerprint};
use crate::experiment::Gan;
use crate::fidelity::features::Observer;
use crate::fidelity::frechet;
use crate::model::Model;
use crate::network::Network;
use crate::report::Report;
use crate::training::agreement::checksum;

/// The most images of each kind. With fewer the distance varies more; with more it takes longer after every epoch.
const MOST: usize = 2048;
/// Images that the features are taken of in one forward pass.
const BATCH: usize = 64;
/// The number of the first latent vector: none that is shown has it.
const FIRST: u64 = 1 << 32;
/// The seed of what is compared, the same in all runs, so that their distances can be compared, too.
const SEED: u64 = 0;

/// What distances depend on, besides the generator. Only those of one yardstick can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Yardstick {
    /// The checksum of the network whose features are compared.
    pub features: u32,
    /// The images that the real ones are chosen from.
    pub images: Fingerprint,
}

/// Real images, and the network in whose features made ones are compared with them.
#[derive(Debug)]
pub struct Measure<'a> {
    observer: Observer<'a>,
    /// (images, features)
    real: tch::Tensor,
    /// What its distances depend on.
    pub yardstick: Yardstick,
}

impl<'a> Measure<'a> {
    /// The distance from images of a data set, in the features of a classifier. Images that cannot be read are reported and
    /// left out.
    ///
    /// # Errors
    /// Returns an error if the classifier has no features, fewer than two images can be read, or memory does not suffice.
    pub fn new(model: &'a Model, dataset: &Dataset, gan: &Gan, workers: usize, report: Report) -> Result<Self> {
        let observer = Observer::new(model, BATCH)?;
        let (images, bad) = real::images(dataset, MOST, SEED, gan, workers, report)?;
        bad.iter().for_each(|image| report.warn(format!("{}: {}; not compared", image.name, image.reason)));
        let (count, root) = (images.len(), dataset.root.display());
        ensure!(
            count >= 2,
            "{root}: expected two images or more to compare made ones with, found {count} that can be read"
        );
        let real = observer.see(&images, report)?.features;
        let yardstick = Yardstick { features: checksum([&model.network])?, images: dataset.fingerprint() };
        Ok(Measure { observer, real, yardstick })
    }

    /// The number of images of each kind.
    pub fn images(&self) -> u64 {
        self.real.size()[0] as u64
    }

    /// The Fréchet distance of as many made images as there are real ones: see [`frechet::distance`].
    ///
    /// # Errors
    /// Returns an error if memory does not suffice.
    pub fn distance(&self, gan: &Gan, generator: &Network, report: Report) -> Result<f64> {
        let made = make::images(SEED, FIRST..FIRST + self.images(), None, gan, generator, report)?;
        let made: Vec<RgbImage> = make::pictures(&made)?;
        frechet::distance(&self.real, &self.observer.see(&made, report)?.features)
    }
}
