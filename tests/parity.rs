//! Networks against PyTorch's, for weights that the same formula fills on both sides
//! (`scripts/make_parity_fixtures.py`).

mod common;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use common::formula::{filled, filled_network, images, network, noise};
use serde_json::Value;
use tch::{Device, Kind, Reduction, Tensor, no_grad};
use topfive::data::dataset::Source;
use topfive::evaluation::request::planes;
use topfive::experiment::{Change, Experiment};
use topfive::geometry::Size;
use topfive::image::batch::Batch;
use topfive::image::normalise::Normalisation;
use topfive::image::resize::resize;
use topfive::metrics::top;
use topfive::network::parameter::parameters;
use topfive::network::{Mode, Network};
use topfive::training::optimizer::Optimizer;
use topfive::training::step::loss;
use topfive::views::Views;
use topfive::views::plan::Plan;
use topfive::weights;
use topfive::weights::fit::fit;

const LABEL: i64 = 7;

fn experiment(name: &str) -> Experiment {
    Experiment::load(name.as_ref(), &[]).expect("an experiment")
}

/// An image as large in its values as the fixture's.
fn image(name: &str, height: i64, width: i64, fixture: &Value) -> Tensor {
    images(name, [1, height, width]) * fixture["scale"].as_f64().expect("a number")
}

/// Whether logits are the expected ones but for a ten-thousandth of the largest.
fn assert_logits(name: &str, logits: &Tensor, expected: &Value) {
    let expected: Vec<f64> = serde_json::from_value(expected.clone()).expect("logits");
    let logits = Vec::<f64>::try_from(logits.to_kind(Kind::Double).squeeze()).expect("logits");
    let largest = expected.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    assert_eq!(logits.len(), expected.len(), "{name}");
    for (class, (found, expected)) in logits.iter().zip(&expected).enumerate() {
        // Written so that NaN fails.
        let is_near = (found - expected).abs() <= 1e-4 * largest;
        assert!(is_near, "{name}, class {class}: {found}, expected {expected}, of at most {largest}");
    }
}

/// Whether every parameter of the fixture, and no other, has a gradient, and one of its norm and sum weighted by the
/// formula.
fn assert_gradients(name: &str, network: &Network, fixture: &Value) {
    let expected: BTreeMap<String, [f64; 2]> = serde_json::from_value(fixture["gradients"].clone()).expect("gradients");
    let tolerance = fixture["tolerance"].as_f64().expect("a number");
    let with_gradient: Vec<_> = network.parameters().filter(|(_, tensor)| tensor.grad().defined()).collect();
    let mut names: Vec<&String> = with_gradient.iter().map(|(parameter, _)| &parameter.name).collect();
    names.sort();
    assert_eq!(names, expected.keys().collect::<Vec<_>>(), "{name}");
    for (parameter, tensor) in with_gradient {
        let [norm, sum] = expected[&parameter.name];
        let gradient = tensor.grad().to_kind(Kind::Double).flatten(0, -1);
        let weights = Tensor::from_slice(&noise(&parameter.name, tensor.numel()));
        let own_norm = gradient.norm().double_value(&[]);
        let own_sum = (&gradient * weights).sum(Kind::Double).double_value(&[]);
        assert!((own_norm - norm).abs() <= tolerance * norm, "{name} {}: {own_norm}, expected {norm}", parameter.name);
        assert!(
            (own_sum - sum).abs() <= tolerance * norm.max(sum.abs()),
            "{name} {}: {own_sum}, expected {sum}",
            parameter.name
        );
    }
}

/// The networks' names, each with what PyTorch gives.
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
fn every_network_gives_pytorchs_logits() {
    let fixtures = fixtures();
    assert_eq!(fixtures.len(), 17);
    for (name, expected) in fixtures {
        let image = image("input", 224, 224, &expected);
        let output =
            no_grad(|| filled_network(&experiment(&name)).forward(&image, Mode::Evaluation)).expect("a forward pass");
        assert_logits(&name, &output.values, &expected["logits"]);
    }
}

/// The fixtures of the main networks, which have this key.
fn main_fixtures(key: &str) -> Vec<(String, Value)> {
    let fixtures: Vec<_> = fixtures().into_iter().filter(|(_, expected)| !expected[key].is_null()).collect();
    assert_eq!(fixtures.len(), 6, "with {key}");
    fixtures
}

#[test]
fn the_main_networks_slide_over_a_larger_image_as_in_pytorch() {
    for (name, expected) in main_fixtures("dense") {
        let image = image("large", 256, 320, &expected);
        let dense = filled_network(&experiment(&name)).dense().expect("a dense network");
        let output = no_grad(|| dense.forward(&image, Mode::Evaluation)).expect("a forward pass");
        assert_logits(&name, &output.values, &expected["dense"]);
    }
}

#[test]
fn the_gradients_of_the_main_networks_are_pytorchs() {
    for (name, expected) in main_fixtures("gradients") {
        let network = filled_network(&experiment(&name));
        let output = network.forward(&image("input", 224, 224, &expected), Mode::Evaluation).expect("a forward pass");
        let labels = Tensor::from_slice(&[LABEL]);
        output.values.cross_entropy_loss(&labels, None::<Tensor>, Reduction::Mean, -100, 0.0).backward();
        assert_gradients(&name, &network, &expected);
    }
}

#[test]
fn the_main_networks_have_pytorchs_parameters_by_name_and_shape() {
    for (name, expected) in main_fixtures("shapes") {
        let expected: BTreeMap<String, Vec<i64>> = serde_json::from_value(expected["shapes"].clone()).expect("shapes");
        let network = network(&experiment(&name));
        let has_heads = expected.keys().any(|name| name.starts_with("aux"));
        let own = network.parameters().filter(|(it, _)| has_heads || !it.auxiliary);
        let found = own.map(|(it, tensor)| (it.name.clone(), tensor.size())).collect::<BTreeMap<_, _>>();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_training_step_of_googlenet_has_pytorchs_loss_and_gradients_with_both_auxiliary_classifiers() {
    let (_, fixture) = fixtures().into_iter().find(|(name, _)| name == "googlenet").expect("a fixture");
    let expected = &fixture["training"];
    let without_dropout =
        ["network.layers[11].auxiliary.layers[5]", "network.layers[15].auxiliary.layers[5]", "network.layers[21]"]
            .map(|layer| Change::Set(format!("{layer}.dropout=0")));
    let experiment = Experiment::load("googlenet".as_ref(), &without_dropout).expect("an experiment");
    let network = filled_network(&experiment);
    let output = network.forward(&image("input", 224, 224, &fixture), Mode::Training).expect("a forward pass");
    let smoothing = expected["label_smoothing"].as_f64().expect("a number");
    let loss = loss(&output, &Tensor::from_slice(&[LABEL]), smoothing, None).expect("a loss");
    let (found, expected_loss) = (loss.double_value(&[]), expected["loss"].as_f64().expect("a number"));
    assert!((found - expected_loss).abs() <= 1e-4 * expected_loss, "{found}, expected {expected_loss}");
    loss.backward();
    assert_gradients("googlenet in training", &network, expected);
}

/// Whether these are the fixture's values, all of them.
fn assert_values(name: &str, tensor: &Tensor, expected: &[f64]) {
    let found = Vec::<f64>::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).expect("values");
    assert_eq!(found.len(), expected.len(), "{name}");
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= 1e-5, "{name}, value {place}: {found}, expected {expected}");
    }
}

/// `scripts/make_training_fixture.py`: batch norm in training, an auxiliary head, label smoothing, weight decay and
/// Nesterov's momentum at rates that change.
#[test]
fn ten_steps_of_training_give_pytorchs_losses_weights_and_momentum() {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/training.json")).expect("JSON");
    let numbers = |key: &str| serde_json::from_value::<Vec<f64>>(fixture[key].clone()).expect("numbers");
    let tensors =
        |key: &str| serde_json::from_value::<BTreeMap<String, Vec<f64>>>(fixture[key].clone()).expect("tensors");
    let experiment = Experiment::parse(&fixture["experiment"].to_string(), &[]).expect("an experiment");
    let network = filled_network(&experiment);
    let mut sgd = Optimizer::new(&experiment.training, &network).expect("an optimiser");
    let trainable: Vec<Tensor> = network.trainable().map(|(_, tensor)| tensor.shallow_clone()).collect();
    let count = fixture["images"].as_i64().expect("a number");
    let [_, height, width] = experiment.network().input;
    let inputs = images("input", [count, height, width]);
    let labels = Tensor::arange(count, (Kind::Int64, Device::Cpu)).remainder(experiment.network().classes);
    let (rates, losses) = (numbers("rates"), numbers("losses"));
    assert_eq!((rates.len(), losses.len()), (10, 10));
    for (rate, expected) in rates.into_iter().zip(losses) {
        let output = network.forward(&inputs, Mode::Training).expect("a forward pass");
        let loss = loss(&output, &labels, experiment.training.label_smoothing, None).expect("a loss");
        let found = loss.double_value(&[]);
        assert!((found - expected).abs() <= 1e-5 * expected, "{found}, expected {expected}");
        let gradients = Tensor::run_backward(&[&loss], &trainable, false, false);
        sgd.step(&trainable, gradients, rate).expect("a step");
    }
    let (weights, momentum) = (tensors("final"), tensors("momentum"));
    assert_eq!(network.parameters().count(), weights.len());
    for (parameter, tensor) in network.parameters() {
        assert_values(&parameter.name, tensor, &weights[&parameter.name]);
    }
    assert_eq!(sgd.state().count(), momentum.len());
    for (name, tensor) in sgd.state() {
        let parameter = name.strip_prefix("momentum_buffer.").expect("a momentum buffer");
        assert_values(name, tensor, &momentum[parameter]);
    }
}

fn files() -> PathBuf {
    PathBuf::from(std::env::var_os("TOPFIVE_PARITY_FILES").expect("a folder"))
}

/// The network with the weights that Python saved.
fn saved(experiment: &Experiment, path: &Path) -> Network {
    let stored = weights::read(path).expect("a weights file").tensors;
    let fitted = fit(&parameters(experiment.nodes()), stored, &HashSet::new(), path).expect("weights that fit");
    let mut tensors = fitted.into_tensors(Device::Cpu).expect("tensors");
    // Auxiliary classifiers may be missing; no comparison reads them.
    for parameter in parameters(experiment.nodes()).into_iter().filter(|parameter| parameter.auxiliary) {
        tensors.entry(parameter.name.clone()).or_insert_with(|| filled(&parameter.name, &parameter.shape));
    }
    Network::new(experiment.nodes().to_vec(), tensors, Device::Cpu).expect("a network")
}

/// `scripts/parity` runs it, on 6 GB of files that Python saved.
#[test]
#[ignore = "needs TOPFIVE_PARITY_FILES, a folder that scripts/parity fills"]
fn weights_that_python_saved_in_all_formats_load_to_the_bit() {
    let folder = files();
    for (name, _) in fixtures() {
        for ending in ["zip.pth", "legacy.pth", "safetensors"] {
            let path = folder.join(format!("{name}.{ending}"));
            let network = saved(&experiment(&name), &path);
            for (parameter, tensor) in network.parameters().filter(|(parameter, _)| !parameter.auxiliary) {
                let is_equal = tensor.equal(&filled(&parameter.name, &parameter.shape));
                assert!(is_equal, "{} {}", path.display(), parameter.name);
            }
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

fn decoded(path: &Path) -> image::RgbImage {
    Source::file(path.to_path_buf()).image(true).expect("a photograph").clone()
}

/// The input that a photograph becomes under the center view: decoded, resized, cropped, normalised.
fn prepared(path: &Path, experiment: &Experiment) -> Tensor {
    let image = decoded(path);
    let mut plan = Plan::new(image.dimensions().into());
    let mut view = plan.views(&experiment.parts(&Views::center()).expect("parts")[0], experiment.input())[0];
    let planes = planes(&image, &plan, vec![&mut view]).expect("planes");
    let mut batch = Batch::with_capacity(experiment.input(), 1).expect("a batch");
    batch.push(&planes[view.plane], view.crop, view.mirror);
    let normalisation = Normalisation::new(&experiment.preprocess.constants(), Device::Cpu).expect("a normalisation");
    normalisation.apply(&batch.tensor().expect("a batch")).expect("an input")
}

#[test]
#[ignore = "needs TOPFIVE_PARITY_FILES, a folder that scripts/parity fills from photographs"]
fn photographs_give_torchvisions_pixels_and_logits() {
    let folder = files();
    let paths: Vec<PathBuf> = read(&folder.join("photographs.json"));
    for (number, path) in paths.iter().enumerate() {
        let image = decoded(path);
        let expected = image::open(folder.join(format!("resized-{number}.png"))).expect("an image").into_rgb8();
        let found = resize(&image, Size::from(image.dimensions()).whole(), expected.width(), expected.height());
        assert!(found == expected, "{}: other pixels than Pillow's", path.display());
    }
    for (name, _) in fixtures() {
        let experiment = experiment(&name);
        let network = saved(&experiment, &folder.join(format!("{name}.zip.pth")));
        let all: Vec<Vec<f32>> = read(&folder.join(format!("{name}.logits.json")));
        let (mut difference, mut largest) = (0.0f32, 0.0f32);
        for (path, expected) in paths.iter().zip(&all) {
            let output =
                no_grad(|| network.forward(&prepared(path, &experiment), Mode::Evaluation)).expect("a forward pass");
            let found = Vec::<f32>::try_from(output.values.squeeze()).expect("logits");
            assert_eq!(top(&found, 5), top(expected, 5), "{name}: {}", path.display());
            difference = found.iter().zip(expected).fold(difference, |most, (a, b)| most.max((a - b).abs()));
            largest = expected.iter().fold(largest, |most, value| most.max(value.abs()));
        }
        println!("{name}: logits up to {largest:.1}, largest difference {difference:.1e}");
        // The deepest networks' random weights give logits in the thousands, of which 32-bit floats hold seven digits.
        assert!(difference <= 1e-2f32.max(1e-5 * largest), "{name}: {difference} of {largest}");
    }
}

/// `scripts/make_zero_pad_fixture.py`
#[test]
fn shortcuts_that_are_zero_padded_on_both_sides_give_the_logits_of_the_common_cifar_code() {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/zero_pad.json")).expect("JSON");
    let change = |stage: usize, shortcuts: &str| {
        Change::Set(format!("network.layers[{stage}].residual_stage.shortcuts={shortcuts}"))
    };
    let logits = |shortcuts: &str| {
        let changes = [3, 4, 5].map(|stage| change(stage, shortcuts));
        let experiment = Experiment::load("cifar-resnet20".as_ref(), &changes).expect("an experiment");
        let image = images("input", [1, 32, 32]);
        no_grad(|| filled_network(&experiment).forward(&image, Mode::Evaluation)).expect("a forward pass").values
    };
    assert_logits("a_both_sides", &logits("a_both_sides"), &fixture["logits"]);
    // It matters on which side the zeros are.
    let difference = (logits("a") - logits("a_both_sides")).abs().max().double_value(&[]);
    assert!(difference > 0.1, "{difference}");
}
