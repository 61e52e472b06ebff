//! `topfive train --find-rate`: a search for the learning rate, a picture of it, and the command that uses what it found.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::begin::Beginning;
use crate::atomic::write_atomically;
use crate::commands::{Outcome, watch_signals};
use crate::report::rate_curve::{RateCurve, draw};
use crate::report::records::write_json;
use crate::training::batches::BadImages;
use crate::training::find_rate::RateSearch;

/// The picture for the run folder `out`, which lies beside that.
///
/// # Errors
/// Returns an error if it exists already.
fn picture(out: &Path) -> Result<PathBuf> {
    let mut name = out.as_os_str().to_os_string();
    name.push("-find-rate.svg");
    let path = PathBuf::from(name);
    ensure!(!path.exists(), "{}: exists already; move it, or choose another name with --out", path.display());
    Ok(path)
}

/// Searches, and writes the picture.
pub fn run(beginning: &Beginning, workers: usize) -> Result<Outcome> {
    let (report, train) = (beginning.report, &beginning.splits.train);
    let path = picture(&beginning.out())?;
    let (experiment, mut learner) = beginning.learner()?;
    report.note(format!(
        "looking for the learning rate of {} on {} images: up to 100 updates, which are not kept",
        experiment.name,
        train.samples.len()
    ));
    let interrupted = watch_signals()?;
    let search = RateSearch { experiment: &experiment, train, workers, report, interrupted: &interrupted };
    let mut bad = BadImages::new(report);
    let Some(tried) = search.run(&mut learner, &mut bad)? else {
        report.note("interrupted; nothing was written");
        return Ok(Outcome::Interrupted);
    };
    let suggestion = tried.suggestion();
    let rate = suggestion.map(|suggestion| suggestion.rate);
    let smoothed = tried.smoothed();
    let curve = RateCurve { rates: &tried.rates, losses: &tried.losses, smoothed: &smoothed, suggested: rate };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    write_atomically(&path, &draw(&curve)?)?;
    if let Some(json) = &beginning.args.common.output.json {
        let picture = path.to_string_lossy();
        let result = json!({
            "network": experiment.name, "picture": picture, "suggested": rate, "rates": tried.rates,
            "losses": tried.losses, "bad_images": bad.found.len(),
        });
        write_json(json, &result)?;
    }
    let picture = path.display();
    match suggestion {
        Some(found) => report.result(format!(
            "learning rate {}: a tenth of {:.2e}, where the loss is lowest and stops falling (it falls fastest at {:.2e}); see {picture}\n{}",
            found.rate,
            found.lowest,
            found.steepest,
            command(env::args_os().map(|argument| argument.to_string_lossy().into_owned()), found.rate)
        ))?,
        None => report.result(format!(
            "no learning rate: the loss never fell by 2 %; see {picture}. Try other initial weights, a larger batch, or check the data"
        ))?,
    }
    Ok(Outcome::of(&bad.found))
}

/// The command that trains at this rate, from the one that searched for it.
fn command(arguments: impl Iterator<Item = String>, rate: f64) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut is_rate = false;
    for argument in arguments {
        let is_left_out = is_rate || argument == "--find-rate" || argument == "--lr" || argument.starts_with("--lr=");
        is_rate = argument == "--lr";
        if !is_left_out {
            words.push(quoted(argument));
        }
    }
    format!("{} --lr {rate}", words.join(" "))
}

/// As a shell needs it.
fn quoted(argument: String) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_./=:,+@%".contains(letter);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        return argument;
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_keeps_all_arguments_but_the_search_and_the_earlier_rate() {
        let words =
            ["topfive", "train", "tiny", "--lr", "3", "--find-rate", "--data", "my photos", "--lr=2", "--epochs", "5"];
        let found = command(words.iter().map(ToString::to_string), 0.002);
        assert_eq!(found, "topfive train tiny --data 'my photos' --epochs 5 --lr 0.002");
    }
}
