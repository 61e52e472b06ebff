//! Class probabilities of images under test protocols: workers prepare each image's views (`request`), crops pass
//! through the networks in shared batches (`batches`), their scores are averaged (`scores`) and compared with the
//! labels (`measured`).

mod batches;
mod measured;
pub mod request;
mod scores;

use std::sync::Arc;

use anyhow::Result;

use crate::data::dataset::Source;
use crate::data::loader::Loader;
use crate::experiment::Experiment;
use crate::network::{Network, Precision};
use crate::report::Report;
use crate::views::Views;

use batches::Batches;
pub use batches::NotFinite;
pub use measured::{Measured, Measurement, answer};
use request::{Request, Viewed};
pub use scores::Averaged;

/// A network that is evaluated, alone or in an ensemble.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// The network.
    pub network: &'a Network,
    /// The experiment that it was trained with.
    pub experiment: &'a Experiment,
    /// For each class of the result, its index in the network's output; `None` if the orders are the same.
    pub order: Option<&'a [usize]>,
}

/// How the work is done; results differ only by rounding, noticeably so in a lower precision.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Crops that share a forward pass.
    pub batch_size: usize,
    /// Threads that decode and resize.
    pub workers: usize,
    /// Run the networks layer by layer, as they are written, instead of fused.
    pub plain: bool,
    /// What convolutions and linear layers compute with.
    pub precision: Precision,
}

/// An image that could not be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadImage {
    /// Its name.
    pub name: String,
    /// The reason.
    pub reason: String,
}

/// The class probabilities of an image under each protocol, or why the image could not be used.
pub type Outcome = Result<Vec<Averaged>, BadImage>;

/// Classifies images, one after another in their order. An image is decoded once and resized once per scale, and a crop
/// that several protocols share goes through a network once.
///
/// As an iterator it yields an error if the device is out of memory or a network outputs NaN or infinity.
pub struct Classification<'a> {
    images: Loader<Result<Viewed, BadImage>>,
    batches: Batches<'a>,
}

impl<'a> Classification<'a> {
    /// Starts classifying `images`. `report` learns of batches that do not fit in memory.
    ///
    /// # Errors
    /// Returns an error if a model does not support a protocol, or threads cannot be started.
    pub fn start<Image: AsRef<Source> + Send + Sync + 'static>(
        members: &[Member<'a>],
        protocols: &[Views],
        images: Arc<[Image]>,
        pace: Pace,
        report: Report,
    ) -> Result<Self> {
        let request = Arc::new(Request::new(members, protocols)?);
        let batches = Batches::new(members, request.clone(), pace, report)?;
        let ahead = 2 * pace.workers + 2;
        let images = Loader::start(images.len(), pace.workers, ahead, move |index| {
            let source = images[index].as_ref();
            let bad = |error: anyhow::Error| BadImage { name: source.name(), reason: format!("{error:#}") };
            request.view(source).map_err(bad)
        })?;
        Ok(Classification { images, batches })
    }

    fn next_image(&mut self) -> Result<Option<Outcome>> {
        loop {
            if let Some(image) = self.batches.pop() {
                return Ok(Some(image.map(|scores| scores.average(self.batches.members()))));
            }
            match self.images.next() {
                Some(viewed) => self.batches.add(viewed?)?,
                None if self.batches.is_empty() => return Ok(None),
                None => self.batches.flush()?,
            }
        }
    }
}

impl Iterator for Classification<'_> {
    type Item = Result<Outcome>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_image().transpose()
    }
}
