//! ImageNet as ILSVRC distributes it: a tar file of a tar file per class to train on, and a flat tar file to validate on,
//! with a list of its classes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use tar::Archive;

use super::{Part, TRAIN, VAL, devkit};
use crate::data::dataset::{Dataset, Sample, Source};
use crate::data::list::rows;
use crate::data::shards::shard::{Member, Shard};
use crate::text;

/// The images to train on.
const TRAIN_TAR: &str = "ILSVRC2012_img_train.tar";
/// The images to validate on.
const VAL_TAR: &str = "ILSVRC2012_img_val.tar";
/// Lists of the classes of the latter: Caffe's, or one synset per line in the order of the images.
const LISTS: [&str; 3] =
    ["val.txt", "ILSVRC2012_validation_synset_labels.txt", "imagenet_2012_validation_synset_labels.txt"];

/// Whether a folder holds ILSVRC's tar files.
pub fn is_in(folder: &Path) -> bool {
    folder.join(TRAIN_TAR).is_file()
}

/// Reads the tar files in a folder: only the headers of their members. Images are ordered by class and name, as in class
/// folders.
///
/// # Errors
/// Returns an error if a tar file is corrupt or truncated, or the classes of the images to validate on are not known.
pub fn open(folder: &Path) -> Result<Vec<Part>> {
    let train = train(folder)?;
    let val_tar = folder.join(VAL_TAR);
    if !val_tar.is_file() {
        return Ok(vec![Part::new(TRAIN, train)]);
    }
    let val = val(folder, &val_tar, &train.classes)?;
    Ok(vec![Part::new(TRAIN, train), Part::new(VAL, val)])
}

fn train(folder: &Path) -> Result<Dataset> {
    let path = folder.join(TRAIN_TAR);
    let mut inner = members(&path, None)?;
    inner.retain(|member| member.name.ends_with(".tar"));
    inner.sort_by(|a, b| a.name.cmp(&b.name));
    let class = |member: &Member| member.name.trim_start_matches("./").trim_end_matches(".tar").to_string();
    let classes: Vec<String> = inner.iter().map(class).collect();
    let mut images = Vec::new();
    for (label, (member, class)) in inner.iter().zip(&classes).enumerate() {
        let mut found = members(&path, Some(member))?;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        images.extend(
            found.into_iter().map(|image| (Member { name: format!("{class}/{}", image.name), ..image }, label)),
        );
    }
    dataset(folder, &path, classes, &images)
}

fn val(folder: &Path, path: &Path, classes: &[String]) -> Result<Dataset> {
    let mut images = members(path, None)?;
    images.sort_by(|a, b| a.name.cmp(&b.name));
    let list = LISTS.iter().map(|name| folder.join(name)).find(|list| list.is_file());
    let devkit = Some(folder.join(devkit::ARCHIVE)).filter(|archive| archive.is_file());
    let (from, labels) = match (list, devkit) {
        (Some(list), _) => (list.clone(), listed(&list, &images, classes)?),
        (None, Some(archive)) => (archive.clone(), devkit::labels(&archive, classes)?),
        (None, None) => bail!(
            "{}: the classes of these images are not known; expected {}, {} beside it",
            path.display(),
            devkit::ARCHIVE,
            LISTS.join(" or ")
        ),
    };
    ensure!(
        labels.len() == images.len(),
        "{}: {} labels for the {} images of {}",
        from.display(),
        labels.len(),
        images.len(),
        path.display()
    );
    dataset(folder, path, classes.to_vec(), &images.into_iter().zip(labels).collect::<Vec<_>>())
}

/// The labels that a list gives the images: by their names, or in their order.
fn listed(list: &Path, images: &[Member], classes: &[String]) -> Result<Vec<usize>> {
    let name = list.display();
    let rows = rows(&text::read(list)?).with_context(|| name.to_string())?;
    let places: HashMap<&str, usize> = classes.iter().map(String::as_str).zip(0..).collect();
    let label = |label: &str| {
        let number = || label.parse().ok().filter(|number: &usize| *number < classes.len());
        let known = places.get(label).copied().or_else(number);
        known.with_context(|| {
            format!("{name}: {label} is not one of the {} classes of the training images", classes.len())
        })
    };
    let by_file: HashMap<&str, &str> =
        rows.iter().filter_map(|row| Some((file_name(row.file.as_deref()?), row.label.as_str()))).collect();
    if by_file.is_empty() {
        return rows.iter().map(|row| label(&row.label)).collect();
    }
    let of_image = |image: &Member| {
        label(by_file.get(file_name(&image.name)).with_context(|| format!("{name}: no class for {}", image.name))?)
    };
    images.iter().map(of_image).collect()
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn dataset(folder: &Path, tar: &Path, classes: Vec<String>, images: &[(Member, usize)]) -> Result<Dataset> {
    ensure!(!images.is_empty(), "{}: holds no images", tar.display());
    let mut shard = Shard::new(tar.to_path_buf());
    images.iter().try_for_each(|(image, label)| shard.push(image, *label as u32))?;
    let shard = Arc::new(shard);
    let sample = |(index, (_, label)): (usize, &(Member, usize))| Sample {
        source: Source::stretch(shard.clone(), index as u32),
        label: *label,
    };
    let samples = images.iter().enumerate().map(sample).collect();
    Ok(Dataset { root: folder.to_path_buf(), classes, samples, left_out: Arc::new([]), notes: Vec::new() })
}

/// The files in a tar file, or in the tar file that is a member of it; their places are those in the outer one.
fn members(path: &Path, within: Option<&Member>) -> Result<Vec<Member>> {
    let corrupt = || match within {
        Some(member) => format!("{}/{}: corrupt or truncated", path.display(), member.name),
        None => format!("{}: corrupt or truncated", path.display()),
    };
    let file = File::open(path).with_context(|| format!("{}: cannot be opened", path.display()))?;
    let size = file.metadata().with_context(corrupt)?.len();
    let (start, end) = within.map_or((0, size), |member| (member.offset, member.offset + member.length));
    let mut archive = Archive::new(Window { file, start, end, position: start });
    let mut members = Vec::new();
    for member in archive.entries_with_seek().with_context(corrupt)? {
        let member = member.with_context(corrupt)?;
        let (offset, length) = (start + member.raw_file_position(), member.size());
        ensure!(offset + length <= end, corrupt());
        if member.header().entry_type().is_file() {
            members.push(Member { name: String::from_utf8_lossy(&member.path_bytes()).into_owned(), offset, length });
        }
    }
    Ok(members)
}

/// A stretch of a file, as a file of its own.
struct Window {
    file: File,
    start: u64,
    end: u64,
    position: u64,
}

impl Read for Window {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.end.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(rest);
        self.file.seek(SeekFrom::Start(self.position))?;
        let read = self.file.read(&mut buffer[..wanted])?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for Window {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => self.start.checked_add(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.end.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position.saturating_sub(self.start))
    }
}
