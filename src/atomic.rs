//! Atomic writes: a file gets its name only when it is complete, by way of a temporary file in the same folder.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use tempfile::NamedTempFile;

/// Writes a file so that at any moment it is either the old or the new one, complete.
///
/// # Errors
/// Returns an error with the path if it cannot be written; the old file is then intact.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write(bytes)?;
    file.finish()
}

/// Checks that a file can be written at `path`, before hours of work rather than after.
///
/// # Errors
/// Returns an error if its folder does not exist, or it is a folder itself.
pub fn check_writable(path: &Path) -> Result<()> {
    let folder = folder_of(path);
    ensure!(
        folder.is_dir(),
        "cannot write {}: the folder {} does not exist; create it first",
        path.display(),
        folder.display()
    );
    ensure!(!path.is_dir(), "cannot write {}: it is a folder; name a file in it", path.display());
    Ok(())
}

/// Checks that nothing is at `path` yet and a file can be written there.
///
/// # Errors
/// Returns an error with the path if there is something, or [`check_writable`] does.
pub fn check_new(path: &Path) -> Result<()> {
    ensure!(!path.exists(), "{}: exists already. Choose another name, or remove it first", path.display());
    check_writable(path)
}

/// A file that is written piece by piece, and takes its place when it is complete.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    to: Destination,
    written: usize,
}

#[derive(Debug)]
enum Destination {
    /// A device or a pipe, which cannot be renamed.
    InPlace(File),
    Beside(BufWriter<NamedTempFile>),
}

/// Checks that a folder does not exist yet or is empty, so that what is put into it replaces nothing.
///
/// # Errors
/// Returns an error with the path if something is in it, or it cannot be read.
pub fn check_unused(folder: &Path) -> Result<()> {
    let path = folder.display();
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => bail!("{path}: not empty. Choose a new folder, or empty this one first"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("{path}: cannot be read. Choose a new or an empty folder")),
    }
}

/// What the names of temporary files start with; a program that was killed may leave one.
pub const TEMPORARY: &str = ".topfive-";

impl AtomicFile {
    /// # Errors
    /// Returns an error with the path if no file can be made in the folder.
    pub fn create(path: &Path) -> Result<Self> {
        // A link's target is replaced, not the link.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let to = if path.exists() && !path.is_file() {
            File::options().write(true).open(&path).map(Destination::InPlace)
        } else {
            temporary(&path).map(|file| Destination::Beside(BufWriter::new(file)))
        };
        match to {
            Ok(to) => Ok(AtomicFile { path, to, written: 0 }),
            Err(error) => Err(error).with_context(|| unwritable(&path, 0)),
        }
    }

    /// # Errors
    /// Returns an error if the disk is full or fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len();
        let written = match &mut self.to {
            Destination::InPlace(file) => file.write_all(bytes),
            Destination::Beside(file) => file.write_all(bytes),
        };
        written.with_context(|| unwritable(&self.path, self.written))
    }

    /// Moves the complete file to its path.
    ///
    /// # Errors
    /// Returns an error if the disk is full or fails; the old file is then intact.
    pub fn finish(self) -> Result<()> {
        let AtomicFile { path, to, written } = self;
        let Destination::Beside(file) = to else { return Ok(()) };
        let moved = || -> io::Result<()> {
            let temporary = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            temporary.as_file().sync_all()?;
            temporary.persist(&path).map_err(|error| error.error)?;
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
    format!("cannot write {} ({bytes} bytes); an earlier file is intact. Is there room on the disk?", path.display())
}

/// What the name of a temporary file for `path` starts with: whoever owns a file also owns what is left of writing it.
pub fn temporary_prefix(path: &Path) -> String {
    // File names are limited to 255 bytes.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{TEMPORARY}{}-", name.chars().take(40).collect::<String>())
}

fn temporary(path: &Path) -> io::Result<NamedTempFile> {
    let prefix = temporary_prefix(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix);
    // By default only the owner may read temporary files; results should follow the umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder_of(path))
}
