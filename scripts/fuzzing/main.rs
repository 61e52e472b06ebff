//! Feeds mutants of valid files to the program's readers; see `scripts/fuzz`.
//!
//! Workers are processes of their own, because an abort cannot be caught. Each writes the mutant to a file before it
//! reads it, and ends at the first failure; the file is then kept, and another worker goes on with another seed.

mod counts;
mod heap;
mod mutator;
mod parts;
mod pillow;
mod seeds;
mod worker;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use parts::PARTS;

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["worker", part, seed, seconds, file] => {
            worker::work(part, seed.parse()?, Duration::from_secs(seconds.parse()?), Path::new(file))?;
            Ok(ExitCode::SUCCESS)
        }
        ["0"] => {
            PARTS.iter().for_each(|part| println!("{part}"));
            Ok(ExitCode::SUCCESS)
        }
        [minutes] => fuzz(minutes, &PARTS),
        [minutes, part] => fuzz(minutes, &[part]),
        _ => bail!("expected MINUTES [PART], found {} arguments", arguments.len()),
    }
}

/// Where workers write mutants and failures are kept.
fn folder() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or(seeds::root().join("target"), PathBuf::from);
    target.join("fuzz")
}

fn fuzz(minutes: &str, parts: &[&str]) -> Result<ExitCode> {
    let minutes: f64 = minutes.parse().context("MINUTES: expected a number")?;
    parts.iter().try_for_each(|part| parts::kinds(part).map(drop))?;
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
            let Tally { counts, failures } = tally?;
            total.add(counts);
            total.failures += failures;
        }
        let inputs = total.counts.remove("inputs").unwrap_or(0);
        println!("{part}: {inputs} inputs, {} failures", total.failures);
        total.counts.iter().for_each(|(name, count)| println!("{count:10} {name}"));
        failed |= total.failures > 0;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What workers have done.
#[derive(Default)]
struct Tally {
    counts: BTreeMap<String, u64>,
    failures: u64,
}

impl Tally {
    fn add(&mut self, counts: BTreeMap<String, u64>) {
        counts.into_iter().for_each(|(name, count)| *self.counts.entry(name).or_default() += count);
    }
}

/// Runs one worker after another until `end`, with every `step`th seed from `seed` on.
fn stream(part: &str, mut seed: u64, step: u64, end: Instant) -> Result<Tally> {
    let mut tally = Tally::default();
    loop {
        let left = end.saturating_duration_since(Instant::now()).as_secs();
        if left == 0 {
            return Ok(tally);
        }
        let folder = folder().join(format!("{part}-{seed}"));
        fs::create_dir_all(&folder)?;
        let file = folder.join("input");
        let arguments = ["worker", part, &seed.to_string(), &left.to_string()];
        let worker = Command::new(env::current_exe()?).args(arguments).arg(&file).stdout(Stdio::piped()).spawn()?;
        let output = worker.wait_with_output()?;
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let (counts, others) = counts::parse(&lines);
        tally.add(counts);
        others.iter().for_each(|line| println!("{part}: {line}"));
        if output.status.success() {
            let _ = fs::remove_dir_all(&folder);
        } else {
            tally.failures += 1;
            println!("{part}: {}; its input is {}", output.status, file.display());
        }
        seed += step;
    }
}
