//! One file for each subcommand: arguments in, work called, result shown.

pub mod doctor;
pub mod eval;
pub mod predict;
pub mod shapes;
pub mod summary;
pub mod train;

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::available_parallelism;

use anyhow::{Context, Result, anyhow};
use signal_hook::consts::TERM_SIGNALS;
use tch::Device;

use crate::cli::{Command, Common};
use crate::device::{self, OutOfMemory};
use crate::ensemble::Ensemble;
use crate::evaluation::{BadImage, Pace};
use crate::report::Report;

/// How a command ended, if it could do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Some images could not be read; each was named.
    SomeBad,
    /// By a signal; what there is to save is saved.
    Interrupted,
}

impl Outcome {
    fn of(bad: &[BadImage]) -> Self {
        if bad.is_empty() { Outcome::Done } else { Outcome::SomeBad }
    }

    /// The process's exit status; 2 is for errors.
    pub fn exit_status(self) -> u8 {
        match self {
            Outcome::Done => 0,
            Outcome::SomeBad => 1,
            Outcome::Interrupted => 130,
        }
    }
}

/// # Errors
/// What kept the command from doing its work.
pub fn run(command: Command) -> Result<Outcome> {
    let ran = match command {
        Command::Train(args) => train::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Predict(args) => predict::run(args),
        Command::Summary(args) => summary::run(args),
        Command::Shapes(args) => shapes::run(args),
        Command::Doctor(args) => doctor::run(args),
    };
    ran.map_err(|error| match error.downcast_ref::<OutOfMemory>() {
        Some(&OutOfMemory { batch_size: size @ 2.., .. }) => {
            error.context(format!("out of memory; try --batch-size {}", size / 2))
        }
        _ => error,
    })
}

/// Sets up threads and finds the device.
fn prepare(common: &Common) -> Result<(Device, usize, Report)> {
    let report = Report::new(common.output.quiet, common.output.json.as_deref())?;
    if let Some(threads) = common.threads {
        tch::set_num_threads(threads as i32);
    }
    let workers =
        common.workers.map_or_else(|| available_parallelism().map_or(1, NonZero::get), |workers| workers as usize);
    let device = device::parse(&common.device).map_err(|error| anyhow!("--device {error}"))?;
    Ok((device, workers, report))
}

/// Crops that share a forward pass unless `--batch-size` says otherwise.
const BATCH_SIZE: u32 = 64;

/// Opens the models of an `eval` or `predict`.
fn open(models: &[PathBuf], weights: &[PathBuf], common: &Common) -> Result<(Ensemble, Pace, Report)> {
    let (device, workers, report) = prepare(common)?;
    let ensemble = Ensemble::open(models, weights, &common.changes, device)?;
    let pace = Pace { batch_size: common.batch_size.unwrap_or(BATCH_SIZE) as usize, workers };
    Ok((ensemble, pace, report))
}

/// A flag that Ctrl-C and SIGTERM set; the second signal ends the program at once.
fn watch_signals() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for &signal in TERM_SIGNALS {
        signal_hook::flag::register_conditional_shutdown(signal, 130, flag.clone())
            .context("cannot watch for signals")?;
        signal_hook::flag::register(signal, flag.clone()).context("cannot watch for signals")?;
    }
    Ok(flag)
}
