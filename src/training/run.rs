//! The folder of a run: the experiment as it was run, a log with a line for each epoch and now and then for a step, the
//! checkpoints, and the curves.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::aside::{ASIDE, write_aside};
use crate::config::Experiment;

pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes the folder and writes the experiment into it.
    ///
    /// # Errors
    /// Where there is something in the folder already: nothing is ever overwritten, but for what a run left that ended
    /// before its first checkpoint.
    pub fn create(path: &Path, experiment: &Experiment) -> Result<Self> {
        let occupied = path.exists() && !is_free(path);
        let holds = if path.join("experiment.json").exists() { "a run" } else { "something" };
        ensure!(
            !occupied,
            "{0} already holds {holds}, which is left as it is; continue it with --resume, or name another folder with --out",
            path.display()
        );
        fs::create_dir_all(path).with_context(|| format!("cannot make the run folder {}", path.display()))?;
        let run = RunFolder { path: path.to_path_buf() };
        if run.log_path().exists() {
            fs::remove_file(run.log_path()).with_context(|| format!("cannot remove {}", run.log_path().display()))?;
        }
        run.write_experiment(experiment)?;
        Ok(run)
    }

    /// A run that goes on.
    pub fn reopen(path: &Path) -> Self {
        RunFolder { path: path.to_path_buf() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn best(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    /// # Errors
    /// Where it cannot be written.
    pub fn write_experiment(&self, experiment: &Experiment) -> Result<()> {
        let text = serde_json::to_string_pretty(experiment)? + "\n";
        write_aside(&self.path.join("experiment.json"), text.as_bytes())
    }

    /// Adds a line to log.jsonl.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn log(&self, line: &Value) -> Result<()> {
        let path = self.log_path();
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        // One call a line: a cut comes between lines, but for a full disk or a power failure, which readers pass over.
        file.write_all(format!("{line}\n").as_bytes()).with_context(|| {
            format!(
                "cannot write to {}; is there room on the disk? --resume goes on from the last checkpoint",
                path.display()
            )
        })
    }

    /// The log's lines of this kind, the last one of each epoch: a run that was resumed may have repeated some.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub fn epochs(&self) -> Result<Vec<Value>> {
        let path = self.log_path();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut epochs: Vec<Value> = Vec::new();
        for line in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if line["kind"] == "epoch" {
                epochs.retain(|earlier| earlier["epoch"].as_u64() < line["epoch"].as_u64());
                epochs.push(line);
            }
        }
        Ok(epochs)
    }

    fn log_path(&self) -> PathBuf {
        self.path.join("log.jsonl")
    }
}

/// Whether a folder is empty, or holds only what a run writes before its first checkpoint.
fn is_free(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let names: Vec<String> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let is_ours = |name: &String| name == "experiment.json" || name == "log.jsonl" || name.starts_with(ASIDE);
    names.is_empty() || (names.iter().any(|name| name == "experiment.json") && names.iter().all(is_ours))
}
