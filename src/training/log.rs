//! A run's log: a line of JSON for every epoch, one every few steps, and one wherever the run was resumed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::appended::Appended;
use super::state::State;
use crate::atomic::write_atomically;

/// A log. A line that cannot be written is kept for the next try.
#[derive(Debug)]
pub struct Log {
    file: Appended,
}

impl Log {
    /// The log at `path`, which need not exist yet.
    pub fn at(path: PathBuf) -> Self {
        Log { file: Appended::at(path) }
    }

    /// Adds a line, and with it those that could not be written before.
    ///
    /// # Errors
    /// Returns an error if it cannot be written.
    pub fn add(&mut self, line: &Value) -> Result<()> {
        self.file.add(format!("{line}\n").as_bytes())
    }

    /// Makes sure that all lines last through a power cut, also those that could not be written before.
    ///
    /// # Errors
    /// Returns an error if they cannot be written; nothing is then lost.
    pub fn sync(&mut self) -> Result<()> {
        self.file.sync()
    }

    /// Cuts the log back to `state`, which a run is resumed from: what the run did afterwards, it will do again. What it had done
    /// when it was last resumed stays, whatever its steps: they may have been larger or smaller then.
    ///
    /// # Errors
    /// Returns an error if the log cannot be read or written.
    pub fn resume(&mut self, state: &State) -> Result<()> {
        let lines = self.lines()?;
        let before = lines.iter().rposition(|line| line["kind"] == "resume").map_or(0, |last| last + 1);
        let (before, since) = lines.split_at(before);
        let kept = before.iter().chain(since.iter().filter(|line| is_before(line, state)));
        let text: String =
            kept.chain([&json!({ "kind": "resume", "step": state.step })]).map(|it| format!("{it}\n")).collect();
        write_atomically(self.file.path(), text.as_bytes())
    }

    /// The lines of epochs; the last one of each, because version 0.1.0 wrote some again after it was resumed.
    ///
    /// # Errors
    /// Returns an error if the log cannot be read.
    pub fn epochs(&self) -> Result<Vec<Value>> {
        Ok(self.epochs_and_steps()?.0)
    }

    /// The lines of epochs, and those of steps.
    ///
    /// # Errors
    /// Returns an error if the log cannot be read.
    pub fn epochs_and_steps(&self) -> Result<(Vec<Value>, Vec<Value>)> {
        let (mut epochs, mut steps): (Vec<Value>, Vec<Value>) = Default::default();
        for line in self.lines()? {
            if line["kind"] == "epoch" {
                while epochs.last().is_some_and(|last| last["epoch"].as_f64() >= line["epoch"].as_f64()) {
                    epochs.pop();
                }
                epochs.push(line);
            } else if line["kind"] == "step" {
                steps.push(line);
            }
        }
        Ok((epochs, steps))
    }

    /// All lines but truncated ones.
    fn lines(&self) -> Result<Vec<Value>> {
        let path = self.file.path();
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(text.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }
}

/// Whether a line was written before `state` was saved.
fn is_before(line: &Value, state: &State) -> bool {
    let step = line["step"].as_u64().unwrap_or(0);
    if line["kind"] == "epoch" {
        // The weights of an epoch's last step are saved before and after their validation.
        step <= state.validated || line["epoch"].as_f64().is_some_and(|epoch| epoch <= state.epoch as f64)
    } else {
        step <= state.step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_log_ends_where_the_saved_state_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log.jsonl");
        let step = |step: u64| format!("{{\"kind\":\"step\",\"epoch\":1,\"step\":{step}}}\n");
        let epoch = |epoch: u64, step: u64| format!("{{\"kind\":\"epoch\",\"epoch\":{epoch},\"step\":{step}}}\n");
        let whole = step(10) + &epoch(1, 12) + &step(20) + &epoch(2, 24) + &step(30) + "{\"kind\":\"st";
        let resumed_from = |epoch: u64, step: u64, validated: u64| {
            fs::write(&path, &whole).expect("a log");
            Log::at(path.clone()).resume(&State { epoch, step, validated, ..State::default() }).expect("resumed");
            fs::read_to_string(&path).expect("a log")
        };
        let resume = |step: u64| format!("{{\"kind\":\"resume\",\"step\":{step}}}\n");
        assert_eq!(resumed_from(1, 19, 12), step(10) + &epoch(1, 12) + &resume(19));
        assert_eq!(resumed_from(1, 24, 12), step(10) + &epoch(1, 12) + &step(20) + &resume(24));
        assert_eq!(resumed_from(2, 24, 24), step(10) + &epoch(1, 12) + &step(20) + &epoch(2, 24) + &resume(24));
        // Version 0.1.0 did not say which step was validated.
        assert_eq!(resumed_from(2, 24, 0), step(10) + &epoch(1, 12) + &step(20) + &epoch(2, 24) + &resume(24));
    }

    #[test]
    fn a_line_that_cannot_be_written_is_written_with_the_next_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run/log.jsonl");
        let mut log = Log::at(path.clone());
        assert!(log.add(&json!({ "step": 1 })).is_err());
        fs::create_dir(folder.path().join("run")).expect("a folder");
        log.add(&json!({ "step": 2 })).expect("written");
        assert_eq!(fs::read_to_string(path).expect("a log"), "{\"step\":1}\n{\"step\":2}\n");
    }
}
