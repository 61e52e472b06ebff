//! A data set as it lies on disk: one folder per class, images inside.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use image::ImageFormat;

use crate::nearest::nearest;

/// An image file and the position of its class in the class list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pub path: PathBuf,
    pub label: usize,
}

impl AsRef<Path> for Sample {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

/// The images of one split, sorted by class and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Sorted names of the class folders.
    pub classes: Vec<String>,
    /// Shared with the workers that read them: the one thing in memory that grows with the data set.
    pub samples: Arc<[Sample]>,
}

impl Folder {
    /// Reads the class folders in `dir`. Links are followed, hidden files and files that are no images are passed over.
    ///
    /// # Errors
    /// Where the folder is missing or empty (with the tree that was expected), or a class has no images.
    pub fn open(dir: &Path) -> Result<Self> {
        ensure!(dir.is_dir(), "{} is not a folder; expected\n{}", dir.display(), expected_tree(dir));
        let mut names = Vec::new();
        for path in entries(dir)? {
            if path.is_dir() {
                let name = path.file_name().and_then(|name| name.to_str());
                names.push(
                    name.with_context(|| format!("the class folder {path:?} has a name that is not UTF-8; rename it"))?
                        .to_string(),
                );
            }
        }
        names.sort();
        ensure!(!names.is_empty(), "{} holds no class folders; expected\n{}", dir.display(), expected_tree(dir));
        let mut samples = Vec::new();
        for (label, name) in names.iter().enumerate() {
            let before = samples.len();
            let folder = dir.join(name);
            images(&folder, &mut Vec::new(), &mut |path| samples.push(Sample { path, label }))?;
            ensure!(
                samples.len() > before,
                "the class folder {} holds no images; add some, or remove the folder if there is no such class",
                folder.display()
            );
        }
        ensure!(
            u32::try_from(samples.len()).is_ok(),
            "{} holds {} images, more than 4 billion",
            dir.display(),
            samples.len()
        );
        Ok(Folder { classes: names, samples: samples.into() })
    }

    /// Reads `dir`, labelled by `classes`: folders are matched by name, never by position, and may be a subset.
    ///
    /// # Errors
    /// As [`Folder::open`]; and where a folder names no class of the list.
    pub fn open_with_classes(dir: &Path, classes: &[String]) -> Result<Self> {
        let mut folder = Folder::open(dir)?;
        let mut labels = Vec::with_capacity(folder.classes.len());
        for name in &folder.classes {
            labels.push(
                classes.iter().position(|class| class == name).with_context(|| unknown_class(dir, name, classes))?,
            );
        }
        let relabelled = |sample: &Sample| Sample { path: sample.path.clone(), label: labels[sample.label] };
        folder.samples = folder.samples.iter().map(relabelled).collect();
        folder.classes = classes.to_vec();
        Ok(folder)
    }

    /// A number that another list would hardly have: FNV-1a of the files' names below `dir`, in their order, and labels.
    pub fn digest(&self, dir: &Path) -> u64 {
        let mut digest = 0xCBF2_9CE4_8422_2325;
        let mut take = |bytes: &[u8]| {
            bytes.iter().for_each(|&byte| digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
        };
        for sample in self.samples.iter() {
            let path = sample.path.strip_prefix(dir).unwrap_or(&sample.path);
            take(path.as_os_str().as_encoded_bytes());
            take(&(sample.label as u64).to_le_bytes());
        }
        digest
    }
}

fn unknown_class(dir: &Path, name: &str, classes: &[String]) -> String {
    let near = nearest(name, classes.iter().map(String::as_str))
        .map_or(String::new(), |near| format!(" (did you mean '{near}'?)"));
    let shown: Vec<&str> = classes.iter().take(10).map(String::as_str).collect();
    let more = classes.len().saturating_sub(shown.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        "the folder {} is no class of the model{near}; its classes are {}{more}. Rename the folder, or take it out of {}",
        dir.join(name).display(),
        shown.join(", "),
        dir.display()
    )
}

/// The folder with the class folders to evaluate: `dir/val` where there is one, else `dir` itself.
pub fn validation_dir(dir: &Path) -> PathBuf {
    let inner = dir.join("val");
    if inner.is_dir() { inner } else { dir.to_path_buf() }
}

/// The training and the validation images of `dir`, which holds `train/` and `val/`; validation classes are matched by name.
///
/// # Errors
/// As [`Folder::open`] and [`Folder::open_with_classes`].
pub fn open_splits(dir: &Path) -> Result<(Folder, Folder)> {
    for split in ["train", "val"] {
        if !dir.join(split).is_dir() {
            bail!("{} holds no folder '{split}'; training expects\n{}", dir.display(), expected_splits(dir));
        }
    }
    let train = Folder::open(&dir.join("train"))?;
    let val = Folder::open_with_classes(&dir.join("val"), &train.classes)?;
    Ok((train, val))
}

fn expected_splits(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "  {dir}/train/cat/1.jpg\n  {dir}/train/dog/2.jpg  ...\n  {dir}/val/cat/3.jpg\n  {dir}/val/dog/4.jpg  ...\n`topfive shapes {dir}` draws such a data set to try things on, in a folder that does not exist yet"
    )
}

fn expected_tree(dir: &Path) -> String {
    let dir = dir.display();
    format!("  {dir}/cat/1.jpg\n  {dir}/cat/2.jpg  ...\n  {dir}/dog/3.jpg  ...")
}

/// Calls `found` for every image in `dir` and the folders below it, sorted. `above` guards against links that lead back up.
///
/// # Errors
/// Where a folder cannot be read.
pub fn images(dir: &Path, above: &mut Vec<PathBuf>, found: &mut impl FnMut(PathBuf)) -> Result<()> {
    let here = dir.canonicalize().with_context(|| format!("cannot read the folder {}", dir.display()))?;
    if above.contains(&here) {
        return Ok(());
    }
    above.push(here);
    for path in entries(dir)? {
        if path.is_dir() {
            images(&path, above, found)?;
        } else if is_image(&path) {
            found(path);
        }
    }
    above.pop();
    Ok(())
}

/// Whether the file's ending is one of an image format that can be read.
pub fn is_image(path: &Path) -> bool {
    ImageFormat::from_path(path).is_ok_and(|format| format.reading_enabled())
}

/// What lies in `dir`, sorted, without hidden files.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = || format!("cannot read the folder {}", dir.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}
