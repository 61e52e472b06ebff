//! What a worker has done: counts by name, which it prints for the process that started it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

static COUNTS: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

/// What a line with a count begins with.
const LINE: &str = "count ";

/// Counts one more of what is called `name`.
pub fn add(name: &str) {
    *COUNTS.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_string()).or_default() += 1;
}

/// Prints all counts up to now.
pub fn print() {
    for (name, count) in &*COUNTS.lock().unwrap_or_else(PoisonError::into_inner) {
        println!("{LINE}{count} {name}");
    }
}

/// The last counts that a worker printed, and its other lines.
pub fn parse(output: &str) -> (BTreeMap<String, u64>, Vec<&str>) {
    let (mut counts, mut others) = (BTreeMap::new(), Vec::new());
    for line in output.lines() {
        let count = line.strip_prefix(LINE).and_then(|rest| rest.split_once(' '));
        match count.and_then(|(count, name)| Some((name, count.parse().ok()?))) {
            Some((name, count)) => {
                counts.insert(name.to_string(), count);
            }
            None => others.push(line),
        }
    }
    (counts, others)
}
