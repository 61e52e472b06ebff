//! Names: the images of a folder by the paths that lists give them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use image::ImageFormat;

use crate::text::composed;

/// The images that paths name.
#[derive(Debug)]
pub struct Names {
    /// For `val/cat/1.jpg` in the folder `val`: `cat/1.jpg`, with and without the extension.
    wholes: HashMap<String, Found>,
    /// `1.jpg` as well.
    ends: HashMap<String, Found>,
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The image of this index.
    One(usize),
    /// Two images, or more.
    Several(usize, usize),
    /// None of the images.
    None,
}

impl Names {
    /// The names of images below a folder.
    pub fn of(paths: &[PathBuf], dir: &Path) -> Self {
        let mut names = Names { wholes: HashMap::new(), ends: HashMap::new() };
        let insert = |map: &mut HashMap<String, Found>, name: &str, index: usize| {
            let found = map.entry(name.to_string()).or_insert(Found::One(index));
            match *found {
                Found::One(first) if first != index => *found = Found::Several(first, index),
                _ => {}
            }
        };
        for (index, path) in paths.iter().enumerate() {
            let whole = composed(&path.strip_prefix(dir).unwrap_or(path).to_string_lossy().replace('\\', "/"));
            for name in [whole.as_str(), without_extension(&whole)] {
                insert(&mut names.wholes, name, index);
                ends_of(name).for_each(|end| insert(&mut names.ends, end, index));
            }
        }
        names
    }

    /// The image that a list calls `file`. The list's paths may start below the folder or above it, but `b/1.jpg` is
    /// never `a/1.jpg`.
    pub fn find(&self, file: &str) -> Found {
        let file = composed(&file.replace('\\', "/"));
        let file = file.trim_start_matches("./");
        let below = self.wholes.get(file).or_else(|| self.ends.get(file));
        below.or_else(|| ends_of(file).find_map(|end| self.wholes.get(end))).copied().unwrap_or(Found::None)
    }
}

/// `a/b/c`, `b/c`, `c`
fn ends_of(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |end| end.split_once('/').map(|(_, rest)| rest))
}

/// A path without an image format's extension. Another ending may be part of the name.
fn without_extension(path: &str) -> &str {
    match path.rsplit_once('.') {
        Some((bare, ending)) if ImageFormat::from_extension(ending).is_some() => bare,
        _ => path,
    }
}
