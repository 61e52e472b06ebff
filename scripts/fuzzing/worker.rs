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
use topfive::commands::describe;

use crate::counts;
use crate::heap;
use crate::mutator::Bytes;
use crate::parts::{Kind, kinds};

/// Seconds of processor time that a mutant may take.
const MOST_SECONDS: u64 = 5;
/// Seconds that a mutant may take without any of it: it waits for something that never happens.
const MOST_SECONDS_ASLEEP: u64 = 600;
/// The address space that a worker may take beyond what it begins with: half of it is for images.
const SPACE: u64 = 1 << 30;
/// The memory that a mutant may take: what is for images, and something for everything else.
const MOST_BYTES: usize = (SPACE / 2) as usize + (64 << 20);

/// The processor time at which the present mutant was begun, in milliseconds.
static BEGUN: AtomicU64 = AtomicU64::new(0);
/// Where the last panic was.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// Reads mutants of a part's files, each written to `file` first. Ends the process if one fails.
pub fn work(part: &str, seed: u64, time: Duration, file: &Path) -> Result<()> {
    let kinds = kinds(part)?;
    limit_space()?;
    thread::spawn(watch);
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or(String::new(), ToString::to_string);
        *PANIC.lock().unwrap_or_else(|error| error.into_inner()) = format!("{place}: {panic}");
    }));
    let mut session = Session::new().seed(seed);
    let (begun, mut random) = (Instant::now(), seed);
    for (number, kind) in (1..).zip(kinds.iter().cycle()) {
        if begun.elapsed() >= time {
            break;
        }
        // Weyl's sequence: which valid file, and how many mutations.
        random = random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mutant = kind.seeds[(random >> 32) as usize % kind.seeds.len()].clone();
        let mut mutator = Bytes { others: &kind.seeds, words: &kind.words };
        for _ in 0..=(random >> 56) % 6 {
            session.mutate_with(&mut mutator, &mut mutant)?;
        }
        fs::write(file, &mutant)?;
        read(kind, &mutant, file);
        if number % 1000 == 0 {
            counts::print();
        }
    }
    counts::print();
    Ok(())
}

fn read(kind: &Kind, mutant: &[u8], file: &Path) {
    BEGUN.store(processor_milliseconds(), Ordering::Relaxed);
    let before = heap::begin();
    // An error's message must not fail either.
    let read = || (kind.read)(mutant, file).inspect_err(|error| drop(describe(error)));
    let result = panic::catch_unwind(AssertUnwindSafe(read));
    let bytes = heap::peak() - before;
    counts::add("inputs");
    counts::add(&format!("{}: inputs", kind.name));
    if matches!(result, Ok(Ok(()))) {
        counts::add(&format!("{}: accepted", kind.name));
    }
    let panic = std::mem::take(&mut *PANIC.lock().unwrap_or_else(|error| error.into_inner()));
    // A library's panic that the reader catches is an error like any other.
    if result.is_err() || panic.starts_with("src/") {
        fail(&format!("{}: panicked at {panic}", kind.name));
    }
    if bytes > MOST_BYTES {
        fail(&format!("{}: took {bytes} bytes, more than {MOST_BYTES}", kind.name));
    }
}

fn fail(reason: &str) -> ! {
    counts::print();
    println!("{reason}");
    process::exit(1)
}

/// Ends the process if a mutant takes too long. Processor time decides: other work may leave little of it.
fn watch() {
    let (mut mutant, mut since) = (0, Instant::now());
    loop {
        thread::sleep(Duration::from_millis(500));
        let begun = BEGUN.load(Ordering::Relaxed);
        if begun != mutant {
            (mutant, since) = (begun, Instant::now());
        }
        let taken = processor_milliseconds() - begun;
        if begun > 0 && taken > 1000 * MOST_SECONDS {
            fail(&format!("took more than {MOST_SECONDS} seconds"));
        }
        if begun > 0 && taken < 100 && since.elapsed().as_secs() > MOST_SECONDS_ASLEEP {
            fail(&format!("slept for {MOST_SECONDS_ASLEEP} seconds"));
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
