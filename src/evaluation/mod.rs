//! Class probabilities of images under test protocols: every image's views (`look`) through the networks in shared batches
//! (`batches`), averaged (`scores`), and counted against the images' labels.

mod batches;
mod look;
mod scores;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use crate::config::Experiment;
use crate::data::folder::Folder;
use crate::data::loader::Loader;
use crate::metrics::Tally;
use crate::network::Network;
use crate::views::{Part, Views};

use batches::Batches;
use look::{Looker, Question};
pub use scores::Averaged;
use scores::Open;

/// A network that takes part, alone or in an ensemble.
#[derive(Clone, Copy)]
pub struct Member<'a> {
    pub network: &'a Network,
    pub experiment: &'a Experiment,
    /// For each class of the result the network's own number of it; `None` where they are the same.
    pub order: Option<&'a [usize]>,
}

/// How images go through the networks; none of it changes a result.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Crops that share a forward pass.
    pub batch_size: usize,
    /// Threads that decode and resize.
    pub workers: usize,
}

/// A file that could not be used, and why.
#[derive(Clone, Debug)]
pub struct BadImage {
    pub path: PathBuf,
    pub reason: String,
}

/// What was counted under one protocol.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Of the mean over all members.
    pub tally: Tally,
    pub members: Vec<Tally>,
    /// Views of an image, of all members.
    pub crops: usize,
    /// That the networks spent on the protocol's views, whichever others they share them with.
    pub seconds: f64,
}

/// Counts the errors on a folder's images, each image once, under each of the `protocols`; those that cannot be read are
/// left out and returned. `seen` is called after each image and may break off, which gives `None`.
///
/// # Errors
/// Where the memory does not suffice, a network gives no numbers or cannot be viewed so, or no image could be read.
pub fn evaluate(
    members: &[Member],
    protocols: &[Views],
    folder: &Folder,
    pace: Pace,
    mut seen: impl FnMut(usize, Result<&[Averaged], &BadImage>, &[Measured]) -> Result<ControlFlow<()>>,
) -> Result<Option<(Vec<Measured>, Vec<BadImage>)>> {
    let nothing =
        Measured { tally: Tally::default(), members: vec![Tally::default(); members.len()], crops: 0, seconds: 0.0 };
    let (mut measured, mut bad) = (vec![nothing; protocols.len()], Vec::new());
    let flow = classify(members, protocols, folder.samples.clone(), pace, |index, result| match result {
        Ok(scores) => {
            let label = folder.samples[index].label;
            measured.iter_mut().zip(&scores).for_each(|(measured, averaged)| measured.count(averaged, label));
            seen(index, Ok(&scores), &measured)
        }
        Err(image) => {
            let flow = seen(index, Err(&image), &measured)?;
            bad.push(image);
            Ok(flow)
        }
    })?;
    if flow.is_break() {
        return Ok(None);
    }
    if let Some(first) = bad.first() {
        ensure!(
            bad.len() < folder.samples.len(),
            "none of the {} images could be read; the first, {}: {}",
            bad.len(),
            first.path.display(),
            first.reason
        );
    }
    Ok(Some((measured, bad)))
}

impl Measured {
    fn count(&mut self, averaged: &Averaged, label: usize) {
        self.tally.count(&averaged.mean, label);
        let members = self.members.iter_mut().zip(&averaged.members);
        members.for_each(|(tally, probabilities)| tally.count(probabilities, label));
        self.crops = averaged.crops;
        self.seconds += averaged.seconds;
    }
}

/// Hands the class probabilities of each of `files` to `each`, in their order; or why an image could not be read. `each` may
/// break off. An image is decoded once and resized once a scale, and a crop that several protocols have goes through a
/// network once.
///
/// # Errors
/// Where the memory does not suffice, a network gives no numbers or cannot be viewed so, or `each` fails.
pub fn classify<File: AsRef<Path> + Send + Sync + 'static>(
    members: &[Member],
    protocols: &[Views],
    files: Arc<[File]>,
    pace: Pace,
    mut each: impl FnMut(usize, Result<Vec<Averaged>, BadImage>) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    let parts = members.iter().map(|member| parts(member, protocols)).collect::<Result<Vec<_>>>()?;
    let question = |(member, parts): (&Member, &Vec<Vec<Part>>)| Question::new(member.experiment.input(), parts);
    let questions: Arc<[Question]> = members.iter().zip(&parts).map(question).collect();
    let mut batches = Batches::new(members, &questions, pace.batch_size)?;
    let looker = Looker { upright: upright(members)?, questions: questions.clone() };
    let ahead = 2 * pace.workers + 2;
    let images = Loader::start(files.len(), pace.workers, ahead, move |index| looker.look(files[index].as_ref()))?;

    // Images whose views are not all through yet, the oldest first.
    let mut open: VecDeque<Result<Open, BadImage>> = VecDeque::new();
    let mut first_open = 0;
    for (index, looked) in images.enumerate() {
        match looked? {
            Err(bad) => open.push_back(Err(bad)),
            Ok(looked) => {
                open.push_back(Ok(Open::new(&questions, &looked)));
                batches.add(index, looked, first_open, &mut open)?;
            }
        }
        if hand_over(&mut open, &mut first_open, members, &mut each)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    batches.finish(first_open, &mut open)?;
    hand_over(&mut open, &mut first_open, members, &mut each)
}

/// The parts of each protocol, worked out for a member.
fn parts(member: &Member, protocols: &[Views]) -> Result<Vec<Vec<Part>>> {
    let worked_out = |views: &Views| {
        member.experiment.parts(views).with_context(|| format!("{} cannot be viewed so", member.experiment.name))
    };
    protocols.iter().map(worked_out).collect()
}

/// Whether images are turned upright, on which the members must agree: each image is decoded once.
fn upright(members: &[Member]) -> Result<bool> {
    let mut wishes = members.iter().map(|member| member.experiment.preprocess.exif_orientation);
    let first = wishes.next().context("expected at least one model")?;
    ensure!(
        wishes.all(|wish| wish == first),
        "the models differ in preprocess.exif_orientation; give all the same: --set preprocess.exif_orientation=true"
    );
    Ok(first)
}

/// Hands over the images that are complete, up to the first that is not.
fn hand_over(
    open: &mut VecDeque<Result<Open, BadImage>>,
    first_open: &mut usize,
    members: &[Member],
    each: &mut impl FnMut(usize, Result<Vec<Averaged>, BadImage>) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    while open.front().is_some_and(|image| image.as_ref().map_or(true, Open::is_complete)) {
        let Some(image) = open.pop_front() else { break };
        let flow = each(*first_open, image.map(|open| open.close(members)))?;
        *first_open += 1;
        if flow.is_break() {
            return Ok(flow);
        }
    }
    Ok(ControlFlow::Continue(()))
}
