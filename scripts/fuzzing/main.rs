//! Feeds mutants of valid files to the program's readers; see `scripts/fuzz`.
//!
//! Workers are processes of their own, because an abort cannot be caught. Each writes the mutant to a file before it
//! reads it, and ends at the first failure; the file is then kept, and another worker goes on with another seed.

mod heap;
mod mutator;
mod parts;
mod pillow;
mod worker;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use parts::{PARTS, Part};

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["worker", name, seed, seconds, file] => {
            worker::work(part(name)?, seed.parse()?, Duration::from_secs(seconds.parse()?), Path::new(file))?;
            Ok(ExitCode::SUCCESS)
        }
        ["0"] => {
            PARTS.iter().for_each(|part| println!("{}", part.name));
            Ok(ExitCode::SUCCESS)
        }
        [minutes] => fuzz(minutes, PARTS),
        [minutes, name] => fuzz(minutes, std::slice::from_ref(part(name)?)),
        _ => bail!("expected MINUTES [PART], found {} arguments", arguments.len()),
    }
}

fn part(name: &str) -> Result<&'static Part> {
    let names = || PARTS.iter().map(|part| part.name).collect::<Vec<_>>().join(", ");
    PARTS
        .iter()
        .find(|part| part.name == name)
        .with_context(|| format!("{name}: not a part; the parts are {}", names()))
}

/// Where workers write mutants and failures are kept.
fn folder() -> PathBuf {
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or(Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    target.join("fuzz")
}

fn fuzz(minutes: &str, parts: &[Part]) -> Result<ExitCode> {
    let minutes: f64 = minutes.parse().context("MINUTES: expected a number")?;
    fs::create_dir_all(folder())?;
    let mut failed = false;
    for part in parts {
        let cores = thread::available_parallelism()?.get() as u64;
        let end = Instant::now() + Duration::from_secs_f64(60.0 * minutes);
        let streams = thread::scope(|scope| {
            let started: Vec<_> = (0..cores).map(|core| scope.spawn(move || stream(part, core, cores, end))).collect();
            started.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
        });
        let mut total = Tally::default();
        for stream in streams {
            let Ok(tally) = stream else { bail!("a thread panicked") };
            let Tally { inputs, accepted, failures } = tally?;
            total.inputs += inputs;
            total.accepted += accepted;
            total.failures += failures;
        }
        println!("{}: {} inputs, {} accepted, {} failures", part.name, total.inputs, total.accepted, total.failures);
        failed |= total.failures > 0;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What workers have done.
#[derive(Default)]
struct Tally {
    inputs: u64,
    accepted: u64,
    failures: u64,
}

/// Runs one worker after another until `end`, with every `step`th seed from `seed` on.
fn stream(part: &Part, mut seed: u64, step: u64, end: Instant) -> Result<Tally> {
    let mut tally = Tally::default();
    loop {
        let left = end.saturating_duration_since(Instant::now()).as_secs();
        if left == 0 {
            return Ok(tally);
        }
        let file = folder().join(format!("{}-{seed}", part.name));
        let arguments = ["worker", part.name, &seed.to_string(), &left.to_string()];
        let worker = Command::new(env::current_exe()?).args(arguments).arg(&file).stdout(Stdio::piped()).spawn()?;
        let output = worker.wait_with_output()?;
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let counts = lines.lines().filter_map(|line| line.strip_prefix("counts ")).next_back().unwrap_or("0 0");
        let (inputs, accepted) = counts.split_once(' ').context("counts")?;
        tally.inputs += inputs.parse::<u64>()?;
        tally.accepted += accepted.parse::<u64>()?;
        lines.lines().filter(|line| !line.starts_with("counts ")).for_each(|line| println!("{}: {line}", part.name));
        if output.status.success() {
            let _ = fs::remove_file(&file);
        } else {
            tally.failures += 1;
            println!("{}: {}; its input is {}", part.name, output.status, file.display());
        }
        seed += step;
    }
}
