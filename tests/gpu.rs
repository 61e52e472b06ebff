//! What a GPU computes, against the CPU: `scripts/test --test gpu -- --ignored` on a machine that has one.

mod common;

use std::sync::{Mutex, MutexGuard, PoisonError};

use common::formula::{filled, images, noise};
use common::{Workplace, config};
use image::RgbImage;
use serde_json::Value;
use tch::{Device, Kind, Tensor, no_grad};
use topfive::experiment::{Change, Experiment, builtin};
use topfive::network::parameter::parameters;
use topfive::network::{Mode, Network, Precision, Tensors};
use topfive::training::step::Learner;

const GPU: Device = Device::Cuda(0);

/// Whether TF32 is allowed is libtorch's setting for the whole program, which trains or evaluates, but these tests are
/// threads of one.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn changed(name: &str, changes: &[&str]) -> anyhow::Result<Experiment> {
    let changes: Vec<Change> = changes.iter().map(|change| Change::Set((*change).to_string())).collect();
    Experiment::load(name.as_ref(), &changes)
}

/// The experiment with as small an input as it allows.
fn small(name: &str) -> Experiment {
    let with_side =
        |side: i64| changed(name, &[&format!("network.input=[3,{side},{side}]"), "network.classes=10"]).ok();
    [32, 64, 80, 112].into_iter().find_map(with_side).unwrap_or_else(|| panic!("{name}: no input is large enough"))
}

/// Its parameters, filled by formula.
fn tensors(experiment: &Experiment, device: Device) -> Tensors {
    let filled = |name: &str, shape: &[i64]| filled(name, shape).to_device(device);
    parameters(experiment.nodes()).into_iter().map(|it| (it.name.clone(), filled(&it.name, &it.shape))).collect()
}

fn logits(experiment: &Experiment, device: Device, precision: Precision, images: &Tensor) -> Tensor {
    let nodes = experiment.nodes().to_vec();
    let network = Network::new(nodes, tensors(experiment, device), device).expect("a network");
    let network = network.fused(images.size()[0], precision).expect("a fused network").unwrap_or(network);
    let output = no_grad(|| network.forward(&images.to_device(device), Mode::Evaluation)).expect("a forward pass");
    output.values.to_device(Device::Cpu)
}

/// The greatest difference between the GPU's logits and the CPU's in 32 bits, as a share of the largest.
fn difference(name: &str, precision: Precision) -> f64 {
    let experiment = small(name);
    let [_, height, width] = experiment.network().input;
    let images = images("input", [4, height, width]);
    let found = logits(&experiment, GPU, precision, &images);
    let expected = logits(&experiment, Device::Cpu, Precision::F32, &images);
    let [difference, largest] = [&found - &expected, expected].map(|it| it.abs().max().double_value(&[]));
    println!("{name} {precision}: {:.2e} of the largest logit", difference / largest);
    difference / largest
}

#[test]
#[ignore = "needs a GPU"]
fn every_network_outputs_on_the_gpu_what_it_outputs_on_the_cpu() {
    let _alone = alone();
    // The values of the deepest outgrow 32 bits with these weights.
    for name in builtin::experiments().filter(|name| *name != "cifar-resnet1202") {
        let difference = difference(name, Precision::F32);
        assert!(difference <= 1e-5, "{name}: {difference}");
    }
}

#[test]
#[ignore = "needs a GPU"]
fn lower_precisions_change_logits_by_their_rounding() {
    let _alone = alone();
    for name in ["alexnet", "vgg16", "googlenet", "googlenet-bn", "cifar-resnet20", "cifar-nin"] {
        for (precision, most) in [(Precision::Tf32, 0.01), (Precision::F16, 0.01), (Precision::Bf16, 0.03)] {
            let least = if precision == Precision::Bf16 { 1e-3 } else { 1e-4 };
            let difference = difference(name, precision);
            assert!(difference <= most && difference >= least, "{name} {precision}: {difference}");
        }
    }
}

fn learner(experiment: &Experiment, device: Device) -> Learner {
    let network = Network::for_training(experiment.nodes().to_vec(), tensors(experiment, device), device);
    Learner::for_classes(network.expect("a network"), experiment, &[20, 30, 40]).expect("a learner")
}

/// The losses of ten steps on the same eight images.
fn losses(experiment: &Experiment, rate: f64, device: Device) -> Vec<f64> {
    let side = experiment.input().width;
    let values = noise("images", 8 * 3 * (side * side) as usize);
    let bytes: Vec<u8> = values.into_iter().map(|value| ((value + 1.0) * 127.5) as u8).collect();
    let images = bytes.chunks(3 * (side * side) as usize);
    let images: Vec<RgbImage> =
        images.map(|bytes| RgbImage::from_raw(side, side, bytes.to_vec()).expect("an image")).collect();
    let mut learner = learner(experiment, device);
    let step = |step| learner.step(&images, &[0, 1, 2, 2, 1, 0, 1, 2], step, rate, step % 2 == 1).expect("a step").loss;
    (0..10).map(step).collect()
}

#[test]
#[ignore = "needs a GPU"]
fn ten_steps_on_the_gpu_lose_what_they_lose_on_the_cpu() {
    let _alone = alone();
    let exact = ["network.classes=3", "training.precision=f32"];
    let cases: [(&str, &[&str]); 8] = [
        ("sgd", &["training.optimizer.sgd.nesterov=true", "training.label_smoothing=0.1"]),
        ("adamw", &["training.optimizer=adamw", "training.weight_decay=0.05"]),
        ("rmsprop", &["training.optimizer=rmsprop"]),
        ("clip", &["training.clip={\"norm\":0.5}"]),
        ("accumulate", &["training.accumulate=2", "training.batch_size=8"]),
        ("mixup", &["training.mix={\"mixup\":{\"alpha\":0.4}}"]),
        ("balanced", &["training.class_weights=balanced", "training.freeze=[\"conv1\"]"]),
        ("contiguous", &["training.memory_format=contiguous"]),
    ];
    for (name, changes) in cases {
        // RMSprop's first steps are as large as the learning rate, whatever the gradients.
        let rate = if name == "rmsprop" { 0.0005 } else { 0.01 };
        let experiment = changed(&config("cifar-resnet20"), &[&exact[..], changes].concat());
        let experiment = experiment.unwrap_or_else(|error| panic!("{name}: {error:#}"));
        let [found, expected] = [GPU, Device::Cpu].map(|device| losses(&experiment, rate, device));
        println!("{name}: {found:.4?}, on the CPU {expected:.4?}");
        for (found, expected) in found.into_iter().zip(expected) {
            // Ten steps magnify the differences of rounding.
            assert!((found - expected).abs() <= 0.02 * expected.max(0.5), "{name}: {found}, expected {expected}");
        }
    }
}

/// The errors that `eval` measures for a run.
fn errors(place: &Workplace, run: &str, device: &str) -> Value {
    let data =
        ["eval", run, "--data", "shapes", "--views", "ten-crop", "--json", "-", "--device", device, "--threads", "2"];
    let ran = place.run(&data).succeeds();
    let value: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    println!("{run} on {device}: {} {}", value["top1_error"], value["top5_error"]);
    Value::Array(["top1_error", "top5_error"].map(|key| value[key].clone()).to_vec())
}

#[test]
#[ignore = "needs a GPU"]
fn what_is_trained_on_the_gpu_in_any_precision_learns_and_has_the_same_errors_on_both() {
    let _alone = alone();
    let place = Workplace::with_shapes(200, 30);
    let tiny = config("tiny");
    for (precision, format) in [
        ("f32", "contiguous"),
        ("bf16", "contiguous"),
        ("tf32", "channels_last"),
        ("f16", "channels_last"),
        ("bf16", "channels_last"),
    ] {
        let run = format!("{precision}-{format}");
        let precision = format!("training.precision={precision}");
        let format = format!("training.memory_format={format}");
        let fixed = ["train", &tiny, "--data", "shapes", "--out", &run, "--device", "cuda", "--epochs", "8"];
        let sets = ["--set", &precision, "--set", &format, "--set", "training.average={\"ema\":{\"decay\":0.9}}"];
        let ran = place.run(&[&fixed[..], &sets].concat()).succeeds();
        println!("{}", ran.stderr.lines().last().unwrap_or_default());
        let found = errors(&place, &run, "cuda:0");
        assert_eq!(found, errors(&place, &run, "cpu"), "{run}");
        assert!(found[0].as_f64().expect("a number") < 60.0, "{run}: {found}; chance is 91.67");
    }
}

#[test]
#[ignore = "needs a GPU"]
fn a_run_is_resumed_on_the_gpu_and_moves_to_the_cpu() {
    let _alone = alone();
    let place = Workplace::with_shapes(20, 5);
    let tiny = config("tiny");
    let train = |more: &[&str]| {
        let fixed = [
            "train",
            &tiny,
            "--data",
            "shapes",
            "--out",
            "run",
            "--set",
            "training.optimizer=adamw",
            "--lr=0.002",
            "--threads",
            "2",
        ];
        place.run(&[&fixed, more].concat()).succeeds()
    };
    train(&["--epochs", "2", "--device", "cuda"]);
    train(&["--epochs", "3", "--device", "cuda", "--resume"]);
    train(&["--epochs", "4", "--device", "cpu", "--resume"]);
    train(&["--epochs", "5", "--device", "auto", "--resume"]);
    let log = String::from_utf8(place.read("run/log.jsonl")).expect("text");
    let epochs = log.lines().filter(|line| line.contains("top1_error")).count();
    assert_eq!(epochs, 5, "{log}");
}

/// The 32-bit floats of a .npy file, after its header of 128 bytes.
fn array(bytes: &[u8]) -> Vec<f32> {
    bytes[128..].as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect()
}

#[test]
#[ignore = "needs a GPU"]
fn predict_and_explain_find_on_the_gpu_what_they_find_on_the_cpu() {
    let _alone = alone();
    let place = Workplace::with_shapes(10, 2);
    place.train("run", &["--epochs", "1"]).succeeds();
    let image = "shapes/val/star/star-0001.jpg";
    let [found, expected] = ["cuda", "cpu"].map(|device| {
        let ran = place.run(&["predict", "run", image, "--json", "-", "--device", device]).succeeds();
        place.run(&["explain", "run", image, "--out", device, "--device", device]).succeeds();
        let guesses: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        println!("{guesses}");
        let numbers = guesses["predictions"].as_array().expect("guesses").iter();
        let probabilities: Vec<f32> =
            numbers.map(|guess| guess["probability"].as_f64().expect("a number") as f32).collect();
        (probabilities, array(&place.read(&format!("{device}/star-0001.npy"))))
    });
    for (found, expected) in [(found.0, expected.0), (found.1, expected.1)] {
        assert!(!found.is_empty() && found.len() == expected.len());
        let largest = expected.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        for (found, expected) in found.iter().zip(&expected) {
            // Maps have no value where no view shows a pixel.
            let is_equal = found.is_nan() && expected.is_nan() || (found - expected).abs() <= 1e-4 * largest;
            assert!(is_equal, "{found}, expected {expected} of {largest}");
        }
    }
}

#[test]
#[ignore = "needs a GPU"]
fn a_batch_that_does_not_fit_on_the_gpu_is_halved_in_eval_and_named_in_training() {
    let _alone = alone();
    let place = Workplace::with_shapes(400, 6);
    let many = "training.batch_size=4800";
    place
        .run(&[
            "train",
            "vgg16",
            "--data",
            "shapes",
            "--out",
            "run",
            "--max-steps",
            "1",
            "--set",
            many,
            "--device",
            "cuda",
        ])
        .fails_saying(&["does not fit in cuda:0's memory", "--batch-size 2400"]);
    let run = [
        "train",
        "vgg16",
        "--data",
        "shapes",
        "--out",
        "small",
        "--max-steps",
        "1",
        "--batch-size",
        "16",
        "--device",
        "cuda",
    ];
    place.run(&run).succeeds();
    place
        .run(&[
            "eval",
            "small",
            "--data",
            "shapes",
            "--views",
            "googlenet-144",
            "--batch-size",
            "10368",
            "--device",
            "cuda",
        ])
        .succeeds()
        .says(&["does not fit in cuda:0's memory; continuing with batches of"]);
}

#[test]
#[ignore = "needs a GPU"]
fn a_gpu_that_is_not_there_is_refused_with_those_that_are() {
    let place = Workplace::with_shapes(2, 1);
    place.run(&["doctor"]).succeeds();
    let cuda = place.run(&["train", "resnet18", "--data", "shapes", "--device", "cuda:64"]);
    cuda.fails_saying(&["cuda:64: no such GPU"]);
    assert!(Tensor::ones([2], (Kind::Float, GPU)).double_value(&[0]) > 0.0);
}
