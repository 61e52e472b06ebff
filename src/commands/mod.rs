//! One file per subcommand: arguments in, work called, result shown.

mod check;
mod completions;
mod doctor;
mod eval;
mod explain;
mod failure;
mod generate;
mod images;
mod labelled;
mod models;
mod pack;
mod page;
mod predict;
mod shapes;
mod summary;
mod train;

use std::env;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::num::NonZero;
use std::path::Path;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::available_parallelism;

use anyhow::{Context, Result, anyhow, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1};
use tch::{Cuda, Device};

use crate::cli::{Command, Common, ViewsArgument};
use crate::data::dataset::Dataset;
use crate::data::listing::{self, LeftOut};
use crate::device;
use crate::evaluation::{BadImage, Classification};
use crate::experiment::Change;
use crate::processes::Processes;
use crate::report::Report;
use crate::views::Views;

pub use failure::describe;

/// How a command ended, unless it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was done.
    Done,
    /// Some images could not be read, or are wrong in another way; each was named.
    SomeBad,
    /// Interrupted by a signal; a training run has saved its state.
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

/// Runs a command.
///
/// # Errors
/// Returns the reason if the command failed.
pub fn run(command: Command) -> Result<Outcome> {
    let ended = match command {
        Command::Train(args) => train::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Predict(args) => predict::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Generate(args) => generate::run(args),
        Command::Summary(args) => summary::run(args),
        Command::Check(args) => check::run(args),
        Command::Pack(args) => pack::run(args),
        Command::Shapes(args) => shapes::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions(args) => completions::run(args),
    };
    match (ended, Processes::of_environment()) {
        (Err(error), Ok(all)) if all.are_several() => {
            Err(error.context(format!("in rank {} of {}", all.rank(), all.count())))
        }
        // A launcher takes every status but 0 for a failure, and ends the other processes, or starts all again.
        (Ok(Outcome::SomeBad), Ok(all)) if all.have_launcher() => Ok(Outcome::Done),
        (ended, _) => ended,
    }
}

/// Finds the device, meets the other processes and sets up threads; returns the device with the number of workers.
fn prepare(common: &Common, processes: &mut Processes) -> Result<(Device, usize, Report)> {
    let report = match processes.is_first() {
        true => Report::new(common.output.quiet, common.output.json.as_deref())?,
        false => Report::silent(),
    };
    let device = device::parse(&device_name(common, processes)).map_err(|error| anyhow!("--device {error:#}"))?;
    processes.meet(common.timeout).context("--timeout bounds how long they wait")?;
    // torchrun sets this variable itself.
    let is_free = processes.sharing() > 1 && env::var_os("OMP_NUM_THREADS").is_none();
    if let Some(threads) = common.threads.or(is_free.then(|| cores(processes) as u32)) {
        tch::set_num_threads(threads as i32);
    }
    Ok((device, workers(common.workers, processes), report))
}

/// The name of the device: of several processes, each has a GPU of its own.
fn device_name(common: &Common, processes: &Processes) -> String {
    let is_any = ["auto", "cuda"].contains(&common.device.as_str());
    // A launcher may show each process its own GPU only. CUDA is asked only where it matters: it takes time to start.
    match processes.are_several() && is_any && Cuda::device_count() > 1 {
        true => format!("cuda:{}", processes.local_rank()),
        false => common.device.clone(),
    }
}

/// The number of threads that read images.
fn workers(asked: Option<u32>, processes: &Processes) -> usize {
    asked.map_or_else(|| cores(processes), |workers| workers as usize)
}

/// The processor's cores, or this process's part of them.
fn cores(processes: &Processes) -> usize {
    (available_parallelism().map_or(1, NonZero::get) / processes.sharing()).max(1)
}

/// What to do if processes have different images.
const SAME_IMAGES: &str = "Start all of them with the same folder on every machine";

/// Classifies this process's part of the images for the first process, which shows the results.
fn assist(outcomes: Classification, processes: &Processes, interrupted: &AtomicBool) -> Result<Outcome> {
    for (index, outcome) in outcomes.enumerate() {
        let _ = outcome?;
        if processes.is_interrupted(index, interrupted)? {
            return Ok(Outcome::Interrupted);
        }
    }
    Ok(Outcome::Done)
}

/// Says what there is to say of how a data set is stored.
fn say_stored(dataset: &Dataset, report: Report) {
    dataset.notes.iter().for_each(|note| report.note(format!("{}: {note}", dataset.root.display())));
    say_left_out(&dataset.left_out, &dataset.root, report);
}

/// Says what a folder holds besides the images that are read: a warning if images may be missing.
fn say_left_out(left_out: &[LeftOut], dir: &Path, report: Report) {
    let Some(summary) = listing::summary(left_out) else { return };
    let line = format!("{}: {summary}", dir.display());
    match left_out.iter().any(|it| it.reason.is_loss()) {
        true => report.warn(format!("{line}. `topfive check` lists them all")),
        false => report.note(line),
    }
}

/// The protocol of `--views` for a command that takes one; `None` for the experiment's own.
fn one_protocol(views: ViewsArgument, command: &str) -> Result<Option<Views>> {
    match views {
        ViewsArgument::Named(named) => Ok(Some(Views::Named(named))),
        ViewsArgument::Paper => Ok(None),
        ViewsArgument::All | ViewsArgument::Published => {
            bail!("--views: {command} takes one protocol; `topfive eval` compares several")
        }
    }
}

/// The changes that `--set` requests.
fn changes(sets: &[String]) -> Vec<Change> {
    sets.iter().cloned().map(Change::Set).collect()
}

/// A flag that Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 (which clusters send before the time limit) set. A second Ctrl-C ends
/// the program immediately; other signals may well come twice for one reason, SIGHUP from the terminal and the shell.
fn watch_signals() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGQUIT] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, flag.clone())
            .context("cannot watch for signals")?;
    }
    for signal in [SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1] {
        // nohup starts programs with SIGHUP ignored, and so it should stay.
        if signal != SIGHUP || !is_ignored(signal) {
            signal_hook::flag::register(signal, flag.clone()).context("cannot watch for signals")?;
        }
    }
    Ok(flag)
}

/// Whether this process ignores a signal.
fn is_ignored(signal: c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action, sigaction only writes the present one; zeros are a valid value of it.
    unsafe {
        libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}
