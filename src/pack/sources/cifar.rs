//! CIFAR-10 and CIFAR-100 in their binary form: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use image::{DynamicImage, RgbImage};

use super::{Part, TRAIN, VAL, of_pictures};
use crate::text;

/// Where one of the two lies, and in which form.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// The folder in its archive.
    pub folder: &'static str,
    /// The files of the training images.
    pub train: &'static [&'static str],
    test: &'static str,
    /// The file with the names of the classes, one per line.
    pub names: &'static str,
    /// The bytes before the pixels of an image; the last is its class.
    labels: usize,
}

/// CIFAR-10.
pub const TEN: Form = Form {
    folder: "cifar-10-batches-bin",
    train: &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
    test: "test_batch.bin",
    names: "batches.meta.txt",
    labels: 1,
};

/// CIFAR-100, whose first label is that of a group of classes.
pub const HUNDRED: Form = Form {
    folder: "cifar-100-binary",
    train: &["train.bin"],
    test: "test.bin",
    names: "fine_label_names.txt",
    labels: 2,
};

/// The width and height of an image, in pixels.
const SIDE: u32 = 32;
/// The bytes of a colour of an image.
const PLANE: usize = (SIDE * SIDE) as usize;

/// Reads both parts in a folder.
///
/// # Errors
/// Returns an error if a file is missing, truncated, or has a label without a name.
pub fn open(folder: &Path, form: Form) -> Result<Vec<Part>> {
    let names = text::read(&folder.join(form.names))?;
    let names: Vec<String> = names.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect();
    let part = |name: &str, files: &[&str]| -> Result<Part> {
        let mut pictures = Vec::new();
        for file in files {
            read(folder, file, form, names.len(), &mut pictures)?;
        }
        Ok(Part::new(name, of_pictures(folder, names.clone(), pictures.into_iter())?))
    };
    Ok(vec![part(TRAIN, form.train)?, part(VAL, &[form.test])?])
}

fn read(
    folder: &Path,
    file: &str,
    form: Form,
    classes: usize,
    pictures: &mut Vec<(PathBuf, DynamicImage, usize)>,
) -> Result<()> {
    let path = folder.join(file);
    let name = path.display();
    let bytes = fs::read(&path).with_context(|| format!("{name}: cannot be read"))?;
    let record = form.labels + 3 * PLANE;
    ensure!(
        !bytes.is_empty() && bytes.len().is_multiple_of(record),
        "{name}: truncated, or not in CIFAR's binary form: {} bytes, not a multiple of {record}",
        bytes.len()
    );
    for (number, record) in bytes.chunks_exact(record).enumerate() {
        let (labels, planes) = record.split_at(form.labels);
        let label = usize::from(labels[form.labels - 1]);
        ensure!(label < classes, "{name}: image {number} has the class {label}, but {} names {classes}", form.names);
        let picture = RgbImage::from_fn(SIDE, SIDE, |x, y| {
            let at = (y * SIDE + x) as usize;
            image::Rgb([planes[at], planes[PLANE + at], planes[2 * PLANE + at]])
        });
        pictures.push((Path::new(file).join(format!("{number:05}.png")), picture.into(), label));
    }
    Ok(())
}
