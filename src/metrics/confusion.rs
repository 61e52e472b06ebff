//! Where a model errs: how often images of each class were taken for which, and each class's own errors.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::{Errors, Tally, top};
use crate::imagenet;

/// Counts by true and predicted class.
#[derive(Debug, Default)]
pub struct Confusion {
    /// By true class, then by predicted class.
    counts: BTreeMap<usize, BTreeMap<usize, u64>>,
    tallies: BTreeMap<usize, Tally>,
}

/// A class that has images.
pub struct ClassErrors {
    pub class: usize,
    pub images: u64,
    pub errors: Errors,
    /// The other class that most of its images were taken for, and how many.
    pub mistaken_for: Option<(usize, u64)>,
}

impl Confusion {
    /// Counts one image with these class probabilities.
    pub fn count(&mut self, probabilities: &[f32], label: usize) {
        self.tallies.entry(label).or_default().count(probabilities, label);
        if let Some(&predicted) = top(probabilities, 1).first() {
            *self.counts.entry(label).or_default().entry(predicted).or_default() += 1;
        }
    }

    /// How many images of the class `label` were taken for the class `predicted`.
    pub fn taken(&self, label: usize, predicted: usize) -> u64 {
        self.counts.get(&label).and_then(|row| row.get(&predicted)).copied().unwrap_or(0)
    }

    /// The classes that have images.
    pub fn labels(&self) -> impl Iterator<Item = usize> {
        self.tallies.keys().copied()
    }

    /// Each class that has images, in the order of the classes.
    pub fn classes(&self) -> impl Iterator<Item = ClassErrors> {
        self.tallies.iter().filter_map(|(&class, tally)| {
            let others = self.counts.get(&class)?.iter().filter(|&(&predicted, _)| predicted != class);
            // Of equal counts the first class.
            let most = others.rev().max_by_key(|&(_, &count)| count);
            let mistaken_for = most.map(|(&predicted, &count)| (predicted, count));
            Some(ClassErrors { class, images: tally.images, errors: tally.errors()?, mistaken_for })
        })
    }

    /// A row for each class that has images, a column for each class that has images or was predicted; `name` gives the
    /// classes' names.
    ///
    /// # Errors
    /// None that a user could meet: the table is made in memory.
    pub fn matrix_csv(&self, name: &dyn Fn(usize) -> String) -> Result<Vec<u8>> {
        let predicted = self.counts.values().flat_map(|row| row.keys().copied());
        let columns: BTreeSet<usize> = self.labels().chain(predicted).collect();
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(["true class".to_string()].into_iter().chain(columns.iter().map(|&class| name(class))))?;
        for label in self.labels() {
            let counts = columns.iter().map(|&predicted| self.taken(label, predicted).to_string());
            csv.write_record([name(label)].into_iter().chain(counts))?;
        }
        Ok(csv.into_inner()?)
    }

    /// A row for each class that has images: its errors in percent, and what it was taken for most often.
    ///
    /// # Errors
    /// None that a user could meet: the table is made in memory.
    pub fn classes_csv(&self, name: &dyn Fn(usize) -> String) -> Result<Vec<u8>> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(["class", "name", "images", "top1_error", "top5_error", "loss", "mistaken_for", "times"])?;
        for ClassErrors { class, images, errors, mistaken_for } in self.classes() {
            let (other, times) =
                mistaken_for.map_or_else(Default::default, |(other, times)| (name(other), times.to_string()));
            let Errors { top1_error, top5_error, loss } = errors;
            let numbers = [images.to_string(), top1_error.to_string(), top5_error.to_string(), loss.to_string()];
            let class = name(class);
            let readable = imagenet::readable(&class).to_string();
            csv.write_record([class, readable].into_iter().chain(numbers).chain([other, times]))?;
        }
        Ok(csv.into_inner()?)
    }
}
