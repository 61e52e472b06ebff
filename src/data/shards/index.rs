//! The index of a shard: a file beside it, `NAME.tar.index`, with the places of its images, so that millions of them are
//! known within seconds.
//!
//! All numbers are little-endian: `topfive shard 1` and a line feed, the shard's size, the CRC-32 of its first block, the
//! number of images and of bytes of names (64 bits each), four numbers for each image (32 bits each: the first block, the
//! length, the class, the end of its name), the names, and the CRC-32 of all before.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::scan::scan;
use super::shard::{BLOCK, Place, Shard};
use crate::atomic::write_atomically;
use crate::data::listing::LeftOut;

/// What an index begins with.
const MAGIC: &[u8; 16] = b"topfive shard 1\n";
/// The bytes before the places.
const HEADER: usize = MAGIC.len() + 4 * 8;
/// The bytes of a place.
const PLACE: usize = 16;

/// An opened shard.
#[derive(Debug)]
pub struct Opened {
    /// Its images.
    pub shard: Shard,
    /// What is not among them.
    pub left_out: Vec<LeftOut>,
    /// How it was indexed.
    pub index: Index,
}

/// Where the index of a shard comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Index {
    /// It was there.
    Found,
    /// It was made, and written beside the shard.
    Made,
    /// It was made, and cannot be written.
    Unwritable,
}

/// The file of a shard's index.
pub fn path(shard: &Path) -> PathBuf {
    let mut path = OsString::from(shard);
    path.push(".index");
    path.into()
}

/// Opens a shard by its index, which is made if it is missing, older than the shard, or for a shard of another size. A
/// shard that is not whole is scanned each time, so that what is left out is said each time.
///
/// # Errors
/// Returns an error if the shard cannot be opened.
pub fn open(shard: &Path) -> Result<Opened> {
    if let Some(shard) = read(shard) {
        return Ok(Opened { shard, left_out: Vec::new(), index: Index::Found });
    }
    let (scanned, left_out) = scan(shard)?;
    let index = match left_out.is_empty() {
        true if write(&scanned).is_ok() => Index::Made,
        true => Index::Unwritable,
        false => Index::Found,
    };
    Ok(Opened { shard: scanned, left_out, index })
}

/// Writes the index of a whole shard.
///
/// # Errors
/// Returns an error if it cannot be written, or another program's file has its name.
pub fn write(shard: &Shard) -> Result<()> {
    let path = path(shard.path());
    let is_other = fs::read(&path).is_ok_and(|earlier| !earlier.starts_with(MAGIC));
    ensure!(!is_other, "{}: not an index of this program; move it away", path.display());
    let size = fs::metadata(shard.path())?.len();
    let mut bytes = Vec::with_capacity(HEADER + PLACE * shard.len() + shard.names().len() + 4);
    bytes.extend_from_slice(MAGIC);
    for number in [size, first_block(shard.path())?, shard.len() as u64, shard.names().len() as u64] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    for Place { block, length, label, name_end } in shard.places() {
        [block, length, label, name_end].iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
    }
    bytes.extend_from_slice(shard.names().as_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    write_atomically(&path, &bytes)
}

/// The CRC-32 of a shard's first block, which names its first member: shards of one size may have been renamed.
fn first_block(shard: &Path) -> Result<u64> {
    let mut block = Vec::new();
    File::open(shard)?.take(BLOCK).read_to_end(&mut block)?;
    Ok(u64::from(crc32fast::hash(&block)))
}

/// Reads the index of a shard; `None` if there is none that is whole and belongs to the shard as it is.
fn read(shard: &Path) -> Option<Shard> {
    let index = path(shard);
    let (of_shard, of_index) = (fs::metadata(shard).ok()?, fs::metadata(&index).ok()?);
    if of_shard.modified().ok()? > of_index.modified().ok()? {
        return None;
    }
    let mut bytes = fs::read(index).ok()?;
    let (content, checksum) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(content) != u32::from_le_bytes(*checksum) || !content.starts_with(MAGIC) {
        return None;
    }
    let number = |at: usize| Some(u64::from_le_bytes(*content.get(MAGIC.len() + 8 * at..)?.first_chunk()?));
    let (size, first, images, names) = (number(0)?, number(1)?, number(2)?, number(3)?);
    let (images, names) = (usize::try_from(images).ok()?, usize::try_from(names).ok()?);
    let names_at = HEADER.checked_add(images.checked_mul(PLACE)?)?;
    if size != of_shard.len() || first != first_block(shard).ok()? || names_at.checked_add(names)? != content.len() {
        return None;
    }
    let place = |place: &[u8; PLACE]| {
        let [block, length, label, name_end] =
            [0, 4, 8, 12].map(|at| u32::from_le_bytes([place[at], place[at + 1], place[at + 2], place[at + 3]]));
        Place { block, length, label, name_end }
    };
    let places = content[HEADER..names_at].as_chunks().0.iter().map(place).collect();
    bytes.truncate(names_at + names);
    let names = String::from_utf8(bytes.split_off(names_at)).ok()?;
    Shard::from_parts(shard.to_path_buf(), places, names, size)
}
