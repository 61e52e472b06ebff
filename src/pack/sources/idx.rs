//! MNIST and what is published in its form: IDX files of images and of labels, gzipped or not. LeCun, Cortes, Burges: The
//! MNIST database of handwritten digits.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use image::{DynamicImage, GrayImage};

use super::{Part, TRAIN, VAL, of_pictures};

/// What the names of a part's files begin with.
const PARTS: [(&str, &str); 2] = [(TRAIN, "train"), (VAL, "t10k")];
/// The type of a file's numbers: unsigned bytes.
const BYTES: u8 = 8;
/// A file is not larger than this when it is unpacked, in bytes.
const MOST: u64 = 1 << 32;

/// Whether a folder holds IDX files.
pub fn is_in(folder: &Path) -> bool {
    file(folder, "train", "images", 3).is_some()
}

/// Reads the parts in a folder; the classes are called by their numbers.
///
/// # Errors
/// Returns an error if a file is missing, truncated or not an IDX file.
pub fn open(folder: &Path) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    for (name, prefix) in PARTS {
        let Some(images) = file(folder, prefix, "images", 3) else { continue };
        let labels = file(folder, prefix, "labels", 1)
            .with_context(|| format!("{}: expected a file {prefix}-labels-idx1-ubyte beside it", images.display()))?;
        parts.push((name, images.clone(), Idx::read(&images, 3)?, Idx::read(&labels, 1)?, labels));
    }
    let highest = parts.iter().flat_map(|(_, _, _, labels, _)| labels.values.iter().max()).max();
    let classes: Vec<String> = (0..=highest.copied().unwrap_or(0)).map(|number| number.to_string()).collect();
    let part = |(name, file, images, labels, labels_file): (&str, PathBuf, Idx, Idx, PathBuf)| {
        let [count, height, width] = [images.sizes[0], images.sizes[1], images.sizes[2]];
        ensure!(
            labels.values.len() == count,
            "{}: {} labels for the {count} images of {}",
            labels_file.display(),
            labels.values.len(),
            file.display()
        );
        let stem = PathBuf::from(file.file_name().unwrap_or_default());
        let pictures = images.values.chunks_exact((height * width).max(1)).zip(&labels.values).enumerate();
        let pictures = pictures.map(|(number, (grey, &label))| {
            let picture = GrayImage::from_raw(width as u32, height as u32, grey.to_vec()).unwrap_or_default();
            (stem.join(format!("{number:05}.png")), DynamicImage::from(picture), usize::from(label))
        });
        Ok(Part::new(name, of_pictures(folder, classes.clone(), pictures)?))
    };
    parts.into_iter().map(part).collect()
}

/// The file of a part's images or labels, under any of the names in use.
fn file(folder: &Path, prefix: &str, what: &str, axes: u8) -> Option<PathBuf> {
    let names = ["-", "."].into_iter().flat_map(|separator| {
        ["", ".gz"].map(|ending| folder.join(format!("{prefix}-{what}{separator}idx{axes}-ubyte{ending}")))
    });
    names.into_iter().find(|path| path.is_file())
}

/// An array of bytes.
struct Idx {
    sizes: Vec<usize>,
    values: Vec<u8>,
}

impl Idx {
    /// Reads a file of an array with so many axes.
    fn read(path: &Path, axes: usize) -> Result<Self> {
        let name = path.display();
        let bytes = unpacked(path)?;
        ensure!(
            bytes.len() >= 4 + 4 * axes && bytes[..4] == [0, 0, BYTES, axes as u8],
            "{name}: not an IDX file of bytes with {axes} axes"
        );
        let (header, values) = bytes.split_at(4 + 4 * axes);
        let sizes = header[4..].as_chunks().0.iter().map(|&size| u32::from_be_bytes(size) as usize).collect::<Vec<_>>();
        let expected = sizes.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        ensure!(
            expected == Some(values.len()),
            "{name}: truncated or corrupt: {} values for an array of {sizes:?}",
            values.len()
        );
        Ok(Idx { sizes, values: values.to_vec() })
    }
}

fn unpacked(path: &Path) -> Result<Vec<u8>> {
    let unreadable = || format!("{}: cannot be read", path.display());
    if path.extension().is_none_or(|ending| ending != "gz") {
        return fs::read(path).with_context(unreadable);
    }
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(unreadable)?;
    let unpacked = GzDecoder::new(file).take(MOST).read_to_end(&mut bytes);
    unpacked.with_context(|| format!("{}: truncated, corrupt or not gzipped", path.display()))?;
    Ok(bytes)
}
