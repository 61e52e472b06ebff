//! A data set as it is stored: class folders, or shards.

use std::path::Path;

use anyhow::Result;

use super::dataset::Dataset;
use super::{folder, shards};

/// Reads the class folders in `place`, or the shards that it holds or names.
///
/// # Errors
/// See [`folder::open`] and [`shards::open`].
pub fn open(place: &Path) -> Result<Dataset> {
    if shards::are_at(place) { shards::open(place) } else { folder::open(place) }
}

/// Whether a folder is a part of a data set, with class folders or shards; a class called "train" holds images.
pub fn is_part(dir: &Path) -> bool {
    folder::holds_folders(dir) || shards::are_at(dir)
}
