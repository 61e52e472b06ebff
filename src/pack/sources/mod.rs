//! What can be packed: the parts of a data set as it is stored, or as it is published: MNIST (`idx`), CIFAR (`cifar`), and
//! ImageNet from ILSVRC's tar files (`ilsvrc`, on the `devkit`) or from Kaggle.

mod cifar;
mod devkit;
mod idx;
mod ilsvrc;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use image::{DynamicImage, ImageFormat};

use crate::data::dataset::{Dataset, Sample, Source};
use crate::data::folder;
use crate::data::labels;
use crate::data::split::parts;
use crate::data::stored::{self, is_part};

/// The name of the part to train on.
const TRAIN: &str = "train";
/// The name of the part to validate on; where a data set calls it "test", too.
const VAL: &str = "val";

/// A part of a data set.
#[derive(Debug)]
pub struct Part {
    /// "train", "val" or the like; empty if the data set has no parts.
    pub name: String,
    /// Its images; all parts have the classes of the first.
    pub dataset: Dataset,
}

impl Part {
    fn new(name: &str, dataset: Dataset) -> Self {
        Part { name: name.to_string(), dataset }
    }
}

/// Finds the parts of the data set at `place`: one of the published ones, the folders `train`, `val`, `valid`, `validation`
/// and `test` with class folders or shards in them, or all of `place` as one part.
///
/// # Errors
/// Returns an error if there are no images, a file is not what it should be, or a part has a class that the first one lacks.
pub fn open(place: &Path) -> Result<Vec<Part>> {
    if let Some(published) = published(place)? {
        return Ok(published);
    }
    let names: Vec<&str> = parts().filter(|name| place.join(name).is_dir() && is_part(&place.join(name))).collect();
    if names.is_empty() {
        return Ok(vec![Part::new("", stored::open(place)?)]);
    }
    ensure!(names[0] == TRAIN, "{}: expected a folder {TRAIN} beside {}", place.display(), names[0]);
    let mut found: Vec<Part> = Vec::new();
    for name in names {
        let mut dataset = stored::open(&place.join(name))?;
        if let Some(first) = found.first() {
            dataset = dataset.with_classes(&first.dataset.classes, &first.dataset.root.display().to_string())?;
        }
        found.push(Part::new(name, dataset));
    }
    Ok(found)
}

fn published(place: &Path) -> Result<Option<Vec<Part>>> {
    let within =
        |name: &str| Some(place.join(name)).filter(|folder| folder.is_dir()).unwrap_or_else(|| place.to_path_buf());
    if idx::is_in(place) {
        return idx::open(place).map(Some);
    }
    for form in [cifar::TEN, cifar::HUNDRED] {
        let folder = within(form.folder);
        if folder.join(form.train[0]).is_file() && folder.join(form.names).is_file() {
            return cifar::open(&folder, form).map(Some);
        }
    }
    if ilsvrc::is_in(place) {
        return ilsvrc::open(place).map(Some);
    }
    let images = within("ILSVRC").join("Data/CLS-LOC");
    if images.is_dir() { kaggle(place, &images).map(Some) } else { Ok(None) }
}

/// ImageNet as Kaggle publishes it: `ILSVRC/Data/CLS-LOC/train` with class folders, `val` without, and the classes of the
/// latter in `LOC_val_solution.csv`.
fn kaggle(place: &Path, images: &Path) -> Result<Vec<Part>> {
    let train = folder::open(&images.join(TRAIN))?;
    let (val, list) = (images.join(VAL), place.join("LOC_val_solution.csv"));
    if !val.is_dir() {
        return Ok(vec![Part::new(TRAIN, train)]);
    }
    ensure!(
        list.is_file(),
        "{}: not there, so the classes of {} are not known. Put it there",
        list.display(),
        val.display()
    );
    let labelled = labels::open(&val, &list, Some(&train.classes))?;
    ensure!(
        labelled.unlisted.is_empty(),
        "{}: lacks {} images of {}",
        list.display(),
        labelled.unlisted.len(),
        val.display()
    );
    Ok(vec![Part::new(TRAIN, train), Part::new(VAL, labelled.dataset)])
}

/// A data set of pictures that are held in memory, as PNG files: name, picture and label of each.
fn of_pictures(
    root: &Path,
    classes: Vec<String>,
    pictures: impl Iterator<Item = (PathBuf, DynamicImage, usize)>,
) -> Result<Dataset> {
    let sample = |(name, picture, label): (PathBuf, DynamicImage, usize)| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, ImageFormat::Png).context("cannot be encoded as PNG")?;
        Ok(Sample { source: Source::memory(root.join(name), bytes.into_inner()), label })
    };
    let samples: Arc<[Sample]> = pictures.map(sample).collect::<Result<_>>()?;
    Ok(Dataset { root: root.to_path_buf(), classes, samples, left_out: Arc::new([]), notes: Vec::new() })
}
