//! A file that only grows. What cannot be written, on a full disk for instance, is kept for the next try.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A file, and what is to be added to it.
#[derive(Debug)]
pub struct Appended {
    path: PathBuf,
    pending: Vec<u8>,
}

impl Appended {
    /// The file at `path`, which need not exist yet.
    pub fn at(path: PathBuf) -> Self {
        Appended { path, pending: Vec::new() }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds bytes, and with them those that could not be written before.
    ///
    /// # Errors
    /// Returns an error if they cannot be written; nothing is then lost, and nothing written in part.
    pub fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.pending.extend_from_slice(bytes);
        self.write(false)
    }

    /// Writes what could not be written before, and makes sure that all of the file lasts through a power cut.
    ///
    /// # Errors
    /// See [`Appended::add`].
    pub fn sync(&mut self) -> Result<()> {
        self.write(true)
    }

    fn write(&mut self, to_last: bool) -> Result<()> {
        let write = || {
            let mut file = OpenOptions::new().append(true).create(true).open(&self.path)?;
            let before = file.metadata()?.len();
            // One write for all: only a full disk or a power cut can truncate it.
            let written = file.write_all(&self.pending);
            if written.is_err() {
                file.set_len(before)?;
            }
            written.and_then(|()| if to_last { file.sync_data() } else { Ok(()) })
        };
        write().with_context(|| {
            format!("cannot write to {}; is there room on the disk? The last checkpoint is intact", self.path.display())
        })?;
        self.pending.clear();
        Ok(())
    }
}
