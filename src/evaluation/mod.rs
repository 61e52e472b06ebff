//! Class probabilities of images under test protocols: workers prepare each image's views (`request`), crops pass
//! through the networks in shared batches (`batches`), their scores are averaged (`scores`) and compared with the
//! labels (`measured`).

mod batches;
mod measured;
pub mod request;
mod scores;

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::data::dataset::Source;
use crate::data::loader::Loader;
use crate::experiment::Experiment;
use crate::network::{Network, Precision};
use crate::processes::Processes;
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
#[derive(Clone, Debug)]
pub struct Pace {
    /// Those that share the images.
    pub processes: Processes,
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
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct BadImage {
    /// Its name.
    pub name: String,
    /// The reason.
    pub reason: String,
}

/// The class probabilities of an image under each protocol, or why the image could not be used.
pub type Outcome = Result<Vec<Averaged>, BadImage>;

/// Classifies images, one after another in their order. An image is decoded once and resized once per scale, and a crop
/// that several protocols share goes through a network once. Of several processes, each classifies its own images, and all
/// learn the outcomes of all.
///
/// As an iterator it yields an error if the device is out of memory or a network outputs NaN or infinity.
pub struct Classification<'a> {
    images: Loader<Result<Viewed, BadImage>>,
    batches: Batches<'a>,
    processes: Processes,
    /// How many outcomes have not been shared yet.
    left: usize,
    /// Those that have been, and not been taken yet.
    shared: VecDeque<Outcome>,
}

/// Outcomes that each process contributes to an exchange, at most.
const ROUND: usize = 64;

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
        let ahead = 2 * pace.workers + 2;
        let (workers, processes, left) = (pace.workers, pace.processes.clone(), images.len());
        let (rank, count) = (processes.rank(), processes.count());
        let batches = Batches::new(members, request.clone(), &pace, report)?;
        let own = (left + count - 1 - rank) / count;
        let images = Loader::start(own, workers, ahead, move |index| {
            let source = images[index * count + rank].as_ref();
            let bad = |error: anyhow::Error| BadImage { name: source.name(), reason: format!("{error:#}") };
            request.view(source).map_err(bad)
        })?;
        Ok(Classification { images, batches, processes, left, shared: VecDeque::new() })
    }

    fn next_outcome(&mut self) -> Result<Option<Outcome>> {
        if !self.processes.are_several() {
            return self.next_own();
        }
        if self.shared.is_empty() && self.left > 0 {
            self.share()?;
        }
        Ok(self.shared.pop_front())
    }

    /// Exchanges the next outcomes of all processes. An error of one is an error of all, so that none waits for it.
    fn share(&mut self) -> Result<()> {
        let (mut own, mut error) = (Vec::new(), None);
        while own.len() < ROUND && error.is_none() {
            match self.next_own() {
                Ok(Some(outcome)) => own.push(outcome),
                Ok(None) => break,
                Err(failure) => error = Some(failure),
            }
        }
        let is_failed = self.processes.any(error.is_some())?;
        if let Some(error) = error {
            return Err(error);
        }
        ensure!(!is_failed, "another process cannot go on; its own error says why");
        let mut all: Vec<_> = self.processes.gather(own)?.into_iter().map(Vec::into_iter).collect();
        // Image after image, as they were dealt.
        while let Some(outcome) = all[self.shared.len() % self.processes.count()].next() {
            self.shared.push_back(outcome);
        }
        self.left -= self.shared.len();
        Ok(())
    }

    fn next_own(&mut self) -> Result<Option<Outcome>> {
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
        self.next_outcome().transpose()
    }
}
