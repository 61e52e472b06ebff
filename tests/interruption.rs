//! Runs that are killed or interrupted at random moments, and resumed until they are finished, are to the bit the run that
//! nothing disturbed. Time only chooses the moments: nothing here expects anything of it.
#![cfg(unix)]

mod common;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::events::told;
use common::{Ran, Workplace, config};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

/// How many signals of a kind have to meet a living process.
const MOMENTS: usize = 20;

/// What is trained: together everything that a run carries from step to step.
const EXPERIMENTS: [&[&str]; 3] = [
    &[
        "training.epochs=4",
        "training.optimizer=adamw",
        "training.learning_rate=0.003",
        "training.accumulate=2",
        "training.clip.norm=1",
        r#"training.log=["tensorboard"]"#,
        "training.augment=[\"trivial_augment\",\"random_erasing\"]",
        r#"training.mix={"mixup":{"alpha":0.2}}"#,
        r#"training.average={"ema":{"decay":0.9}}"#,
        r#"training.schedule={"plateau":{"patience":0,"factor":0.5,"floor":0.01}}"#,
    ],
    &[
        "training.epochs=4",
        r#"training.optimizer={"sgd":{"momentum":0.9}}"#,
        r#"training.average={"ema":{"decay":0.99}}"#,
        r#"training.schedule={"plateau":{"patience":0,"factor":0.5,"floor":0.01}}"#,
    ],
    &[
        "training.epochs=4",
        r#"training.optimizer={"sgd":{"momentum":0.9,"nesterov":true}}"#,
        r#"training.average={"polyak":{"from":0.4}}"#,
        "training.schedule=one_cycle",
        "training.early_stopping.patience=3",
        "training.max_steps=50",
    ],
];

fn arguments(out: &str, experiment: &[&str]) -> Vec<String> {
    let config = config("tiny");
    let fixed =
        ["train", &config, "--data", "shapes", "--threads", "1", "--workers", "1", "--device", "cpu", "--out", out];
    let fixed = fixed.into_iter().chain(["--batch-size", "8", "--save-every", "7"]);
    let sets = experiment.iter().flat_map(|set| ["--set", set]);
    fixed.chain(sets).map(str::to_string).collect()
}

/// Sends the signal after a while, unless the program has ended; returns whether the run is finished.
fn disturb(place: &Workplace, arguments: &[String], signal: &str, after: Duration, landed: &mut usize) -> bool {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut child = place.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    std::thread::sleep(after);
    let has_ended = child.try_wait().expect("a status").is_some();
    if !has_ended {
        // It fails if the program ends just now.
        let _ = Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status();
    }
    let output = child.wait_with_output().expect("an end");
    let code = output.status.code();
    let is_interrupted = code == Some(130) || code.is_none();
    assert!(code == Some(0) || (!has_ended && is_interrupted), "{code:?}: {}", String::from_utf8_lossy(&output.stderr));
    *landed += usize::from(is_interrupted);
    code == Some(0)
}

/// The log without what depends on time, and without the places where it was resumed.
fn log(place: &Workplace, run: &str) -> Vec<Value> {
    let text = String::from_utf8(place.read(&format!("{run}/log.jsonl"))).expect("text");
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    lines.retain(|line| line["kind"] != "resume");
    for line in &mut lines {
        let fields = line.as_object_mut().expect("an object");
        ["images_per_second", "waiting_percent", "seconds"].iter().for_each(|key| drop(fields.remove(*key)));
    }
    lines
}

fn disturbed_runs_are_the_undisturbed_one(signal: &str, seed: u64) {
    let place = Workplace::with_shapes(10, 2);
    let wholes = EXPERIMENTS.iter().enumerate().map(|(number, experiment)| {
        let whole = format!("whole-{number}");
        let begun = Instant::now();
        place.run(&arguments(&whole, experiment).iter().map(String::as_str).collect::<Vec<_>>()).succeeds();
        (whole, *experiment, begun.elapsed())
    });
    let wholes: Vec<_> = wholes.collect();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut landed = 0;
    for (number, (whole, experiment, duration)) in wholes.iter().cycle().enumerate() {
        let run = format!("run-{number}");
        let mut longest = *duration;
        let mut is_finished = false;
        while !is_finished {
            let mut arguments = arguments(&run, experiment);
            if place.path(&format!("{run}/last.safetensors")).exists() {
                arguments.push("--resume".to_string());
            }
            let after = longest.mul_f64(random.random::<f64>());
            is_finished = disturb(&place, &arguments, signal, after, &mut landed);
            // However slow the machine is now, the run comes to its end.
            longest = longest.mul_f64(1.1);
        }
        for file in ["best.safetensors", "last.safetensors", "average.safetensors", "experiment.json"] {
            let [whole, parts] = [whole, &run].map(|run| place.read(&format!("{run}/{file}")));
            assert!(whole == parts, "{file} of {run}, {experiment:?}");
        }
        assert_eq!(log(&place, whole), log(&place, &run), "{run}");
        assert_eq!(told(&place, whole), told(&place, &run), "{run}");
        let names = fs::read_dir(place.path(&run)).expect("the run").map(|entry| entry.expect("a file").file_name());
        let states = names.filter(|name| name.to_string_lossy().starts_with("state-")).count();
        assert_eq!(states, 1, "states of earlier saves are removed");
        if landed >= MOMENTS && number + 1 >= EXPERIMENTS.len() {
            return;
        }
    }
}

#[test]
fn runs_that_are_killed_are_resumed_to_the_same_weights() {
    disturbed_runs_are_the_undisturbed_one("-KILL", 1);
}

#[test]
fn runs_that_are_terminated_are_resumed_to_the_same_weights() {
    disturbed_runs_are_the_undisturbed_one("-TERM", 2);
}

#[test]
fn runs_whose_terminal_closes_are_resumed_to_the_same_weights() {
    disturbed_runs_are_the_undisturbed_one("-HUP", 3);
}

/// Starts a long run through `launcher`, waits for its first steps, sends the signals to it, and returns how it ended.
fn signalled(place: &Workplace, out: &str, launcher: &[&str], signals: &[&str]) -> Ran {
    let arguments = arguments(out, EXPERIMENTS[0]);
    let mut command = Command::new(launcher[0]);
    command.args(&launcher[1..]).arg(env!("CARGO_BIN_EXE_topfive")).args(arguments).args(["--epochs", "20"]);
    command.current_dir(place.path("")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    while !place.path(&format!("{out}/last.safetensors")).exists() {
        assert!(child.try_wait().expect("a status").is_none(), "ended before it was signalled");
        std::thread::sleep(Duration::from_millis(2));
    }
    for &signal in signals {
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs").success());
    }
    Ran::of(child.wait_with_output().expect("an end"))
}

#[test]
fn a_clusters_warning_ends_a_run_with_its_state_saved() {
    let place = Workplace::with_shapes(10, 2);
    let ran = signalled(&place, "run", &["env"], &["-USR1", "-USR1"]);
    assert_eq!(ran.status, 130, "{}", ran.stderr);
    ran.says(&["the state is saved in run", "--resume"]);
}

#[test]
fn nohup_keeps_a_run_alive_when_its_terminal_closes() {
    let place = Workplace::with_shapes(10, 2);
    signalled(&place, "run", &["nohup"], &["-HUP"]).succeeds();
}
