//! The progress of a run for its page, from its log.

use anyhow::Result;

use super::log::Log;
use crate::report::page::Progress;

/// The epochs of a log, and the learning rate every few steps.
///
/// # Errors
/// Returns an error if the log cannot be read.
pub fn progress(log: &Log) -> Result<Progress> {
    let (epochs, steps) = log.epochs_and_steps()?;
    let last = epochs.last().and_then(|last| Some((last["epoch"].as_f64()?, last["step"].as_f64()?)));
    let (epoch, step) = last.unwrap_or((1.0, 1.0));
    let rate = |line: &serde_json::Value| Some((line["step"].as_f64()? * epoch / step, line["rate"].as_f64()?));
    let rates = steps.iter().filter_map(rate).collect();
    Ok(Progress { epochs, rates })
}
