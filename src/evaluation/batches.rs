//! Crops on their way through the networks: those of one size share a batch, whichever image and protocol they are of.

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tch::{Device, Tensor, no_grad};

use super::look::{Looked, Question, Wanted};
use super::scores::Open;
use super::{BadImage, Member};
use crate::data::batch;
use crate::data::transform::Normalisation;
use crate::device;
use crate::network::Network;
use crate::views::plan::View;

/// What crops must share to share a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind {
    member: usize,
    height: u32,
    width: u32,
    dense: bool,
}

struct Waiting {
    /// (1, height, width, 3) bytes.
    crop: Tensor,
    image: usize,
    counts: Vec<u32>,
}

/// A member's network in its two forms.
struct Runner<'a> {
    network: &'a Network,
    /// `None` where no view needs it.
    dense: Option<Network>,
    normalisation: Normalisation,
    /// Pixels of the network's input.
    area: u64,
}

pub struct Batches<'a> {
    runners: Vec<Runner<'a>>,
    /// In the order of their oldest crops, so that no image waits for long.
    queues: VecDeque<(Kind, Vec<Waiting>)>,
    /// Crops that wait, a larger view counting as the crops of the input's size that it has room for.
    waiting: u64,
    batch_size: u64,
}

impl<'a> Batches<'a> {
    /// # Errors
    /// Where a network has no dense form and needs one.
    pub fn new(members: &[Member<'a>], questions: &[Question], batch_size: usize) -> Result<Self> {
        let runner = |(member, question): (&Member<'a>, &Question)| {
            let network = member.network;
            let dense = question.is_dense().then(|| network.dense()).transpose();
            let [height, width] = question.input.map(u64::from);
            Ok(Runner {
                network,
                dense: dense.with_context(|| format!("{} has no dense form", member.experiment.name))?,
                normalisation: Normalisation::new(&member.experiment.preprocess, network.device())?,
                area: height * width,
            })
        };
        let runners = members.iter().zip(questions).map(runner).collect::<Result<_>>()?;
        Ok(Batches { runners, queues: VecDeque::new(), waiting: 0, batch_size: batch_size as u64 })
    }

    /// Adds the views of image number `image`, and runs batches as they fill up; `open` begins with image `first`.
    ///
    /// # Errors
    /// Where the memory does not suffice, or a network gives no numbers.
    pub fn add(
        &mut self,
        image: usize,
        looked: Looked,
        first: usize,
        open: &mut VecDeque<Result<Open, BadImage>>,
    ) -> Result<()> {
        let planes = looked.planes.iter().map(batch::single).collect::<Result<Vec<_>>>()?;
        for (member, views) in looked.views.into_iter().enumerate() {
            for Wanted { view, counts } in views {
                let crop = cut(&planes[view.plane], view)?;
                let kind = Kind { member, height: view.crop.height, width: view.crop.width, dense: view.dense };
                self.queue(kind).push(Waiting { crop, image, counts });
                self.waiting += self.crops(kind);
                while self.waiting >= self.batch_size {
                    self.run_oldest(first, open)?;
                }
            }
        }
        Ok(())
    }

    /// Runs whatever waits.
    ///
    /// # Errors
    /// As [`Batches::add`].
    pub fn finish(&mut self, first: usize, open: &mut VecDeque<Result<Open, BadImage>>) -> Result<()> {
        while !self.queues.is_empty() {
            self.run_oldest(first, open)?;
        }
        Ok(())
    }

    fn queue(&mut self, kind: Kind) -> &mut Vec<Waiting> {
        let index = self.queues.iter().position(|(known, _)| *known == kind).unwrap_or_else(|| {
            self.queues.push_back((kind, Vec::new()));
            self.queues.len() - 1
        });
        &mut self.queues[index].1
    }

    fn crops(&self, kind: Kind) -> u64 {
        (u64::from(kind.height) * u64::from(kind.width)).div_ceil(self.runners[kind.member].area)
    }

    fn run_oldest(&mut self, first: usize, open: &mut VecDeque<Result<Open, BadImage>>) -> Result<()> {
        let Some((kind, crops)) = self.queues.pop_front() else { return Ok(()) };
        self.waiting -= self.crops(kind) * crops.len() as u64;
        let begun = Instant::now();
        let logits = self.runners[kind.member].run(&crops, kind, self.crops(kind) as usize * crops.len())?;
        let seconds = begun.elapsed().as_secs_f64() / crops.len() as f64;
        for (waiting, logits) in crops.into_iter().zip(logits) {
            if let Some(Ok(open)) = open.get_mut(waiting.image - first) {
                open.add(kind.member, &waiting.counts, &logits, seconds);
            }
        }
        Ok(())
    }
}

impl Runner<'_> {
    /// The logits of each crop; together they are as large as `size` crops of the input's size.
    fn run(&self, crops: &[Waiting], kind: Kind, size: usize) -> Result<Vec<Vec<f32>>> {
        let network = self.dense.as_ref().filter(|_| kind.dense).unwrap_or(self.network);
        let bytes: Vec<&Tensor> = crops.iter().map(|waiting| &waiting.crop).collect();
        let logits = no_grad(|| {
            let input = self.normalisation.apply(&Tensor::f_cat(&bytes, 0)?)?;
            network.forward(&input, false)?.logits.f_to_device(Device::Cpu)
        })
        .map_err(|error| {
            let error = device::explain(error, size, network.device());
            let dense = format!(
                "in a dense view of {}x{} pixels, where a smaller side or a protocol of crops takes less",
                kind.width, kind.height
            );
            if kind.dense { error.context(dense) } else { error }
        })?;
        let logits = Vec::<Vec<f32>>::try_from(&logits).context("the network gave no table of class scores")?;
        ensure!(
            logits.iter().flatten().all(|logit| logit.is_finite()),
            "the network gives values that are no numbers: its weights are those of a training that diverged, or damaged"
        );
        Ok(logits)
    }
}

/// A waiting crop keeps all of its plane in memory; one that is so much smaller is copied instead.
const SHARE_OF_PLANE: usize = 16;

/// A view as a part of its plane, (1, height, width, 3) bytes; mirrors are copied.
fn cut(plane: &Tensor, View { crop, mirror, .. }: View) -> Result<Tensor> {
    let rows = plane.f_narrow(1, crop.y.into(), crop.height.into())?;
    let cut = rows.f_narrow(2, crop.x.into(), crop.width.into())?;
    if mirror {
        return Ok(cut.f_flip([2])?);
    }
    Ok(if plane.numel() > SHARE_OF_PLANE * cut.numel() { cut.f_contiguous()? } else { cut })
}
