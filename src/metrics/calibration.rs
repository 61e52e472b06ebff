//! Calibration: whether images that a model is sure of to 80 % are right 80 times of 100 (Guo et al., arXiv:1706.04599,
//! section 2).

use serde::Serialize;

use super::Answer;

/// Bins of equal width that the probability of the most probable class falls into.
pub const BINS: usize = 15;

/// Images counted by the probability of their most probable class.
#[derive(Clone, Debug, Default)]
pub struct Calibration {
    /// A probability of exactly 1 has a bin of its own after the others, as in torchmetrics.
    bins: [Sum; BINS + 1],
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    images: u64,
    right: u64,
    probability: f64,
}

/// One bar of a reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// The least probability in it.
    pub from: f64,
    /// The probability from which the next bin takes over; the last bin includes 1.
    pub to: f64,
    /// The number of images, at least 1.
    pub images: u64,
    /// The mean probability of their most probable classes, from 0 to 1.
    pub confidence: f64,
    /// The fraction of the images whose most probable class is the true one.
    pub accuracy: f64,
}

impl Calibration {
    /// Counts one image with these class probabilities and the true class `label`.
    pub fn count(&mut self, probabilities: &[f32], label: usize) {
        self.add(&Answer::of(probabilities, label));
    }

    /// Counts the answer to one image.
    pub fn add(&mut self, answer: &Answer) {
        let probability = f64::from(answer.probability);
        let bin = (1..=BINS).filter(|&bin| probability >= bin as f64 / BINS as f64).count();
        let sum = &mut self.bins[bin];
        sum.images += 1;
        sum.right += u64::from(answer.is_right());
        sum.probability += probability;
    }

    /// The expected calibration error, from 0 to 1: how far the bins' accuracies are from their confidences, averaged over
    /// all images (equation 3 of the paper). `None` if nothing was counted.
    pub fn error(&self) -> Option<f64> {
        let images: u64 = self.bins.iter().map(|sum| sum.images).sum();
        let gap: f64 = self.bins.iter().map(|sum| (sum.right as f64 - sum.probability).abs()).sum();
        (images > 0).then(|| gap / images as f64)
    }

    /// The bins that have images, in order; the last of the 15 includes probabilities of exactly 1.
    pub fn bins(&self) -> Vec<Bin> {
        let mut sums = self.bins;
        let certain = sums[BINS];
        sums[BINS - 1].add(certain);
        let filled = sums[..BINS].iter().enumerate().filter(|(_, sum)| sum.images > 0);
        let bins = filled.map(|(index, sum)| Bin {
            from: index as f64 / BINS as f64,
            to: (index + 1) as f64 / BINS as f64,
            images: sum.images,
            confidence: sum.probability / sum.images as f64,
            accuracy: sum.right as f64 / sum.images as f64,
        });
        bins.collect()
    }
}

impl Sum {
    fn add(&mut self, other: Sum) {
        self.images += other.images;
        self.right += other.right;
        self.probability += other.probability;
    }
}
