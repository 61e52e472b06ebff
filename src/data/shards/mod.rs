//! A data set on disk: shards in WebDataset's form, tar files in which each sample is a few members of one key
//! (`000123.jpg`, `000123.cls`), with the names of the classes (`classes`) beside them. Each `shard` has an `index`, which
//! `scan` makes; a `pattern` names several.

pub mod classes;
pub mod index;
pub mod pattern;
pub mod scan;
pub mod shard;

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;

use anyhow::{Result, bail, ensure};

use super::dataset::{Dataset, Sample, Source};
use super::listing::{Kind, LeftOut, Reason, entries};
use super::loader::Loader;
use classes::Contents;
use index::{Index, Opened};
use shard::Shard;

/// The ending of a shard's name.
pub const ENDING: &str = "tar";

/// Whether `place` names shards: it is a tar file, a pattern of tar files, or a folder that holds tar files but no folders.
pub fn are_at(place: &Path) -> bool {
    match place.is_dir() {
        true => entries(place).is_ok_and(|entries| {
            entries.iter().all(|entry| entry.kind != Ok(Kind::Folder))
                && entries.iter().any(|entry| is_shard(&entry.path))
        }),
        false => is_shard(place),
    }
}

/// Whether a file is called like a shard.
pub fn is_shard(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(ENDING))
}

/// Reads the shards at `place`: a folder, a pattern such as `train-{0000..0146}.tar`, or a single file.
///
/// The classes are those of the `classes.json` beside the shards; without it, the numbers from 0 to the highest label.
/// Samples whose keys are all different numbers are ordered by them, as `pack` numbers them in the order of the data set
/// that it read; others in the order of the shards. The samples of a shard before a corrupt or truncated part count.
///
/// # Errors
/// Returns an error if a shard is missing or cannot be opened, none has a sample with an image and a class, or a label is
/// not one of the classes.
pub fn open(place: &Path) -> Result<Dataset> {
    let (root, paths) = match place.is_dir() {
        true => (place.to_path_buf(), of_folder(place)?),
        false => (folder_of(place), pattern::expand(place)?),
    };
    let Opening { shards, mut left_out, notes } = Opening::of(paths)?;
    let samples = shards.iter().map(|shard| shard.len()).sum::<usize>();
    ensure!(
        samples > 0,
        "{}: no sample with an image and a class in {} shards; expected members such as 000123.jpg and 000123.cls, the latter with the number of its class, from 0{}",
        place.display(),
        shards.len(),
        left_out.first().map_or(String::new(), |first| format!(" (found {}: {})", first.path.display(), first.reason))
    );
    ensure!(
        u32::try_from(samples).is_ok(),
        "{}: {samples} images, more than the limit of {}",
        root.display(),
        u32::MAX
    );
    let contents = Contents::of(&root)?;
    let classes = contents.as_ref().map_or_else(|| numbers(&shards), |contents| contents.classes.clone());
    check_labels(&shards, classes.len())?;
    let promised = contents.map_or(0, |contents| contents.images());
    if place.is_dir() && promised > samples as u64 {
        let reason = Reason::Missing { images: promised - samples as u64 };
        left_out.push(LeftOut { path: classes::path(&root), reason });
    }
    let sample = |&(shard, index): &(u32, u32)| {
        let shard = &shards[shard as usize];
        Sample { source: Source::stretch(shard.clone(), index), label: shard.label(index as usize) }
    };
    // Made in place: with millions of samples, a copy would be the largest thing in memory.
    let samples: Arc<[Sample]> = order(&shards).iter().map(sample).collect();
    Ok(Dataset { root, classes, samples, left_out: left_out.into(), notes })
}

/// The tar files in a folder, sorted by name.
fn of_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = entries(folder)?.into_iter().filter(|entry| entry.kind != Ok(Kind::Folder) && is_shard(&entry.path));
    Ok(files.map(|entry| entry.path).collect())
}

fn folder_of(file: &Path) -> PathBuf {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf()
}

/// Shards that were opened, and what there is to say of them.
#[derive(Default)]
struct Opening {
    shards: Vec<Arc<Shard>>,
    left_out: Vec<LeftOut>,
    notes: Vec<String>,
}

impl Opening {
    /// Opens shards, several at a time.
    fn of(paths: Vec<PathBuf>) -> Result<Self> {
        let threads = available_parallelism().map_or(1, NonZero::get);
        let mut opening = Opening::default();
        let (mut made, mut unwritable) = (0, None);
        for opened in Loader::start(paths.len(), threads, 4 * threads, move |job| index::open(&paths[job]))? {
            let Opened { shard, left_out, index } = opened??;
            match index {
                Index::Found => {}
                Index::Made => made += 1,
                Index::Unwritable => unwritable = unwritable.or_else(|| Some(index::path(shard.path()))),
            }
            opening.shards.push(Arc::new(shard));
            opening.left_out.extend(left_out);
        }
        if made > 0 {
            opening.notes.push(format!(
                "made an index beside {made} of {} shards, which opens them faster next time",
                opening.shards.len()
            ));
        }
        if let Some(index) = unwritable {
            let index = index.display();
            opening.notes.push(format!("{index}: cannot be written, so the index is made anew each time"));
        }
        Ok(opening)
    }
}

/// The classes from 0 to the highest label.
fn numbers(shards: &[Arc<Shard>]) -> Vec<String> {
    let highest = shards.iter().flat_map(|shard| shard.labels()).max().unwrap_or(0);
    (0..=highest).map(|number| number.to_string()).collect()
}

fn check_labels(shards: &[Arc<Shard>], classes: usize) -> Result<()> {
    for shard in shards {
        if let Some(index) = shard.labels().position(|label| label >= classes) {
            bail!(
                "{}/{}: expected a class from 0 to {}, as {} names {classes} classes, found {}",
                shard.path().display(),
                shard.name(index),
                classes.saturating_sub(1),
                classes::path(&folder_of(shard.path())).display(),
                shard.label(index)
            );
        }
    }
    Ok(())
}

/// The samples as (shard, index in it), in the order of the data set.
fn order(shards: &[Arc<Shard>]) -> Vec<(u32, u32)> {
    let all = || (0..).zip(shards).flat_map(|(shard, it)| (0..it.len() as u32).map(move |index| (shard, index)));
    // Looked up once each, shard by shard: in the order of the numbers, names are all over memory.
    let number = |(shard, index): (u32, u32)| Some((shards[shard as usize].number(index as usize)?, shard, index));
    let count = all().count();
    let mut numbered: Vec<(u32, u32, u32)> = Vec::with_capacity(count);
    numbered.extend(all().map_while(number));
    numbered.sort_unstable();
    let are_different = numbered.is_sorted_by(|a, b| a.0 < b.0);
    match are_different && numbered.len() == count {
        true => numbered.into_iter().map(|(_, shard, index)| (shard, index)).collect(),
        false => all().collect(),
    }
}
