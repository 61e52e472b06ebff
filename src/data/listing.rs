//! What lies in a folder and the folders below it: the images, and whatever is left out, with the reason.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fmt::{self, Display, Formatter};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::image::format::{self, Content};

/// The images in a folder, and what is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The paths of the images, those of a folder sorted.
    pub images: Vec<PathBuf>,
    /// Everything else but hidden files and those that file managers leave behind.
    pub left_out: Vec<LeftOut>,
}

/// A file or folder that is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its path.
    pub path: PathBuf,
    /// Why.
    pub reason: Reason,
}

/// Why something is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// An image of this format, which cannot be decoded.
    Unsupported(&'static str),
    /// A link to something that does not exist, or to itself.
    DanglingLink,
    /// A file or folder that cannot be opened.
    Unreadable,
    /// An image beside the class folders.
    Classless,
    /// A link to a folder that is listed already, or belongs to other classes.
    ForeignLink,
    /// A file that is not an image.
    NotAnImage,
    /// A sample of a shard without a class.
    Unlabelled,
    /// A sample of a shard without an image.
    Imageless,
    /// A shard of which this many bytes at the end cannot be read.
    Truncated {
        /// Its last bytes.
        lost: u64,
    },
    /// Images that a list of classes counts, and shards lack.
    Missing {
        /// How many.
        images: u64,
    },
}

impl Reason {
    /// Whether an image may be missing because of it.
    pub fn is_loss(self) -> bool {
        !matches!(self, Reason::ForeignLink | Reason::NotAnImage)
    }
}

impl Display for Reason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Unsupported(format) => write!(f, "{format}, which is not supported (convert it to JPEG or PNG)"),
            Reason::DanglingLink => f.write_str("a link whose target does not exist"),
            Reason::Unreadable => f.write_str("cannot be opened (check its permissions)"),
            Reason::Classless => f.write_str("an image outside the class folders"),
            Reason::ForeignLink => f.write_str("a link to a folder that is read elsewhere"),
            Reason::NotAnImage => f.write_str("not an image"),
            Reason::Unlabelled => {
                f.write_str("a sample without a class (expected a member KEY.cls with its number, from 0)")
            }
            Reason::Imageless => f.write_str("a sample without an image"),
            Reason::Truncated { lost } => write!(f, "a corrupt or truncated shard, whose last {lost} bytes are lost"),
            Reason::Missing { images } => {
                write!(f, "{images} images that are counted here are missing from the shards")
            }
        }
    }
}

/// One line with counts by reason, or `None` if nothing is left out.
pub fn summary(left_out: &[LeftOut]) -> Option<String> {
    let mut reasons: BTreeMap<Reason, (usize, &Path)> = BTreeMap::new();
    for LeftOut { path, reason } in left_out {
        reasons.entry(*reason).or_insert((0, path)).0 += 1;
    }
    let counted = reasons.iter().map(|(reason, (count, first))| {
        let example = if *count == 1 { "" } else { "for example " };
        format!("{count} x {reason}: {example}{}", first.display())
    });
    let counted: Vec<String> = counted.collect();
    (!counted.is_empty()).then(|| format!("left out: {}", counted.join("; ")))
}

/// Lists the images in `dir` and the folders below it. Links are followed, but no folder is read twice, and no link leads
/// up, or to one of the folders `all` (canonical paths), which may include `dir` itself.
///
/// Files with the ending of an image format are taken for images unseen; others are opened.
///
/// # Errors
/// Returns an error if `dir` itself cannot be read.
pub fn list(dir: &Path, all: &[PathBuf]) -> Result<Listing> {
    let (entries, own) = (entries(dir)?, dir.canonicalize().with_context(|| unreadable(dir))?);
    let mut walk = Walk { all, entered: HashSet::from([own.clone()]), own, listing: Listing::default() };
    walk.take(entries);
    Ok(walk.listing)
}

struct Walk<'a> {
    all: &'a [PathBuf],
    /// The canonical path of the folder where the walk began.
    own: PathBuf,
    /// The canonical paths of the folders that were entered.
    entered: HashSet<PathBuf>,
    listing: Listing,
}

impl Walk<'_> {
    fn take(&mut self, entries: Vec<Entry>) {
        for Entry { path, kind, is_link } in entries {
            match kind {
                Ok(Kind::Folder) => self.folder(path, is_link),
                Ok(Kind::File) => match judge(&path) {
                    Ok(()) => self.listing.images.push(path),
                    Err(reason) => self.leave_out(path, reason),
                },
                Err(reason) => self.leave_out(path, reason),
            }
        }
    }

    fn folder(&mut self, path: PathBuf, is_link: bool) {
        let Ok(here) = path.canonicalize() else { return self.leave_out(path, Reason::Unreadable) };
        let is_other = |other: &&PathBuf| **other != self.own;
        let leads_there = |other: &PathBuf| here.starts_with(other) || other.starts_with(&here);
        let is_foreign = self.own.starts_with(&here) || self.all.iter().filter(is_other).any(leads_there);
        if (is_link && is_foreign) || !self.entered.insert(here) {
            return self.leave_out(path, Reason::ForeignLink);
        }
        match entries(&path) {
            Ok(entries) => self.take(entries),
            Err(_) => self.leave_out(path, Reason::Unreadable),
        }
    }

    fn leave_out(&mut self, path: PathBuf, reason: Reason) {
        self.listing.left_out.push(LeftOut { path, reason });
    }
}

/// Whether a file is an image: by its ending, otherwise by its content.
///
/// # Errors
/// Returns the reason to leave it out.
pub fn judge(path: &Path) -> Result<(), Reason> {
    if format::of_name(path).is_some() {
        return Ok(());
    }
    let mut start = Vec::with_capacity(format::START);
    let file = File::open(path).map_err(|_| Reason::Unreadable)?;
    file.take(format::START as u64).read_to_end(&mut start).map_err(|_| Reason::Unreadable)?;
    match Content::of(&start) {
        Content::Image(_) if format::is_camera_raw(path) => Err(Reason::Unsupported("camera raw")),
        Content::Image(_) => Ok(()),
        Content::Unsupported(name) => Err(Reason::Unsupported(name)),
        Content::Other => Err(Reason::NotAnImage),
    }
}

/// An entry of a folder.
pub struct Entry {
    /// Its path: the folder's path and its name.
    pub path: PathBuf,
    /// What it is, after links are followed, or why it is to be left out.
    pub kind: Result<Kind, Reason>,
    /// Whether it is a link.
    pub is_link: bool,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A regular file.
    File,
}

/// The entries of `dir`, sorted, without hidden files and those that file managers leave behind.
///
/// # Errors
/// Returns an error if it cannot be read.
pub fn entries(dir: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| unreadable(dir))? {
        let entry = entry.with_context(|| unreadable(dir))?;
        if is_leftover(&entry.file_name()) {
            continue;
        }
        let path = entry.path();
        // Known from the folder itself: opening every file would take minutes for a large data set.
        let kind = entry.file_type().with_context(|| unreadable(dir))?;
        let is_link = kind.is_symlink();
        let kind = if is_link { fs::metadata(&path).map(|target| target.file_type()) } else { Ok(kind) };
        let kind = match kind {
            Ok(kind) if kind.is_dir() => Ok(Kind::Folder),
            Ok(kind) if kind.is_file() => Ok(Kind::File),
            // Reading a pipe or a device might never end.
            Ok(_) => Err(Reason::NotAnImage),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(Reason::Unreadable),
            Err(_) => Err(Reason::DanglingLink),
        };
        entries.push(Entry { path, kind, is_link });
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

fn unreadable(dir: &Path) -> String {
    format!("{}: cannot read this folder; check its permissions", dir.display())
}

/// What macOS, Windows, Linux and network storage leave in folders of images. Hidden files begin with a dot.
const LEFTOVERS: [&str; 21] = [
    "#recycle",
    "#snapshot",
    "$RECYCLE.BIN",
    "@__thumb",
    "@eaDir",
    "@Recently-Snapshot",
    "@Recycle",
    "@tmp",
    "__MACOSX",
    "desktop.ini",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "Icon\r",
    "lost+found",
    "Network Trash Folder",
    "Picasa.ini",
    "RECYCLER",
    "System Volume Information",
    "Temporary Items",
    "TheVolumeSettingsFolder",
    "Thumbs.db",
];

fn is_leftover(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") || LEFTOVERS.iter().any(|leftover| name.eq_ignore_ascii_case(leftover))
}
