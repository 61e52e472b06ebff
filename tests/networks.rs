//! The networks that the project ships, and what is said of networks that cannot work.

mod common;

use std::fs;

use common::formula::{images, network};
use common::{Workplace, fixture};
use serde_json::{Value, json};
use tch::{Kind, Tensor};
use topfive::experiment::{Change, Experiment, builtin};
use topfive::network::Mode;
use topfive::training::step::loss;

fn experiments() -> Vec<Experiment> {
    builtin::experiments().map(|name| Experiment::load(name.as_ref(), &[]).expect("an experiment that works")).collect()
}

fn summary(arguments: &[&str]) -> Value {
    let ran = Workplace::new().run(&[&["summary", "--json", "-"], arguments].concat()).succeeds();
    serde_json::from_str(&ran.stdout).expect("JSON alone on standard output")
}

fn neurons(summary: &Value, kinds: &[&str]) -> Vec<i64> {
    let layers = summary["layers"].as_array().expect("layers").iter();
    layers
        .filter(|layer| kinds.contains(&layer["type"].as_str().expect("a type")))
        .map(|layer| layer["neurons"].as_i64().expect("a number"))
        .collect()
}

#[test]
fn every_network_runs_forward_and_backward_and_reaches_all_its_parameters() {
    for experiment in experiments() {
        let name = &experiment.name;
        let network = network(&experiment);
        let [channels, height, width] = experiment.network().input;
        assert_eq!(channels, 3, "{name}");
        let output = network.forward(&images("input", [2, height, width]), Mode::Training).expect("a forward pass");
        assert_eq!(output.values.size(), [2, experiment.network().classes], "{name}");
        let loss = loss(&output, &Tensor::from_slice(&[0i64, 1]), 0.0, None).expect("a loss");
        loss.backward();
        for (parameter, tensor) in network.trainable() {
            let gradient = tensor.grad();
            assert!(gradient.defined(), "{name}: {} has no gradient", parameter.name);
            assert!(bool::try_from(gradient.isfinite().all()).expect("a truth"), "{name}: {}", parameter.name);
            // A bias that a batch norm takes out again has none but rounding.
            let reached = parameter.shape.len() == 1 || gradient.abs().max().double_value(&[]) > 0.0;
            assert!(reached, "{name}: the gradient of {} is 0", parameter.name);
        }
    }
}

#[test]
fn every_network_has_the_parameters_that_it_claims() {
    let mut claims = 0;
    for experiment in experiments() {
        let network = network(&experiment);
        let count = |with_heads: bool| -> i64 {
            let counted = network.trainable().filter(|(it, _)| with_heads || !it.auxiliary);
            counted.map(|(_, tensor)| tensor.numel() as i64).sum()
        };
        if let Some(claimed) = experiment.network().parameters {
            assert_eq!(claimed, count(false), "{}", experiment.name);
            claims += 1;
        }
        if let Some(claimed) = experiment.network().parameters_with_auxiliary {
            assert_eq!(claimed, count(true), "{}", experiment.name);
        }
    }
    // All but the network made for tests and the two variants that no paper counts.
    assert_eq!(claims, experiments().len() - 3);
}

// Section 3.5 and figure 2 of the AlexNet paper; its input of 150,528 is no layer of the table.
#[test]
fn alexnet_has_the_papers_neurons_and_parameters() {
    let summary = summary(&["alexnet"]);
    assert_eq!(neurons(&summary, &["conv", "linear"]), [290400, 186624, 64896, 64896, 43264, 4096, 4096, 1000]);
    assert_eq!(summary["parameters"], 60_965_224);
    assert_eq!(summary["parameters_in_convolutions"], 2_334_080);
    assert_eq!(summary["parameters_fully_connected"], 58_631_144);
}

// Tables 1 of the four papers, and the counts that torchvision and Caffe publish with their weights.
#[test]
fn depths_parameters_and_multiply_adds_are_those_of_the_literature() {
    let expected = [
        ("alexnet", 8, 60_965_224, 0.72e9),
        ("vgg16", 16, 138_357_544, 15.5e9),
        ("googlenet", 22, 6_998_552, 1.58e9),
        ("resnet34", 34, 21_797_672, 3.66e9),
        ("resnet34-a", 34, 21_623_848, 3.64e9),
    ];
    for (name, depth, parameters, multiply_adds) in expected {
        let summary = summary(&[name]);
        assert_eq!((&summary["depth"], &summary["parameters"]), (&json!(depth), &json!(parameters)), "{name}");
        let ratio = summary["multiply_adds"].as_f64().expect("a number") / multiply_adds;
        assert!((0.99..1.01).contains(&ratio), "{name}: {}", summary["multiply_adds"]);
    }
}

/// `scripts/make_parity_fixtures.py`: torch's own counter, and the sizes of the modules' parameters.
#[test]
fn parameters_and_multiply_adds_are_those_that_pytorch_counts() {
    let fixtures = fs::read_dir(fixture("parity")).expect("fixtures").map(|entry| entry.expect("a file").path());
    let mut count = 0;
    for path in fixtures {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let expected: Value = serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON");
        let summary = summary(&[&name]);
        for key in ["parameters", "multiply_adds"] {
            assert!(expected[key].is_number() && summary[key] == expected[key], "{name}: {key} {}", summary[key]);
        }
        count += 1;
    }
    assert_eq!(count, 17);
}

#[test]
fn googlenet_has_five_pooling_layers_and_heads_that_only_training_counts() {
    let summary = summary(&["googlenet"]);
    assert_eq!(summary["pooling_layers"], 5);
    assert_eq!(summary["parameters_with_auxiliary"], 13_378_280);
}

#[test]
fn weights_start_as_the_papers_say() {
    let tensor = |name: &str, parameter: &str| {
        let experiment = Experiment::load(name.as_ref(), &[]).expect("a config");
        let network = network(&experiment);
        let found = network.parameters().find(|(it, _)| it.name == parameter).expect(parameter);
        found.1.shallow_clone()
    };
    let deviation = |tensor: &Tensor| f64::try_from(tensor.std(false)).expect("a number");
    let mean = |tensor: &Tensor| f64::try_from(tensor.mean(Kind::Float)).expect("a number");
    // AlexNet, section 5: N(0, 0.01); biases 1 in conv2, conv4, conv5 and the hidden fully connected layers, 0
    // elsewhere.
    assert!((deviation(&tensor("alexnet", "fc6.weight")) - 0.01).abs() < 1e-4);
    let biases = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"];
    let biases = biases.map(|layer| mean(&tensor("alexnet", &format!("{layer}.bias"))));
    assert_eq!(biases, [0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
    // He et al. 2015: sqrt(2 / fan-out).
    let he = (2.0f64 / (9.0 * 512.0)).sqrt();
    assert!((deviation(&tensor("resnet34", "layer4.2.conv2.weight")) / he - 1.0).abs() < 0.01);
    // Glorot and Bengio 2010: uniform with variance 2 / (fan-in + fan-out).
    let glorot = (2.0f64 / (9.0 * 1024.0)).sqrt();
    assert!((deviation(&tensor("vgg16-bn", "features.40.weight")) / glorot - 1.0).abs() < 0.01);
    // torchvision's VGG: He's rule in convolutions, N(0, 0.01) in linear layers.
    assert!((deviation(&tensor("vgg16", "features.28.weight")) / he - 1.0).abs() < 0.01);
    assert!((deviation(&tensor("vgg16", "classifier.3.weight")) - 0.01).abs() < 1e-4);
}

// Goyal et al. 2017: the scale of a residual's last batch norm is 0, so that the block gives what its shortcut gives.
#[test]
fn with_zero_residual_every_block_starts_as_its_shortcut() {
    let changes = [Change::Set("network.start.zero_residual=true".to_string())];
    let experiment = Experiment::load("resnet50".as_ref(), &changes).expect("a config");
    let network = network(&experiment);
    for (parameter, tensor) in network.parameters().filter(|(it, _)| it.name.ends_with("weight") && it.shape.len() == 1)
    {
        let expected = if parameter.name.contains("bn3") { 0.0 } else { 1.0 };
        assert_eq!(f64::try_from(tensor.mean(Kind::Float)).expect("a number"), expected, "{}", parameter.name);
    }
}

#[test]
fn other_inputs_and_classes_change_what_depends_on_them() {
    let summary = summary(&["vgg16", "--set", "network.input=[3,64,64]", "--set", "network.classes=10"]);
    // 512 maps of 2x2 instead of 7x7, and ten outputs instead of a thousand.
    assert_eq!(summary["parameters_fully_connected"], (2048 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 10);
    assert_eq!(neurons(&summary, &["linear"]), [4096, 4096, 10]);
}

// 79 pixels: 40 behind the first convolution, then 20, 10 and, at the first head, 5 behind the pools that round up.
#[test]
fn an_input_too_small_is_refused_with_the_smallest_that_is_not() {
    let place = Workplace::new();
    place.run(&["summary", "googlenet", "--set", "network.input=[3,64,64]"]).fails_saying(&[
        "network.layers[11].auxiliary.layers[0].average_pool",
        "a window of 5x5 does not fit in its input, a map of 4x4",
        "--set network.input=[3,79,79]",
    ]);
    place.run(&["summary", "googlenet", "--set", "network.input=[3,79,79]"]).succeeds();
    place.run(&["summary", "googlenet", "--set", "network.input=[3,78,78]"]).fails_saying(&["79x79"]);
}

/// The error about a network of these layers, for an input of 3x8x8 and 10 classes.
fn refusal(layers: Value) -> String {
    let experiment = json!({ "name": "wrong", "network": { "input": [3, 8, 8], "classes": 10, "layers": layers } });
    let error = Experiment::parse(&experiment.to_string(), &[]).expect_err("a network that cannot work");
    format!("{error:#}")
}

#[track_caller]
fn refuses(layers: Value, words: &[&str]) {
    let error = refusal(layers);
    for word in words {
        assert!(error.contains(word), "no '{word}' in: {error}");
    }
}

#[test]
fn unknown_layers_and_keys_are_refused_with_the_nearest_name() {
    refuses(json!([{ "convv": {} }]), &["network.layers[0]", "convv", "did you mean `conv`?"]);
    refuses(
        json!(["relu", { "conv": { "channels": 8, "kernal": 3 } }]),
        &["network.layers[1].conv", "kernal", "did you mean `kernel`?"],
    );
    let nested = json!([{ "residual": { "shortcut": "identity", "body": [{ "conv": { "channels": 3, "kernel": 3, "paddingg": 1 } }] } }]);
    refuses(nested, &["network.layers[0].residual.body[0].conv", "did you mean `padding`?"]);
}

#[test]
fn wrong_types_are_refused_with_what_was_expected_and_found() {
    refuses(
        json!([{ "conv": { "channels": "many", "kernel": 3 } }]),
        &["network.layers[0].conv.channels", "expected an integer or \"classes\"", "\"many\""],
    );
    refuses(
        json!([{ "conv": { "channels": 8, "kernel": [3, 3, 3] } }]),
        &["conv.kernel", "[height, width]", "[3,3,3]"],
    );
    refuses(json!([{ "dropout": 1.5 }]), &["network.layers[0].dropout", "1.5"]);
    refuses(json!([{ "conv": { "channels": 8 } }]), &["missing field `kernel`"]);
}

#[test]
fn impossible_shapes_are_refused_where_they_arise() {
    refuses(json!([{ "conv": { "channels": 8, "kernel": 11 } }]), &["layers[0].conv", "11x11", "8x8"]);
    refuses(json!([{ "linear": { "features": "classes" } }]), &["layers[0].linear", "found a map of 3x8x8", "flatten"]);
    refuses(json!(["flatten", { "conv": { "channels": 8, "kernel": 1 } }]), &["layers[1].conv", "a vector of 192"]);
    refuses(
        json!([{ "conv": { "channels": 8, "kernel": 1, "groups": 2 } }]),
        &["groups: expected a divisor of 3 input and 8 output channels, found 2"],
    );
    refuses(json!(["global_average_pool"]), &["the last layer outputs 3", "10 classes"]);
    refuses(json!([{ "max_pool": { "kernel": 2, "padding": 2 } }]), &["padding", "at most half"]);
    refuses(
        json!([{ "residual": { "shortcut": "identity", "body": [{ "conv": { "channels": 4, "kernel": 1 } }] } }]),
        &["the body outputs 4x8x8, the shortcut 3x8x8"],
    );
    let branches = json!([{ "branches": { "branches": [{ "conv": { "channels": 4, "kernel": 1 } }, { "conv": { "channels": 4, "kernel": 3 } }] } }]);
    refuses(branches, &["branches[1].conv", "6x6", "8x8"]);
    refuses(json!([{ "conv": { "channels": 9_000_000_000_000i64, "kernel": 1 } }]), &["channels", "9000000000000"]);
}

#[test]
fn a_shortcut_is_padded_on_both_sides_only_by_an_even_number_of_channels() {
    let block = |channels: i64| {
        let body = json!([{ "conv": { "channels": channels, "kernel": 1 } }]);
        json!([{ "residual": { "body": body, "shortcut": "zero_padded_both_sides" } }, "global_average_pool",
               { "linear": { "features": "classes" } }])
    };
    refuses(block(6), &["network.layers[0].residual", "3 channels cannot be padded to 6", "\"zero_padded\""]);
    refuses(block(2), &["cannot reduce 3 channels to 2"]);
}

#[test]
fn two_layers_of_one_name_are_refused() {
    let conv = json!({ "conv": { "name": "same", "channels": 4, "kernel": 1 } });
    let layers = json!([conv, conv, "global_average_pool", { "linear": { "features": "classes" } }]);
    refuses(layers, &["network.layers[1].conv", "duplicate layer name \"same\""]);
}

#[test]
fn several_networks_are_set_side_by_side() {
    let place = Workplace::new();
    let text = place.run(&["summary", "plain34", "resnet34", "vgg16"]).succeeds().stdout;
    assert_eq!(text.lines().count(), 4, "{text}");
    for word in ["28.54 / 10.02 % (ten-crop)", "123,642,856", "15.47 G"] {
        assert!(text.contains(word), "no '{word}' in {text}");
    }
}
