//! Files that take their places only when they are whole: written aside, synced, renamed.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

/// Writes a file so that it is, at any moment, either the old or the new one, whole.
///
/// # Errors
/// Where it cannot be written, with the path; the old file is then unharmed.
pub fn write_aside(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut aside = Aside::create(path)?;
    aside.write(bytes)?;
    aside.finish()
}

/// Whether a file can have its place: asked before hours of work, not after.
///
/// # Errors
/// Where its folder does not exist, or it is a folder itself.
pub fn check_place(path: &Path) -> Result<()> {
    let folder = folder_of(path);
    ensure!(folder.is_dir(), "cannot write {}: there is no folder {}; make it first", path.display(), folder.display());
    ensure!(!path.is_dir(), "cannot write {}: it is a folder; name a file in it", path.display());
    Ok(())
}

/// A file that is written piece by piece beside its place, and takes it when it is whole.
pub struct Aside {
    path: PathBuf,
    to: Destination,
    written: usize,
}

enum Destination {
    /// A device or a pipe, which cannot be renamed.
    InPlace(File),
    Beside(BufWriter<NamedTempFile>),
}

/// What the name of a file starts with that is not finished, or that a killed program left.
pub const ASIDE: &str = ".aside-";

impl Aside {
    /// # Errors
    /// Where no file can be made in the folder, with the path.
    pub fn create(path: &Path) -> Result<Self> {
        // A link's target is replaced, not the link.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let to = if path.exists() && !path.is_file() {
            File::options().write(true).open(&path).map(Destination::InPlace)
        } else {
            temporary(folder_of(&path)).map(|file| Destination::Beside(BufWriter::new(file)))
        };
        match to {
            Ok(to) => Ok(Aside { path, to, written: 0 }),
            Err(error) => Err(error).with_context(|| unwritable(&path, 0)),
        }
    }

    /// # Errors
    /// Where there is no room.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len();
        let written = match &mut self.to {
            Destination::InPlace(file) => file.write_all(bytes),
            Destination::Beside(file) => file.write_all(bytes),
        };
        written.with_context(|| unwritable(&self.path, self.written))
    }

    /// # Errors
    /// Where there is no room; the old file is unharmed.
    pub fn finish(self) -> Result<()> {
        let Aside { path, to, written } = self;
        let Destination::Beside(file) = to else { return Ok(()) };
        let moved = || -> io::Result<()> {
            let aside = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            aside.as_file().sync_all()?;
            aside.persist(&path).map_err(|error| error.error)?;
            // The rename itself lasts only once the folder is on the disk.
            File::open(folder_of(&path))?.sync_all()
        };
        moved().with_context(|| unwritable(&path, written))
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn unwritable(path: &Path, bytes: usize) -> String {
    format!(
        "cannot write {} ({bytes} bytes); what was there before is unharmed. Is there room on the disk?",
        path.display()
    )
}

fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(ASIDE);
    // Temporary files are for their owner's eyes alone; results are for whom the umask permits.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}
