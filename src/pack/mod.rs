//! Packing: the images of a data set (`sources` finds its parts) are cut into shards by a `plan`, and written one shard
//! after another (`shard_file`), their bytes as they are or shrunk (`shrink`).

pub mod plan;
pub mod shard_file;
pub mod shrink;
pub mod sources;

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use crate::data::loader::Loader;
use plan::Plan;
use shard_file::{Content, ShardFile};
use shrink::Shrink;
use sources::Part;

/// How a data set is packed.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The seed of the order in which images are written.
    pub seed: u64,
    /// Maximum number of images per shard.
    pub shard_images: usize,
    /// Maximum bytes of images per shard, before they are shrunk; a single image may have more.
    pub shard_bytes: u64,
    /// How images are shrunk; `None` leaves their bytes as they are.
    pub shrink: Option<Shrink>,
}

/// Writes a data set's missing shards, image by image.
pub struct Packing {
    /// What each part's shards hold.
    pub plans: Arc<[Plan]>,
    /// The images that cannot be read, and why.
    pub unreadable: Vec<(String, String)>,
    jobs: Arc<[Job]>,
    loader: Loader<Result<Content, String>>,
    next: usize,
    /// The shard that is being written.
    file: Option<ShardFile>,
}

/// An image to be written.
#[derive(Clone, Copy, Debug)]
struct Job {
    plan: usize,
    shard: usize,
    /// The image's place in its data set.
    rank: u32,
    /// Whether the shard is complete after it.
    is_last: bool,
}

impl Packing {
    /// Plans the shards of `parts` in the folder `out`, makes their folders, and starts `workers` threads that read images.
    /// Complete shards of an earlier run are kept.
    ///
    /// # Errors
    /// Returns an error if one of the folders holds something else, or cannot be written to.
    pub fn start(parts: Vec<Part>, out: &Path, options: Options, workers: usize) -> Result<Self> {
        let mut plans: Vec<Plan> = parts.into_iter().map(|part| Plan::of(part, out, options)).collect();
        plan::check_free(out, &plans)?;
        plans.iter_mut().try_for_each(|plan| plan.begin(options))?;
        let mut jobs = Vec::new();
        for (index, plan) in plans.iter().enumerate() {
            for (shard, planned) in plan.shards.iter().enumerate().filter(|(_, planned)| !planned.is_kept) {
                let job = |&rank: &u32| Job { plan: index, shard, rank, is_last: Some(&rank) == planned.ranks.last() };
                jobs.extend(planned.ranks.iter().map(job));
            }
        }
        let (plans, jobs): (Arc<[Plan]>, Arc<[Job]>) = (plans.into(), jobs.into());
        let (planned, listed) = (plans.clone(), jobs.clone());
        let loader = Loader::start(jobs.len(), workers, 16 * workers, move |job| {
            let Job { plan, rank, .. } = listed[job];
            let source = &planned[plan].dataset.samples[rank as usize].source;
            Content::of(source, options.shrink).map_err(|error| format!("{error:#}"))
        })?;
        Ok(Packing { plans, unreadable: Vec::new(), jobs, loader, next: 0, file: None })
    }

    /// The number of images to be written.
    pub fn images(&self) -> usize {
        self.jobs.len()
    }

    /// Writes the next image; returns how many have been written, or `None` after the last.
    ///
    /// # Errors
    /// Returns an error if a shard cannot be written, or reads back differently than it was written.
    pub fn step(&mut self) -> Result<Option<usize>> {
        let Some(content) = self.loader.next() else { return Ok(None) };
        let Job { plan, shard, rank, is_last } = self.jobs[self.next];
        self.next += 1;
        let plan = &self.plans[plan];
        let mut file = match self.file.take() {
            Some(file) => file,
            None => ShardFile::create(&plan.shards[shard].path)?,
        };
        let sample = &plan.dataset.samples[rank as usize];
        match content? {
            Ok(content) => file.add(&plan.key(rank), sample.label, &content)?,
            Err(reason) => self.unreadable.push((sample.source.name(), reason)),
        }
        match is_last {
            true => file.finish()?,
            false => self.file = Some(file),
        }
        Ok(Some(self.next))
    }

    /// Writes how many images of each class the shards hold, now that all are written.
    ///
    /// # Errors
    /// Returns an error if a shard cannot be read, or a list not be written.
    pub fn finish(&self) -> Result<()> {
        self.plans.iter().try_for_each(Plan::count)
    }
}
