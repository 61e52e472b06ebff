//! Errors counted over labelled images.

use anyhow::{Result, ensure};

use super::{Averaged, BadImage, Outcome};
use crate::metrics::{Answer, Tally};

/// The counts under one protocol.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Counts for the mean over all members.
    pub tally: Tally,
    /// Counts for each member.
    pub members: Vec<Tally>,
    /// Views per image, over all members.
    pub crops: usize,
    /// Seconds the networks spent on this protocol's views, even those shared with other protocols.
    pub seconds: f64,
}

/// The counts under all protocols, and the images that could not be read.
#[derive(Clone, Debug, Default)]
pub struct Measurement {
    /// One for each protocol.
    pub protocols: Vec<Measured>,
    /// The images that could not be read; they are not counted.
    pub bad: Vec<BadImage>,
    images: usize,
}

/// The answer under the first protocol to an image with this label; `None` if the image could not be read.
pub fn answer(outcome: &Outcome, label: usize) -> Option<Answer> {
    outcome.as_ref().ok()?.first().map(|averaged| Answer::of(&averaged.mean, label))
}

impl Measurement {
    /// Counts an image with this label.
    pub fn count(&mut self, outcome: &Outcome, label: usize) {
        self.images += 1;
        match outcome {
            Ok(averaged) => {
                self.protocols.resize_with(averaged.len(), Measured::default);
                self.protocols.iter_mut().zip(averaged).for_each(|(measured, it)| measured.count(it, label));
            }
            Err(bad) => self.bad.push(bad.clone()),
        }
    }

    /// # Errors
    /// Returns an error if there were no images, or none could be read.
    pub fn check(&self) -> Result<()> {
        ensure!(self.images > 0, "there are no images");
        if let Some(first) = self.bad.first() {
            let (bad, name, reason) = (self.bad.len(), &first.name, &first.reason);
            ensure!(bad < self.images, "none of the {bad} images could be read; the first is {name}: {reason}");
        }
        Ok(())
    }
}

impl Measured {
    fn count(&mut self, averaged: &Averaged, label: usize) {
        self.tally.count(&averaged.mean, label);
        self.members.resize_with(averaged.members.len(), Tally::default);
        let members = self.members.iter_mut().zip(&averaged.members);
        members.for_each(|(tally, probabilities)| tally.count(probabilities, label));
        self.crops = averaged.crops;
        self.seconds += averaged.seconds;
    }
}
