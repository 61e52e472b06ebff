//! Averages of weights, against PyTorch's (`scripts/make_average_fixture.py`) and in use.

mod common;

use std::collections::BTreeMap;

use common::Workplace;
use common::formula::{filled, filled_network};
use serde_json::Value;
use tch::{Kind, no_grad};
use topfive::experiment::{self, Experiment};
use topfive::training::average::Average;

#[test]
fn averages_of_weights_and_running_statistics_are_pytorchs() {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/average.json")).expect("JSON");
    let experiment = Experiment::parse(&fixture["experiment"].to_string(), &[]).expect("an experiment");
    let steps = fixture["steps"].as_u64().expect("a number");
    for entry in fixture["averages"].as_array().expect("averages") {
        let kind: experiment::Average = serde_json::from_value(entry["average"].clone()).expect("an average");
        let expected: BTreeMap<String, Vec<f64>> = serde_json::from_value(entry["expected"].clone()).expect("tensors");
        let network = filled_network(&experiment);
        let mut average = Average::new(&kind, &network).expect("an average");
        for step in 0..steps {
            no_grad(|| {
                for (parameter, tensor) in network.parameters() {
                    let values = filled(&format!("{step} {}", parameter.name), &parameter.shape);
                    tensor.shallow_clone().copy_(&values);
                }
            });
            average.update(step as f64 / steps as f64).expect("an update");
        }
        let averaged = average.network().expect("an average");
        assert_eq!(averaged.parameters().count(), expected.len());
        for (parameter, tensor) in averaged.parameters() {
            let found = Vec::<f64>::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).expect("values");
            assert_eq!(found.len(), expected[&parameter.name].len());
            for (found, expected) in found.iter().zip(&expected[&parameter.name]) {
                assert!((found - expected).abs() <= 1e-6, "{kind:?} {}: {found}, expected {expected}", parameter.name);
            }
        }
    }
}

fn epochs(place: &Workplace, run: &str) -> Vec<Value> {
    let text = String::from_utf8(place.read(&format!("{run}/log.jsonl"))).expect("text");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    lines.filter(|line| line["kind"] == "epoch").collect()
}

fn eval(place: &Workplace, model: &str) -> Value {
    let ran = place.run(&["eval", model, "--data", "shapes", "--json", "-"]).succeeds();
    serde_json::from_str(&ran.stdout).expect("JSON")
}

#[test]
fn an_average_is_validated_saved_and_chosen_where_it_is_better() {
    let place = Workplace::with_shapes(30, 10);
    let polyak = r#"training.average={"polyak":{"from":0.5}}"#;
    let settings = ["--epochs", "8", "--batch-size", "16", "--set", "training.schedule=constant", "--set", polyak];
    let ran = place.train("run", &[&settings[..], &["--json", "-"]].concat()).succeeds();
    let result: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let epochs = epochs(&place, "run");
    assert_eq!(
        epochs.iter().map(|epoch| epoch["averaged"].is_object()).collect::<Vec<_>>(),
        [false, false, false, false, true, true, true, true]
    );
    let last = epochs.last().expect("an epoch");
    assert_eq!((&result["averaged"], &result["last"]["top1_error"]), (&last["averaged"], &last["top1_error"]));
    assert_eq!(eval(&place, "run/average.safetensors")["top1_error"], last["averaged"]["top1_error"]);
    assert_eq!(eval(&place, "run/last.safetensors")["top1_error"], last["top1_error"]);
    // The best of both over all epochs; the log says of each best so far which of the two it was.
    let best = epochs.iter().rev().find(|epoch| epoch["best"].is_string()).expect("a best epoch");
    let (chosen, other) = match best["best"].as_str() {
        Some("averaged") => (&best["averaged"], best),
        _ => (best, &best["averaged"]),
    };
    let error = |of: &Value| of["top1_error"].as_f64().unwrap_or(f64::INFINITY);
    assert!(error(chosen) <= error(other));
    let errors = epochs.iter().flat_map(|epoch| [error(epoch), error(&epoch["averaged"])]);
    assert_eq!(errors.fold(f64::INFINITY, f64::min), error(chosen));
    assert_eq!(eval(&place, "run/best.safetensors")["top1_error"], chosen["top1_error"]);
    assert_eq!(result["best_is_averaged"], best["best"] == "averaged");
}

#[test]
fn an_average_that_is_asked_for_when_resuming_begins_there() {
    let place = Workplace::with_shapes(4, 2);
    place.train("run", &["--epochs", "1"]).succeeds();
    let resumed = place.train("run", &["--epochs", "2", "--resume", "--set", "training.average=ema"]).succeeds();
    resumed.says(&["training.average: null then"]);
    assert!(place.path("run/average.safetensors").exists());
    place.train("run", &["--epochs", "3", "--resume", "--set", "training.average=polyak"]).succeeds();
    assert!(place.path("run/average.safetensors").exists());
    place.train("run", &["--epochs", "4", "--resume"]).succeeds();
    assert!(epochs(&place, "run").last().expect("an epoch")["averaged"].is_null());
    assert!(!place.path("run/average.safetensors").exists(), "the average of an earlier epoch");
}

#[test]
fn a_polyak_average_begins_anew_in_a_run_that_was_made_longer() {
    let place = Workplace::with_shapes(4, 2);
    let polyak = ["--set", r#"training.average={"polyak":{"from":0.5}}"#, "--set", "training.schedule=constant"];
    place.train("run", &[&["--epochs", "4"], &polyak[..]].concat()).succeeds();
    assert!(epochs(&place, "run")[3]["averaged"].is_object());
    place.train("run", &[&["--epochs", "16", "--resume"], &polyak[..]].concat()).succeeds();
    let averaged: Vec<bool> = epochs(&place, "run").iter().map(|epoch| epoch["averaged"].is_object()).collect();
    // The first two of these are the shorter run's; then half of 16 epochs have to pass.
    assert_eq!(averaged[2..8], [true, true, false, false, false, false]);
    assert_eq!(averaged[8..], [true; 8]);
}

#[test]
fn an_average_that_never_began_is_said() {
    let place = Workplace::with_shapes(4, 2);
    let settings = ["--max-steps", "2", "--set", "training.average=polyak"];
    place.train("run", &settings).succeeds().says(&["no average of the weights was kept"]);
}
