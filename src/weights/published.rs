//! Published weights: fetched once, verified by their checksum and kept in the user's cache folder.
//!
//! A file gets its final name only once its checksum is right. Next to it lie `NAME.part` while it is incomplete
//! (the next run continues it), `NAME.lock` (one process fetches, the others wait) and `NAME.verified`.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, anyhow, bail, ensure};
use indicatif::DecimalBytes;
use sha2::{Digest, Sha256};
use ureq::http::Uri;

use super::download::{Download, Failure, Part};
use crate::atomic::write_atomically;
use crate::report::Report;

/// Checks an experiment's claim of where its weights are: an http or https address that ends in a file name, and the
/// SHA-256 of the file, or at least its first eight hex digits.
///
/// # Errors
/// Returns an error if one of them is malformed, with its JSON path.
pub fn check(url: &str, sha256: &str) -> Result<()> {
    ensure!(
        file_name(url).is_some(),
        "weights.url: expected an http:// or https:// address that ends in a file name, found \"{url}\""
    );
    let digits = sha256.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    ensure!(
        digits && (SHORTEST..=64).contains(&sha256.len()),
        "weights.sha256: expected 8 to 64 lower-case hex digits, found \"{sha256}\""
    );
    Ok(())
}

/// Hex digits of the checksum that are always known: as many as torchvision writes into its file names.
const SHORTEST: usize = 8;

/// Returns the path of a published file in the cache folder, verified; fetches it if it is not cached yet.
///
/// The cache folder is `$XDG_CACHE_HOME/topfive/weights`, or `~/.cache/topfive/weights`. `sha256` is the file's SHA-256
/// in lower-case hex, or its first 8 or more digits.
///
/// # Errors
/// Returns an error if the file cannot be fetched or written, or has the wrong checksum; the message says where to put
/// the file by hand.
pub fn fetch(url: &str, sha256: &str, report: Report) -> Result<PathBuf> {
    fetch_into(&cache_folder()?, url, sha256, report)
}

/// Like [`fetch`], in a given cache folder, which is created if it does not exist.
///
/// # Errors
/// See [`fetch`].
pub fn fetch_into(folder: &Path, url: &str, sha256: &str, report: Report) -> Result<PathBuf> {
    check(url, sha256)?;
    let place = Place { url, sha256, file: folder.join(cached_name(url, sha256)) };
    if place.is_verified()? {
        return Ok(place.file);
    }
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot create the folder {}. {ELSEWHERE}", folder.display()))?;
    let _held_until_the_end = place.lock(report)?;
    // Another process may have fetched it while this one waited.
    if !place.is_verified()? {
        place.fetch(report)?;
    }
    Ok(place.file)
}

const ELSEWHERE: &str = "Set XDG_CACHE_HOME to a writable folder, or use a local copy of the weights";

/// <https://specifications.freedesktop.org/basedir-spec>: a relative path in the variable is ignored.
fn cache_folder() -> Result<PathBuf> {
    let set = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let usual = || env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".cache"));
    let folder = set.or_else(usual).with_context(|| {
        format!("no folder for published weights: XDG_CACHE_HOME and HOME name no absolute path. {ELSEWHERE}")
    })?;
    Ok(folder.join("topfive/weights"))
}

fn file_name(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let fetchable =
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty());
    let name = uri.path().rsplit('/').next()?;
    (fetchable && !matches!(name, "" | "." | "..")).then(|| name.to_string())
}

/// The file's own name if it carries the checksum, as torchvision's do; otherwise the checksum is added, so that two
/// files called `weights.pth` do not replace each other.
fn cached_name(url: &str, sha256: &str) -> String {
    let (name, digits) = (file_name(url).unwrap_or_default(), &sha256[..SHORTEST]);
    if name.contains(digits) {
        return name;
    }
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => format!("{stem}-{digits}.{extension}"),
        _ => format!("{name}-{digits}"),
    }
}

/// A published file and its place in the cache folder.
struct Place<'a> {
    url: &'a str,
    sha256: &'a str,
    file: PathBuf,
}

impl Place<'_> {
    /// Whether the file exists and has the right checksum.
    ///
    /// Hashing takes 0.2 s for 100 MB, and more on processors without SHA instructions: too long for every start. So
    /// `NAME.verified` records what was hashed: digest, length and modification time. A file that was put there by
    /// hand, truncated or replaced has a different length or time, and is hashed again. Bits that rot on the disk are
    /// left to the format's own checks: zipped .pth files carry CRCs, older ones do not.
    fn is_verified(&self) -> Result<bool> {
        let unreadable = || format!("cannot read {}. Delete it to have it fetched again", self.file.display());
        let mut file = match File::open(&self.file) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(false),
            opened => opened.with_context(unreadable)?,
        };
        let stamp = stamp(&file).with_context(unreadable)?;
        let record = fs::read_to_string(self.beside("verified")).unwrap_or_default();
        if record.split_once(' ').is_some_and(|(digest, rest)| digest.starts_with(self.sha256) && rest == stamp) {
            return Ok(true);
        }
        let mut hash = Sha256::new();
        io::copy(&mut file, &mut hash).with_context(unreadable)?;
        let digest = format!("{:x}", hash.finalize());
        let right = digest.starts_with(self.sha256);
        if right {
            self.record(&digest, &stamp);
        }
        Ok(right)
    }

    fn record(&self, digest: &str, stamp: &str) {
        // If the cache folder is read-only, the file is hashed on every start, which is not an error.
        let _ = write_atomically(&self.beside("verified"), format!("{digest} {stamp}").as_bytes());
    }

    /// `NAME.part` and the like.
    fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.file.clone().into_os_string();
        path.push(format!(".{ending}"));
        path.into()
    }

    /// Waits until no other process is fetching the same file. The lock dies with its process; the lock file stays,
    /// since removing it would let two processes lock two files of one name.
    fn lock(&self, report: Report) -> Result<File> {
        let path = self.beside("lock");
        let locked = || -> io::Result<File> {
            let file = File::options().create(true).truncate(false).write(true).open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    report.note(format!("waiting for another process that is fetching {}", self.url));
                    file.lock()?;
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
            Ok(file)
        };
        locked().with_context(|| format!("cannot lock {}. {ELSEWHERE}", path.display()))
    }

    fn fetch(&self, report: Report) -> Result<()> {
        if self.file.exists() {
            report.warn(format!(
                "{}: not the published file: its SHA-256 does not start with {}. It is fetched again and then replaced",
                self.file.display(),
                self.sha256
            ));
        }
        report.note(format!("fetching {} into {}", self.url, self.file.display()));
        let mut part = Part::open(self.beside("part"))?;
        let mut download = Download::new(self.url, report);
        download.run(&mut part).map_err(|failure| self.failed(failure))?;
        if part.is_pieced() && !part.digest().starts_with(self.sha256) {
            report.note(format!(
                "{}: wrong checksum after an interrupted download: the file may have changed on the server; fetching it from the start",
                self.url
            ));
            part.clear().map_err(|error| part.unwritable(&error, None))?;
            download.run(&mut part).map_err(|failure| self.failed(failure))?;
        }
        self.keep(part)
    }

    /// Moves a complete part to its place if its checksum is right.
    fn keep(&self, part: Part) -> Result<()> {
        let digest = part.digest();
        if !digest.starts_with(self.sha256) {
            part.remove();
            bail!(
                "{}: wrong checksum: expected a SHA-256 that starts with {}, found {digest} ({} fetched, and deleted). \
                 The server has a different file from the one the experiment names, or a proxy sent a page of its own instead. {}",
                self.url,
                self.sha256,
                DecimalBytes(part.length()),
                self.by_hand()
            );
        }
        let kept = || -> io::Result<()> {
            let file = part.synced()?;
            self.record(&digest, &stamp(file)?);
            fs::rename(part.path(), &self.file)?;
            // The rename itself lasts only once the folder is on the disk.
            File::open(self.file.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        kept().map_err(|error| part.unwritable(&error, Some(part.length())))
    }

    fn failed(&self, failure: Failure) -> anyhow::Error {
        match failure {
            Failure::Dropped(reason) | Failure::Refused(reason) => {
                anyhow!("cannot fetch {}: {reason}. {}", self.url, self.by_hand())
            }
            Failure::Disk(error) => error,
        }
    }

    fn by_hand(&self) -> String {
        format!("Download it by other means to {}, or use a local copy of the weights", self.file.display())
    }
}

/// Length and modification time: one system call shows whether a file was changed.
fn stamp(file: &File) -> io::Result<String> {
    let metadata = file.metadata()?;
    let changed = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(format!("{} {}", metadata.len(), changed.as_nanos()))
}
