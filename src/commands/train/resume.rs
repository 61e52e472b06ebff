//! A run that continues from its last checkpoint.

use std::collections::HashSet;

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use serde::Serialize;
use tch::Device;

use super::differences::{self, Difference};
use crate::data::dataset::{Dataset, Fingerprint};
use crate::data::split::Splits;
use crate::experiment::{Experiment, Training};
use crate::model::checkpoint::{self, Note};
use crate::network::Network;
use crate::network::parameter::parameters;
use crate::processes::Processes;
use crate::report::Report;
use crate::training::batches;
use crate::training::events;
use crate::training::log::Log;
use crate::training::run::RunFolder;
use crate::training::state::{self, State, Trained};
use crate::training::step::Learner;
use crate::weights::StoredTensor;
use crate::weights::fit::fit;

/// The last checkpoint of a run.
#[derive(Debug)]
pub struct Saved {
    /// The experiment that it was trained by.
    pub experiment: Experiment,
    note: Note,
    tensors: Vec<StoredTensor>,
}

impl Saved {
    /// # Errors
    /// Returns an error if it is corrupt.
    pub fn open(run: &RunFolder) -> Result<Self> {
        let (note, tensors) = checkpoint::open(&run.last())?;
        let experiment = note
            .experiment(&[])
            .with_context(|| format!("the experiment of {} does not work", run.last().display()))?;
        Ok(Saved { experiment, note, tensors })
    }

    /// The network and its state, to be trained further as `experiment` says.
    ///
    /// # Errors
    /// Returns an error if that would make it another run, or the training images are not the same.
    pub fn resume(
        self,
        run: &RunFolder,
        experiment: &Experiment,
        splits: &Splits,
        device: Device,
        processes: &Processes,
        report: Report,
    ) -> Result<Trained> {
        let (out, train) = (run.path().display(), &splits.train);
        compare(&self.experiment, experiment, &FIXED, report)
            .with_context(|| format!("{out} cannot be resumed with this command"))?;
        ensure!(
            self.note.classes == train.classes,
            "{out}: trained on different classes: {} then, {} now",
            self.note.classes.join(", "),
            train.classes.join(", ")
        );
        let tensors = fit(&parameters(experiment.nodes()), self.tensors, &HashSet::new(), &run.last())?;
        let network = Network::for_training(experiment.nodes().to_vec(), tensors.into_tensors(device)?, device)?;
        let learner = Learner::for_classes(network, experiment, &train.class_sizes())?;
        let mut trained = state::restore(run, self.note.step, learner, &experiment.training)?;
        let threads = tch::get_num_threads();
        let before = std::mem::replace(&mut trained.state.threads, threads);
        let state = &trained.state;
        // The order of the images depends on their number, and the random choices for each on its position in the list.
        ensure!(state.dataset == train.fingerprint(), other_images(run, "training", state.dataset, train));
        if let Some(validation) = state.validation {
            ensure!(validation == splits.val.fingerprint(), other_images(run, "validation", validation, &splits.val));
        }
        run.write_experiment(experiment)?;
        Log::at(run.log()).resume(state)?;
        events::cut(run, state.events)?;
        let epochs = if state.epoch == 1 { "epoch" } else { "epochs" };
        report.note(format!("resuming after {} {epochs}, at step {}", state.epoch, state.step));
        say_threads(before, threads, report);
        go_on_with(processes.count(), &mut trained.state, &experiment.training, report);
        Ok(trained)
    }
}

/// Says what another number of threads changes.
pub fn say_threads(before: i32, now: i32, report: Report) {
    if before != now && before > 0 {
        report.note(format!(
            "saved with {before} threads, resumed with {now}: sums are rounded in another order, so the weights will not be to the bit those of a run that was never interrupted; with --threads {before} they will"
        ));
    }
}

/// Goes on with this many processes, as few or as many as there were before, or not.
pub fn go_on_with(now: usize, state: &mut State, training: &Training, report: Report) {
    let then = std::mem::replace(&mut state.processes, now);
    if then == now {
        return;
    }
    let batch_size = training.batch_size;
    let steps = |processes: usize| batches::steps(state.dataset.images as usize, batch_size, processes);
    let (steps_then, steps_now, step) = (steps(then), steps(now), state.step);
    state.move_to_steps(steps_then, steps_now);
    report.note(format!(
        "saved with {then} processes, resumed with {now}: an update now learns from {} images rather than {}, an epoch has {steps_now} steps rather than {steps_then}, so that step {step} becomes step {}, and the learning rate is {}",
        batch_size * now,
        batch_size * then,
        state.step,
        training.learning_rate
    ));
}

/// The error about training or validation images that are not those of the run.
pub fn other_images(run: &RunFolder, part: &str, then: Fingerprint, now: &Dataset) -> Error {
    anyhow!(
        "the {part} images are not the ones that {} had ({} images then, {} now, or renamed); restore them, or start a new run, with --weights from this one if you like",
        run.path().display(),
        then.images,
        now.samples.len()
    )
}

/// What a run keeps: network, preprocessing, seed, batch size, and what the state has a tensor for.
const FIXED: [&str; 9] = [
    "network",
    "preprocess",
    "training.seed",
    "training.batch_size",
    "training.sampler",
    "training.val_fraction",
    "training.accumulate",
    "training.freeze",
    "training.optimizer.rmsprop.centered",
];

/// Reports what has changed since the run was saved. The fields that begin with one of `fixed`, and the choice of the
/// optimiser, must be unchanged; everything else (learning rate, epochs) takes its new value.
///
/// # Errors
/// Returns an error that names the fields that may not differ.
pub fn compare<T: Serialize>(saved: &T, now: &T, fixed: &[&str], report: Report) -> Result<()> {
    let (mut refused, mut taken) = (Vec::new(), Vec::new());
    for Difference { path, then, now } in differences::between(saved, now)? {
        if is_claim(&path) {
            continue;
        }
        let is_fixed = fixed.iter().any(|field| path.starts_with(field)) || is_other_optimizer(&path);
        if is_fixed { &mut refused } else { &mut taken }.push(format!("{path}: {then} then, {now} now"));
    }
    if !refused.is_empty() {
        bail!("these fields differ from the saved run: {}; restore them, or start a new run", refused.join("; "));
    }
    taken.iter().for_each(|change| report.note(format!("changed since the run was saved: {change}")));
    Ok(())
}

/// Whether a difference at this path is one optimiser in place of another, rather than in the settings of one.
fn is_other_optimizer(path: &str) -> bool {
    path.strip_prefix("training.optimizer.").is_some_and(|kind| !kind.contains('.'))
}

/// Whether a field says something about a network that training does not depend on.
fn is_claim(path: &str) -> bool {
    let claims = ["network.parameters", "generator.parameters", "discriminator.parameters", "published", "weights"];
    claims.iter().any(|claim| path.starts_with(claim))
}
