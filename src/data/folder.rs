//! A data set on disk: one folder of images per class.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use image::ImageFormat;

use super::dataset::{Dataset, Sample, Source};

/// Reads the class folders in `dir`, sorted by name. Links are followed; hidden files and files that are not images are
/// skipped.
///
/// # Errors
/// Returns an error if the folder is missing or empty, with the tree that was expected, or a class has no images.
pub fn open(dir: &Path) -> Result<Dataset> {
    ensure!(dir.is_dir(), "{}: not a folder; expected\n{}", dir.display(), expected_tree(dir));
    let mut classes = Vec::new();
    for path in entries(dir)?.into_iter().filter(|path| path.is_dir()) {
        match path.file_name().and_then(|name| name.to_str()) {
            Some(name) => classes.push(name.to_string()),
            None => bail!("{path:?}: the name of this class folder is not valid UTF-8; rename the folder"),
        }
    }
    classes.sort();
    ensure!(!classes.is_empty(), "{}: no class folders inside; expected\n{}", dir.display(), expected_tree(dir));
    // A link in a class folder that leads back here would lead to the images of other classes.
    let root = dir.canonicalize().with_context(|| format!("cannot read the folder {}", dir.display()))?;
    let mut samples = Vec::new();
    for (label, name) in classes.iter().enumerate() {
        let (folder, before) = (dir.join(name), samples.len());
        images_below(&folder, &mut vec![root.clone()], &mut |path| {
            samples.push(Sample { source: Source::file(path), label });
        })?;
        ensure!(
            samples.len() > before,
            "{}: no images in this class folder; add some, or remove the folder if there is no such class",
            folder.display()
        );
    }
    let count = samples.len();
    ensure!(u32::try_from(count).is_ok(), "{}: {count} images, more than the limit of {}", dir.display(), u32::MAX);
    Ok(Dataset { root: dir.to_path_buf(), classes, samples: samples.into() })
}

/// The tree that training expects, for messages.
pub fn expected_splits(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "  {dir}/train/cat/1.jpg\n  {dir}/train/dog/2.jpg  ...\n  {dir}/val/cat/3.jpg\n  {dir}/val/dog/4.jpg  ...\nor one folder per class, of which a part is then split off for validation\n  {dir}/cat/1.jpg\n  {dir}/dog/2.jpg  ...\nTo try topfive on a small drawn data set, run `topfive shapes DIR` with a new folder"
    )
}

fn expected_tree(dir: &Path) -> String {
    let dir = dir.display();
    format!("  {dir}/cat/1.jpg\n  {dir}/cat/2.jpg  ...\n  {dir}/dog/3.jpg  ...")
}

/// Calls `found` for every image in `dir` and the folders below it, sorted.
///
/// # Errors
/// Returns an error if a folder cannot be read.
pub fn images(dir: &Path, found: &mut impl FnMut(PathBuf)) -> Result<()> {
    images_below(dir, &mut Vec::new(), found)
}

/// `above` guards against links to a parent folder.
fn images_below(dir: &Path, above: &mut Vec<PathBuf>, found: &mut impl FnMut(PathBuf)) -> Result<()> {
    let here = dir.canonicalize().with_context(|| format!("cannot read the folder {}", dir.display()))?;
    if above.contains(&here) {
        return Ok(());
    }
    above.push(here);
    for path in entries(dir)? {
        if path.is_dir() {
            images_below(&path, above, found)?;
        } else if is_image(&path) {
            found(path);
        }
    }
    above.pop();
    Ok(())
}

/// Whether the file's extension is that of a supported image format.
fn is_image(path: &Path) -> bool {
    ImageFormat::from_path(path).is_ok_and(|format| format.reading_enabled())
}

/// The entries of `dir`, sorted, without hidden files.
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
