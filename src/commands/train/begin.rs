//! What a run begins with: a new network or the one that was saved, in the experiment that the command asks for.

use std::path::{Path, PathBuf};

use anyhow::{Error, Result, anyhow};
use serde_json::Value;
use tch::Device;

use super::initial::{self, Initial};
use super::resume::Saved;
use super::tuning::Tuning;
use super::{all_changes, data};
use crate::cli::Train;
use crate::commands::SAME_IMAGES;
use crate::data::split::{Splits, ValidationSource};
use crate::experiment::Experiment;
use crate::model::checkpoint::BEST;
use crate::network::Network;
use crate::processes::Processes;
use crate::report::Report;
use crate::training::average::Average;
use crate::training::run::{self, Found, RunFolder};
use crate::training::state::{State, Trained};
use crate::training::step::Learner;

/// A command to train, with its data.
#[derive(Debug)]
pub struct Beginning<'a> {
    pub args: &'a Train,
    /// Its experiment before any fine-tuning, with the classes that the file has.
    pub own: Experiment,
    pub splits: Splits,
    pub device: Device,
    pub processes: &'a Processes,
    pub report: Report,
}

impl<'a> Beginning<'a> {
    /// # Errors
    /// Returns an error if the experiment or the data cannot be used.
    pub fn new(args: &'a Train, device: Device, processes: &'a Processes, report: Report) -> Result<Self> {
        let own = Experiment::load(&args.experiment, &all_changes(args, &[]))?;
        let splits = data::open(args, &own.training, report)?;
        Ok(Beginning { args, own, splits, device, processes, report })
    }

    /// The run folder.
    pub fn out(&self) -> PathBuf {
        out(self.args, &self.own.name)
    }

    /// Starts the run, or resumes it, in the first process, of which all others learn how. If the launcher has started all
    /// processes again, they resume what they had begun, and nothing else.
    ///
    /// # Errors
    /// Returns an error if the folder, the initial weights or the saved state cannot be used.
    pub fn begin(&self) -> Result<(Option<RunFolder>, Experiment, Trained)> {
        let Splits { train, val, .. } = &self.splits;
        self.processes.check_same("the training images", SAME_IMAGES, train.fingerprint())?;
        self.processes.check_same("the validation images", SAME_IMAGES, val.fingerprint())?;
        let begun = self.processes.is_first().then(|| self.begin_first()).transpose()?;
        let told = begun.as_ref().map(|(_, experiment, trained)| {
            serde_json::to_value(experiment).map(|experiment| (experiment, trained.state.clone()))
        });
        let (experiment, state) = self.processes.of_first(told.transpose()?)?;
        let (run, experiment, trained) = match begun {
            Some((run, experiment, trained)) => (Some(run), experiment, trained),
            None => self.follow(experiment, state)?,
        };
        self.processes.broadcast(&trained.tensors())?;
        let learner = trained.learner.among(self.processes);
        Ok((run, experiment, Trained { learner, ..trained }))
    }

    fn begin_first(&self) -> Result<(RunFolder, Experiment, Trained)> {
        let resumes = self.args.resume || self.processes.have_begun()? && run::find(&self.out()) == Found::Run;
        let begun = if resumes { self.resume() } else { self.start() }?;
        self.processes.begin()?;
        Ok(begun)
    }

    /// The same network as that of the first process, before it has the same values.
    fn follow(&self, experiment: Value, state: State) -> Result<(Option<RunFolder>, Experiment, Trained)> {
        let experiment = Experiment::from_value(experiment, &[])?;
        let learner = self.initialised(None, &experiment)?;
        let mut average = self.average(&experiment, &learner)?;
        average.iter_mut().for_each(|average| average.updates = state.average_updates);
        Ok((None, experiment, Trained { learner, average, state }))
    }

    /// Starts a run.
    ///
    /// # Errors
    /// Returns an error if its folder is taken, or its initial weights cannot be used; nothing is then left behind.
    pub fn start(&self) -> Result<(RunFolder, Experiment, Trained)> {
        let out = self.out();
        let on = |error: Error| anyhow!("{error:#}{}", way_on(&out, false));
        RunFolder::check_free(&out).map_err(on)?;
        let (experiment, learner) = self.learner()?;
        let average = self.average(&experiment, &learner)?;
        let state = State {
            dataset: self.splits.train.fingerprint(),
            validation: Some(self.splits.val.fingerprint()),
            threads: tch::get_num_threads(),
            processes: self.processes.count(),
            weights: self.args.weights.as_deref().map(|weights| weights.display().to_string()),
            ..State::default()
        };
        Ok((RunFolder::create(&out, &experiment).map_err(on)?, experiment, Trained { learner, average, state }))
    }

    /// Resumes the run in the folder.
    ///
    /// # Errors
    /// Returns an error if there is none, or this command would make another one of it.
    pub fn resume(&self) -> Result<(RunFolder, Experiment, Trained)> {
        let out = self.out();
        let run = RunFolder::open(&out).map_err(|error| anyhow!("{error:#}{}", way_on(&out, true)))?;
        if self.args.weights.is_some() {
            self.report.note("--weights is ignored: the run continues from its own checkpoint");
        }
        let saved = Saved::open(&run)?;
        let experiment = self.complete(Tuning::of_saved(self.args, &self.own, &saved.experiment))?;
        let trained = saved.resume(&run, &experiment, &self.splits, self.device, self.processes, self.report)?;
        Ok((run, experiment, trained))
    }

    /// A network with its initial weights, ready to learn, and its complete experiment.
    ///
    /// # Errors
    /// Returns an error if the initial weights cannot be used.
    pub fn learner(&self) -> Result<(Experiment, Learner)> {
        let classes = &self.splits.train.classes;
        let mut initial = Initial::read(self.args, &self.own, self.report)?;
        let is_moved = initial.as_mut().is_some_and(|initial| initial.put_in_order(classes, &self.own));
        if let Some(initial) = initial.as_ref().filter(|initial| initial.is_for(classes)) {
            let order = if is_moved { ", in another order" } else { "" };
            let file = initial.file().display();
            self.report.note(format!("{file} is for these classes{order}: its classifier is kept"));
        }
        let experiment = self.complete(Tuning::of_new(self.args, &self.own, initial.as_ref(), classes)?)?;
        let learner = self.initialised(initial, &experiment)?;
        Ok((experiment, learner))
    }

    fn initialised(&self, initial: Option<Initial>, experiment: &Experiment) -> Result<Learner> {
        let classes = &self.splits.train.classes;
        let tensors = initial::tensors(initial, experiment, classes, self.device, self.report)?;
        let network = Network::for_training(experiment.nodes().to_vec(), tensors, self.device)?;
        Learner::for_classes(network, experiment, &self.splits.train.class_sizes())
    }

    fn average(&self, experiment: &Experiment, learner: &Learner) -> Result<Option<Average>> {
        let average = experiment.training.average.as_ref();
        average.map(|kind| Average::new(kind, &learner.network)).transpose()
    }

    /// The experiment with what the data and the initial weights decide.
    fn complete(&self, tuning: Option<Tuning>) -> Result<Experiment> {
        let images = self.splits.train.samples.len();
        let mut experiment = match tuning {
            Some(tuning) => tuning.apply(self.args, images, self.report)?,
            None => self.own.clone(),
        };
        experiment.set_classes(&self.splits.train.classes)?;
        if let Some(scale) = self.args.scale_rate {
            if !self.processes.have_launcher() {
                self.report.note("--scale-rate changes nothing: there is one process");
            }
            experiment.training.learning_rate *= scale.factor(self.processes.count());
        }
        if let ValidationSource::Split(fraction) = self.splits.source {
            experiment.training.val_fraction = Some(fraction);
        }
        Ok(experiment)
    }
}

/// The run folder of an experiment of this name: `--out`, or runs/EXPERIMENT-DATA.
pub fn out(args: &Train, name: &str) -> PathBuf {
    args.out.clone().unwrap_or_else(|| {
        let data = args.data.canonicalize().unwrap_or_else(|_| args.data.clone());
        let data = data.file_name().map_or("data".into(), |name| name.to_string_lossy().into_owned());
        Path::new("runs").join(format!("{name}-{data}"))
    })
}

/// What else a user can do if the run folder cannot be used.
pub fn way_on(out: &Path, resume: bool) -> String {
    match (resume, run::find(out)) {
        (true, Found::Free) => ". Leave out --resume to start a new run, or choose another folder with --out".into(),
        (false, Found::Run) => ". Continue it with --resume, or choose another folder with --out".into(),
        (true, Found::Run) => String::new(),
        (_, Found::Best) => {
            let best = out.join(BEST);
            format!(". Choose another folder with --out, and add --weights {} to begin with them", best.display())
        }
        _ => ". Choose another folder with --out".into(),
    }
}
