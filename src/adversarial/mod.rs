//! The training loop of a generator against a discriminator, in the order in which things happen. One step is in `step`, its
//! losses are in `losses`; after each epoch the generator is `measure`d against `real` images, and `watch` says when it goes
//! wrong. What is trained `make`s images; `model` opens it again. Several processes go through the loop side by side, and only
//! the first one measures and writes.

pub mod latent;
pub mod losses;
pub mod make;
pub mod measure;
pub mod model;
pub mod nearest;
pub mod pixels;
mod progress;
pub mod real;
mod saves;
pub mod state;
pub mod step;
mod watch;

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Error, Result, ensure};
use tch::Tensor;

use crate::data::dataset::Dataset;
use crate::data::example::Examples;
use crate::experiment::gan::GanTraining;
use crate::experiment::{Gan, Preprocess, Training};
use crate::image::grid::{enlarged, grid, square};
use crate::model::checkpoint::Note;
use crate::processes::Processes;
use crate::report::Report;
use crate::report::page::About;
use crate::training::agreement::{agree, check_equal};
use crate::training::attempts::SaveEvery;
use crate::training::average::Average;
use crate::training::batches::{BadImages, TrainingBatch, TrainingBatches};
use crate::training::length::Length;
use crate::training::run::RunFolder;

use measure::Measure;
use progress::{Found, Progress};
use saves::Saves;
use state::{Progressed, Sums, Trained};

/// Images in the picture of an epoch.
const SAMPLES: u64 = 64;
/// The side that they are enlarged to, if they are smaller.
const LEAST_SIDE: u32 = 56;

/// How training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// At the end of the run.
    Finished {
        /// The number of the last epoch, complete or not, from 1, which its picture is named after.
        epoch: u64,
    },
    /// Interrupted by a signal; the state is saved.
    Interrupted,
}

/// A training run, and everything that it uses.
#[derive(Debug)]
pub struct Trainer<'a> {
    /// What is trained, and how.
    pub gan: &'a Gan,
    /// The images to learn from.
    pub train: &'a Dataset,
    /// What the best generator is chosen by, in the first process; `None` if none is chosen.
    pub measure: Option<&'a Measure<'a>>,
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
    /// Returns an error if a loss becomes NaN or infinite, the device is out of memory, another process has ended, or the last
    /// save fails.
    pub fn train(&self, trained: &mut Trained, bad: &mut BadImages) -> Result<Ended> {
        let shared = self.gan.shared();
        let batches = self.batches(&shared)?;
        let length = Length::new(&shared, batches.steps());
        let mut saves = Saves::new(self.run, self.save_every, self.report);
        if trained.state.run.step > 0 {
            // The interruption may have come in the middle of a save, after the first of its files, or before a picture.
            saves.save(trained, &self.note(&trained.state)?)?;
            self.show_again(trained, &length, &mut saves)?;
        }
        let (begun, before) = (Instant::now(), trained.state.run.seconds);

        while !self.is_over(&trained.state, &length) {
            let mut progress = Progress::new(self.report, &trained.state, &length);
            let run = &trained.state.run;
            let mut epoch = batches.epoch(run.epoch, length.step_of_epoch(run))?;

            while !length.ends_epoch(&trained.state.run) {
                let batch = epoch.next(bad)?;
                let rate = length.rate(&shared, &trained.state.run);
                let images = self.play(trained, &batch, rate, &length)?;
                trained.state.run.step += 1;
                let agreed = agree(self.processes, before + begun.elapsed().as_secs_f64(), self.interrupted)?;
                trained.state.run.seconds = agreed.seconds;

                if let Some(line) = progress.step(&trained.state, images, rate, epoch.waited()) {
                    saves.log(&line);
                    trained.state.recent = Sums::default();
                }
                if agreed.is_interrupted {
                    saves.finish(trained, &self.note(&trained.state)?)?;
                    return Ok(Ended::Interrupted);
                }
                if saves.are_due(trained.state.run.step) {
                    saves.save(trained, &self.note(&trained.state)?)?;
                }
            }
            drop(epoch);
            progress.clear();
            ensure!(trained.state.epoch.images > 0, self.nothing_learned());
            self.check(trained)?;
            bad.share(self.processes)?;
            // Measuring may take long or fail; a resumed run continues with it.
            if saves.are_worthwhile() {
                saves.save(trained, &self.note(&trained.state)?)?;
            }
            self.finish_epoch(trained, &length, &progress, &mut saves)?;
        }
        saves.finish(trained, &self.note(&trained.state)?)?;
        self.say_end(trained);
        Ok(Ended::Finished { epoch: number(&trained.state, &length) })
    }

    fn batches(&self, shared: &Training) -> Result<TrainingBatches<'_>> {
        let preprocess = Preprocess { exif_orientation: self.gan.preprocess.exif_orientation, ..Preprocess::default() };
        let examples = Examples::of(self.train, shared.clone(), &preprocess, self.gan.size());
        // Batch norms over all processes need enough images in all of them together.
        let together = if shared.sync_batch_norm { self.processes.count() } else { 1 };
        let least = self.gan.least_images().div_ceil(together);
        TrainingBatches::of(examples, self.train, shared.batch_size, least, self.workers, self.processes)
    }

    /// Plays a step, and takes the generator's new weights into their average; returns the number of real images.
    fn play(&self, trained: &mut Trained, batch: &TrainingBatch, rate: f64, length: &Length) -> Result<u64> {
        let Trained { opponents, average, state } = trained;
        let played = opponents.step(batch, state.run.step, rate)?;
        let losses = [Some(played.discriminator_loss), played.generator_loss];
        for (name, loss) in ["discriminator", "generator"].into_iter().zip(losses) {
            if let Some(loss) = loss.filter(|loss| !loss.is_finite()) {
                return Err(self.diverged(state, &format!("the loss of the {name} is {loss}")));
            }
        }
        state.epoch.add(&played);
        state.recent.add(&played);
        if let (Some(average), Some(_)) = (average, played.generator_loss) {
            average.update(length.share(&state.run))?;
            state.run.average_updates = average.updates;
        }
        Ok(played.images)
    }

    /// Whether nothing is left to train or to measure.
    fn is_over(&self, state: &Progressed, length: &Length) -> bool {
        state.run.epoch >= length.epochs || state.run.is_validated() && length.is_over(&state.run)
    }

    /// Checks that all weights are finite, and the same in all processes.
    fn check(&self, trained: &Trained) -> Result<()> {
        let Trained { opponents, average, state } = trained;
        let own = [&opponents.generator.network, &opponents.discriminator.network];
        for network in own {
            ensure!(network.is_finite()?, self.diverged(state, "a weight is NaN or infinite"));
        }
        let average = average.as_ref().and_then(Average::network);
        check_equal(self.processes, state.run.step, own.into_iter().chain(average))
    }

    /// Measures, logs, saves and draws what the generator makes after a complete epoch, or at the end of a run within one.
    fn finish_epoch(
        &self,
        trained: &mut Trained,
        length: &Length,
        progress: &Progress,
        saves: &mut Saves,
    ) -> Result<()> {
        let means = trained.state.epoch.means();
        let run = &mut trained.state.run;
        run.validated = run.step;
        if length.is_whole(run) {
            run.epoch += 1;
            trained.state.epoch = Sums::default();
        }
        if !self.processes.is_first() {
            return Ok(());
        }
        let made = self.samples(trained)?;
        let distance = self.measure(trained, saves)?;
        let found = Found { means, variety: make::variety(&made)?, distance };
        saves.log(&progress.epoch(&trained.state, &found));
        saves.save(trained, &self.note(&trained.state)?)?;
        saves.show(number(&trained.state, length), &picture(&made)?, &self.about_now(trained));
        self.report.note(progress.epoch_text(&trained.state, &found));
        let GanTraining { loss, label_smoothing, .. } = self.gan.training;
        watch::signs(loss, label_smoothing, &means, found.variety).iter().for_each(|sign| self.report.warn(sign));
        Ok(())
    }

    /// The distance of made images from real ones, and whether it is the shortest so far: then the networks are kept.
    fn measure(&self, trained: &mut Trained, saves: &mut Saves) -> Result<Option<(f64, bool)>> {
        let Some(measure) = self.measure else { return Ok(None) };
        let (generator, averaged) = trained.generator();
        let distance = measure.distance(self.gan, generator, self.report)?;
        let is_best = trained.state.best.is_none_or(|best| distance < best);
        if is_best {
            let note = Note { averaged, ..self.note(&trained.state)? };
            saves.keep_best(generator, &trained.opponents.discriminator.network, note)?;
            trained.state.best = Some(distance);
        }
        Ok(Some((distance, is_best)))
    }

    /// Draws the picture of the last epoch, and writes the page: the run may have been interrupted before they were written.
    fn show_again(&self, trained: &Trained, length: &Length, saves: &mut Saves) -> Result<()> {
        if trained.state.run.is_validated() && self.processes.is_first() {
            let picture = picture(&self.samples(trained)?)?;
            saves.show(number(&trained.state, length), &picture, &self.about_now(trained));
        }
        Ok(())
    }

    /// What the generator, or its average, makes of the same latent vectors after each epoch.
    fn samples(&self, trained: &Trained) -> Result<Tensor> {
        make::images(self.gan.training.seed, 0..SAMPLES, None, self.gan, trained.generator().0, Report::silent())
    }

    fn about_now(&self, trained: &Trained) -> About {
        About { seconds: trained.state.run.seconds, ..self.about.clone() }
    }

    fn say_end(&self, trained: &Trained) {
        let (run, training) = (&trained.state.run, &self.gan.training);
        if run.epoch < training.epochs {
            self.report.note(run.ended_by(&self.gan.shared()));
        }
        if trained.average.as_ref().is_some_and(|average| average.network().is_none()) {
            self.report
                .warn("no average of the weights was kept: the run ended before the part that training.average names");
        }
    }

    fn note(&self, state: &Progressed) -> Result<Note> {
        Ok(Note {
            version: env!("CARGO_PKG_VERSION").to_string(),
            experiment: serde_json::to_value(self.gan)?,
            classes: self.train.classes.clone(),
            epoch: state.run.epoch,
            step: state.run.step,
            errors: None,
            averaged: false,
        })
    }

    fn diverged(&self, state: &Progressed, problem: &str) -> Error {
        let rate = self.gan.training.learning_rate / 4.0;
        state.run.diverged(problem, vec![("training.learning_rate", rate.to_string())])
    }

    fn nothing_learned(&self) -> String {
        let reason = "none of the training images could be read";
        match self.processes.count() {
            1 => reason.to_string(),
            count => format!("{reason}, or there are fewer in a step than the {count} processes need"),
        }
    }
}

/// The number of the last epoch, complete or not, from 1.
fn number(state: &Progressed, length: &Length) -> u64 {
    state.run.step.div_ceil(length.steps_per_epoch)
}

/// Made images side by side.
fn picture(made: &Tensor) -> Result<image::RgbImage> {
    let tiles: Vec<image::RgbImage> = make::pictures(made)?.iter().map(|tile| enlarged(tile, LEAST_SIDE)).collect();
    Ok(grid(&tiles, square(tiles.len())))
}
