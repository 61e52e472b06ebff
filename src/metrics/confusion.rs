//! The confusion matrix: how often images of each class were classified as which, and each class's own errors.

use std::collections::BTreeMap;

use super::{Answer, Errors, Tally};

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
    /// Counts the answer to one image.
    pub fn add(&mut self, answer: &Answer) {
        self.tallies.entry(answer.label).or_default().add(answer);
        *self.counts.entry(answer.label).or_default().entry(answer.prediction).or_default() += 1;
    }

    /// The true class, the predicted class and the number of images of each cell that is not 0, in order.
    pub fn cells(&self) -> impl Iterator<Item = (usize, usize, u64)> {
        self.labels().flat_map(|label| self.row(label).map(move |(predicted, count)| (label, predicted, count)))
    }

    /// The classes that images of the class `label` were classified as, in order, and how often.
    pub fn row(&self, label: usize) -> impl Iterator<Item = (usize, u64)> {
        self.counts.get(&label).into_iter().flatten().map(|(&predicted, &count)| (predicted, count))
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
