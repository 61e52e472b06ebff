//! What a run of a generator against a discriminator begins with: new networks, or those that were saved.

use anyhow::{Context, Error, Result, anyhow, ensure};
use tch::Device;

use super::begin::{out, way_on};
use super::resume::{compare, go_on_with, other_images, say_threads};
use crate::adversarial::measure::Yardstick;
use crate::adversarial::model::tensors_of;
use crate::adversarial::state::{self, Progressed, Trained};
use crate::adversarial::step::Opponents;
use crate::cli::Train;
use crate::commands::SAME_IMAGES;
use crate::data::dataset::Dataset;
use crate::experiment::Gan;
use crate::model::checkpoint;
use crate::network::{Network, Tensors, init};
use crate::processes::Processes;
use crate::random;
use crate::report::Report;
use crate::training::average::Average;
use crate::training::log::Log;
use crate::training::run::{self, Found, RunFolder};
use crate::training::state::State;

/// What a run keeps.
const FIXED: [&str; 8] = [
    "latent",
    "conditional",
    "generator",
    "discriminator",
    "preprocess",
    "training.seed",
    "training.batch_size",
    "training.optimizer.rmsprop.centered",
];

/// A command to train, with its experiment and data.
pub struct Beginning<'a> {
    pub args: &'a Train,
    pub gan: &'a Gan,
    pub train: &'a Dataset,
    pub device: Device,
    pub processes: &'a Processes,
    pub report: Report,
}

impl Beginning<'_> {
    /// Starts the run, or resumes it, in the first process, whose state all others take. If the launcher has started all
    /// processes again, they resume what they had begun. `yardstick` is what distances depend on.
    ///
    /// # Errors
    /// Returns an error if the folder or the saved state cannot be used, or the processes do not have the same images.
    pub fn begin(&self, yardstick: Option<Yardstick>) -> Result<(Option<RunFolder>, Trained)> {
        self.processes.check_same("the training images", SAME_IMAGES, self.train.fingerprint())?;
        let remedy = "Start all of them with the same file and flags";
        self.processes.check_same("the fields of the experiment", remedy, serde_json::to_value(self.gan)?)?;
        let begun = self.processes.is_first().then(|| self.begin_first(yardstick)).transpose()?;
        let state = self.processes.of_first(begun.as_ref().map(|(_, trained)| trained.state.clone()))?;
        let (run, trained) = match begun {
            Some((run, trained)) => (Some(run), trained),
            None => (None, self.initialised(state)?),
        };
        self.processes.broadcast(&trained.tensors())?;
        Ok((run, Trained { opponents: trained.opponents.among(self.processes), ..trained }))
    }

    fn begin_first(&self, yardstick: Option<Yardstick>) -> Result<(RunFolder, Trained)> {
        let out = out(self.args, &self.gan.name);
        let resumes = self.args.resume || self.processes.have_begun()? && run::find(&out) == Found::Run;
        let (run, mut trained) = if resumes { self.resume() } else { self.start() }?;
        let before = trained.state.yardstick.filter(|_| trained.state.best.is_some());
        ensure!(
            before.is_none() || before == yardstick,
            "{}: its best generator was chosen by other features or from other images, with which this one's distances cannot be compared; restore --features and the held-out images, or start a new run",
            out.display()
        );
        trained.state.yardstick = yardstick;
        self.processes.begin()?;
        Ok((run, trained))
    }

    /// Starts a run.
    fn start(&self) -> Result<(RunFolder, Trained)> {
        let out = out(self.args, &self.gan.name);
        let on = |error: Error| anyhow!("{error:#}{}", way_on(&out, false));
        RunFolder::check_free(&out).map_err(on)?;
        let run = State {
            dataset: self.train.fingerprint(),
            threads: tch::get_num_threads(),
            processes: self.processes.count(),
            ..State::default()
        };
        let trained = self.initialised(Progressed { run, ..Progressed::default() })?;
        Ok((RunFolder::create(&out, self.gan).map_err(on)?, trained))
    }

    /// Networks with their initial weights, in a state.
    fn initialised(&self, state: Progressed) -> Result<Trained> {
        let seed = self.gan.training.seed;
        let [generator, discriminator] = self.gan.parts().map(|(name, part, nodes)| {
            init::tensors(nodes, &part.start, random::part_seed(seed, name), self.device).context(name)
        });
        let opponents = self.opponents([generator?, discriminator?])?;
        let average = self.gan.training.average.as_ref();
        let mut average = average.map(|kind| Average::new(kind, &opponents.generator.network)).transpose()?;
        average.iter_mut().for_each(|average| average.updates = state.run.average_updates);
        Ok(Trained { opponents, average, state })
    }

    /// Resumes the run in the folder.
    fn resume(&self) -> Result<(RunFolder, Trained)> {
        let out = out(self.args, &self.gan.name);
        let run = RunFolder::open(&out).map_err(|error| anyhow!("{error:#}{}", way_on(&out, true)))?;
        let (note, stored) = checkpoint::open(&run.last())?;
        let saved = Gan::from_value(note.experiment, &[])
            .with_context(|| format!("the experiment of {} does not work", run.last().display()))?;
        compare(&saved, self.gan, &FIXED, self.report)
            .with_context(|| format!("{} cannot be resumed with this command", out.display()))?;
        let opponents = self.opponents(tensors_of(self.gan, &stored, &run.last(), self.device)?)?;
        let mut trained = state::restore(&run, note.step, opponents, self.gan)?;
        let state = &mut trained.state.run;
        ensure!(state.dataset == self.train.fingerprint(), other_images(&run, "training", state.dataset, self.train));
        let threads = tch::get_num_threads();
        run.write_experiment(self.gan)?;
        Log::at(run.log()).resume(state)?;
        self.report.note(format!("resuming at step {}, in epoch {}", state.step, state.epoch + 1));
        say_threads(std::mem::replace(&mut state.threads, threads), threads, self.report);
        go_on_with(self.processes.count(), state, &self.gan.shared(), self.report);
        Ok((run, trained))
    }

    fn opponents(&self, [generator, discriminator]: [Tensors; 2]) -> Result<Opponents> {
        let generator = Network::for_training(self.gan.generator().to_vec(), generator, self.device)?;
        let discriminator = Network::for_training(self.gan.discriminator().to_vec(), discriminator, self.device)?;
        Opponents::new(generator, discriminator, self.gan)
    }
}
