//! The errors on the validation images, between epochs.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use super::average::Average;
use super::batches::BadImages;
use super::state::{Trained, Validated};
use crate::data::dataset::Dataset;
use crate::evaluation::{Classification, Measurement, Member, Pace};
use crate::experiment::Experiment;
use crate::metrics::Errors;
use crate::network::Network;
use crate::report::Report;
use crate::views::Views;

/// The validation images, and everything that it takes to measure errors on them.
#[derive(Debug)]
pub struct Validation<'a> {
    /// What is trained.
    pub experiment: &'a Experiment,
    /// The images.
    pub val: &'a Dataset,
    /// Threads that prepare them.
    pub workers: usize,
    /// The terminal output.
    pub report: Report,
    /// Set by a signal, which ends a validation.
    pub interrupted: &'a AtomicBool,
}

impl Validation<'_> {
    /// The errors of the weights and of their average; `None` if interrupted.
    ///
    /// # Errors
    /// Returns an error if no image can be read, an output is NaN, or the device is out of memory.
    pub fn run(&self, trained: &Trained, bad: &mut BadImages) -> Result<Option<Validated>> {
        let Some(weights) = self.errors(&trained.learner.network, "validation", bad)? else { return Ok(None) };
        let Some(network) = trained.average.as_ref().and_then(Average::network) else {
            return Ok(Some(Validated { weights, averaged: None }));
        };
        let averaged = self.errors(network, "averaged", bad)?;
        Ok(averaged.map(|averaged| Validated { weights, averaged: Some(averaged) }))
    }

    fn errors(&self, network: &Network, title: &str, bad: &mut BadImages) -> Result<Option<Errors>> {
        let pace = Pace { batch_size: self.experiment.training.batch_size, workers: self.workers };
        let member = Member { network, experiment: self.experiment, order: None };
        let outcomes = Classification::start(&[member], &[Views::center()], self.val.samples.clone(), pace)?;
        let mut measurement = Measurement::default();
        let mut bar = self.report.bar(self.val.samples.len() as u64, title);
        for (index, (outcome, sample)) in outcomes.zip(self.val.samples.iter()).enumerate() {
            measurement.count(&outcome?, sample.label);
            bar.at(index as u64 + 1, "");
            if self.interrupted.load(Ordering::Relaxed) {
                bar.clear();
                return Ok(None);
            }
        }
        bar.clear();
        measurement.check().context("validation")?;
        measurement.bad.into_iter().for_each(|image| bad.remember(image));
        Ok(measurement.protocols.first().and_then(|measured| measured.tally.errors()))
    }
}
