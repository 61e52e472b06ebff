//! Several processes train and evaluate one network as one process with larger batches does. They are started as launchers
//! start them: by the variables of the environment.
#![cfg(unix)]

mod common;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{Ran, Workplace};
use safetensors::SafeTensors;
use serde_json::{Value, json};

/// What a launcher sets for one process of several on this machine.
type Variables = fn(rank: usize, count: usize, port: u16) -> Vec<(&'static str, String)>;

fn torchrun(rank: usize, count: usize, port: u16) -> Vec<(&'static str, String)> {
    let [rank, count] = [rank, count].map(|number| number.to_string());
    vec![
        ("RANK", rank.clone()),
        ("WORLD_SIZE", count.clone()),
        ("LOCAL_RANK", rank),
        ("LOCAL_WORLD_SIZE", count),
        ("MASTER_ADDR", "127.0.0.1".into()),
        ("MASTER_PORT", port.to_string()),
    ]
}

fn slurm(rank: usize, count: usize, port: u16) -> Vec<(&'static str, String)> {
    let [rank, count] = [rank, count].map(|number| number.to_string());
    vec![
        ("SLURM_PROCID", rank.clone()),
        ("SLURM_NTASKS", count),
        ("SLURM_LOCALID", rank),
        ("SLURM_JOB_NODELIST", "localhost".into()),
        ("MASTER_PORT", port.to_string()),
    ]
}

fn open_mpi(rank: usize, count: usize, port: u16) -> Vec<(&'static str, String)> {
    let [rank, count] = [rank, count].map(|number| number.to_string());
    vec![
        ("OMPI_COMM_WORLD_RANK", rank.clone()),
        ("OMPI_COMM_WORLD_SIZE", count.clone()),
        ("OMPI_COMM_WORLD_LOCAL_RANK", rank),
        ("OMPI_COMM_WORLD_LOCAL_SIZE", count),
        ("MASTER_PORT", port.to_string()),
    ]
}

fn start(place: &Workplace, variables: Variables, count: usize, arguments: &[&str]) -> Vec<Child> {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = free.expect("a free port").port();
    let start = |rank| {
        let mut command = place.command(arguments);
        command.envs(variables(rank, count, port)).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program runs")
    };
    (0..count).map(start).collect()
}

/// The ends of processes, in the order of their ranks.
fn ends(children: Vec<Child>) -> Vec<Ran> {
    let wait = |child: Child| thread::spawn(|| Ran::of(child.wait_with_output().expect("an end")));
    let waiting: Vec<_> = children.into_iter().map(wait).collect();
    waiting.into_iter().map(|end| end.join().expect("an end")).collect()
}

/// Runs to the end in so many processes, of which only the first one speaks; returns what that one said.
fn run(place: &Workplace, variables: Variables, count: usize, arguments: &[&str]) -> Ran {
    let mut all = ends(start(place, variables, count, arguments)).into_iter();
    let first = all.next().expect("a first process").succeeds();
    for (index, other) in all.enumerate() {
        let (other, rank) = (other.succeeds(), index + 1);
        assert_eq!((other.stdout.as_str(), other.stderr.as_str()), ("", ""), "rank {rank} speaks");
    }
    first
}

/// A network without batch norm, trained without chance: every process sees its images as one process would.
fn plain() -> Value {
    json!({
        "name": "plain", "paper": "", "network": {
            "input": [3, 16, 16], "classes": 12, "start": { "weights": "he", "bias": 0.0 },
            "layers": [
                { "conv": { "name": "conv1", "channels": 8, "kernel": 3, "stride": 2, "padding": 1 } }, "relu",
                { "conv": { "name": "conv2", "channels": 16, "kernel": 3, "stride": 2, "padding": 1 } }, "relu",
                "global_average_pool", { "linear": { "name": "fc", "features": "classes" } }
            ]
        },
        "preprocess": { "channels": "rgb", "scale": "unit", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25] },
        "training": {
            "epochs": 2, "batch_size": 16, "optimizer": { "sgd": { "momentum": 0.9 } }, "learning_rate": 0.1,
            "crop": { "random_resized": { "area": [0.5, 1.0] } }, "augment": ["trivial_augment"]
        }
    })
}

const TRAIN: [&str; 10] =
    ["train", "plain.json", "--data", "shapes", "--device", "cpu", "--threads", "1", "--workers", "1"];

fn train<'a>(out: &'a str, others: &[&'a str]) -> Vec<&'a str> {
    [&TRAIN, &["--out", out][..], others].concat()
}

/// 17 images of each of 12 classes: neither steps nor shares are even.
fn place() -> Workplace {
    let place = Workplace::with_shapes(17, 3);
    place.write("plain.json", plain().to_string());
    place
}

fn weights(place: &Workplace, run: &str) -> BTreeMap<String, Vec<f32>> {
    let bytes = place.read(&format!("{run}/last.safetensors"));
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let values = |data: &[u8]| data.chunks(4).map(|four| f32::from_le_bytes(four.try_into().expect("four"))).collect();
    file.tensors().into_iter().map(|(name, tensor)| (name, values(tensor.data()))).collect()
}

#[track_caller]
fn assert_near(place: &Workplace, run: &str, other: &str) {
    let (run, other) = (weights(place, run), weights(place, other));
    assert!(run.keys().eq(other.keys()));
    for (name, values) in &run {
        for (found, expected) in values.iter().zip(&other[name]) {
            assert!((found - expected).abs() <= 1e-5, "{name}: {found}, expected {expected}");
        }
    }
}

#[test]
fn processes_of_every_launcher_learn_what_one_with_larger_batches_learns() {
    let place = place();
    let clipped = ["--set", "training.augment=[\"random_erasing\"]", "--set", "training.clip.norm=0.5"];
    let averaged = ["--set", "training.average={\"ema\":{\"decay\":0.9}}", "--set", "training.accumulate=2"];
    for (name, sets) in [("clipped", &clipped[..]), ("averaged", &averaged)] {
        place.run(&train(name, &[&["--batch-size", "24"][..], sets].concat())).succeeds();
        let launchers: [(&str, Variables, usize, &str); 3] =
            [("torchrun", torchrun, 2, "12"), ("slurm", slurm, 3, "8"), ("mpi", open_mpi, 2, "12")];
        for (launcher, variables, count, batch_size) in launchers {
            let out = format!("{name}-{launcher}");
            let arguments = train(&out, &[&["--batch-size", batch_size][..], sets].concat());
            let ran = run(&place, variables, count, &arguments);
            ran.says(&[&format!("{count} processes with up to {batch_size} images each"), "epoch 2/2"]);
            assert_near(&place, &out, name);
        }
    }
}

#[test]
fn unevenly_weighted_classes_count_over_all_processes() {
    let place = place();
    for index in 5..=17 {
        std::fs::remove_file(place.path(&format!("shapes/train/ring/ring-{index:04}.jpg"))).expect("an image");
    }
    let sets = &["--set", "training.class_weights=balanced"][..];
    place.run(&train("one", &[&["--batch-size", "24"][..], sets].concat())).succeeds();
    run(&place, torchrun, 2, &train("two", &[&["--batch-size", "12"][..], sets].concat()));
    assert_near(&place, "two", "one");
}

#[test]
fn an_image_that_cannot_be_read_is_reported_once_and_the_rest_count_as_in_one_process() {
    let place = place();
    place.write("shapes/train/ring/ring-0003.jpg", "no image");
    let one = place.run(&train("one", &["--batch-size", "24"]));
    let two = ends(start(&place, torchrun, 2, &train("two", &["--batch-size", "12"])));
    assert_eq!((one.status, two[0].status, two[1].status), (1, 1, 0), "{}", two[0].stderr);
    assert_eq!(two[0].stderr.matches("ring-0003.jpg").count(), 1, "{}", two[0].stderr);
    assert_near(&place, "two", "one");
}

#[test]
fn any_number_of_processes_counts_and_lists_the_same_answers() {
    let place = place();
    place.run(&train("run", &["--epochs", "1"])).succeeds();
    place.write("shapes/val/ring/ring-0002.jpg", "no image");
    let answers = |count: usize| {
        let json = format!("{count}.json");
        let csv = format!("{count}.csv");
        let eval =
            ["eval", "run", "--data", "shapes", "--views", "center,ten-crop", "--device", "cpu", "--threads", "1"];
        let eval = [&eval[..], &["--json", &json, "--per-image", &csv]].concat();
        let predict = ["predict", "run", "shapes/val", "--format", "csv", "--device", "cpu", "--threads", "1"];
        let first = |arguments: &[&str]| {
            let ends = ends(start(&place, torchrun, count, arguments));
            let others = ends[1..].iter().all(|other| other.status == 0 && other.stdout.is_empty());
            assert!(others && ends[0].status == 1, "{}", ends[0].stderr);
            ends.into_iter().next().expect("a first process").stdout
        };
        first(&eval);
        let ranks = |table: &[u8], column: usize| -> Vec<(String, String)> {
            let mut rows = csv::Reader::from_reader(table);
            let row = |row: csv::StringRecord| (row[0].to_string(), row[column].to_string());
            rows.records().map(|record| row(record.expect("a row"))).collect()
        };
        let mut results = place.read_json(&json)["results"].take();
        for result in results.as_array_mut().expect("results") {
            let result = result.as_object_mut().expect("a result");
            result.retain(|key, _| ["top1_error", "top5_error", "images", "views"].contains(&key.as_str()));
        }
        (results, ranks(&place.read(&csv), 5), ranks(first(&predict).as_bytes(), 2))
    };
    let one = answers(1);
    assert!(one.0[0]["top1_error"].is_number() && one.1.len() == 2 * 35 + 1, "{one:?}");
    assert_eq!(answers(2), one);
    assert_eq!(answers(3), one);
}

/// Waits until a run has saved its first state.
fn await_save(place: &Workplace, out: &str, children: &mut [Child]) {
    while !place.path(&format!("{out}/last.safetensors")).exists() {
        assert!(children[0].try_wait().expect("a status").is_none(), "ended before it was disturbed");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_killed_process_ends_the_others_with_an_error_and_the_run_is_resumed_to_the_same_weights() {
    let place = place();
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
        assert!(weights(&place, out) == weights(&place, "whole"), "{out}");
    }
}

#[test]
fn a_signal_to_one_process_ends_all_with_the_state_saved_and_another_number_goes_on() {
    let place = place();
    let arguments = train("run", &["--batch-size", "4", "--epochs", "20", "--save-every", "5"]);
    let mut children = start(&place, torchrun, 2, &arguments);
    await_save(&place, "run", &mut children);
    let signalled = std::process::Command::new("kill").args(["-TERM", &children[1].id().to_string()]).status();
    assert!(signalled.expect("kill runs").success());
    let ends = ends(children);
    assert_eq!((ends[0].status, ends[1].status), (130, 130), "{}", ends[0].stderr);
    assert!(ends[0].stderr.contains("the state is saved in run"));
    let ran = run(&place, torchrun, 3, &[&arguments[..], &["--resume", "--scale-rate", "linear"]].concat());
    let rate = "changed since the run was saved: training.learning_rate: 0.1 then, 0.3";
    ran.says(&["saved with 2 processes, resumed with 3", "learns from 12 images rather than 8", rate, "epoch 20/20"]);
    let log = String::from_utf8(place.read("run/log.jsonl")).expect("text");
    let epochs = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let epochs: Vec<Value> = epochs.filter(|line| line["kind"] == "epoch").map(|line| line["epoch"].clone()).collect();
    assert_eq!(epochs, (1..=20).map(Value::from).collect::<Vec<_>>());
}

#[test]
fn processes_that_a_launcher_starts_again_resume_by_themselves() {
    fn restarted(rank: usize, count: usize, port: u16) -> Vec<(&'static str, String)> {
        [torchrun(rank, count, port), vec![("TORCHELASTIC_RESTART_COUNT", "1".to_string())]].concat()
    }
    let place = place();
    run(&place, torchrun, 2, &train("run", &["--epochs", "1"]));
    run(&place, restarted, 2, &train("run", &["--epochs", "2"])).says(&["resuming after 1 epoch", "epoch 2/2"]);
}

#[test]
fn a_process_that_does_not_come_is_named() {
    let place = place();
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
