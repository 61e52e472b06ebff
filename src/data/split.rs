//! The two parts of a data set on disk: the images to train on, and those to validate on.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use super::dataset::{Dataset, Sample};
use super::folder::{expected_splits, open_classless, single_class};
use super::shards;
use super::stored::{is_part, open};
use crate::random;

/// The folder of the training images.
const TRAIN: &str = "train";
/// Folders of validation images; the first that exists is taken.
const VALIDATION: [&str; 4] = ["val", "valid", "validation", TEST];
/// A test set that was published without labels is a folder without class folders.
const TEST: &str = "test";
/// The share of each class that is split off unless it is given.
pub const DEFAULT_FRACTION: f64 = 0.2;

/// Both parts.
#[derive(Debug)]
pub struct Splits {
    /// The images to train on.
    pub train: Dataset,
    /// The images to validate on, labelled by the same classes.
    pub val: Dataset,
    /// Where the latter come from.
    pub source: ValidationSource,
    /// A folder "test" without class folders, which cannot be used.
    pub unlabelled: Option<PathBuf>,
}

/// Where validation images come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValidationSource {
    /// A folder of this name.
    Folder(&'static str),
    /// This fraction of each class's images, split off.
    Split(f64),
    /// A list of their own.
    List,
}

impl Splits {
    /// The training and the validation images of `dir`: those of its folders `train` and `val` (or `valid`, `validation`,
    /// `test`), with class folders or shards in them. If there is only one folder of classes or of shards, `train` or `dir`
    /// itself, `fraction` of each class's images, but at least one, is split off for validation, the same images for the
    /// same files and seed.
    ///
    /// # Errors
    /// Returns an error if there are no images, a validation class has no training images, a class is too small to be split,
    /// or a fraction is given although there are validation images.
    pub fn open(dir: &Path, fraction: Option<f64>, seed: u64) -> Result<Splits> {
        // A pattern of the shards in a folder "train" stands for that folder.
        let named = dir.parent().filter(|folder| folder.ends_with(TRAIN) && !dir.is_dir() && shards::are_at(dir));
        let (inner, dir) = match named {
            Some(folder) => (Some(dir.to_path_buf()), folder.parent().unwrap_or(folder)),
            // A class may be called "train" (or "test"): its folder holds no folders.
            None => (Some(dir.join(TRAIN)).filter(|inner| inner.is_dir() && is_part(inner)), dir),
        };
        let test = dir.join(TEST);
        let unlabelled = Some(test).filter(|test| inner.is_some() && test.is_dir() && !is_part(test));
        let is_there = |name: &&str| match inner {
            Some(_) if *name != TEST => dir.join(name).is_dir(),
            _ => is_part(&dir.join(name)),
        };
        let validation = VALIDATION.into_iter().find(is_there);
        match (inner, validation) {
            (Some(inner), Some(name)) => {
                ensure!(
                    fraction.is_none(),
                    "{}: has validation images of its own, so none are split off; leave out training.val_fraction, or move that folder away",
                    dir.join(name).display()
                );
                let train = open(&inner)?;
                ensure!(train.classes.len() > 1, single_class(&train.root, &train.classes[0]));
                check_occupied(&train)?;
                let val = open(&dir.join(name))?.with_classes(&train.classes, &train.root.display().to_string())?;
                Ok(Splits { train, val, source: ValidationSource::Folder(name), unlabelled })
            }
            (None, Some(name)) => {
                bail!(
                    "{}: a folder \"{name}\", but no folder \"{TRAIN}\" inside; training expects\n{}",
                    dir.display(),
                    expected_splits(dir)
                )
            }
            (inner, None) => {
                ensure!(
                    inner.is_some() || dir.is_dir() || shards::are_at(dir),
                    "{}: not a folder; training expects\n{}",
                    dir.display(),
                    expected_splits(dir)
                );
                if let Some(misnamed) = inner.is_some().then(|| misnamed(dir)).flatten() {
                    bail!(
                        "{}: not taken for validation images, as it is not called val, valid, validation or test; rename it to validate on it, or move it away to split images off {TRAIN}",
                        misnamed.display()
                    );
                }
                let mut splits = Splits::of(open(inner.as_deref().unwrap_or(dir))?, fraction, seed)?;
                splits.unlabelled = unlabelled;
                Ok(splits)
            }
        }
    }

    /// Splits a fraction of each class's images off for validation, but at least one of each.
    ///
    /// # Errors
    /// Returns an error if there is only one class, or one of only one image.
    pub fn of(whole: Dataset, fraction: Option<f64>, seed: u64) -> Result<Splits> {
        let fraction = fraction.unwrap_or(DEFAULT_FRACTION);
        let (train, val) = split(whole, fraction, seed)?;
        Ok(Splits { train, val, source: ValidationSource::Split(fraction), unlabelled: None })
    }
}

/// A folder beside `train` whose name says that it is for validation, although it is not spelled as those that are taken.
fn misnamed(dir: &Path) -> Option<PathBuf> {
    let folders = dir.read_dir().ok()?.flatten().map(|entry| entry.path());
    let is_meant = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        name != TEST && (name.starts_with("val") || name.starts_with(TEST)) && path.is_dir() && is_part(path)
    };
    folders.filter(is_meant).min()
}

/// The training images of `dir` alone: those of its folder `train`, or of `dir` itself, with class folders, shards, or nothing
/// but images in it.
///
/// # Errors
/// Returns an error if there are none.
pub fn training_images(dir: &Path) -> Result<Dataset> {
    let inner = dir.join(TRAIN);
    images(if inner.is_dir() { &inner } else { dir })
}

/// The images of `dir` that are not among [`training_images`]: those of its folder `val` or its like, beside `train`; `None` if
/// there is none.
///
/// # Errors
/// Returns an error if that folder has no images.
pub fn held_out_images(dir: &Path) -> Result<Option<Dataset>> {
    let held_out = Some(validation_dir(dir)).filter(|part| part != dir && dir.join(TRAIN).is_dir());
    held_out.map(|part| images(&part)).transpose()
}

/// The images of a folder that holds class folders, shards, or nothing but images.
///
/// # Errors
/// Returns an error if there are none.
pub fn images(place: &Path) -> Result<Dataset> {
    match place.is_dir() && !is_part(place) {
        true => open_classless(place),
        false => open(place),
    }
}

/// The names that the folders of a data set's parts may have, that of the training images first.
pub fn parts() -> impl Iterator<Item = &'static str> {
    [TRAIN].into_iter().chain(VALIDATION)
}

/// The folder with the class folders to evaluate: `dir/val` or its like, otherwise `dir` itself.
pub fn validation_dir(dir: &Path) -> PathBuf {
    VALIDATION.into_iter().map(|name| dir.join(name)).find(|inner| inner.is_dir()).unwrap_or_else(|| dir.to_path_buf())
}

/// Checks that every class has images: each epoch draws from all.
fn check_occupied(train: &Dataset) -> Result<()> {
    if let Some(empty) = train.class_sizes().iter().position(|size| *size == 0) {
        bail!("{}: no images of the class \"{}\"", train.root.display(), train.classes[empty]);
    }
    Ok(())
}

/// Splits off a fraction of each class, the first by an order of its own that depends on the seed and an image's name
/// alone: images added later move few others.
fn split(whole: Dataset, fraction: f64, seed: u64) -> Result<(Dataset, Dataset)> {
    let root = whole.root.display();
    ensure!(whole.classes.len() > 1, single_class(&whole.root, &whole.classes[0]));
    check_occupied(&whole)?;
    let mut is_val = vec![false; whole.samples.len()];
    for (class, images) in whole.by_class().iter().enumerate() {
        let count = images.len();
        ensure!(
            count > 1,
            "{}: a single image, which cannot be both trained on and validated on. Add images, move the folder out of {root}, or put validation images into a folder \"val\" beside a folder \"train\"",
            whole.root.join(&whole.classes[class]).display()
        );
        let mut ranked: Vec<(u64, u32)> = images
            .iter()
            .map(|&index| {
                let name = whole.samples[index as usize].source.name_below(&whole.root);
                (random::split_rank(seed, &name), index)
            })
            .collect();
        ranked.sort_unstable();
        let taken = ((fraction * count as f64).round() as usize).clamp(1, count - 1);
        ranked[..taken].iter().for_each(|&(_, index)| is_val[index as usize] = true);
    }
    let part = |wanted: bool| {
        let samples = whole.samples.iter().zip(&is_val).filter(|(_, is_val)| **is_val == wanted);
        let samples: Vec<Sample> = samples.map(|(sample, _)| sample.clone()).collect();
        Dataset { samples: samples.into(), ..whole.clone() }
    };
    Ok((part(false), part(true)))
}
