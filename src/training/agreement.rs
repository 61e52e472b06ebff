//! What the processes of a run agree on, so that they go the same way through a training loop.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use tch::TchError;

use crate::network::Network;
use crate::processes::Processes;
use crate::weights::StoredTensor;

/// What holds after a step.
#[derive(Clone, Copy, Debug)]
pub struct Agreed {
    /// The seconds that the run has taken, by the first process's clock.
    pub seconds: f64,
    /// Whether a signal has reached any process.
    pub is_interrupted: bool,
}

/// Agrees on what holds after `seconds` by this process's clock.
///
/// # Errors
/// Returns an error if another process has ended.
pub fn agree(processes: &Processes, seconds: f64, interrupted: &AtomicBool) -> Result<Agreed, TchError> {
    let seconds = if processes.is_first() { seconds } else { 0.0 };
    let interrupted = f64::from(u8::from(interrupted.load(Ordering::Relaxed)));
    let [seconds, interrupted] = processes.totals([seconds, interrupted])?;
    Ok(Agreed { seconds, is_interrupted: interrupted > 0.0 })
}

/// Checks by a checksum that all processes have the same weights and running statistics after a step.
///
/// # Errors
/// Returns an error if not.
pub fn check_equal<'a>(
    processes: &Processes,
    step: u64,
    networks: impl IntoIterator<Item = &'a Network>,
) -> Result<()> {
    if !processes.are_several() {
        return Ok(());
    }
    let remedy = "Do all have the same program, libtorch and kind of processor? The last checkpoint is intact";
    processes.check_same(&format!("after step {step}, the weights"), remedy, checksum(networks)?)
}

/// The checksum of all parameters of networks, running statistics too.
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn checksum<'a>(networks: impl IntoIterator<Item = &'a Network>) -> Result<u32> {
    let mut sum = crc32fast::Hasher::new();
    for (parameter, tensor) in networks.into_iter().flat_map(|network| network.parameters()) {
        sum.update(&StoredTensor::of(&parameter.name, tensor)?.data);
    }
    Ok(sum.finalize())
}
