//! What the processes of a run agree on, so that they go the same way through the training loop.

use std::sync::atomic::Ordering;

use anyhow::Result;

use super::Trainer;
use super::average::Average;
use super::state::Trained;
use crate::weights::StoredTensor;

/// What holds after a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agreed {
    /// The seconds that the run has taken, by the first process's clock.
    pub(super) seconds: f64,
    /// Whether a signal has reached any process.
    pub(super) is_interrupted: bool,
}

impl Trainer<'_> {
    /// # Errors
    /// Returns an error if another process has ended.
    pub(super) fn agree(&self, seconds: f64) -> Result<Agreed> {
        let seconds = if self.processes.is_first() { seconds } else { 0.0 };
        let interrupted = f64::from(u8::from(self.interrupted.load(Ordering::Relaxed)));
        let [seconds, interrupted] = self.processes.totals([seconds, interrupted])?;
        Ok(Agreed { seconds, is_interrupted: interrupted > 0.0 })
    }

    /// Checks by a checksum that all processes have the same weights, running statistics and average.
    ///
    /// # Errors
    /// Returns an error if not.
    pub(super) fn check_equal(&self, trained: &Trained) -> Result<()> {
        if !self.processes.are_several() {
            return Ok(());
        }
        let mut sum = crc32fast::Hasher::new();
        let networks = [Some(&trained.learner.network), trained.average.as_ref().and_then(Average::network)];
        for (parameter, tensor) in networks.into_iter().flatten().flat_map(|network| network.parameters()) {
            sum.update(&StoredTensor::of(&parameter.name, tensor)?.data);
        }
        let what = format!("after step {}, the weights", trained.state.step);
        let remedy = "Do all have the same program, libtorch and kind of processor? The last checkpoint is intact";
        self.processes.check_same(&what, remedy, sum.finalize())
    }
}
