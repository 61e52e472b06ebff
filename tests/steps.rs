//! Updates: what PyTorch's optimisers make of the same weights and images, and of what is frozen, scaled, clipped or
//! accumulated. `scripts/make_step_fixture.py` computes it.

mod common;

use std::collections::BTreeMap;
use std::process::Stdio;

use common::formula::{filled_network, noise};
use common::{Ran, Workplace, config};
use image::RgbImage;
use safetensors::SafeTensors;
use serde_json::Value;
use tch::{Kind, Tensor};
use topfive::experiment::{Change, Experiment};
use topfive::training::scaler::Scaler;
use topfive::training::step::Learner;

const IMAGES: usize = 6;
const SIDE: usize = 12;
const CLASSES: i64 = 5;

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/steps.json")).expect("JSON")
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("a value of this type")
}

/// The images of the script, of which each channel of each image lies in one piece.
fn images() -> Vec<RgbImage> {
    let values = noise("images", IMAGES * 3 * SIDE * SIDE);
    // Python rounds halves to even.
    let byte = |value: f64| ((value + 1.0) * 127.5).round_ties_even() as u8;
    let image = |values: &[f64]| {
        RgbImage::from_fn(SIDE as u32, SIDE as u32, |x, y| {
            let place = y as usize * SIDE + x as usize;
            image::Rgb([0, 1, 2].map(|channel| byte(values[channel * SIDE * SIDE + place])))
        })
    };
    values.chunks(3 * SIDE * SIDE).map(image).collect()
}

fn assert_near(name: &str, tensor: &Tensor, expected: &[f64]) {
    let found = Vec::<f64>::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).expect("values");
    assert_eq!(found.len(), expected.len(), "{name}");
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() <= 1e-5 * expected.abs().max(1.0),
            "{name}, value {place}: {found}, expected {expected}"
        );
    }
}

#[test]
fn ten_updates_of_every_optimiser_give_pytorchs_losses_weights_and_buffers() {
    let (images, labels) = (images(), (0..IMAGES as i64).map(|image| image % CLASSES).collect::<Vec<_>>());
    let cases: Vec<Value> = read(&fixture()["cases"]);
    assert_eq!(cases.len(), 9);
    // The order of values in memory changes nothing but rounding.
    for (case, format) in cases.iter().flat_map(|case| ["contiguous", "channels_last"].map(|format| (case, format))) {
        let name = format!("{}, {format}", case["name"]);
        let format = Change::Set(format!("training.memory_format={format}"));
        let experiment = Experiment::parse(&case["experiment"].to_string(), &[format]).expect("an experiment");
        let mut learner = Learner::new(filled_network(&experiment), &experiment).expect("a learner");
        let rate = experiment.training.learning_rate;
        let groups: Vec<Vec<usize>> = read(&case["groups"]);
        let losses: Vec<f64> = read(&case["losses"]);
        for (group, expected) in groups.iter().zip(losses) {
            let (mut sum, mut first) = (0.0, 0);
            for (batch, &count) in group.iter().enumerate() {
                let these = first..first + count;
                let ends_group = batch + 1 == group.len();
                let loss =
                    learner.step(&images[these.clone()], &labels[these], 0, rate, ends_group).expect("a step").loss;
                sum += loss * count as f64;
                first += count;
            }
            let found = sum / first as f64;
            assert!((found - expected).abs() <= 1e-5, "{name}: a loss of {found}, expected {expected}");
        }
        let weights: BTreeMap<String, Vec<f64>> = read(&case["final"]);
        assert_eq!(learner.network.parameters().count(), weights.len());
        for (parameter, tensor) in learner.network.parameters() {
            assert_near(&format!("{name}: {}", parameter.name), tensor, &weights[&parameter.name]);
        }
        let state: BTreeMap<String, Vec<f64>> = read(&case["state"]);
        let found: BTreeMap<&str, &Tensor> = learner.state().collect();
        for (kind, expected) in &state {
            assert_near(&format!("{name}: {kind}"), found[kind.as_str()], expected);
        }
        // What else is kept counts, or is empty between two groups.
        for (kind, tensor) in found.iter().filter(|(kind, _)| !state.contains_key(**kind)) {
            let expected = if *kind == "step" { 10.0 } else { 0.0 };
            assert_near(&format!("{name}: {kind}"), tensor, &vec![expected; tensor.numel()]);
        }
    }
}

#[test]
fn the_scale_of_the_loss_falls_and_rises_as_pytorchs() {
    let rows: Vec<(usize, bool, f64, f64)> = read(&fixture()["scales"]);
    let mut scaler = Scaler::new().expect("a scaler");
    for (updates, infinite, scale, tracker) in rows {
        for _ in 0..updates {
            let before = scaler.scale().expect("a scale");
            let value = if infinite { f32::INFINITY } else { 3.0 };
            let mut gradients = [Tensor::from_slice(&[1.0f32]), Tensor::from_slice(&[0.5f32, value])];
            assert_eq!(scaler.unscale(&mut gradients).expect("gradients"), !infinite);
            assert_eq!(gradients[0].double_value(&[0]), 1.0 / before);
        }
        let state: Vec<f64> = scaler.state().map(|(_, tensor)| tensor.double_value(&[])).collect();
        assert_eq!(state, [scale, tracker]);
    }
}

/// A checkpoint's tensors by name.
fn checkpoint(place: &Workplace, name: &str) -> BTreeMap<String, Vec<u8>> {
    let bytes = place.read(name);
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    file.iter().map(|(name, view)| (name.to_string(), view.data().to_vec())).collect()
}

fn last_loss(place: &Workplace, run: &str) -> f64 {
    let log = String::from_utf8(place.read(&format!("{run}/log.jsonl"))).expect("text");
    let mut lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let last = lines.rfind(|line| line["kind"] == "epoch").expect("an epoch");
    last["training_loss"].as_f64().expect("a loss")
}

#[cfg(unix)]
#[test]
fn a_run_that_is_interrupted_amid_a_group_of_batches_resumes_to_the_same_weights() {
    let place = Workplace::with_shapes(30, 1);
    let settings = ["--batch-size", "6", "--epochs", "2", "--lr", "0.002", "--set", "training.optimizer=adamw"];
    let settings = [&settings[..], &["--set", "training.accumulate=4", "--set", "training.clip={\"norm\":1}"]].concat();
    place.train("whole", &settings).succeeds();
    let config = config("tiny");
    for resumed in 0..3 {
        let start = ["train", &config, "--data", "shapes", "--out", "parts", "--threads", "1", "--device", "cpu"];
        let more: &[&str] = if resumed == 0 { &[] } else { &["--resume"] };
        let mut child = place.command(&[&start, &settings[..], more].concat());
        let mut child = child.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program runs");
        // A line of the log follows every tenth batch, which does not end a group of four.
        let steps =
            || std::fs::read_to_string(place.path("parts/log.jsonl")).map_or(0, |log| log.matches("\"step\",").count());
        while steps() <= resumed {
            assert!(child.try_wait().expect("a status").is_none(), "ended before it could be interrupted");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let id = child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &id]).status().expect("kill runs").success());
        let interrupted = Ran::of(child.wait_with_output().expect("an end"));
        assert_eq!(interrupted.status, 130, "{}", interrupted.stderr);
    }
    place.train("parts", &[&settings[..], &["--resume"]].concat()).succeeds();
    assert!(checkpoint(&place, "whole/last.safetensors") == checkpoint(&place, "parts/last.safetensors"));
    assert_eq!(last_loss(&place, "whole"), last_loss(&place, "parts"));
}

#[test]
fn another_optimiser_or_group_is_refused_when_a_run_is_resumed() {
    let place = Workplace::with_shapes(4, 1);
    place.train("run", &["--epochs", "1"]).succeeds();
    let resumed = |change| place.train("run", &["--resume", "--epochs", "2", "--set", change]);
    resumed("training.optimizer=adamw").fails_saying(&["training.optimizer.sgd", "training.optimizer.adamw"]);
    resumed("training.accumulate=2").fails_saying(&["training.accumulate: 1 then, 2 now"]);
    resumed("training.freeze=[\"conv1\"]").fails_saying(&["training.freeze"]);
    resumed("training.clip={\"value\":1}").succeeds().says(&["training.clip"]);
}

#[test]
fn frozen_layers_keep_their_weights_and_statistics_and_all_others_change() {
    let place = Workplace::with_shapes(4, 1);
    place.train("first", &["--epochs", "1"]).succeeds();
    let settings =
        ["--weights", "first/last.safetensors", "--epochs", "1", "--set", "training.freeze=[\"conv1\",\"layer1\"]"];
    place.train("second", &settings).succeeds();
    let [first, second] = ["first", "second"].map(|run| checkpoint(&place, &format!("{run}/last.safetensors")));
    for (name, values) in &first {
        let is_frozen = name.starts_with("conv1.") || name.starts_with("layer1.");
        assert_eq!(values == &second[name], is_frozen, "{name}");
    }
    let state = std::fs::read_dir(place.path("second")).expect("a folder").filter_map(Result::ok);
    let state = state.map(|file| file.file_name().into_string().expect("text")).find(|name| name.starts_with("state-"));
    let state = checkpoint(&place, &format!("second/{}", state.expect("a state")));
    assert!(
        state.contains_key("momentum_buffer.fc.weight") && !state.contains_key("momentum_buffer.conv1.conv.weight")
    );
}

#[test]
fn training_in_bfloat16_lowers_the_loss_as_far_as_in_32_bits() {
    let place = Workplace::with_shapes(30, 1);
    let optimizer = ["--set", "training.optimizer=adamw", "--lr", "0.004"];
    let settings = [&optimizer[..], &["--epochs", "8", "--batch-size", "8", "--set", "training.precision"]].concat();
    for precision in ["f32", "bf16"] {
        let mut settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        settings.last_mut().expect("a setting").push_str(&format!("={precision}"));
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        place.train(precision, &settings).succeeds();
    }
    let [f32, bf16] = ["f32", "bf16"].map(|run| last_loss(&place, run));
    // Guessing among 12 classes costs 2.48, and the auxiliary classifier 0.3 times as much: 3.23.
    assert!(f32 < 2.8 && (bf16 - f32).abs() < 0.15, "{f32} in 32 bits, {bf16} in bfloat16");
    assert!(checkpoint(&place, "f32/last.safetensors") != checkpoint(&place, "bf16/last.safetensors"));
}

#[test]
fn keys_that_cannot_act_are_refused_with_what_to_do() {
    let place = Workplace::with_shapes(2, 1);
    let refused = |change: &str, words: &[&str]| drop(place.train("run", &["--set", change]).fails_saying(words));
    refused("training.freeze=[\"layr1\"]", &["training.freeze[0]", "\"layr1\" (did you mean \"layer1\"?)"]);
    refused("training.freeze=[\"layer\"]", &["training.freeze[0]", "\"layer\"", "conv1, layer1, layer2"]);
    refused("training.rate_scale={\"features.1\":2}", &["training.rate_scale.features.1", "features"]);
    refused("training.rate_scale={\"fc\":0}", &["training.rate_scale.fc", "above 0"]);
    let all = r#"training.freeze=["conv1","layer1","layer2","inception","aux","conv2","features","fc"]"#;
    refused(all, &["training.freeze", "at least one layer", "\"fc\""]);
    refused("training.precision=f16", &["f16 needs a GPU", "--set training.precision=bf16"]);
    refused(
        "training.memory_format=channels_last",
        &["layer1.0.downsample.0", "--set training.memory_format=contiguous"],
    );
    refused("training.optimizer=adam", &["training.optimizer", "did you mean `adamw`?"]);
    refused("training.optimizer.adamw.betas=[0.9,1]", &["training.optimizer.adamw.betas[1]", "found 1"]);
    refused("training.optimizer.rmsprop.decay=1.5", &["training.optimizer.rmsprop.decay", "found 1.5"]);
    refused("training.clip={\"norm\":0}", &["training.clip.norm", "above 0"]);
    refused("training.accumulate=0", &["training.accumulate", "found 0"]);
    assert!(!place.path("run").exists());
}

#[test]
fn a_layer_that_is_frozen_has_no_rate_and_the_name_of_an_optimiser_stands_for_its_defaults() {
    let place = Workplace::with_shapes(2, 1);
    let both = ["--set", "training.freeze=[\"layer1\"]", "--set", "training.rate_scale={\"layer1.0\":2}"];
    place.train("run", &both).fails_saying(&["training.rate_scale.layer1.0", "training.freeze lists \"layer1\""]);
    place.write("recipe.json", r#"{ "training": { "optimizer": { "rmsprop": { "momentum": 0.5 } } } }"#);
    let settings = ["--epochs", "1", "--lr", "0.001", "--recipe", "recipe.json"];
    place.train("recipe", &settings).succeeds();
    let rmsprop = &place.read_json("recipe/experiment.json")["training"]["optimizer"];
    assert_eq!(
        rmsprop,
        &serde_json::json!({ "rmsprop": { "decay": 0.99, "epsilon": 1e-8, "momentum": 0.5, "centered": false } })
    );
    let settings =
        [&settings[..], &["--set", "training.optimizer=adamw", "--set", "training.optimizer.adamw.epsilon=1e-6"]];
    place.train("word", &settings.concat()).succeeds();
    let adamw = &place.read_json("word/experiment.json")["training"]["optimizer"];
    assert_eq!(adamw, &serde_json::json!({ "adamw": { "betas": [0.9, 0.999], "epsilon": 1e-6 } }));
}

#[test]
fn the_search_for_a_learning_rate_leaves_a_picture_and_the_command_that_uses_it_but_no_run() {
    let place = Workplace::with_shapes(12, 1);
    let arguments = ["--find-rate", "--batch-size", "24", "--lr", "7", "--json", "found.json"];
    let ran = place.train("runs/new", &arguments).succeeds();
    let found = place.read_json("found.json");
    let numbers = |key: &str| serde_json::from_value::<Vec<f64>>(found[key].clone()).expect("numbers");
    let (rates, losses) = (numbers("rates"), numbers("losses"));
    assert!(rates.len() == losses.len() && rates.len() > 30, "{} updates", rates.len());
    assert!(rates[0] == 1e-6 && rates.windows(2).all(|pair| pair[1] > pair[0]));
    let suggested = found["suggested"].as_f64().expect("a rate");
    assert!((1e-5..1.0).contains(&suggested), "{suggested}");
    let command = ran.stdout.lines().last().expect("a command");
    assert!(command.ends_with(&format!("--batch-size 24 --json found.json --lr {suggested}")), "{command}");
    assert!(!command.contains("--find-rate") && !command.contains("--lr 7"), "{command}");

    let picture = String::from_utf8(place.read("runs/new-find-rate.svg")).expect("text");
    assert!(picture.starts_with("<svg") && picture.contains("learning rate"));
    assert!(!place.path("runs/new").exists());
    place.train("runs/new", &["--find-rate"]).fails_saying(&["runs/new-find-rate.svg: exists already", "--out"]);
    assert!(place.read("runs/new-find-rate.svg") == picture.as_bytes());
    place.train("runs/new", &["--find-rate", "--resume"]).fails_saying(&["--resume"]);
}
