//! Training, resuming and using what was trained, through the program itself.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;

use common::{Ran, Workplace, config};
use safetensors::SafeTensors;
use serde_json::Value;

fn log(place: &Workplace, run: &str, kind: &str) -> Vec<Value> {
    let text = String::from_utf8(place.read(&format!("{run}/log.jsonl"))).expect("text");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    lines.filter(|line| line["kind"] == kind).collect()
}

/// A checkpoint's tensors by name, as another reader of safetensors sees them.
fn tensors(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let file = SafeTensors::deserialize(bytes).expect("a safetensors file");
    file.iter().map(|(name, view)| (name.to_string(), view.data().to_vec())).collect()
}

#[test]
fn training_lowers_the_loss_and_beats_chance() {
    let place = Workplace::with_shapes(60, 10);
    let settings = ["--set", "training.epochs=15", "--set", "training.schedule=constant", "--batch-size", "16"];
    place.train("run", &settings).succeeds();
    let epochs = log(&place, "run", "epoch");
    let losses: Vec<f64> = epochs.iter().map(|epoch| epoch["training_loss"].as_f64().expect("a loss")).collect();
    assert_eq!(losses.len(), 15);
    assert!(losses[14] < 0.9 * losses[0], "{losses:?}");
    // Guessing among 12 classes has an error of 91.7 %.
    let best = epochs.iter().filter_map(|epoch| epoch["top1_error"].as_f64()).fold(100.0, f64::min);
    assert!(best < 80.0, "{best}");
}

#[test]
fn a_run_folder_contains_everything_needed_to_use_the_model() {
    let place = Workplace::with_shapes(6, 4);
    place.train("run", &["--set", "training.epochs=2", "--seed", "7"]).succeeds();
    let experiment = place.read_json("run/experiment.json");
    assert_eq!((&experiment["training"]["seed"], &experiment["network"]["classes"]), (&7.into(), &12.into()));
    assert_eq!(experiment["training"]["optimizer"]["sgd"]["momentum"], 0.9);
    let curves = String::from_utf8(place.read("run/curves.svg")).expect("text");
    assert!(curves.starts_with("<svg") && curves.trim_end().ends_with("</svg>"));
    assert_eq!(curves.matches("</svg>").count(), 1, "one document");

    // A checkpoint in another folder, and no other flag.
    fs::copy(place.path("run/last.safetensors"), place.path("model.safetensors")).expect("a copy");
    let eval =
        place.run(&["eval", "model.safetensors", "--data", "shapes", "--json", "-", "--views", "center"]).succeeds();
    let eval: Value = serde_json::from_str(&eval.stdout).expect("JSON alone on standard output");
    let last = log(&place, "run", "epoch").pop().expect("an epoch");
    assert_eq!((&eval["top1_error"], &eval["top5_error"]), (&last["top1_error"], &last["top5_error"]));
    let difference = eval["loss"].as_f64().expect("a loss") - last["loss"].as_f64().expect("a loss");
    assert!(difference.abs() < 1e-5, "{difference}");
    assert_eq!(eval["images"], 48);

    let predict = place.run(&["predict", "run", "shapes/val/star", "--format", "jsonl", "--top", "3"]).succeeds();
    let lines: Vec<Value> = predict.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((lines.len(), lines[0]["predictions"].as_array().expect("predictions").len()), (4, 3));
}

#[test]
fn results_do_not_depend_on_the_number_of_workers() {
    let place = Workplace::with_shapes(8, 3);
    for workers in ["1", "3"] {
        place.train(workers, &["--workers", workers, "--set", "training.epochs=2"]).succeeds();
    }
    assert!(place.read("1/last.safetensors") == place.read("3/last.safetensors"));
    let errors = |run: &str| {
        let ran = place
            .run(&["eval", run, "--data", "shapes", "--json", "-", "--workers", run, "--batch-size", "7"])
            .succeeds();
        let json: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        json["top1_error"].clone()
    };
    assert_eq!(errors("1"), errors("3"));
}

#[test]
fn different_seeds_train_different_networks() {
    let place = Workplace::with_shapes(4, 2);
    for seed in ["1", "2"] {
        place.train(seed, &["--seed", seed, "--set", "training.epochs=1"]).succeeds();
    }
    assert!(tensors(&place.read("1/last.safetensors")) != tensors(&place.read("2/last.safetensors")));
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_saves_its_state_and_resumes_to_the_same_weights() {
    let place = Workplace::with_shapes(40, 2);
    let settings = ["--set", "training.epochs=3", "--batch-size", "8"];
    place.train("whole", &settings).succeeds();

    let config = config("tiny");
    let arguments =
        [&["train", &config, "--data", "shapes", "--out", "parts", "--threads", "1"], settings.as_slice()].concat();
    let mut child =
        place.command(&arguments).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program runs");
    while fs::read(place.path("parts/log.jsonl")).map_or(0, |log| log.iter().filter(|&&byte| byte == b'\n').count()) < 2
    {
        assert!(child.try_wait().expect("a status").is_none(), "ended before it could be interrupted");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().expect("kill runs").success());
    let interrupted = Ran::of(child.wait_with_output().expect("an end"));
    assert_eq!(interrupted.status, 130, "{}", interrupted.stderr);
    interrupted.says(&["the state is saved in parts", "--resume"]);

    let resumed = place.train("parts", &[&settings[..], &["--resume"]].concat()).succeeds();
    resumed.says(&["resuming after"]);
    assert!(tensors(&place.read("whole/last.safetensors")) == tensors(&place.read("parts/last.safetensors")));
    let [whole, parts] = ["whole", "parts"].map(|run| log(&place, run, "epoch").pop().expect("an epoch"));
    assert_eq!((&whole["training_loss"], &whole["top1_error"]), (&parts["training_loss"], &parts["top1_error"]));
}

#[test]
fn a_finished_run_can_be_trained_further_and_other_changes_are_named() {
    let place = Workplace::with_shapes(4, 2);
    place.train("run", &["--set", "training.epochs=1", "--set", "training.schedule=constant"]).succeeds();
    let more = ["--set", "training.epochs=2", "--set", "training.schedule=constant", "--resume"];
    place.train("run", &more).succeeds().says(&["training.epochs: 1 then, 2 now"]);
    assert_eq!(log(&place, "run", "epoch").len(), 2);
    let refused = place.train("run", &["--resume", "--set", "network.input=[3,48,48]"]);
    refused.fails_saying(&["network.input: [3,32,32] then, [3,48,48] now"]);
    fs::rename(place.path("shapes/train/star/star-0001.jpg"), place.path("shapes/train/star/another.jpg"))
        .expect("a file");
    let before = place.read("run/log.jsonl");
    place.train("run", &more).fails_saying(&["training images are not the ones that run had"]);
    assert!(place.read("run/log.jsonl") == before, "what is refused leaves no trace");
    place.train("nowhere", &["--resume"]).fails_saying(&["nowhere", "nothing to resume"]);
}

#[test]
fn a_bad_image_is_named_and_skipped_and_the_exit_status_is_1() {
    let place = Workplace::with_shapes(4, 2);
    place.write("shapes/train/star/broken.jpg", "no image");
    place.write("shapes/val/ring/empty.jpg", "");
    let trained = place.train("run", &["--set", "training.epochs=2"]);
    assert_eq!(trained.status, 1, "{}", trained.stderr);
    assert_eq!(trained.stderr.matches("broken.jpg").count(), 1, "named once: {}", trained.stderr);
    trained.says(&["shapes/train/star/broken.jpg: not an image", "shapes/val/ring/empty.jpg: the file is empty"]);

    let eval = place.run(&["eval", "run", "--data", "shapes", "--json", "-"]);
    assert_eq!(eval.status, 1);
    let json: Value = serde_json::from_str(&eval.stdout).expect("JSON");
    assert_eq!((&json["images"], json["bad_images"].as_array().map(Vec::len)), (&24.into(), Some(1)));
}

#[test]
fn a_nan_or_infinite_loss_stops_the_run_and_suggests_remedies() {
    let place = Workplace::with_shapes(10, 2);
    let ran = place.train(
        "run",
        &["--set", "training.learning_rate=1e6", "--set", "training.warmup_epochs=0", "--set", "training.epochs=20"],
    );
    ran.fails_saying(&["--lr 100000 or --set training.warmup_epochs=2"]).says(&["diverged"]);
    // The remains of a run that ended before its first checkpoint do not prevent another try.
    if !place.path("run/last.safetensors").exists() {
        place.train("run", &["--set", "training.epochs=1"]).succeeds();
    }
}

#[test]
fn a_network_that_has_learned_nothing_is_said_to_have() {
    let place = Workplace::with_shapes(4, 2);
    let warning = "the validation errors are those of guessing";
    place.train("none", &["--lr", "1e-12", "--epochs", "1"]).succeeds().says(&[warning, "learning_rate (now 1.0e-12)"]);
    let learned = Workplace::with_shapes(20, 2);
    let ran = learned.train("run", &[]).succeeds();
    assert!(!ran.stderr.lines().last().is_some_and(|line| line.contains(warning)), "{}", ran.stderr);
}

#[test]
fn a_full_disk_is_reported_and_leaves_the_previous_checkpoint_intact() {
    let place = Workplace::with_shapes(4, 2);
    place.train("run", &["--set", "training.epochs=1"]).succeeds();
    let before = place.read("run/last.safetensors");
    // No file may grow beyond 16 KB: writes fail as they do on a full disk.
    let config = config("tiny");
    let program = env!("CARGO_BIN_EXE_topfive");
    let script = format!(
        "trap '' XFSZ; ulimit -f 16; exec {program} train {config} --data shapes --out run --resume --threads 1 --set training.epochs=2"
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(place.path(""))
        .output()
        .expect("bash runs");
    Ran::of(output).fails_saying(&["cannot write", "intact", "room on the disk"]);
    assert!(place.read("run/last.safetensors") == before);
    let leftovers = fs::read_dir(place.path("run")).expect("the run folder").filter_map(Result::ok);
    assert!(leftovers.into_iter().all(|file| !file.file_name().to_string_lossy().starts_with(".topfive-")));
    place.train("run", &["--set", "training.epochs=2", "--resume"]).succeeds();
}

#[test]
fn a_run_that_ended_before_its_first_checkpoint_can_be_started_again() {
    let place = Workplace::with_shapes(4, 2);
    // At 32 pixels the last map of ResNet-18 is 1x1.
    let settings = ["--out", "run", "--batch-size", "1", "--set", "network.input=[3,32,32]"];
    let refused = place.run(&[&["train", &config("resnet18"), "--data", "shapes"], settings.as_slice()].concat());
    refused.fails_saying(&["one image at a time", "--batch-size 2"]);
    assert!(place.path("run/experiment.json").exists() && !place.path("run/last.safetensors").exists());
    place.train("run", &["--set", "training.epochs=1"]).succeeds();
}

#[test]
fn two_runs_cannot_train_into_one_folder() {
    let place = Workplace::with_shapes(60, 2);
    let config = config("tiny");
    let arguments = ["train", &config, "--data", "shapes", "--out", "run", "--threads", "1", "--epochs", "50"];
    let mut first = place.command(&arguments).stderr(Stdio::piped()).spawn().expect("the program runs");
    while !place.path("run/log.jsonl").exists() {
        assert!(first.try_wait().expect("a status").is_none(), "ended before the second run");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    place.train("run", &[]).fails_saying(&["run", "--out"]);
    while !place.path("run/last.safetensors").exists() {
        assert!(first.try_wait().expect("a status").is_none(), "ended before its first checkpoint");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    place.train("run", &["--resume"]).fails_saying(&["run: another process is training into this folder"]);
    // The lock dies with its process, however that ends.
    first.kill().expect("killed");
    first.wait().expect("an end");
    place.write("run/.topfive-last.safetensors-left", "unfinished");
    place.write("run/.topfive-images.csv-other", "another process's");
    place.train("run", &["--resume", "--epochs", "1"]).succeeds();
    assert!(!place.path("run/.topfive-last.safetensors-left").exists());
    assert!(place.path("run/.topfive-images.csv-other").exists());
}

#[test]
fn a_run_that_began_with_weights_is_resumed_with_the_same_command() {
    let place = Workplace::with_shapes(4, 2);
    place.train("first", &["--epochs", "1"]).succeeds();
    let command = ["--weights", "first/best.safetensors", "--set", "training.schedule=constant"];
    place.train("second", &[&command[..], &["--epochs", "1"]].concat()).succeeds();
    let resumed = place.train("second", &[&command[..], &["--epochs", "2", "--resume"]].concat()).succeeds();
    resumed.says(&["--weights is ignored", "resuming after 1 epoch,"]);
}

#[test]
fn a_step_that_is_left_with_a_single_image_does_not_end_the_run() {
    let place = Workplace::with_shapes(1, 1);
    for class in ["star", "ring", "disc", "dice", "cross"] {
        place.write(&format!("shapes/train/{class}/broken.jpg"), "no image");
    }
    // At 32 pixels the last map of ResNet-18 is 1x1, so that its batch norms need two images.
    let arguments = ["train", "resnet18", "--data", "shapes", "--out", "run", "--input", "32", "--batch-size", "2"];
    let ran = place.run(&[&arguments[..], &["--epochs", "2", "--lr", "0.001"]].concat());
    assert_eq!(ran.status, 1, "{}", ran.stderr);
}

#[test]
fn a_network_whose_auxiliary_classifier_is_a_branch_is_evaluated_as_it_was_trained() {
    let place = Workplace::with_shapes(4, 2);
    let head = r#"{ "auxiliary": { "name": "aux", "weight": 0.3, "layers": ["global_average_pool", { "linear": { "features": "classes" } }] } }"#;
    let branches =
        format!(r#"{{ "branches": {{ "branches": [{{ "conv": {{ "channels": 4, "kernel": 1 }} }}, {head}] }} }}"#);
    let tail = r#""global_average_pool", { "linear": { "name": "fc", "features": "classes" } }"#;
    let network = format!(r#"{{ "input": [3, 16, 16], "classes": 12, "layers": [{branches}, {tail}] }}"#);
    place.write("own.json", format!(r#"{{ "name": "own", "network": {network} }}"#));
    let train = ["train", "own.json", "--data", "shapes", "--out", "run", "--epochs", "1", "--lr", "0.01"];
    place.run(&train).succeeds();
    let last = log(&place, "run", "epoch").pop().expect("an epoch");
    let eval = place.run(&["eval", "run", "--data", "shapes", "--json", "-"]).succeeds();
    let eval: Value = serde_json::from_str(&eval.stdout).expect("JSON");
    assert_eq!(eval["top1_error"], last["top1_error"]);
}
