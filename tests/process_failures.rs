//! Processes that end, are stopped, or do not come: the others end with an error that names them, and the run goes on.
#![cfg(unix)]

mod common;

use std::time::{Duration, Instant};

use common::launch::{await_save, ends, first, free_port, run, signal, start, start_at, torchrun};
use common::{Ran, Workplace};
use serde_json::Value;
use topfive::native::processes::{Group, Meeting};

fn train<'a>(out: &'a str, others: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["train", "tiny", "--data", "shapes", "--device", "cpu", "--threads", "1", "--workers", "1"];
    [&fixed[..], &["--out", out], others].concat()
}

#[test]
fn a_killed_process_ends_the_others_with_an_error_and_the_run_is_resumed_to_the_same_weights() {
    let place = Workplace::with_shapes(17, 3);
    let arguments = |out: &'static str| train(out, &["--batch-size", "8", "--epochs", "8", "--save-every", "5"]);
    run(&place, torchrun, 2, &arguments("whole"));
    for (out, killed) in [("first-killed", 0), ("second-killed", 1)] {
        let mut children = start(&place, torchrun, 2, &arguments(out));
        await_save(&place, out, &mut children);
        children[killed].kill().expect("killed");
        let begun = Instant::now();
        let other = ends(children).swap_remove(1 - killed);
        assert!(begun.elapsed() < Duration::from_secs(30));
        other.fails_saying(&[&format!("in rank {} of 2", 1 - killed), &format!("rank {killed} of 2 has ended")]);
        run(&place, torchrun, 2, &[&arguments(out)[..], &["--resume"]].concat());
        for file in ["last.safetensors", "best.safetensors"] {
            assert!(place.read(&format!("{out}/{file}")) == place.read(&format!("whole/{file}")), "{out}/{file}");
        }
    }
}

#[test]
fn a_signal_to_one_process_ends_all_with_the_state_saved_and_another_number_goes_on() {
    let place = Workplace::with_shapes(17, 3);
    let arguments = train("run", &["--batch-size", "4", "--epochs", "20", "--save-every", "5"]);
    let mut children = start(&place, torchrun, 2, &arguments);
    await_save(&place, "run", &mut children);
    signal(&children[1], "TERM");
    let ends = ends(children);
    assert_eq!((ends[0].status, ends[1].status), (130, 130), "{}", ends[0].stderr);
    assert!(ends[0].stderr.contains("the state is saved in run"));
    let ran = run(&place, torchrun, 3, &[&arguments[..], &["--resume", "--scale-rate", "linear"]].concat());
    let rate = "changed since the run was saved: training.learning_rate: 0.05 then, 0.15";
    ran.says(&["saved with 2 processes, resumed with 3", "learns from 12 images rather than 8", rate, "epoch 20/20"]);
    let log = String::from_utf8(place.read("run/log.jsonl")).expect("text");
    let epochs = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let epochs: Vec<Value> = epochs.filter(|line| line["kind"] == "epoch").map(|line| line["epoch"].clone()).collect();
    assert_eq!(epochs, (1..=20).map(Value::from).collect::<Vec<_>>());
}

/// What torchrun serves: a store that lasts through all attempts.
fn agent(port: u16) -> Group {
    let meeting = Meeting {
        address: "127.0.0.1".into(),
        port,
        hosts: true,
        attempt: 99,
        rank: 0,
        count: 1,
        timeout: Duration::from_secs(60),
    };
    Group::meet(&meeting).expect("a store")
}

fn served(rank: usize, count: usize, port: u16) -> Vec<(&'static str, String)> {
    let more = [("TORCHELASTIC_USE_AGENT_STORE", "True".to_string()), ("TORCHELASTIC_RESTART_COUNT", "0".to_string())];
    [torchrun(rank, count, port), more.to_vec()].concat()
}

fn served_again(rank: usize, count: usize, port: u16) -> Vec<(&'static str, String)> {
    let mut variables = served(rank, count, port);
    variables.pop();
    variables.push(("TORCHELASTIC_RESTART_COUNT", "1".to_string()));
    variables
}

#[test]
fn processes_that_a_launcher_starts_again_resume_what_they_had_begun() {
    let place = Workplace::with_shapes(17, 3);
    let port = free_port();
    let _agent = agent(port);
    first(ends(start_at(port, &place, served, 2, &train("run", &["--epochs", "1"]))));
    // One process is left.
    let again = first(ends(start_at(port, &place, served_again, 1, &train("run", &["--epochs", "2"]))));
    again.says(&["saved with 2 processes, resumed with 1", "resuming after 1 epoch", "epoch 2/2"]);
}

#[test]
fn processes_that_a_launcher_starts_again_leave_other_runs_alone() {
    let place = Workplace::with_shapes(17, 3);
    place.run(&train("run", &["--epochs", "1"])).succeeds();
    let before = place.read("run/last.safetensors");
    let port = free_port();
    let _agent = agent(port);
    for variables in [served, served_again] {
        let ends = ends(start_at(port, &place, variables, 2, &train("run", &["--epochs", "2"])));
        assert!(ends[0].stderr.contains("run: already contains a run"), "{}", ends[0].stderr);
        assert_eq!((ends[0].status, ends[1].status), (2, 2), "{}", ends[1].stderr);
    }
    assert!(place.read("run/last.safetensors") == before);
}

#[test]
fn a_process_that_stops_answering_ends_the_others_after_the_timeout() {
    let place = Workplace::with_shapes(17, 3);
    for stopped in [0, 1] {
        let out = format!("stopped-{stopped}");
        let arguments = train(&out, &["--epochs", "1000", "--save-every", "5", "--timeout", "8s"]);
        let mut children = start(&place, torchrun, 2, &arguments);
        await_save(&place, &out, &mut children);
        // As a lost machine: its connections stay open.
        signal(&children[stopped], "STOP");
        let mut stopped_child = children.remove(stopped);
        let other = ends(children).swap_remove(0);
        stopped_child.kill().and_then(|()| stopped_child.wait()).expect("killed");
        other.fails_saying(&[&format!("rank {stopped} of 2 has ended or cannot be reached")]);
    }
}

#[test]
fn a_process_that_does_not_come_is_named() {
    let place = Workplace::with_shapes(17, 3);
    let alone = |rank: usize| {
        let mut command = place.command(&train("run", &["--timeout", "2s"]));
        let output = command.envs(torchrun(rank, 3, 29_617)).output();
        Ran::of(output.expect("the program runs"))
    };
    alone(0).fails_saying(&[
        "in rank 0 of 3",
        "have not met at 127.0.0.1, port 29617",
        "no sign of rank 1, 2 within 2 s",
    ]);
    let mut command = place.command(&train("run", &[]));
    let output = command.env("RANK", "0").output().expect("the program runs");
    Ran::of(output).fails_saying(&["WORLD_SIZE is missing, although RANK is set", "unset RANK"]);
}
