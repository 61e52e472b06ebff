//! Networks against torchvision's, for weights that the same formula fills on both sides (`scripts/make_parity_fixtures.py`).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tch::{Device, Kind, Reduction, Tensor, no_grad};
use topfive::config::Experiment;
use topfive::data::batch;
use topfive::data::decode::decode;
use topfive::data::resize::{Rect, resize};
use topfive::data::transform::Normalisation;
use topfive::metrics::top;
use topfive::network::Network;
use topfive::training::loss;
use topfive::training::optimizer::Sgd;
use topfive::views::Views;
use topfive::views::plan::{Plan, View};
use topfive::weights::{self, Classifier};

const LABEL: i64 = 7;

/// Values in -1..1 that depend on the name and the place alone: SplitMix64 on FNV-1a's hash of the name.
fn noise(name: &str, count: usize) -> Vec<f64> {
    let hash = |seed: u64, byte: u8| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    let seed = name.bytes().fold(0xCBF2_9CE4_8422_2325, hash);
    let value = |place: u64| {
        let mut mixed = seed.wrapping_add((place + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        (mixed >> 40) as f64 / (1u64 << 23) as f64 - 1.0
    };
    (0..count as u64).map(value).collect()
}

fn filled(name: &str, shape: &[i64]) -> Tensor {
    let count: i64 = shape.iter().product();
    let scale = |value: f64| {
        if shape.len() > 1 {
            value * (6.0 / shape[1..].iter().product::<i64>() as f64).sqrt()
        } else if name.ends_with("running_var") || name.ends_with("weight") {
            1.0 + 0.25 * value
        } else {
            value * 0.1
        }
    };
    let values: Vec<f32> = noise(name, count as usize).into_iter().map(|value| scale(value) as f32).collect();
    Tensor::from_slice(&values).reshape(shape)
}

fn experiment(name: &str) -> Experiment {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("configs/{name}.json"));
    Experiment::load(&config, &[]).expect("a config")
}

fn network(name: &str) -> Network {
    Network::new(&experiment(name).network, Device::Cpu, 0).expect("a network")
}

fn filled_network(name: &str) -> Network {
    fill(network(name))
}

fn fill(network: Network) -> Network {
    no_grad(|| {
        for (parameter, tensor) in network.parameters() {
            tensor.shallow_clone().copy_(&filled(&parameter.name, &parameter.shape));
        }
    });
    network
}

fn input() -> Tensor {
    noise_image("input", 224, 224)
}

fn noise_image(name: &str, height: usize, width: usize) -> Tensor {
    let values: Vec<f32> = noise(name, 3 * height * width).into_iter().map(|value| value as f32).collect();
    Tensor::from_slice(&values).reshape([1, 3, height as i64, width as i64])
}

/// Whether logits are the expected ones but for a ten-thousandth of the largest.
fn assert_logits(name: &str, logits: &Tensor, expected: &Value) {
    let expected: Vec<f64> = serde_json::from_value(expected.clone()).expect("logits");
    let logits = Vec::<f64>::try_from(logits.to_kind(Kind::Double).squeeze()).expect("logits");
    let largest = expected.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    let difference = logits.iter().zip(&expected).fold(0.0f64, |most, (a, b)| most.max((a - b).abs()));
    assert!(logits.len() == expected.len() && difference <= 1e-4 * largest, "{name}: {difference} of {largest}");
}

/// The networks' names, each with what torchvision gives.
fn fixtures() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).expect("fixtures").map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    let name = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    paths
        .iter()
        .map(|path| (name(path), serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")))
        .collect()
}

#[test]
fn every_network_that_torchvision_has_gives_its_logits() {
    let fixtures = fixtures();
    assert_eq!(fixtures.len(), 15);
    for (name, expected) in fixtures {
        let output = no_grad(|| filled_network(&name).forward(&input(), false)).expect("a forward pass");
        assert_logits(&name, &output.logits, &expected["logits"]);
    }
}

#[test]
fn the_four_main_networks_run_over_a_larger_image_as_their_convolutions_in_pytorch() {
    let image = noise_image("large", 256, 320);
    let fixtures: Vec<_> = fixtures().into_iter().filter(|(_, expected)| expected["dense"].is_array()).collect();
    assert_eq!(fixtures.len(), 4);
    for (name, expected) in fixtures {
        let dense = filled_network(&name).dense().expect("a dense network");
        let output = no_grad(|| dense.forward(&image, false)).expect("a forward pass");
        assert_logits(&name, &output.logits, &expected["dense"]);
    }
}

#[test]
fn the_gradients_of_the_four_main_networks_are_torchvisions() {
    let fixtures = fixtures();
    let with_gradients: Vec<_> = fixtures.iter().filter(|(_, expected)| expected["gradients"].is_object()).collect();
    assert_eq!(with_gradients.len(), 4);
    for (name, expected) in with_gradients {
        let network = filled_network(name);
        let output = network.forward(&input(), false).expect("a forward pass");
        let labels = Tensor::from_slice(&[LABEL]);
        output.logits.cross_entropy_loss(&labels, None::<Tensor>, Reduction::Mean, -100, 0.0).backward();
        for (parameter, tensor) in network.parameters().iter().filter(|(it, _)| it.trainable && !it.auxiliary) {
            let [norm, sum] =
                [0, 1].map(|index| expected["gradients"][&parameter.name][index].as_f64().expect("a number"));
            let gradient = tensor.grad().to_kind(Kind::Double).flatten(0, -1);
            let own_norm = f64::try_from(gradient.norm()).expect("a number");
            let own_sum = f64::try_from(
                (&gradient * Tensor::from_slice(&noise(&parameter.name, tensor.numel()))).sum(Kind::Double),
            )
            .expect("a number");
            assert!((own_norm - norm).abs() <= 1e-4 * norm, "{name} {}: {own_norm}, expected {norm}", parameter.name);
            assert!(
                (own_sum - sum).abs() <= 1e-4 * norm.max(sum.abs()),
                "{name} {}: {own_sum}, expected {sum}",
                parameter.name
            );
        }
    }
}

// scripts/make_training_fixture.py: batch norm in training, an auxiliary head, label smoothing, weight decay, Nesterov's momentum.
#[test]
fn ten_steps_of_training_give_pytorchs_losses_and_weights() {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/training.json")).expect("JSON");
    let experiment = Experiment::parse(&fixture["experiment"].to_string(), &[]).expect("an experiment");
    let network = fill(Network::new(&experiment.network, Device::Cpu, 0).expect("a network"));
    let mut sgd = Sgd::new(&network, &experiment.training).expect("an optimiser");
    let images = fixture["images"].as_i64().expect("a number");
    let [channels, height, width] = experiment.network.input;
    let values: Vec<f32> =
        noise("input", (images * channels * height * width) as usize).into_iter().map(|it| it as f32).collect();
    let inputs = Tensor::from_slice(&values).reshape([images, channels, height, width]);
    let labels = Tensor::arange(images, (Kind::Int64, Device::Cpu)).remainder(experiment.network.classes);
    for expected in fixture["losses"].as_array().expect("losses") {
        let output = network.forward(&inputs, true).expect("a forward pass");
        let loss = loss(&output, &labels, experiment.training.label_smoothing).expect("a loss");
        let (found, expected) = (loss.double_value(&[]), expected.as_f64().expect("a loss"));
        assert!((found - expected).abs() <= 1e-4 * expected, "{found}, expected {expected}");
        sgd.step(&loss, experiment.training.learning_rate).expect("a step");
    }
    for (parameter, tensor) in network.parameters() {
        let expected: Vec<f64> =
            serde_json::from_value(fixture["final"][&parameter.name].clone()).expect(&parameter.name);
        let found = Vec::<f64>::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).expect("values");
        for (found, expected) in found.iter().zip(&expected) {
            assert!(
                (found - expected).abs() <= 1e-4 + 1e-3 * expected.abs(),
                "{}: {found}, expected {expected}",
                parameter.name
            );
        }
    }
}

fn files() -> PathBuf {
    PathBuf::from(std::env::var_os("TOPFIVE_PARITY_FILES").expect("a folder"))
}

/// `scripts/parity` runs it, on 6 GB of files that Python saved.
#[test]
#[ignore = "needs TOPFIVE_PARITY_FILES, a folder that scripts/parity fills"]
fn weights_that_python_saved_in_all_formats_load_to_the_bit() {
    let folder = files();
    for (name, _) in fixtures() {
        for ending in ["zip.pth", "legacy.pth", "safetensors"] {
            let (path, network) = (folder.join(format!("{name}.{ending}")), network(&name));
            let contents = weights::read(&path).expect("a weights file");
            weights::load(&network, &contents.tensors, &path, Classifier::MustFit).expect("weights that fit");
            for (parameter, tensor) in network.parameters().iter().filter(|(it, _)| !it.auxiliary) {
                assert!(
                    tensor.equal(&filled(&parameter.name, &parameter.shape)),
                    "{} {}",
                    path.display(),
                    parameter.name
                );
            }
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

/// The input that a photograph becomes under the center view: decoded, resized, cropped, normalised.
fn prepared(path: &Path, experiment: &Experiment) -> Tensor {
    let image = decode(&fs::read(path).expect("a photograph"), path, true).expect("an image");
    let parts = experiment.parts(&Views::center()).expect("parts");
    let mut plan = Plan::new(image.dimensions());
    let View { plane, crop, .. } = plan.views(&parts[0], experiment.input())[0];
    let plane = plan.planes[plane];
    let resized = resize(&image, plane.from, plane.width, plane.height);
    let cut = image::imageops::crop_imm(&resized, crop.x, crop.y, crop.width, crop.height).to_image();
    let normalisation = Normalisation::new(&experiment.preprocess, Device::Cpu).expect("a normalisation");
    normalisation.apply(&batch::stack(&[cut]).expect("a batch")).expect("an input")
}

#[test]
#[ignore = "needs TOPFIVE_PARITY_FILES, a folder that scripts/parity fills from photographs"]
fn photographs_give_torchvisions_pixels_and_logits() {
    let folder = files();
    let paths: Vec<PathBuf> = read(&folder.join("photographs.json"));
    for (number, path) in paths.iter().enumerate() {
        let image = decode(&fs::read(path).expect("a photograph"), path, true).expect("an image");
        let expected = image::open(folder.join(format!("resized-{number}.png"))).expect("an image").into_rgb8();
        let found = resize(&image, Rect::whole(&image), expected.width(), expected.height());
        assert!(found == expected, "{}: other pixels than Pillow's", path.display());
    }
    for (name, _) in fixtures() {
        let experiment = experiment(&name);
        let network = Network::new(&experiment.network, Device::Cpu, 0).expect("a network");
        let file = folder.join(format!("{name}.zip.pth"));
        let contents = weights::read(&file).expect("weights");
        weights::load(&network, &contents.tensors, &file, Classifier::MustFit).expect("weights that fit");
        let all: Vec<Vec<f32>> = read(&folder.join(format!("{name}.logits.json")));
        let (mut difference, mut largest) = (0.0f32, 0.0f32);
        for (path, expected) in paths.iter().zip(&all) {
            let output = no_grad(|| network.forward(&prepared(path, &experiment), false)).expect("a forward pass");
            let found = Vec::<f32>::try_from(output.logits.squeeze()).expect("logits");
            assert_eq!(top(&found, 5), top(expected, 5), "{name}: {}", path.display());
            difference = found.iter().zip(expected).fold(difference, |most, (a, b)| most.max((a - b).abs()));
            largest = expected.iter().fold(largest, |most, value| most.max(value.abs()));
        }
        println!("{name}: logits up to {largest:.1}, largest difference {difference:.1e}");
        // The deepest networks' random weights give logits in the thousands, of which 32-bit floats hold seven digits.
        assert!(difference <= 1e-2f32.max(1e-5 * largest), "{name}: {difference} of {largest}");
    }
}
