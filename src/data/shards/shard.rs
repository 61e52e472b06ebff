//! A shard: a tar file, and where each of its images lies.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// A tar file consists of blocks of this many bytes: before the content of each member, a block describes it.
pub const BLOCK: u64 = 512;
/// The largest image in a shard, in bytes: as large as a file may be.
pub const MOST_BYTES: u64 = 1 << 30;

/// A shard whose images are known by their places, each in 16 bytes and its name: there may be millions.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Shard {
    path: PathBuf,
    places: Vec<Place>,
    /// The images' names one after another.
    names: String,
}

/// Where an image lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the first block of its content.
    pub block: u32,
    /// The number of its bytes.
    pub length: u32,
    /// The index of its class.
    pub label: u32,
    /// Where its name ends among the names.
    pub name_end: u32,
}

/// An image of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its path in the tar file.
    pub name: String,
    /// Where its content begins, in bytes.
    pub offset: u64,
    /// The number of its bytes.
    pub length: u64,
}

impl Shard {
    /// A shard without images so far.
    pub fn new(path: PathBuf) -> Self {
        Shard { path, ..Shard::default() }
    }

    /// A shard of these places and names; `None` if they do not fit together or into a file of `size` bytes.
    pub fn from_parts(path: PathBuf, places: Vec<Place>, names: String, size: u64) -> Option<Self> {
        let ends = || places.iter().map(|place| place.name_end as usize);
        let fits = |place: &Place| {
            place.block > 0 && u64::from(place.block) * BLOCK + u64::from(place.length) <= size && place.length > 0
        };
        let is_whole = ends().is_sorted() && ends().all(|end| names.is_char_boundary(end));
        (is_whole && places.iter().all(fits)).then_some(Shard { path, places, names })
    }

    /// Adds an image.
    ///
    /// # Errors
    /// Returns an error if the shard is too large: beyond 2 TB, or 4 GB of names.
    pub fn push(&mut self, member: &Member, label: u32) -> Result<()> {
        self.names.push_str(&member.name);
        let too_large = || format!("{}: too large for a shard", self.path.display());
        self.places.push(Place {
            block: u32::try_from(member.offset / BLOCK).with_context(too_large)?,
            length: u32::try_from(member.length).with_context(too_large)?,
            label,
            name_end: u32::try_from(self.names.len()).with_context(too_large)?,
        });
        Ok(())
    }

    /// The tar file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of its images.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether it has no images.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Where its images lie.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The images' names one after another.
    pub fn names(&self) -> &str {
        &self.names
    }

    /// The path of an image in the tar file.
    pub fn name(&self, index: usize) -> &str {
        let start = index.checked_sub(1).map_or(0, |before| self.places[before].name_end);
        &self.names[start as usize..self.places[index].name_end as usize]
    }

    /// The number that is an image's key, if it is one.
    pub fn number(&self, index: usize) -> Option<u32> {
        self.name(index).split_once('.')?.0.parse().ok()
    }

    /// The class of an image.
    pub fn label(&self, index: usize) -> usize {
        self.places[index].label as usize
    }

    /// The classes of the images.
    pub fn labels(&self) -> impl Iterator<Item = usize> {
        self.places.iter().map(|place| place.label as usize)
    }

    /// The number of bytes of an image.
    pub fn length(&self, index: usize) -> u64 {
        u64::from(self.places[index].length)
    }

    /// Reads the bytes of an image.
    ///
    /// # Errors
    /// Returns the reason if the shard has disappeared, cannot be read, or is not what it was when it was opened.
    pub fn read(&self, index: usize) -> Result<Vec<u8>> {
        let place = self.places[index];
        // Opened for each image: thousands of open files are more than a process may have.
        let file = File::open(&self.path).context("its shard cannot be opened")?;
        let mut bytes = vec![0; BLOCK as usize + place.length as usize];
        let start = (u64::from(place.block) - 1) * BLOCK;
        file.read_exact_at(&mut bytes, start).context("its shard is truncated, or cannot be read")?;
        let header = tar::Header::from_byte_slice(&bytes[..BLOCK as usize]);
        let is_same = header.entry_size().is_ok_and(|size| size == u64::from(place.length));
        ensure!(is_same, "its shard has changed since it was opened; start again");
        bytes.drain(..BLOCK as usize);
        Ok(bytes)
    }
}
