//! Batches of crops: crops of the same size share a forward pass, regardless of their image and protocol.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Error, Result};
use image::RgbImage;
use tch::{Device, no_grad};

use super::request::{CountedView, MemberRequest, Request, Viewed};
use super::scores::Scores;
use super::{BadImage, Member, Pace};
use crate::device;
use crate::geometry::{Rect, Size};
use crate::image::batch::Batch;
use crate::image::crop::append_rows;
use crate::image::normalise::Normalisation;
use crate::network::{Mode, Network, Precision};
use crate::remedy::Remedy;
use crate::report::Report;

/// The images whose results are pending, and their queued crops.
#[derive(Debug)]
pub struct Batches<'a> {
    members: Vec<Member<'a>>,
    request: Arc<Request>,
    runners: Vec<Runner<'a>>,
    /// In the order of their oldest crops, so that no image waits for long.
    queues: VecDeque<(BatchKey, Vec<QueuedCrop>)>,
    /// Crops in all queues; a larger view counts as the crops of the input's size that it has room for.
    waiting: u64,
    batch_size: u64,
    report: Report,
    /// In order; the first one has the number `first`.
    pending: VecDeque<Result<Scores, BadImage>>,
    first: usize,
}

/// What the crops of a batch have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BatchKey {
    member: usize,
    size: Size,
    dense: bool,
}

/// A queued crop.
#[derive(Debug)]
struct QueuedCrop {
    plane: Arc<RgbImage>,
    rect: Rect,
    mirror: bool,
    image: usize,
    counts: Vec<u32>,
}

/// A member's network in its two forms.
#[derive(Debug)]
struct Runner<'a> {
    network: &'a Network,
    /// `None` if the network runs as it is written.
    fused: Option<Network>,
    /// `None` if no view needs it.
    dense: Option<Network>,
    normalisation: Normalisation,
    input: Size,
    precision: Precision,
}

impl<'a> Batches<'a> {
    /// # Errors
    /// Returns an error if a network must run dense and cannot.
    pub fn new(members: &[Member<'a>], request: Arc<Request>, pace: &Pace, report: Report) -> Result<Self> {
        let runners = members.iter().zip(&request.members).map(|(member, asked)| Runner::new(member, asked, pace));
        let runners = runners.collect::<Result<_>>()?;
        Ok(Batches {
            members: members.to_vec(),
            request,
            runners,
            queues: VecDeque::new(),
            waiting: 0,
            batch_size: pace.batch_size as u64,
            report,
            pending: VecDeque::new(),
            first: 0,
        })
    }

    /// The oldest image, if all its views are done.
    pub fn pop(&mut self) -> Option<Result<Scores, BadImage>> {
        let is_complete = |image: &Result<Scores, BadImage>| image.as_ref().map_or(true, Scores::is_complete);
        if !self.pending.front().is_some_and(is_complete) {
            return None;
        }
        self.first += 1;
        self.pending.pop_front()
    }

    /// Whether no image is pending.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The models that the crops go through.
    pub fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// Adds the next image, and runs batches as they fill up.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory, or a network outputs NaN or infinity.
    pub fn add(&mut self, image: Result<Viewed, BadImage>) -> Result<()> {
        let number = self.first + self.pending.len();
        let viewed = match image {
            Ok(viewed) => viewed,
            Err(bad) => {
                self.pending.push_back(Err(bad));
                return Ok(());
            }
        };
        self.pending.push_back(Ok(Scores::new(&self.request, &viewed)));
        for (member, views) in viewed.views.into_iter().enumerate() {
            for CountedView { view, counts } in views {
                let key = BatchKey { member, size: view.crop.size(), dense: view.dense };
                let (plane, rect) = keep(&viewed.planes[view.plane], view.crop);
                self.queue(key).push(QueuedCrop { plane, rect, mirror: view.mirror, image: number, counts });
                self.waiting += self.share_of_batch(key);
                while self.waiting >= self.batch_size {
                    self.run_oldest()?;
                }
            }
        }
        Ok(())
    }

    /// Runs all queued crops.
    ///
    /// # Errors
    /// See [`Batches::add`].
    pub fn flush(&mut self) -> Result<()> {
        while !self.queues.is_empty() {
            self.run_oldest()?;
        }
        Ok(())
    }

    fn queue(&mut self, key: BatchKey) -> &mut Vec<QueuedCrop> {
        let index = self.queues.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            self.queues.push_back((key, Vec::new()));
            self.queues.len() - 1
        });
        &mut self.queues[index].1
    }

    fn share_of_batch(&self, key: BatchKey) -> u64 {
        key.size.area().div_ceil(self.runners[key.member].input.area())
    }

    fn run_oldest(&mut self) -> Result<()> {
        let Some((key, crops)) = self.queues.pop_front() else { return Ok(()) };
        let size = self.share_of_batch(key) * crops.len() as u64;
        self.waiting -= size;
        let begun = Instant::now();
        let logits = self.run(&crops, key)?;
        let seconds = begun.elapsed().as_secs_f64() / crops.len() as f64;
        for (crop, logits) in crops.into_iter().zip(logits) {
            if let Some(Ok(scores)) = self.pending.get_mut(crop.image - self.first) {
                scores.add(key.member, &crop.counts, &logits, seconds);
            }
        }
        Ok(())
    }

    /// The logits of each crop. A batch that does not fit in memory is halved, and the batches after it are as small.
    fn run(&mut self, crops: &[QueuedCrop], key: BatchKey) -> Result<Vec<Vec<f32>>> {
        match self.runners[key.member].run(crops, key) {
            Err(error) if error.is::<Remedy>() && crops.len() > 1 => {
                let (first, second) = crops.split_at(crops.len().div_ceil(2));
                let size = self.share_of_batch(key) * first.len() as u64;
                if size < self.batch_size {
                    self.batch_size = size;
                    let memory = device::memory(self.runners[key.member].network.device());
                    self.report.warn(format!(
                        "a batch of {} crops does not fit in {memory}; continuing with batches of {size}",
                        crops.len()
                    ));
                }
                Ok([self.run(first, key)?, self.run(second, key)?].concat())
            }
            logits => logits,
        }
    }
}

impl<'a> Runner<'a> {
    fn new(member: &Member<'a>, asked: &MemberRequest, pace: &Pace) -> Result<Self> {
        let Member { network, experiment, .. } = member;
        let fused = |network: &Network| match pace.plain {
            true => Ok(None),
            false => {
                let fused = network.fused(pace.batch_size as i64, pace.precision);
                fused.map_err(|error| device::explain_preparation(error, network.device()))
            }
        };
        let dense = asked.is_dense().then(|| network.dense()).transpose();
        let dense = dense.with_context(|| format!("{} cannot run as a dense network", experiment.name))?;
        Ok(Runner {
            network,
            fused: if asked.has_crops() { fused(network)? } else { None },
            dense: dense.map(|dense| Ok::<_, Error>(fused(&dense)?.unwrap_or(dense))).transpose()?,
            normalisation: Normalisation::new(&experiment.preprocess.constants(), network.device())?,
            input: asked.input,
            precision: pace.precision,
        })
    }

    /// The logits of each crop.
    fn run(&self, crops: &[QueuedCrop], key: BatchKey) -> Result<Vec<Vec<f32>>> {
        let crop = self.fused.as_ref().unwrap_or(self.network);
        let network = self.dense.as_ref().filter(|_| key.dense).unwrap_or(crop);
        let mut batch = Batch::with_capacity(key.size, crops.len())?;
        crops.iter().for_each(|crop| batch.push(&crop.plane, crop.rect, crop.mirror));
        let bytes = batch.tensor()?;
        drop(batch);
        let logits = no_grad(|| {
            let input = self.normalisation.apply(&bytes)?;
            network.forward(&input, Mode::Evaluation)?.values.f_to_device(Device::Cpu)
        })
        .map_err(|error| {
            let error = device::explain(error, crops.len(), network.device());
            let dense =
                format!("in a dense view of {}; a smaller scale or a protocol of crops needs less memory", key.size);
            if key.dense { error.context(dense) } else { error }
        })?;
        let logits = Vec::<Vec<f32>>::try_from(&logits).context("expected one row of class scores per crop")?;
        if logits.iter().flatten().all(|logit| logit.is_finite()) {
            return Ok(logits);
        }
        Err(NotFinite(self.precision).into())
    }
}

/// A network whose outputs are not numbers, in this precision.
#[derive(Clone, Copy, Debug)]
pub struct NotFinite(Precision);

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self.0 {
            Precision::F16 => {
                "the network outputs NaN or infinity in f16, whose largest number is 65504; bf16 and f32 have larger ones"
            }
            _ => "the network outputs NaN or infinity: its training diverged, or its weights are corrupt",
        })
    }
}

impl std::error::Error for NotFinite {}

/// A queued crop keeps its whole plane in memory, unless the plane is more than this many times larger: then the crop
/// is copied.
const SHARE_OF_PLANE: u64 = 16;

fn keep(plane: &Arc<RgbImage>, crop: Rect) -> (Arc<RgbImage>, Rect) {
    if Size::from(plane.dimensions()).area() <= SHARE_OF_PLANE * crop.size().area() {
        return (plane.clone(), crop);
    }
    let mut rows = Vec::new();
    append_rows(plane, crop, false, &mut rows);
    let copy = RgbImage::from_raw(crop.width, crop.height, rows);
    copy.map_or_else(|| (plane.clone(), crop), |copy| (Arc::new(copy), crop.size().whole()))
}
