//! The plan of a part's shards: which images each holds, in which order. It follows from the data set and the options
//! alone, so that packing can go on after it was interrupted.

use std::fs::{self, File, TryLockError};
use std::path::{self, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Options;
use super::sources::Part;
use crate::atomic::{TEMPORARY, check_unused, temporary_prefix, write_atomically};
use crate::data::dataset::{Dataset, Source};
use crate::data::shards::classes::{self, Contents};
use crate::data::shards::index;
use crate::data::shards::shard::Shard;
use crate::random;

/// The shards of a part of a data set.
#[derive(Debug)]
pub struct Plan {
    /// "train", "val" or the like; empty if the data set has no parts.
    pub name: String,
    /// The folder of the shards.
    pub dir: PathBuf,
    /// The images.
    pub dataset: Dataset,
    /// In the order of their names.
    pub shards: Vec<PlannedShard>,
    /// Whether images keep their bytes.
    are_untouched: bool,
    /// The folder, locked until this process ends, so that no other one packs into it.
    _lock: Option<File>,
}

/// A shard and what it holds.
#[derive(Debug)]
pub struct PlannedShard {
    /// Its tar file.
    pub path: PathBuf,
    /// The places of its images in the data set, in the order of the shard.
    pub ranks: Vec<u32>,
    /// Whether it is there already.
    pub is_kept: bool,
}

impl Plan {
    /// Plans the shards of a part: its images in a random order, cut where a shard is full.
    pub fn of(part: Part, out: &Path, options: Options) -> Self {
        let Part { name, dataset } = part;
        let mut cuts: Vec<Vec<u32>> = Vec::new();
        let mut bytes = 0;
        for rank in random::packed_order(options.seed, dataset.samples.len()) {
            // An image that cannot be read is named when it would be written.
            let length = dataset.samples[rank as usize].source.length().unwrap_or(0);
            match cuts.last_mut() {
                Some(cut) if cut.len() < options.shard_images && bytes + length <= options.shard_bytes => {
                    cut.push(rank)
                }
                _ => {
                    cuts.push(vec![rank]);
                    bytes = 0;
                }
            }
            bytes += length;
        }
        let dir = out.join(&name);
        let digits = digits(cuts.len()).max(4);
        let shard = |(number, ranks): (usize, Vec<u32>)| {
            let path = dir.join(format!("{}-{number:0digits$}.tar", stem(&name)));
            PlannedShard { path, ranks, is_kept: false }
        };
        let shards = cuts.into_iter().enumerate().map(shard).collect();
        Plan { name, dir, dataset, shards, are_untouched: options.shrink.is_none(), _lock: None }
    }

    /// The key of an image: its place in the data set, with as many digits for all.
    pub fn key(&self, rank: u32) -> String {
        format!("{rank:0width$}", width = digits(self.dataset.samples.len()).max(6))
    }

    /// The name of all shards as a pattern.
    pub fn pattern(&self) -> String {
        let name = |shard: &PlannedShard| shard.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match self.shards.as_slice() {
            [first, .., last] => {
                let (first, last) = (name(first), name(last));
                let (stem, number) = first.rsplit_once('-').unwrap_or((&first, ""));
                let last = last.rsplit_once('-').map_or("", |(_, number)| number);
                self.dir.join(format!("{stem}-{{{number}..{last}}}.tar")).display().to_string()
            }
            shards => shards.iter().map(|shard| shard.path.display().to_string()).collect(),
        }
    }

    /// Makes the folder with the list of classes, or finds the shards that an interrupted packing left in it.
    ///
    /// # Errors
    /// Returns an error if it holds something else, cannot be written to, or another process packs into it.
    pub fn begin(&mut self, options: Options) -> Result<()> {
        let dir = self.dir.display();
        let packed = self.packed(options);
        fs::create_dir_all(&self.dir).with_context(|| format!("{dir}: cannot be created"))?;
        self._lock = lock(&self.dir)?;
        self.remove_unfinished()?;
        match Contents::of(&self.dir)? {
            None => {
                check_unused(&self.dir)?;
                let counts = self.dataset.class_sizes().into_iter().map(|size| size as u64).collect();
                self.write(Contents { classes: self.dataset.classes.clone(), counts, packed })
            }
            Some(earlier) if earlier.packed == packed => {
                for index in 0..self.shards.len() {
                    self.shards[index].is_kept = self.is_there(&self.shards[index]);
                }
                Ok(())
            }
            Some(_) => bail!(
                "{dir}: contains shards of another data set, or shards packed with other options or another seed. Choose a new folder"
            ),
        }
    }

    /// Writes how many images of each class the shards hold.
    ///
    /// # Errors
    /// Returns an error if a shard cannot be read, or the list not be written.
    pub fn count(&self) -> Result<()> {
        let Some(contents) = Contents::of(&self.dir)? else { return Ok(()) };
        let mut counts = vec![0; self.dataset.classes.len()];
        for shard in &self.shards {
            index::open(&shard.path)?.shard.labels().for_each(|label| counts[label] += 1);
        }
        if counts == contents.counts { Ok(()) } else { self.write(Contents { counts, ..contents }) }
    }

    fn write(&self, contents: Contents) -> Result<()> {
        let text = serde_json::to_string_pretty(&contents)? + "\n";
        write_atomically(&classes::path(&self.dir), text.as_bytes())
    }

    /// What a folder must have been packed from, and how, for packing to go on in it.
    fn packed(&self, options: Options) -> Value {
        json!({
            "data": self.dataset.fingerprint(), "seed": options.seed, "shard_images": options.shard_images,
            "shard_bytes": options.shard_bytes, "shorter_side": options.shrink.map(|shrink| shrink.shorter_side),
            "quality": options.shrink.map(|shrink| shrink.quality),
        })
    }

    /// Whether a shard is there, whole, with the images that it should hold.
    fn is_there(&self, planned: &PlannedShard) -> bool {
        let Ok(opened) = index::open(&planned.path) else { return false };
        let holds = |(index, &rank): (usize, &u32)| {
            let sample = &self.dataset.samples[rank as usize];
            opened.shard.number(index) == Some(rank)
                && opened.shard.label(index) == sample.label
                && (!self.are_untouched || has_length(&opened.shard, index, &sample.source))
        };
        opened.left_out.is_empty()
            && opened.shard.len() == planned.ranks.len()
            && planned.ranks.iter().enumerate().all(holds)
    }

    /// Removes the temporary files that a killed process left here.
    fn remove_unfinished(&self) -> Result<()> {
        let own = [temporary_prefix(Path::new(classes::NAME)), format!("{TEMPORARY}{}-", stem(&self.name))];
        let unreadable = || format!("{}: cannot be read", self.dir.display());
        for entry in fs::read_dir(&self.dir).with_context(unreadable)? {
            let path = entry.with_context(unreadable)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if own.iter().any(|prefix| name.starts_with(prefix)) {
                fs::remove_file(&path).with_context(|| format!("{}: cannot be removed", path.display()))?;
            }
        }
        Ok(())
    }
}

/// Locks a folder; `None` on file systems that cannot.
fn lock(dir: &Path) -> Result<Option<File>> {
    let folder = File::open(dir).with_context(|| format!("{}: cannot be opened", dir.display()))?;
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => {
            bail!("{}: another process packs into this folder; wait for it", dir.display())
        }
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// What the names of a part's shards begin with.
fn stem(part: &str) -> &str {
    if part.is_empty() { "images" } else { part }
}

fn has_length(shard: &Shard, index: usize, source: &Source) -> bool {
    source.length().is_ok_and(|length| length == shard.length(index))
}

/// How many digits the numbers below `count` have.
fn digits(count: usize) -> usize {
    count.saturating_sub(1).to_string().len()
}

/// Checks that a folder holds nothing but the folders of these plans.
///
/// # Errors
/// Returns an error if it does, or lies inside the data set.
pub fn check_free(out: &Path, plans: &[Plan]) -> Result<()> {
    // What of its path exists already, without links.
    let place = path::absolute(out)?.ancestors().find_map(|folder| folder.canonicalize().ok()).unwrap_or_default();
    for plan in plans {
        ensure!(
            plan.dataset.root.canonicalize().is_ok_and(|root| !place.starts_with(root)),
            "{}: inside the data set itself, {}. Choose a folder elsewhere",
            out.display(),
            plan.dataset.root.display()
        );
    }
    if plans.iter().any(|plan| plan.dir == out) || !out.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(out).with_context(|| format!("{}: cannot be read", out.display()))? {
        let path = entry?.path();
        ensure!(
            plans.iter().any(|plan| plan.dir == path),
            "{}: holds something else, {}. Choose a new folder, or empty this one first",
            out.display(),
            path.display()
        );
    }
    Ok(())
}
