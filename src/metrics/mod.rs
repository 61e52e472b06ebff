//! Classification errors, overall and by class ([`Confusion`]), how sure they are ([`Interval`], [`mcnemar`],
//! [`Calibration`]), and the images that they come from ([`Notable`]). Errors are counted over all images and divided once,
//! at the end.

mod answer;
mod calibration;
mod confusion;
mod interval;
mod localisation;
mod mcnemar;
mod notable;

pub use answer::Answer;
pub use calibration::{BINS, Bin, Calibration};
pub use confusion::{ClassErrors, Confusion};
pub use interval::Interval;
pub use localisation::{LocalisationErrors, LocalisationTally};
pub use mcnemar::mcnemar;
pub use notable::Notable;

use serde::{Deserialize, Serialize};

/// Errors summed over images.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// The number of images.
    pub images: u64,
    /// Images whose most probable class is not the true one.
    pub top1_wrong: u64,
    /// Images whose true class is not among the five most probable.
    pub top5_wrong: u64,
    /// The number of classes; 0 if nothing was counted.
    pub classes: usize,
    /// The sum of -ln(probability of the true class).
    pub loss: f64,
}

/// Errors averaged over images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Errors {
    /// Percentage of images whose most probable class is not the true one.
    pub top1_error: f64,
    /// Percentage of images whose true class is not among the five most probable; `None` if there are only five classes
    /// or fewer, since it would always be 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top5_error: Option<f64>,
    /// The mean cross entropy, in nats.
    pub loss: f64,
}

impl Errors {
    /// Whether guessing among so many classes does as well: a network that answers the same for every image does no better.
    pub fn are_of_guessing(&self, classes: usize) -> bool {
        let classes = classes as f64;
        self.loss >= classes.ln() && self.top1_error >= 95.0 * (1.0 - 1.0 / classes)
    }
}

impl Tally {
    /// Counts one image with these class probabilities and the true class `label`.
    pub fn count(&mut self, probabilities: &[f32], label: usize) {
        self.add(&Answer::of(probabilities, label));
    }

    /// Counts the answer to one image.
    pub fn add(&mut self, answer: &Answer) {
        self.images += 1;
        self.classes = answer.classes;
        self.top1_wrong += u64::from(answer.rank >= 1);
        self.top5_wrong += u64::from(answer.rank >= 5);
        // A probability that was rounded to 0 counts as the smallest normal float, as its logarithm would be infinite.
        self.loss -= f64::from(answer.label_probability.max(f32::MIN_POSITIVE)).ln();
    }

    /// The averages, or `None` if nothing was counted.
    pub fn errors(&self) -> Option<Errors> {
        let images = self.images as f64;
        (self.images > 0).then(|| Errors {
            top1_error: 100.0 * self.top1_wrong as f64 / images,
            top5_error: (self.classes > 5).then(|| 100.0 * self.top5_wrong as f64 / images),
            loss: self.loss / images,
        })
    }

    /// The 95 % intervals of the top-1 and the top-5 error, as far as there are these errors.
    pub fn intervals(&self) -> [Option<Interval>; 2] {
        let interval = |is_counted: bool, wrong| is_counted.then(|| Interval::wilson(wrong, self.images));
        [interval(self.images > 0, self.top1_wrong), interval(self.images > 0 && self.classes > 5, self.top5_wrong)]
    }
}

impl Errors {
    /// `top-1 error 12.34 %`, and the top-5 error after the separator if there is one.
    pub fn text(&self, separator: &str) -> String {
        let top5 = self.top5_error.map_or(String::new(), |error| format!("{separator}top-5 error {error:.2} %"));
        format!("top-1 error {:.2} %{top5}", self.top1_error)
    }
}

/// How many classes rank before `label`: the more probable ones and, among equally probable ones, those with a lower
/// index, so that exactly k classes have a rank below k. Other classes with the probability NaN rank before `label`; if
/// its own is NaN, all others do.
pub fn rank(probabilities: &[f32], label: usize) -> usize {
    let own = probabilities[label];
    let before = |(index, &other): (usize, &f32)| !(other < own || (other == own && index >= label));
    probabilities.iter().enumerate().filter(|&(index, other)| index != label && before((index, other))).count()
}

/// The indices of the `k` most probable classes, or of all if there are fewer, the most probable first.
pub fn top(probabilities: &[f32], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]).then(a.cmp(&b)));
    order.truncate(k);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_true_class_in_third_place_is_a_top1_error_but_not_a_top5_error() {
        let mut tally = Tally::default();
        tally.count(&[0.1, 0.4, 0.3, 0.2, 0.0, 0.0, 0.0], 3);
        assert_eq!((tally.images, tally.top1_wrong, tally.top5_wrong), (1, 1, 0));
    }

    #[test]
    fn the_true_class_in_sixth_place_is_a_top5_error() {
        let mut tally = Tally::default();
        tally.count(&[0.3, 0.2, 0.15, 0.13, 0.12, 0.1], 5);
        assert_eq!((tally.top1_wrong, tally.top5_wrong), (1, 1));
    }

    #[test]
    fn exactly_five_of_equally_probable_classes_are_the_top_five() {
        let right = (0..10).filter(|&label| rank(&[0.1; 10], label) < 5).count();
        assert_eq!(right, 5);
    }

    #[test]
    fn with_five_classes_or_fewer_there_is_no_top5_error() {
        let top5 = |probabilities: &[f32]| {
            let mut tally = Tally::default();
            tally.count(probabilities, 2);
            tally.errors().expect("errors").top5_error
        };
        assert_eq!(top5(&[0.2; 5]), None);
        assert_eq!(top5(&[0.16; 6]), Some(0.0));
        assert_eq!(top(&[0.7, 0.2, 0.1], 5), [0, 1, 2]);
    }

    #[test]
    fn errors_are_percentages_of_all_images() {
        let tally = Tally { images: 8, top1_wrong: 3, top5_wrong: 1, classes: 10, loss: 4.0 };
        let errors = Errors { top1_error: 37.5, top5_error: Some(12.5), loss: 0.5 };
        assert_eq!(tally.errors(), Some(errors));
        assert_eq!(Tally::default().errors(), None);
    }

    #[test]
    fn a_network_that_outputs_nan_is_never_right() {
        let mut tally = Tally::default();
        tally.count(&[f32::NAN; 10], 0);
        assert_eq!((tally.top1_wrong, tally.top5_wrong), (1, 1));
    }
}
