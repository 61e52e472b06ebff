//! A shard that is written: member by member, under its name only when it is complete, and read back.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use crc32fast::Hasher;
use tar::{EntryType, Header};

use super::shrink::{Shrink, shrunk};
use crate::atomic::AtomicFile;
use crate::data::dataset::Source;
use crate::data::shards::index;
use crate::data::shards::shard::BLOCK;
use crate::image::format;

/// The bytes of an image, and the ending of its name.
#[derive(Clone, Debug)]
pub struct Content {
    bytes: Vec<u8>,
    ending: String,
}

impl Content {
    /// Reads an image, and shrinks it if it is to be.
    ///
    /// # Errors
    /// Returns the reason if it cannot be read, or not be decoded to be shrunk.
    pub fn of(source: &Source, shrink: Option<Shrink>) -> Result<Self> {
        let (bytes, path) = (source.bytes()?, source.path());
        ensure!(!bytes.is_empty(), "the file is empty (0 bytes)");
        if let Some(shrink) = shrink
            && let Some(bytes) = shrunk(&bytes, &path, shrink)?
        {
            return Ok(Content { bytes, ending: "jpg".to_string() });
        }
        let named =
            format::of_name(&path).and_then(|_| path.extension()).map(|ending| ending.to_string_lossy().to_lowercase());
        let ending = named.or_else(|| format::ending_of(&bytes).map(String::from)).context("not an image")?;
        Ok(Content { bytes: bytes.into_owned(), ending })
    }
}

/// A shard that is not yet complete.
#[derive(Debug)]
pub struct ShardFile {
    path: PathBuf,
    file: AtomicFile,
    images: usize,
    checksum: Hasher,
}

impl ShardFile {
    /// # Errors
    /// Returns an error if no file can be made in the folder.
    pub fn create(path: &Path) -> Result<Self> {
        let file = AtomicFile::create(path)?;
        Ok(ShardFile { path: path.to_path_buf(), file, images: 0, checksum: Hasher::new() })
    }

    /// Adds a sample: its image and its class.
    ///
    /// # Errors
    /// Returns an error if the disk is full or fails.
    pub fn add(&mut self, key: &str, label: usize, content: &Content) -> Result<()> {
        self.images += 1;
        self.member(&format!("{key}.{}", content.ending), &content.bytes)?;
        self.member(&format!("{key}.cls"), label.to_string().as_bytes())
    }

    /// Times and owners are left out, so that the same images make the same file.
    fn member(&mut self, name: &str, content: &[u8]) -> Result<()> {
        let mut header = Header::new_ustar();
        header.set_path(name).with_context(|| format!("{name}: too long a name for a tar file"))?;
        header.set_entry_type(EntryType::Regular);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        self.write(header.as_bytes())?;
        self.write(content)?;
        let padding = content.len().next_multiple_of(BLOCK as usize) - content.len();
        self.write(&[0; BLOCK as usize][..padding])
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.checksum.update(bytes);
        self.file.write(bytes)
    }

    /// Ends the shard, reads it back, and writes its index.
    ///
    /// # Errors
    /// Returns an error if the disk is full or fails, or what is read is not what was written.
    pub fn finish(mut self) -> Result<()> {
        self.write(&[0; 2 * BLOCK as usize])?;
        let ShardFile { path, file, images, checksum } = self;
        file.finish()?;
        let name = path.display();
        let mut read = Checksum(Hasher::new());
        File::open(&path)
            .and_then(|mut file| io::copy(&mut file, &mut read))
            .with_context(|| format!("{name}: cannot be read back"))?;
        let opened = index::open(&path)?;
        ensure!(
            read.0.finalize() == checksum.finalize() && opened.left_out.is_empty() && opened.shard.len() == images,
            "{name}: reads back differently than it was written. Check the disk, remove this file, and pack again"
        );
        Ok(())
    }
}

/// Takes the checksum of what is written to it.
struct Checksum(Hasher);

impl Write for Checksum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
