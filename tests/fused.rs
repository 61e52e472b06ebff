//! Networks as evaluation runs them: fused, against the same networks as they are written.

mod common;

use std::process::Command;

use common::formula::{filled, images};
use common::{Ran, Workplace, config};
use serde_json::Value;
use tch::{Device, Kind, Tensor, no_grad};
use topfive::experiment::{Change, Experiment, builtin};
use topfive::native::{self, Conv};
use topfive::network::parameter::{Parameter, Role, parameters};
use topfive::network::{Mode, Network, Precision};

fn logits(network: &Network, images: &Tensor) -> Tensor {
    no_grad(|| network.forward(images, Mode::Evaluation)).expect("a forward pass").values
}

/// Whether these are the expected scores but for a hundred-thousandth of the largest.
#[track_caller]
fn assert_near(name: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!(found.size(), expected.size(), "{name}");
    let difference = (found - expected).abs().max().double_value(&[]);
    let largest = expected.abs().max().double_value(&[]);
    println!("{name}: {:.2e} of the largest logit", difference / largest);
    assert!(difference <= 1e-5 * largest, "{name}: {difference} of {largest}");
}

/// The experiment with as small an input as it allows: what is compared is the layers, not their sizes.
fn small(name: &str) -> Experiment {
    let with_side = |side: i64| {
        let change = |change: &str| Change::Set(change.to_string());
        let changes = [change(&format!("network.input=[3,{side},{side}]")), change("network.classes=10")];
        Experiment::load(name.as_ref(), &changes).ok()
    };
    [32, 64, 80, 112].into_iter().find_map(with_side).unwrap_or_else(|| panic!("{name}: no input is large enough"))
}

/// Its network, with random parameters. In the deepest, residual blocks add little, so that a thousand of them do not
/// outgrow 32 bits.
fn network(experiment: &Experiment) -> Network {
    let scale = if experiment.name == "cifar-resnet1202" { 0.1 } else { 1.0 };
    let random = |parameter: Parameter| {
        let values = Tensor::randn(&parameter.shape, (Kind::Float, Device::Cpu));
        let fan_in = parameter.shape[1..].iter().product::<i64>() as f64;
        let tensor = match parameter.role {
            Role::Weight => values * (2.0 / fan_in).sqrt(),
            Role::Scale => (values * 0.2 + 1.0) * scale,
            Role::RunningVariance => values.abs() + 0.5,
            Role::Bias | Role::Shift | Role::RunningMean => values * 0.1,
        };
        (parameter.name, tensor)
    };
    let tensors = parameters(experiment.nodes()).into_iter().map(random).collect();
    Network::new(experiment.nodes().to_vec(), tensors, Device::Cpu).expect("a network")
}

#[test]
fn every_network_fused_outputs_what_it_outputs_as_written() {
    tch::manual_seed(0);
    // Most layers are too small for several threads.
    tch::set_num_threads(1);
    for name in builtin::experiments() {
        let experiment = small(name);
        let network = network(&experiment);
        let [_, height, width] = experiment.network().input;
        let images = images("input", [2, height, width]);
        let fused = network.fused(2, Precision::F32).expect("a fused network").expect("libtorch has its operations");
        assert_near(name, &logits(&fused, &images), &logits(&network, &images));
    }
}

/// Convolutions of 3x3 whose maps are odd, grow and shrink, with and without what can follow them.
const ODD: &str = r#"{
    "name": "odd", "paper": "",
    "network": { "input": [3, 37, 29], "classes": 5, "start": { "weights": "he", "bias": 0.0 }, "layers": [
        { "conv": { "name": "conv1", "channels": 80, "kernel": 3, "padding": 2 } },
        { "conv": { "name": "conv2", "channels": 112, "kernel": 3 } }, "relu",
        { "conv": { "name": "conv3", "channels": 64, "kernel": 3, "padding": [0, 1] } },
        { "residual": { "name": "block", "shortcut": "identity", "body": [
            { "conv": { "name": "conv", "channels": 64, "kernel": 3, "padding": 1 } }
        ] } },
        { "conv": { "name": "conv4", "channels": 32, "kernel": 3, "padding": [2, 0] } },
        "flatten", { "linear": { "name": "fc", "features": "classes" } }
    ] },
    "preprocess": { "channels": "rgb", "scale": "unit", "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2], "crop_fraction": 1.0 },
    "training": { "epochs": 1, "batch_size": 8, "learning_rate": 0.01, "schedule": "constant" },
    "evaluation": { "views": "center" }
}"#;

#[test]
fn convolutions_of_three_by_three_agree_on_maps_of_any_size() {
    tch::manual_seed(0);
    tch::set_num_threads(1);
    let experiment = Experiment::parse(ODD, &[]).expect("an experiment");
    let network = network(&experiment);
    for batch in [1, 3] {
        let images = images("input", [batch, 37, 29]);
        let fused =
            network.fused(batch, Precision::F32).expect("a fused network").expect("libtorch has its operations");
        assert_near("odd", &logits(&fused, &images), &logits(&network, &images));
    }
}

#[test]
fn convolutions_of_three_by_three_have_libtorchs_gradients() {
    tch::manual_seed(0);
    tch::set_num_threads(1);
    let experiment = Experiment::parse(ODD, &[]).expect("an experiment");
    let start = network(&experiment);
    let tensors = start.parameters().map(|(parameter, tensor)| (parameter.name, tensor.copy())).collect();
    let network = Network::for_training(experiment.nodes().to_vec(), tensors, Device::Cpu).expect("a network");
    let weights: Vec<Tensor> = network.trainable().map(|(_, weight)| weight.shallow_clone()).collect();
    let images = images("input", [3, 37, 29]);
    let gradients = |logits: Tensor| Tensor::run_backward(&[logits.square().sum(Kind::Float)], &weights, false, false);
    let found = gradients(network.forward(&images, Mode::Training).expect("a forward pass").values);

    let conv = |x: &Tensor, name: &str, padding: [i64; 2]| {
        let tensor = |role: &str| network.tensor(&format!("{name}.{role}")).expect("a tensor");
        x.conv2d(tensor("weight"), Some(tensor("bias")), [1, 1], padding, [1, 1], 1)
    };
    let x = conv(&conv(&images, "conv1", [2, 2]), "conv2", [0, 0]).relu();
    let x = conv(&x, "conv3", [0, 1]);
    let x = conv(&(&x + conv(&x, "block.conv", [1, 1])).relu(), "conv4", [2, 0]).flatten(1, -1);
    let [weight, bias] = ["fc.weight", "fc.bias"].map(|name| network.tensor(name).expect("a tensor"));
    let expected = gradients(x.linear(weight, Some(bias)));
    assert_eq!(found.len(), 12);
    for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_near(&format!("gradient {place}"), found, expected);
    }
}

#[test]
fn networks_fused_in_bfloat16_differ_by_its_rounding() {
    tch::manual_seed(0);
    tch::set_num_threads(1);
    for name in ["alexnet", "vgg16", "googlenet", "googlenet-bn", "resnet34", "cifar-resnet20", "cifar-nin"] {
        let experiment = small(name);
        let network = network(&experiment);
        let [_, height, width] = experiment.network().input;
        let images = images("input", [2, height, width]);
        let fused = network.fused(2, Precision::Bf16).expect("a fused network").expect("libtorch has its operations");
        let (found, expected) = (logits(&fused, &images), logits(&network, &images));
        let [difference, largest] = [&found - &expected, expected].map(|it| it.abs().max().double_value(&[]));
        println!("{name}: {:.2e} of the largest logit", difference / largest);
        assert!(difference >= 1e-3 * largest && difference <= 0.03 * largest, "{name}: {difference} of {largest}");
    }
}

/// A network whose sum adds what no convolution has touched.
const UNTOUCHED: &str = r#"{
    "name": "untouched", "paper": "",
    "network": { "input": [3, 16, 16], "classes": 12, "start": { "weights": "he", "bias": 0.0 }, "layers": [
        { "residual": { "name": "block", "shortcut": "identity", "body": [
            { "conv": { "name": "conv", "channels": 3, "kernel": 3, "padding": 1 } }
        ] } },
        "flatten", { "linear": { "name": "fc", "features": "classes" } }
    ] },
    "preprocess": { "channels": "rgb", "scale": "unit", "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2], "crop_fraction": 1.0 },
    "training": { "epochs": 1, "batch_size": 8, "learning_rate": 0.01, "schedule": "constant" },
    "evaluation": { "views": "center" }
}"#;

#[test]
fn evaluation_in_bfloat16_is_near_that_in_32_bits_and_says_what_it_computes_with() {
    let place = Workplace::with_shapes(2, 2);
    place.write("untouched.json", UNTOUCHED);
    for (network, run) in [(config("tiny").as_str(), "tiny"), ("untouched.json", "untouched")] {
        place.run(&["train", network, "--data", "shapes", "--out", run, "--epochs", "1", "--device", "cpu"]).succeeds();
        for views in ["center", "ten-crop"] {
            let loss = |precision: &str| {
                let data = ["eval", run, "--data", "shapes", "--views", views, "--precision", precision, "--json", "-"];
                let ran = place.run(&data).succeeds();
                let json: Value = serde_json::from_str(&ran.stdout).expect("JSON");
                assert_eq!(json["precision"], precision);
                json["loss"].as_f64().expect("a number")
            };
            let (found, expected) = (loss("bf16"), loss("f32"));
            assert!(
                found != expected && (found - expected).abs() < 0.02 * expected,
                "{views}: {found}, not {expected}"
            );
        }
    }
    let refused = |precision: &str, more: &[&str]| {
        let fixed = ["eval", "tiny", "--data", "shapes", "--device", "cpu", "--precision", precision];
        place.run(&[&fixed, more].concat())
    };
    refused("tf32", &[]).fails_saying(&["--precision tf32: needs a GPU", "use bf16 or f32"]);
    refused("f16", &[]).fails_saying(&["--precision f16: needs a GPU"]);
    refused("bf16", &["--plain"]).fails_saying(&["cannot be used with"]);
}

#[test]
fn layers_whose_sizes_do_not_fit_together_are_errors() {
    let input = images("input", [1, 8, 8]);
    let (weight, bias) = (filled("conv.weight", &[4, 5, 3, 3]), filled("conv.bias", &[4]));
    let conv = Conv { weight: &weight, bias: &bias, stride: [1, 1], padding: [1, 1], groups: 1, relu: true };
    assert!(native::convolution(&input, conv).is_err());
    let right = filled("conv.weight", &[4, 3, 3, 3]);
    let conv = Conv { weight: &right, ..conv };
    assert_eq!(native::convolution(&input, conv).expect("a convolution").size(), [1, 4, 8, 8]);
    assert!(native::convolution_and_sum(&input, conv, &images("sum", [1, 7, 8])).is_err());
    let weight = filled("linear.weight", &[4, 9]);
    assert!(native::linear(&filled("x", &[2, 8]), &weight, &bias, false).is_err());
}

/// A workplace with a tiny model.
fn trained() -> Workplace {
    let place = Workplace::with_shapes(4, 2);
    place.train("run", &["--set", "training.epochs=1"]).succeeds();
    place
}

#[test]
fn plain_and_fused_predictions_agree_under_crops_and_dense() {
    let place = trained();
    for views in ["ten-crop", "dense"] {
        let predict = |further: &[&str]| -> Vec<Value> {
            let fixed = ["predict", "run", "shapes/val", "--views", views, "--format", "jsonl"];
            let lines = place.run(&[&fixed, further].concat()).succeeds().stdout;
            lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
        };
        let (fused, plain) = (predict(&[]), predict(&["--plain"]));
        assert_eq!(fused.len(), 24);
        for (fused, plain) in fused.iter().zip(&plain) {
            let (fused, plain) = (&fused["predictions"][0], &plain["predictions"][0]);
            assert_eq!(fused["class"], plain["class"]);
            let [fused, plain] = [fused, plain].map(|it| it["probability"].as_f64().expect("a probability"));
            assert!((fused - plain).abs() < 1e-5, "{fused} {plain}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_batch_that_does_not_fit_in_memory_is_halved_with_a_warning() {
    let place = Workplace::with_shapes(4, 2);
    let config = config("cifar-resnet20");
    place.run(&["train", &config, "--data", "shapes", "--out", "run", "--max-steps", "1"]).succeeds();
    // Two maps of the first stage take 1.1 GB.
    let script = "ulimit -v 1500000; exec $topfive eval run --data shapes --views ten-crop --batch-size 240 --device cpu --threads 1 --workers 1 --set network.input=[3,192,192]";
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).env("topfive", env!("CARGO_BIN_EXE_topfive")).current_dir(place.path(""));
    let ran = Ran::of(bash.output().expect("bash runs")).succeeds();
    ran.says(&["crops does not fit in main memory; continuing with batches of"]);
}
