//! How many images have which size: a histogram of their shorter sides.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// The histogram. Its bins double from one to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Images by the binary logarithm of their shorter side in pixels, rounded down.
    bins: BTreeMap<u32, usize>,
    /// The width and height of all images, as long as they are the same.
    only: Option<(u32, u32)>,
}

impl Sizes {
    /// Counts an image.
    pub fn count(&mut self, (width, height): (u32, u32)) {
        let is_first = self.bins.is_empty();
        self.only = Some((width, height)).filter(|size| is_first || self.only == Some(*size));
        *self.bins.entry(width.min(height).max(1).ilog2()).or_default() += 1;
    }

    /// The bins, from the smallest size to the largest: shorter sides in pixels, and the number of images. Bins between
    /// others may be empty.
    pub fn bins(&self) -> Vec<(RangeInclusive<u32>, usize)> {
        let Some((&first, &last)) = self.bins.keys().next().zip(self.bins.keys().next_back()) else {
            return Vec::new();
        };
        let sides = |bin: u32| (1 << bin)..=((1u64 << (bin + 1)) - 1) as u32;
        (first..=last).map(|bin| (sides(bin), self.bins.get(&bin).copied().unwrap_or(0))).collect()
    }

    /// The size that all images have, if it is the same.
    pub fn only(&self) -> Option<(u32, u32)> {
        self.only
    }
}
