//! The validation between epochs: the errors of the weights and of their average.

use std::sync::atomic::Ordering;

use anyhow::{Context, Result, ensure};

use super::Trainer;
use super::average::Average;
use super::batches::BadImages;
use super::state::{Trained, Validated};
use crate::evaluation::{Classification, Measurement, Member, NotFinite, Pace};
use crate::metrics::Errors;
use crate::network::Network;
use crate::views::Views;

impl Trainer<'_> {
    /// The errors on the validation images; `None` if interrupted.
    ///
    /// # Errors
    /// Returns an error if training diverged, no image can be read, or the device is out of memory.
    pub(super) fn validate(&self, trained: &Trained, bad: &mut BadImages) -> Result<Option<Validated>> {
        ensure!(trained.learner.is_finite()?, self.diverged(&trained.state, "a weight is NaN or infinite"));
        self.measure(trained, bad).map_err(|error| match error.downcast_ref::<NotFinite>() {
            Some(problem) => self.diverged(&trained.state, &problem.to_string()),
            None => error,
        })
    }

    fn measure(&self, trained: &Trained, bad: &mut BadImages) -> Result<Option<Validated>> {
        let Some(weights) = self.errors(&trained.learner.network, "validation", bad)? else { return Ok(None) };
        let Some(network) = trained.average.as_ref().and_then(Average::network) else {
            return Ok(Some(Validated { weights, averaged: None }));
        };
        let averaged = self.errors(network, "averaged", bad)?;
        Ok(averaged.map(|averaged| Validated { weights, averaged: Some(averaged) }))
    }

    fn errors(&self, network: &Network, title: &str, bad: &mut BadImages) -> Result<Option<Errors>> {
        let pace = Pace { batch_size: self.experiment.training.batch_size, workers: self.workers, plain: false };
        let member = Member { network, experiment: self.experiment, order: None };
        let outcomes =
            Classification::start(&[member], &[Views::center()], self.val.samples.clone(), pace, self.report)?;
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
