//! A worker: reads mutants until its time is over or one of them fails.

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use mutatis::Session;

use crate::heap;
use crate::mutator::Bytes;
use crate::parts::Part;
use crate::pillow;

/// Seconds of processor time that a mutant may take.
const MOST_SECONDS: u64 = 5;
/// The address space that a worker may take beyond what it begins with: half of it is for images.
const SPACE: u64 = 1 << 30;
/// The memory that a mutant may take: what is for images, and something for everything else.
const MOST_BYTES: usize = (SPACE / 2) as usize + (64 << 20);

static INPUTS: AtomicU64 = AtomicU64::new(0);
static ACCEPTED: AtomicU64 = AtomicU64::new(0);
/// The processor time at which the present mutant was begun, in milliseconds.
static BEGUN: AtomicU64 = AtomicU64::new(0);
/// Where the last panic was.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// Reads mutants, each written to `file` first. Ends the process if one fails.
pub fn work(part: &Part, seed: u64, time: Duration, file: &Path) -> Result<()> {
    limit_space()?;
    thread::spawn(watch);
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or(String::new(), ToString::to_string);
        *PANIC.lock().unwrap_or_else(|error| error.into_inner()) = format!("{place}: {panic}");
    }));
    let seeds = part.seeds()?;
    let mut mutator = Bytes { others: &seeds, words: &part.words(&seeds) };
    let mut session = Session::new().seed(seed);
    let (begun, mut random) = (Instant::now(), seed);
    while begun.elapsed() < time {
        // Weyl's sequence: which valid file, and how many mutations.
        random = random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mutant = seeds[(random >> 32) as usize % seeds.len()].clone();
        for _ in 0..=(random >> 56) % 6 {
            session.mutate_with(&mut mutator, &mut mutant)?;
        }
        fs::write(file, &mutant)?;
        read(part, &mutant, file);
        if INPUTS.load(Ordering::Relaxed).is_multiple_of(1000) {
            report();
        }
    }
    report();
    for (reason, count) in pillow::disagreements() {
        println!("{count:6} {reason}");
    }
    Ok(())
}

fn read(part: &Part, mutant: &[u8], file: &Path) {
    BEGUN.store(processor_milliseconds(), Ordering::Relaxed);
    let before = heap::begin();
    let result = panic::catch_unwind(AssertUnwindSafe(|| (part.read)(mutant, file)));
    let bytes = heap::peak() - before;
    INPUTS.fetch_add(1, Ordering::Relaxed);
    ACCEPTED.fetch_add(u64::from(matches!(result, Ok(Ok(())))), Ordering::Relaxed);
    let panic = std::mem::take(&mut *PANIC.lock().unwrap_or_else(|error| error.into_inner()));
    // A library's panic that the reader catches is an error like any other.
    if result.is_err() || panic.starts_with("src/") {
        fail(&format!("panicked at {panic}"));
    }
    if bytes > MOST_BYTES {
        fail(&format!("took {bytes} bytes, more than {MOST_BYTES}"));
    }
}

fn report() {
    println!("counts {} {}", INPUTS.load(Ordering::Relaxed), ACCEPTED.load(Ordering::Relaxed));
}

fn fail(reason: &str) -> ! {
    report();
    println!("{reason}");
    process::exit(1)
}

/// Ends the process if a mutant takes too long.
fn watch() {
    loop {
        thread::sleep(Duration::from_millis(200));
        let begun = BEGUN.load(Ordering::Relaxed);
        if begun > 0 && processor_milliseconds() > begun + 1000 * MOST_SECONDS {
            fail(&format!("took more than {MOST_SECONDS} seconds"));
        }
    }
}

/// The processor time of this process.
fn processor_milliseconds() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime only writes to `time`.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    1000 * time.tv_sec as u64 + time.tv_nsec as u64 / 1_000_000
}

/// Lets allocations beyond [`SPACE`] fail, which aborts the process.
fn limit_space() -> Result<()> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let used =
        status.lines().find_map(|line| line.strip_prefix("VmSize:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    if let Some(kilobytes) = used {
        let most = 1024 * kilobytes + SPACE;
        let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
        // SAFETY: setrlimit only reads `limit`.
        unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    }
    Ok(())
}
