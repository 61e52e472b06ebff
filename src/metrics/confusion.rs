//! The confusion matrix: how often images of each class were classified as which, and each class's own errors.

use std::collections::BTreeMap;

use super::{Errors, Tally, top};

/// Numbers of images by true and by predicted class.
#[derive(Debug, Default)]
pub struct Confusion {
    /// By true class, then by predicted class; only what is not 0.
    counts: BTreeMap<usize, BTreeMap<usize, u64>>,
    /// By true class.
    tallies: BTreeMap<usize, Tally>,
}

/// The errors on the images of one class.
pub struct ClassErrors {
    /// The index of the class.
    pub class: usize,
    /// How many images the class has, at least 1.
    pub images: u64,
    /// The errors on these images.
    pub errors: Errors,
    /// The class that its misclassified images were most often classified as, and how often; `None` if all are correct.
    pub mistaken_for: Option<(usize, u64)>,
}

impl Confusion {
    /// Counts one image with these class probabilities and the true class `label`.
    pub fn count(&mut self, probabilities: &[f32], label: usize) {
        self.tallies.entry(label).or_default().count(probabilities, label);
        if let Some(&predicted) = top(probabilities, 1).first() {
            *self.counts.entry(label).or_default().entry(predicted).or_default() += 1;
        }
    }

    /// How many images of the class `label` were classified as `predicted`.
    pub fn taken(&self, label: usize, predicted: usize) -> u64 {
        self.counts.get(&label).and_then(|row| row.get(&predicted)).copied().unwrap_or(0)
    }

    /// The classes that have images, in order.
    pub fn labels(&self) -> impl Iterator<Item = usize> {
        self.tallies.keys().copied()
    }

    /// The classes that were predicted, once for each true class that was classified as it.
    pub fn predicted(&self) -> impl Iterator<Item = usize> {
        self.counts.values().flat_map(|row| row.keys().copied())
    }

    /// The errors of each class that has images, in the order of the classes.
    pub fn classes(&self) -> impl Iterator<Item = ClassErrors> {
        self.tallies.iter().filter_map(|(&class, tally)| {
            let others = self.counts.get(&class)?.iter().filter(|&(&predicted, _)| predicted != class);
            // Among equal counts, the first class.
            let most = others.rev().max_by_key(|&(_, &count)| count);
            let mistaken_for = most.map(|(&predicted, &count)| (predicted, count));
            Some(ClassErrors { class, images: tally.images, errors: tally.errors()?, mistaken_for })
        })
    }
}
