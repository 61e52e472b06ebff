//! Saves that fail, and folders that a failure has left.

mod common;

use std::fs;
use std::process::Command;

use common::{Ran, Workplace, config};
use tch::Device;
use topfive::experiment::Experiment;
use topfive::model::checkpoint::{self, Note};
use topfive::network::{Network, init};
use topfive::report::Report;
use topfive::training::attempts::SaveEvery;
use topfive::training::run::RunFolder;
use topfive::training::saves::Saves;
use topfive::training::state::{State, Trained};
use topfive::training::step::Learner;

fn trained(experiment: &Experiment, step: u64) -> Trained {
    let nodes = experiment.nodes().to_vec();
    let tensors = init::tensors(&nodes, &experiment.network().start, step, Device::Cpu).expect("tensors");
    let network = Network::for_training(nodes, tensors, Device::Cpu).expect("a network");
    let learner = Learner::new(network, experiment).expect("a learner");
    Trained { learner, average: None, state: State { step, ..State::default() } }
}

fn note(experiment: &Experiment, step: u64) -> Note {
    Note {
        version: String::new(),
        experiment: serde_json::to_value(experiment).expect("JSON"),
        classes: Vec::new(),
        epoch: 0,
        step,
        errors: None,
        averaged: false,
    }
}

#[test]
fn a_save_that_fails_leaves_the_one_before_and_the_next_one_writes_everything() {
    let place = Workplace::new();
    let experiment = Experiment::load("tiny".as_ref(), &[]).expect("tiny");
    let run = RunFolder::create(&place.path("run"), &experiment).expect("a run folder");
    let report = Report::new(true, None).expect("a report");
    let mut saves = Saves::new(Some(&run), SaveEvery::Steps(1), &[], &State::default(), report);
    let [mut first, mut second, mut third] =
        [1, 2, 3].map(|step| (trained(&experiment, step), note(&experiment, step)));
    saves.save(&mut first.0, &first.1).expect("saved");
    let last = fs::read(run.last()).expect("a checkpoint");

    // A folder in its place: the best weights cannot be written.
    fs::create_dir(run.best()).expect("a folder");
    saves.keep_best(&second.0.learner.network, second.1.clone(), "path\n".to_string()).expect("finite weights");
    saves.save(&mut second.0, &second.1).expect("a failure to write is a warning");
    assert!(fs::read(run.last()).expect("a checkpoint") == last);
    assert!(run.state(1).exists() && !run.state(2).exists());
    assert!(saves.finish(&mut second.0, &second.1).is_err(), "the last save must not fail");

    // The best weights are still those of the second step.
    fs::remove_dir(run.best()).expect("removed");
    saves.save(&mut third.0, &third.1).expect("saved");
    saves.finish(&mut third.0, &third.1).expect("nothing is left to save");
    assert_eq!(checkpoint::open(&run.best()).expect("a checkpoint").0.step, 2);
    assert_eq!(checkpoint::open(&run.last()).expect("a checkpoint").0.step, 3);
    assert!(run.state(3).exists() && !run.state(1).exists());
}

#[test]
fn the_state_of_a_failed_save_is_removed_unless_the_last_checkpoint_needs_it() {
    let place = Workplace::new();
    let experiment = Experiment::load("tiny".as_ref(), &[]).expect("tiny");
    let run = RunFolder::create(&place.path("run"), &experiment).expect("a run folder");
    let mut saves =
        Saves::new(Some(&run), SaveEvery::Steps(1), &[], &State::default(), Report::new(true, None).expect("a report"));
    fs::create_dir(run.last()).expect("a folder");
    let (mut trained, note) = (trained(&experiment, 5), note(&experiment, 5));
    saves.save(&mut trained, &note).expect("a failure to write is a warning");
    fs::remove_dir(run.last()).expect("removed");
    saves.save(&mut trained, &note).expect("saved");
    assert!(run.state(5).exists());
}

/// Trains with no file allowed to grow beyond so many KB: writes fail as they do on a full disk.
fn train_on_a_full_disk(place: &Workplace, kilobytes: u32, arguments: &str) -> Ran {
    let (config, program) = (config("tiny"), env!("CARGO_BIN_EXE_topfive"));
    let script = format!(
        "trap '' XFSZ; ulimit -f {kilobytes}; exec {program} train {config} --data shapes --out run --threads 1 --epochs 2 {arguments}"
    );
    let output = Command::new("bash").args(["-c", &script]).current_dir(place.path("")).output().expect("bash runs");
    Ran::of(output)
}

#[test]
fn a_run_whose_saves_all_fail_goes_on_to_its_end_and_can_be_started_again() {
    let place = Workplace::with_shapes(4, 2);
    // The state fits, but not the checkpoint.
    let kilobytes = {
        place.train("sizes", &["--epochs", "1"]).succeeds();
        let size = |name: &str| fs::metadata(place.path("sizes").join(name)).expect("a file").len();
        let (state, last) = (size("state-2.safetensors"), size("last.safetensors"));
        assert!(state / 1024 + 1 < last / 1024, "{state} {last}");
        state / 1024 + 1
    };
    for kilobytes in [16, kilobytes as u32] {
        let ran = train_on_a_full_disk(&place, kilobytes, r#"--set 'training.log=["csv","tensorboard"]'"#);
        ran.fails_saying(&["Training goes on, and the next save tries again", "epoch 2/2", "room on the disk"]);
        place.train("run", &["--resume"]).fails_saying(&["nothing to resume", "Leave out --resume"]);
    }
    place.train("run", &["--epochs", "2"]).succeeds();
}

#[test]
fn a_state_without_a_checkpoint_is_what_is_left_of_a_run_that_begins_again() {
    let place = Workplace::with_shapes(4, 2);
    place.train("run", &["--epochs", "1"]).succeeds();
    for file in ["last.safetensors", "best.safetensors"] {
        fs::remove_file(place.path("run").join(file)).expect("removed");
    }
    place.train("run", &["--epochs", "2"]).succeeds();
    assert!(!place.path("run/state-2.safetensors").exists() && place.path("run/state-4.safetensors").exists());
}

#[test]
fn every_state_that_a_crash_or_a_full_disk_leaves_has_one_way_on() {
    let place = Workplace::with_shapes(4, 2);
    place.train("whole", &["--epochs", "1"]).succeeds();
    let begins: [&[&str]; 6] = [
        &[],
        &[".lock"],
        &[".lock", "experiment.json", ".topfive-last.safetensors-a1B2c3"],
        &["experiment.json", "log.jsonl"],
        &["experiment.json", "log.jsonl", "state-2.safetensors", "curves.svg"],
        &["log.jsonl", "state-2.safetensors", ".topfive-state-2.safetensors-a1B2c3"],
    ];
    for (index, files) in begins.into_iter().enumerate() {
        let out = format!("begins-{index}");
        lay(&place, &out, files);
        place.train(&out, &["--resume"]).fails_saying(&["nothing to resume", "Leave out --resume"]);
        place.train(&out, &["--epochs", "1"]).succeeds();
    }
    let ends: [&[&str]; 3] = [
        &["last.safetensors", "state-2.safetensors"],
        &["last.safetensors", "state-2.safetensors", "best.safetensors", "state-9.safetensors", "log.jsonl"],
        &["last.safetensors", "state-2.safetensors", "experiment.json", ".topfive-log.jsonl-a1B2c3"],
    ];
    for (index, files) in ends.into_iter().enumerate() {
        let out = format!("goes-on-{index}");
        lay(&place, &out, files);
        place.train(&out, &["--epochs", "2"]).fails_saying(&["already contains a run", "Continue it with --resume"]);
        place.train(&out, &["--epochs", "2", "--resume"]).succeeds();
    }
}

#[test]
fn the_best_weights_of_a_run_without_a_last_checkpoint_are_kept_and_begin_another_run() {
    let place = Workplace::with_shapes(4, 2);
    place.train("whole", &["--epochs", "1"]).succeeds();
    for (index, files) in
        [&["best.safetensors"][..], &["best.safetensors", "state-2.safetensors", "log.jsonl"]].into_iter().enumerate()
    {
        let out = format!("run-{index}");
        lay(&place, &out, files);
        let best = format!("{out}/best.safetensors");
        for arguments in [&[][..], &["--resume"]] {
            let way_on = format!("another folder with --out, and add --weights {best}");
            place.train(&out, arguments).fails_saying(&["cannot be resumed", &way_on]);
        }
        assert!(place.read(&best) == place.read("whole/best.safetensors"));
        place.train(&format!("another-{index}"), &["--epochs", "1", "--weights", &best]).succeeds();
    }
    // With anything else beside it, it is not taken for a run's.
    place.write("run-0/notes.txt", "mine");
    place.train("run-0", &[]).fails_saying(&["run-0: already contains other files", "another folder with --out"]);
}

/// Makes a run folder of some of the whole run's files; those that it lacks are what a killed process leaves.
fn lay(place: &Workplace, out: &str, files: &[&str]) {
    fs::create_dir(place.path(out)).expect("a folder");
    for file in files {
        let content = fs::read(place.path("whole").join(file)).unwrap_or_else(|_| b"incomplete".to_vec());
        fs::write(place.path(out).join(file), content).expect("a file");
    }
}
