//! Localisation errors: a guess counts only if its box is right as well (Russakovsky et al., arXiv:1409.0575, section 4.2).

use serde::Serialize;

use super::Interval;

/// The overlap with a true box from which a box is right.
pub const LEAST_OVERLAP: f64 = 0.5;

/// Localisation errors summed over images.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LocalisationTally {
    images: u64,
    top1_wrong: u64,
    top5_wrong: u64,
    classes: usize,
}

/// Localisation errors averaged over images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LocalisationErrors {
    /// The number of images with true boxes.
    pub images: u64,
    /// Percentage of images whose most probable class or its box is wrong.
    pub top1_error: f64,
    /// Its 95 % interval.
    pub top1_interval: Interval,
    /// Percentage of images where none of the five most probable classes is right and has a right box; `None` for five
    /// classes or fewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top5_error: Option<f64>,
    /// Its 95 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top5_interval: Option<Interval>,
}

impl LocalisationTally {
    /// Counts an image of a data set with this many classes: for each guess, the best first, whether the class is right,
    /// and the greatest overlap of its box with a true one.
    pub fn count(&mut self, guesses: &[(bool, f64)], classes: usize) {
        let is_right = |(class, overlap): &(bool, f64)| *class && *overlap >= LEAST_OVERLAP;
        self.images += 1;
        self.classes = classes;
        self.top1_wrong += u64::from(!guesses.first().is_some_and(is_right));
        self.top5_wrong += u64::from(!guesses.iter().take(5).any(is_right));
    }

    /// The averages, or `None` if nothing was counted.
    pub fn errors(&self) -> Option<LocalisationErrors> {
        let percentage = |wrong: u64| 100.0 * wrong as f64 / self.images as f64;
        let has_top5 = self.classes > 5;
        (self.images > 0).then(|| LocalisationErrors {
            images: self.images,
            top1_error: percentage(self.top1_wrong),
            top1_interval: Interval::wilson(self.top1_wrong, self.images),
            top5_error: has_top5.then(|| percentage(self.top5_wrong)),
            top5_interval: has_top5.then(|| Interval::wilson(self.top5_wrong, self.images)),
        })
    }
}
