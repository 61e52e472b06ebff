//! The training loop, from images to weights, in the order in which things happen. One step is in `step`. Several processes
//! go through the loop side by side: what decides how it goes on is agreed on, and only the first one writes.

mod accumulation;
pub mod agreement;
pub mod answers;
mod appended;
pub mod attempts;
pub mod average;
pub mod batches;
pub mod epoch_bar;
pub mod events;
pub mod find_rate;
pub mod histogram;
pub mod length;
pub mod log;
pub mod optimizer;
pub mod page;
pub mod precision;
mod progress;
pub mod run;
pub mod saves;
pub mod scaler;
pub mod schedule;
pub mod state;
pub mod step;
mod validation;

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Error, Result, bail, ensure};

use crate::data::dataset::Dataset;
use crate::experiment::Experiment;
use crate::metrics::Errors;
use crate::model::checkpoint::Note;
use crate::processes::Processes;
use crate::report::Report;
use crate::report::page::About;

use agreement::{agree, check_equal};
use attempts::SaveEvery;
use average::Average;
use batches::{BadImages, TrainingBatch, TrainingBatches};
use length::Length;
use progress::Progress;
use run::RunFolder;
use saves::Saves;
use state::{State, Trained};
use step::Learned;
use validation::Validation;

/// How training ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ended {
    /// At the end of the run.
    Finished {
        /// The lowest errors of all epochs.
        best: Errors,
        /// Whether they are those of the averaged weights.
        best_is_averaged: bool,
        /// The errors at the end.
        last: Errors,
        /// Those of the averaged weights.
        averaged: Option<Errors>,
    },
    /// Interrupted by a signal; the state is saved.
    Interrupted,
}

/// A training run, and everything that it uses.
#[derive(Debug)]
pub struct Trainer<'a> {
    /// What is trained, and how.
    pub experiment: &'a Experiment,
    /// The images to learn from.
    pub train: &'a Dataset,
    /// The images to measure errors on after each epoch.
    pub val: &'a Dataset,
    /// Where everything is written, by the first process.
    pub run: Option<&'a RunFolder>,
    /// How often the run is saved besides the ends of its epochs.
    pub save_every: SaveEvery,
    /// What the run's page says about it.
    pub about: &'a About,
    /// Threads that prepare images.
    pub workers: usize,
    /// Those that train together.
    pub processes: &'a Processes,
    /// The terminal output.
    pub report: Report,
    /// Set by a signal; the loop then ends after the current step.
    pub interrupted: &'a AtomicBool,
}

impl Trainer<'_> {
    /// Trains to the end of the run. Images that cannot be read are reported once, skipped, and added to `bad`.
    ///
    /// # Errors
    /// Returns an error if the loss becomes NaN or infinite, the device is out of memory, another process has ended, or the last
    /// save fails.
    pub fn train(&self, trained: &mut Trained, bad: &mut BadImages) -> Result<Ended> {
        let batches = TrainingBatches::new(self.experiment, self.train, self.workers, self.processes)?;
        let length = Length::new(&self.experiment.training, batches.steps());
        let formats = &self.experiment.training.log;
        let mut saves = Saves::new(self.run, self.save_every, formats, &trained.state, self.report);
        if trained.state.step > 0 {
            // The interruption may have come in the middle of a save, after the first of its files.
            self.save(trained, &mut saves)?;
            saves.write_table();
        }
        let (begun, before) = (Instant::now(), trained.state.seconds);
        let seconds = || before + begun.elapsed().as_secs_f64();

        while !self.is_over(&trained.state, &length) {
            let mut progress = Progress::new(self.report, &trained.state, &length);
            let mut epoch = batches.epoch(trained.state.epoch, length.step_of_epoch(&trained.state))?;

            while !length.ends_epoch(&trained.state) {
                let batch = epoch.next(bad)?;
                let rate = length.rate(&self.experiment.training, &trained.state);
                let learned = self.learn(trained, &batch, rate, &length)?;
                trained.state.step += 1;
                let agreed = agree(self.processes, seconds(), self.interrupted)?;
                trained.state.seconds = agreed.seconds;

                if let Some(line) = progress.step(&trained.state, learned, rate, epoch.waited()) {
                    saves.log(&line);
                }
                if agreed.is_interrupted {
                    return self.interrupt(trained, &mut saves);
                }
                if saves.are_due(trained.state.step) {
                    self.save(trained, &mut saves)?;
                }
            }
            drop(epoch);
            progress.clear();
            ensure!(trained.state.loss_images > 0, "none of the training images could be read");
            self.end_group(trained, &length)?;
            let average = trained.average.as_ref().and_then(Average::network);
            check_equal(self.processes, trained.state.step, [&trained.learner.network].into_iter().chain(average))?;
            bad.share(self.processes)?;
            // Validation may take long or fail; a resumed run continues with it.
            if saves.are_worthwhile() {
                self.save(trained, &mut saves)?;
            }
            let Some(found) = self.validate(trained, bad)? else { return self.interrupt(trained, &mut saves) };
            trained.state.seconds = agree(self.processes, seconds(), self.interrupted)?.seconds;
            self.finish_epoch(trained, found, &length, &progress, &mut saves)?;
        }
        self.finish(trained, &mut saves)?;
        self.end(trained)
    }

    /// Learns from the batches of all processes, and takes the new weights into their average; returns the number of images
    /// learned from.
    fn learn(&self, trained: &mut Trained, batch: &TrainingBatch, rate: f64, length: &Length) -> Result<u64> {
        let Trained { learner, state, .. } = trained;
        let ends_group = length.ends_group(state);
        let Learned { loss, images } = learner.step(&batch.images, &batch.labels, state.step, rate, ends_group)?;
        ensure!(loss.is_finite(), self.diverged(state, &format!("the loss is {loss}")));
        state.loss_sum += loss * images as f64;
        state.loss_images += images;
        if ends_group {
            self.average(trained, length)?;
        }
        Ok(images)
    }

    /// Takes the weights into their average.
    fn average(&self, trained: &mut Trained, length: &Length) -> Result<()> {
        let Trained { average, state, .. } = trained;
        if let Some(average) = average {
            average.update(length.share(state))?;
            state.average_updates = average.updates;
        }
        Ok(())
    }

    /// Updates the weights by a group of batches that the end of the time has cut short.
    fn end_group(&self, trained: &mut Trained, length: &Length) -> Result<()> {
        if trained.learner.has_open_group()? {
            trained.learner.end_group(length.rate(&self.experiment.training, &trained.state))?;
            self.average(trained, length)?;
        }
        Ok(())
    }

    /// Whether nothing is left to train or to validate.
    fn is_over(&self, state: &State, length: &Length) -> bool {
        state.epoch >= length.epochs || state.is_validated() && (self.stops_early(state) || length.is_over(state))
    }

    fn stops_early(&self, state: &State) -> bool {
        let early = self.experiment.training.early_stopping.as_ref();
        early.is_some_and(|early| state.stale >= early.patience)
    }

    /// Logs and saves a complete epoch, or the end of a run within one.
    fn finish_epoch(
        &self,
        trained: &mut Trained,
        found: Validation,
        length: &Length,
        progress: &Progress,
        saves: &mut Saves,
    ) -> Result<()> {
        let training = &self.experiment.training;
        let training_loss = trained.state.loss();
        let errors = found.errors();
        let is_guessing = |errors: Errors| errors.are_of_guessing(self.train.classes.len());
        let was_guessing = trained.state.errors.is_some_and(is_guessing);
        let verdict = trained.state.finish(errors, length.is_whole(&trained.state), &training.schedule);
        let state = &trained.state;
        if verdict.is_best {
            let best = found.answers(state.best_is_averaged);
            let answers = answers::table(&self.val.samples, best, &self.val.classes)?;
            let (note, average) = (self.note(state)?, trained.average.as_ref().and_then(Average::network));
            match average.filter(|_| state.best_is_averaged) {
                Some(average) => saves.keep_best(average, state.note_of_average(&note), answers)?,
                None => saves.keep_best(&trained.learner.network, note, answers)?,
            }
        }
        saves.log(&progress.epoch(state, training_loss, errors, verdict.is_best));
        saves.log_pictures(trained, found.answers(false))?;
        self.save(trained, saves)?;
        saves.draw_curves();
        saves.write_table();
        let state = &trained.state;
        saves.write_page(&About { seconds: state.seconds, ..self.about.clone() });
        self.report.note(progress.epoch_text(state, training_loss, errors, verdict.is_best));
        if length.is_whole(state) && is_guessing(errors.weights) && !was_guessing {
            self.report.warn(progress.guessing(&self.experiment.training));
        }
        if verdict.lowers_rate {
            self.report.note("the top-1 error has stopped falling: the schedule lowers the learning rate");
        }
        Ok(())
    }

    fn save(&self, trained: &mut Trained, saves: &mut Saves) -> Result<()> {
        let note = self.note(&trained.state)?;
        saves.save(trained, &note)
    }

    fn finish(&self, trained: &mut Trained, saves: &mut Saves) -> Result<()> {
        let note = self.note(&trained.state)?;
        saves.finish(trained, &note)
    }

    fn interrupt(&self, trained: &mut Trained, saves: &mut Saves) -> Result<Ended> {
        self.finish(trained, saves)?;
        Ok(Ended::Interrupted)
    }

    fn end(&self, trained: &Trained) -> Result<Ended> {
        let (state, training) = (&trained.state, &self.experiment.training);
        if state.epoch < training.epochs {
            let epochs = if state.stale == 1 { "epoch" } else { "epochs" };
            self.report.note(match self.stops_early(state) {
                true => format!("ended early: no lower top-1 error for {} {epochs}", state.stale),
                false => state.ended_by(training),
            });
        }
        if trained.average.as_ref().is_some_and(|average| average.network().is_none()) {
            self.report
                .warn("no average of the weights was kept: the run ended before the part that training.average names");
        }
        match (state.best, state.errors) {
            (Some(best), Some(last)) => {
                Ok(Ended::Finished { best, best_is_averaged: state.best_is_averaged, last, averaged: state.averaged })
            }
            _ => bail!("no epoch was trained"),
        }
    }

    fn note(&self, state: &State) -> Result<Note> {
        Ok(Note {
            version: env!("CARGO_PKG_VERSION").to_string(),
            experiment: serde_json::to_value(self.experiment)?,
            classes: self.train.classes.clone(),
            epoch: state.epoch,
            step: state.step,
            errors: state.errors,
            averaged: false,
        })
    }

    fn diverged(&self, state: &State, problem: &str) -> Error {
        let training = &self.experiment.training;
        let mut changes = vec![("training.learning_rate", (training.learning_rate / 10.0).to_string())];
        if training.warmup_epochs < 2.0 && training.epochs > 4 {
            changes.push(("training.warmup_epochs", "2".to_string()));
        }
        state.diverged(problem, changes)
    }
}
