//! A data set: labelled samples, each with a source that its bytes come from.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::listing::LeftOut;
use super::shards::shard::Shard;
use crate::digest::{self, digest};
use crate::image::decode::{self, Decoded, Picture};
use crate::nearest::did_you_mean;

/// Where an image's bytes come from: a file, a stretch of a shard, or memory. Small, as there is one for every image of a
/// data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source(Place);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    File(Box<Path>),
    /// The image of this index.
    Stretch(Arc<Shard>, u32),
    /// What was read already, as standard input can be read only once, and its name.
    Memory(Arc<(PathBuf, Vec<u8>)>),
}

impl Source {
    /// The file at `path`.
    pub fn file(path: PathBuf) -> Self {
        Source(Place::File(path.into()))
    }

    /// These bytes, under the name `path`.
    pub fn memory(path: PathBuf, bytes: Vec<u8>) -> Self {
        Source(Place::Memory(Arc::new((path, bytes))))
    }

    /// The image of this index in a shard.
    pub fn stretch(shard: Arc<Shard>, index: u32) -> Self {
        Source(Place::Stretch(shard, index))
    }

    /// Its path; an image in a shard is below the shard's.
    pub fn path(&self) -> Cow<'_, Path> {
        match &self.0 {
            Place::File(path) => Cow::Borrowed(path),
            Place::Stretch(shard, index) => Cow::Owned(shard.path().join(shard.name(*index as usize))),
            Place::Memory(memory) => Cow::Borrowed(&memory.0),
        }
    }

    /// Its name, for messages.
    pub fn name(&self) -> String {
        self.path().display().to_string()
    }

    /// Its name below the folder `root`, for keys and digests.
    pub fn name_below(&self, root: &Path) -> Vec<u8> {
        let path = self.path();
        path.strip_prefix(root).unwrap_or(&path).as_os_str().as_encoded_bytes().to_vec()
    }

    /// The number of bytes.
    ///
    /// # Errors
    /// Returns an error if there is no such file.
    pub fn length(&self) -> Result<u64> {
        match &self.0 {
            Place::File(path) => Ok(fs::metadata(path)?.len()),
            Place::Stretch(shard, index) => Ok(shard.length(*index as usize)),
            Place::Memory(memory) => Ok(memory.1.len() as u64),
        }
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// Returns the reason if they cannot be read, without the name, which the caller adds.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>> {
        match &self.0 {
            Place::File(path) => decode::read(path).map(Cow::Owned),
            Place::Stretch(shard, index) => shard.read(*index as usize).map(Cow::Owned),
            Place::Memory(memory) => Ok(Cow::Borrowed(&memory.1)),
        }
    }

    /// Reads the image. `upright` honours its EXIF orientation.
    ///
    /// # Errors
    /// Returns the reason if it cannot be read or decoded, without the name, which the caller adds.
    pub fn open(&self, upright: bool) -> Result<Picture> {
        decode::open(&self.bytes()?, &self.path(), upright)
    }

    /// Reads and decodes the image: all pixels of [`Source::open`].
    ///
    /// # Errors
    /// See [`Source::open`].
    pub fn image(&self, upright: bool) -> Result<Decoded> {
        self.open(upright).map(Picture::decode)
    }
}

impl AsRef<Source> for Source {
    fn as_ref(&self) -> &Source {
        self
    }
}

/// An image and its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Where its bytes come from.
    pub source: Source,
    /// The index of its class in the data set's list.
    pub label: usize,
}

impl AsRef<Source> for Sample {
    fn as_ref(&self) -> &Source {
        &self.source
    }
}

/// Labelled images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// The folder that it was found in.
    pub root: PathBuf,
    /// The names of the classes.
    pub classes: Vec<String>,
    /// The images, shared with the workers that read them: the one thing in memory that grows with the data set.
    pub samples: Arc<[Sample]>,
    /// What the folder holds besides.
    pub left_out: Arc<[LeftOut]>,
    /// What else there is to say of it, each a sentence without its full stop.
    pub notes: Vec<String>,
}

/// A fingerprint of a list of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Fingerprint {
    /// The number of images.
    pub images: u64,
    /// FNV-1a of the files' names below the root, in their order, and of the labels.
    pub digest: u64,
}

impl Dataset {
    /// The same images labelled by another list of classes, which are matched by name and may be more.
    ///
    /// # Errors
    /// Returns an error if one of this data set's classes is not in the list, with the nearest that is.
    pub fn with_classes(self, classes: &[String], owner: &str) -> Result<Self> {
        let mut labels = Vec::with_capacity(self.classes.len());
        for name in &self.classes {
            match classes.iter().position(|class| class == name) {
                Some(label) => labels.push(label),
                None => bail!(unknown_class(&self.root, name, classes, owner)),
            }
        }
        Ok(self.relabelled(&labels, classes))
    }

    /// The same images labelled by another list of classes, by its order: the classes of this data set are called by
    /// numbers, which are `numbers`.
    ///
    /// # Errors
    /// Returns an error if a number is too large.
    pub fn with_numbered_classes(self, numbers: &[usize], classes: &[String]) -> Result<Self> {
        for (&number, name) in numbers.iter().zip(&self.classes) {
            ensure!(
                number < classes.len(),
                "{}: class folders with numbers for names are matched by number, and for {} classes the numbers are 0 to {}. Rename the folders to count from 0, or after the classes",
                self.root.join(name).display(),
                classes.len(),
                classes.len() - 1
            );
        }
        Ok(self.relabelled(numbers, classes))
    }

    /// The numbers that the classes are called by, in their order, if all are different numbers.
    pub fn numbers(&self) -> Option<Vec<usize>> {
        let is_number = |name: &String| name.bytes().all(|letter| letter.is_ascii_digit());
        let numbers = self.classes.iter().map(|name| name.parse().ok().filter(|_| is_number(name)));
        let numbers: Vec<usize> = numbers.collect::<Option<_>>()?;
        let distinct: HashSet<usize> = numbers.iter().copied().collect();
        (distinct.len() == numbers.len()).then_some(numbers)
    }

    /// The same images with the labels `labels[label]`.
    fn relabelled(self, labels: &[usize], classes: &[String]) -> Self {
        let relabelled = |sample: &Sample| Sample { source: sample.source.clone(), label: labels[sample.label] };
        let samples = self.samples.iter().map(relabelled).collect();
        Dataset { classes: classes.to_vec(), samples, ..self }
    }

    /// The indices of each class's images.
    pub fn by_class(&self) -> Vec<Vec<u32>> {
        by_class(&self.samples, self.classes.len())
    }

    /// The number of images of each class.
    pub fn class_sizes(&self) -> Vec<usize> {
        let mut sizes = vec![0; self.classes.len()];
        self.samples.iter().for_each(|sample| sizes[sample.label] += 1);
        sizes
    }

    /// The fingerprint of this data set, which does not depend on its location.
    pub fn fingerprint(&self) -> Fingerprint {
        let sample = |all: u64, Sample { source, label }: &Sample| {
            digest(digest(all, &source.name_below(&self.root)), &(*label as u64).to_le_bytes())
        };
        let digest = self.samples.iter().fold(digest::START, sample);
        Fingerprint { images: self.samples.len() as u64, digest }
    }
}

/// The indices of the samples of each class.
pub fn by_class(samples: &[Sample], classes: usize) -> Vec<Vec<u32>> {
    let mut found = vec![Vec::new(); classes];
    samples.iter().zip(0..).for_each(|(sample, index)| found[sample.label].push(index));
    found
}

/// How many of a model's classes an error lists.
const SHOWN: usize = 10;

fn unknown_class(root: &Path, name: &str, classes: &[String], owner: &str) -> String {
    let near = did_you_mean(name, classes.iter().map(String::as_str));
    let shown: Vec<&str> = classes.iter().take(SHOWN).map(String::as_str).collect();
    let more = classes.len() - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        "{}: not one of {owner}'s classes{near}, which are {}{more}. Rename the folder or move it out of {}",
        root.join(name).display(),
        shown.join(", "),
        root.display()
    )
}
