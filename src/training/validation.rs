//! The validation between epochs: the errors and the answers of the weights and of their average.

use anyhow::{Context, Result, ensure};

use super::Trainer;
use super::average::Average;
use super::batches::BadImages;
use super::state::{Trained, Validated};
use crate::evaluation::{Classification, Measurement, Member, NotFinite, Pace, answer};
use crate::metrics::{Answer, Errors};
use crate::network::{Network, Precision};
use crate::views::Views;

/// What a validation found.
#[derive(Debug)]
pub(super) struct Validation {
    weights: Found,
    averaged: Option<Found>,
}

/// What it found of one network.
#[derive(Debug)]
struct Found {
    errors: Errors,
    /// One per image; `None` if it could not be read.
    answers: Vec<Option<Answer>>,
}

impl Validation {
    /// The errors of the weights and of their average.
    pub(super) fn errors(&self) -> Validated {
        Validated { weights: self.weights.errors, averaged: self.averaged.as_ref().map(|found| found.errors) }
    }

    /// The answers of the weights, or of their average if there is one.
    pub(super) fn answers(&self, of_average: bool) -> &[Option<Answer>] {
        let averaged = self.averaged.as_ref().filter(|_| of_average);
        &averaged.unwrap_or(&self.weights).answers
    }
}

impl Trainer<'_> {
    /// Classifies the validation images; `None` if interrupted.
    ///
    /// # Errors
    /// Returns an error if training diverged, no image can be read, or the device is out of memory.
    pub(super) fn validate(&self, trained: &Trained, bad: &mut BadImages) -> Result<Option<Validation>> {
        ensure!(trained.learner.is_finite()?, self.diverged(&trained.state, "a weight is NaN or infinite"));
        self.measure(trained, bad).map_err(|error| match error.downcast_ref::<NotFinite>() {
            Some(problem) => self.diverged(&trained.state, &problem.to_string()),
            None => error,
        })
    }

    fn measure(&self, trained: &Trained, bad: &mut BadImages) -> Result<Option<Validation>> {
        let Some(weights) = self.classify(&trained.learner.network, "validation", bad)? else { return Ok(None) };
        let Some(network) = trained.average.as_ref().and_then(Average::network) else {
            return Ok(Some(Validation { weights, averaged: None }));
        };
        let averaged = self.classify(network, "averaged", bad)?;
        Ok(averaged.map(|averaged| Validation { weights, averaged: Some(averaged) }))
    }

    fn classify(&self, network: &Network, title: &str, bad: &mut BadImages) -> Result<Option<Found>> {
        let pace = Pace {
            processes: self.processes.clone(),
            batch_size: self.experiment.training.batch_size,
            workers: self.workers,
            plain: false,
            precision: Precision::F32,
        };
        let member = Member { network, experiment: self.experiment, order: None };
        let outcomes =
            Classification::start(&[member], &[Views::center()], self.val.samples.clone(), pace, self.report)?;
        let mut measurement = Measurement::default();
        let mut answers = Vec::with_capacity(self.val.samples.len());
        let mut bar = self.report.bar(self.val.samples.len() as u64, title);
        for (index, (outcome, sample)) in outcomes.zip(self.val.samples.iter()).enumerate() {
            let outcome = outcome?;
            measurement.count(&outcome, sample.label);
            answers.push(answer(&outcome, sample.label));
            bar.at(index as u64 + 1, "");
            if self.processes.is_interrupted(index, self.interrupted)? {
                bar.clear();
                return Ok(None);
            }
        }
        bar.clear();
        measurement.check().context("validation")?;
        measurement.bad.into_iter().for_each(|image| bad.remember(image));
        let errors = measurement.protocols.first().and_then(|measured| measured.tally.errors());
        Ok(errors.map(|errors| Found { errors, answers }))
    }
}
