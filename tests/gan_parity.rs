//! Generators and discriminators against PyTorch's, for weights, latent vectors and images that the same formula fills on
//! both sides. `scripts/make_gan_fixtures.py` computes what is expected.

mod common;

use std::collections::BTreeMap;

use common::formula::{filled, noise};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};
use topfive::adversarial::losses::{gradient_penalty, of_discriminator, of_generator};
use topfive::adversarial::step::Opponents;
use topfive::experiment::gan::AdversarialLoss;
use topfive::experiment::{Change, Gan};
use topfive::network::node::Node;
use topfive::network::parameter::parameters;
use topfive::network::shape::prove;
use topfive::network::spec::NetworkSpec;
use topfive::network::{Mode, Network};

fn fixture(name: &str) -> Value {
    let text = match name {
        "layers" => include_str!("fixtures/gan/layers.json"),
        "losses" => include_str!("fixtures/gan/losses.json"),
        _ => include_str!("fixtures/gan/steps.json"),
    };
    serde_json::from_str(text).expect("JSON")
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("a value of this type")
}

/// Values of the formula, of this shape.
fn values(name: &str, shape: &[i64]) -> Tensor {
    let count = shape.iter().product::<i64>() as usize;
    let values: Vec<f32> = noise(name, count).into_iter().map(|value| value as f32).collect();
    Tensor::from_slice(&values).reshape(shape)
}

fn assert_near(name: &str, tensor: &Tensor, expected: &[f64]) {
    let found = Vec::<f64>::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).expect("values");
    assert_eq!(found.len(), expected.len(), "{name}");
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let is_near = (found - expected).abs() <= 1e-5 * expected.abs().max(1.0);
        assert!(is_near, "{name}, value {place}: {found}, expected {expected}");
    }
}

fn filled_network(nodes: &[Node]) -> Network {
    let tensors = parameters(nodes).into_iter().map(|it| (it.name.clone(), filled(&it.name, &it.shape))).collect();
    Network::for_training(nodes.to_vec(), tensors, Device::Cpu).expect("a network")
}

fn network_of(input: &Value, layers: &Value) -> Network {
    let spec: NetworkSpec = read(&json!({ "input": input, "classes": 1, "layers": layers }));
    filled_network(&prove(&spec, "network").expect("a network that works"))
}

fn judged(network: &Network, images: &Tensor) -> Tensor {
    network.forward(images, Mode::Training).expect("a forward pass").values
}

#[test]
fn the_layers_of_generators_and_discriminators_output_and_pass_back_what_pytorchs_do() {
    let cases: Vec<Value> = read(&fixture("layers"));
    assert_eq!(cases.len(), 8);
    for case in cases {
        let name = case["name"].as_str().expect("a name");
        let network = network_of(&case["input"], &case["layers"]);
        let shape = [&[3], read::<Vec<i64>>(&case["input"]).as_slice()].concat();
        let input = values(name, &shape).set_requires_grad(true);
        let output = judged(&network, &input);
        assert_eq!(output.size(), read::<Vec<i64>>(&case["shape"]), "{name}");
        assert_near(name, &output, &read::<Vec<f64>>(&case["output"]));
        (&output * values(&format!("weights of {name}"), &output.size())).sum(Kind::Float).backward();
        assert_near(&format!("{name}, gradient"), &input.grad(), &read::<Vec<f64>>(&case["gradient"]));
        let gradients: BTreeMap<String, Vec<f64>> = read(&case["gradients"]);
        assert_eq!(network.trainable().count(), gradients.len(), "{name}");
        for (parameter, tensor) in network.trainable() {
            assert_near(&format!("{name}: {}", parameter.name), &tensor.grad(), &gradients[&parameter.name]);
        }
    }
}

#[test]
fn every_loss_and_its_gradients_are_pytorchs() {
    let cases: Vec<Value> = read(&fixture("losses")["losses"]);
    assert_eq!(cases.len(), 8);
    for case in cases {
        let name = case["loss"].as_str().expect("a name");
        let loss: AdversarialLoss = read(&json!({ name: {} }));
        let output = |which: &str| (values(&format!("{name} {which}"), &[7, 1]) * 3).set_requires_grad(true);
        let (real, made) = (output("real"), output("made"));
        let smoothing = case["smoothing"].as_f64().expect("a number");
        let discriminator = of_discriminator(loss, &real, &made, smoothing).expect("a loss");
        assert_near(name, &discriminator, &[read(&case["discriminator"])]);
        let gradients = Tensor::run_backward(&[&discriminator], &[&real, &made], false, false);
        assert_near(name, &gradients[0], &read::<Vec<f64>>(&case["real"]));
        assert_near(name, &gradients[1], &read::<Vec<f64>>(&case["made"]));
        let generator = of_generator(loss, &made).expect("a loss");
        assert_near(name, &generator, &[read(&case["generator"])]);
        let gradients = Tensor::run_backward(&[&generator], &[&made], false, false);
        assert_near(name, &gradients[0], &read::<Vec<f64>>(&case["generator_made"]));
    }
}

#[test]
fn a_gradient_penalty_and_its_own_gradients_are_pytorchs() {
    let case = &fixture("losses")["gradient_penalty"];
    let network = network_of(&json!([1, 8, 8]), &case["layers"]);
    let shares = (values("shares", &[5, 1, 1, 1]) + 1) / 2;
    let images = |name| values(name, &[5, 1, 8, 8]);
    let penalty = gradient_penalty(|images| Ok(judged(&network, images)), &images("real"), &images("made"), &shares);
    let penalty = penalty.expect("a penalty");
    assert_near("the penalty", &penalty, &[read(&case["value"])]);
    penalty.backward();
    let gradients: BTreeMap<String, Vec<f64>> = read(&case["gradients"]);
    for (parameter, tensor) in network.trainable() {
        assert_near(&parameter.name, &tensor.grad(), &gradients[&parameter.name]);
    }
}

/// Both networks after the steps of a fixture, whose losses they had.
fn played(name: &str, gan: &Gan, images: i64, losses: &Value, tolerance: f64) -> Opponents {
    let networks = [gan.generator(), gan.discriminator()].map(filled_network);
    let [generator, discriminator] = networks;
    let mut opponents = Opponents::new(generator, discriminator, gan).expect("opponents");
    let [channels, height, width] = gan.image();
    let labels: Vec<i64> = (0..images).map(|image| image * 7 % gan.classes().max(1)).collect();
    let rows: Vec<(f64, Option<f64>, f64, f64)> = read(losses);
    assert_eq!(rows.len(), 10);
    for (step, expected) in (0u64..).zip(rows) {
        let real = values(&format!("real {step}"), &[images, channels, height, width]);
        let latents = values(&format!("latent {step}"), &[images, gan.latent.size, 1, 1]);
        let shares = (values(&format!("shares {step}"), &[images]) + 1) / 2;
        let labels = Tensor::from_slice(&labels);
        let rate = gan.training.learning_rate;
        let found = opponents.play(&real, &labels, &latents, &shares, step, rate).expect("a step");
        let is_near = |found: f64, expected: f64| (found - expected).abs() <= tolerance * expected.abs().max(1.0);
        assert!(
            is_near(found.discriminator_loss, expected.0)
                && found.generator_loss.zip(expected.1).is_none_or(|(found, expected)| is_near(found, expected))
                && found.generator_loss.is_some() == expected.1.is_some()
                && is_near(found.real, expected.2)
                && is_near(found.made, expected.3),
            "{name}, step {step}: {found:?}, expected {expected:?}"
        );
    }
    opponents
}

fn tensors(opponents: &Opponents) -> BTreeMap<String, Tensor> {
    let parts = [("generator", &opponents.generator.network), ("discriminator", &opponents.discriminator.network)];
    let of = |(part, network): (&'static str, &Network)| -> Vec<(String, Tensor)> {
        network.parameters().map(|(it, tensor)| (format!("{part}.{}", it.name), tensor.shallow_clone())).collect()
    };
    parts.into_iter().flat_map(of).collect()
}

#[test]
fn ten_steps_of_both_optimisers_give_pytorchs_losses_and_weights_under_every_loss() {
    let cases: Vec<Value> = read(&fixture("steps")["cases"]);
    assert_eq!(cases.len(), 8);
    for case in cases {
        let name = case["name"].as_str().expect("a name");
        let gan = Gan::from_value(case["experiment"].clone(), &[]).expect("an experiment");
        let opponents = played(name, &gan, 5, &case["losses"], 1e-5);
        let expected: BTreeMap<String, Vec<f64>> = read(&case["final"]);
        let found = tensors(&opponents);
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{name}");
        for (tensor, expected) in &expected {
            assert_near(&format!("{name}: {tensor}"), &found[tensor], expected);
        }
    }
}

/// Whether all tensors have the norms, the weighted sums and some of the values that are expected.
fn assert_summed(opponents: &Opponents, expected: &Value, tolerance: f64) {
    let found = tensors(opponents);
    let expected: BTreeMap<String, Value> = read(expected);
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, expected) in &expected {
        let tensor = found[name].to_kind(Kind::Double).flatten(0, -1).detach();
        let norm: f64 = read(&expected["norm"]);
        let weighted = (&tensor * Tensor::from_slice(&noise(name, tensor.numel()))).sum(Kind::Double);
        assert!((tensor.norm().double_value(&[]) - norm).abs() <= tolerance * norm, "{name}");
        let sum: f64 = read(&expected["sum"]);
        assert!((weighted.double_value(&[]) - sum).abs() <= tolerance * norm.max(sum.abs()), "{name}");
        let some = tensor.slice(0, None, None, read(&expected["stride"]));
        let values = Tensor::from_slice(&read::<Vec<f64>>(&expected["values"]));
        let difference = (some - values).abs().max().double_value(&[]);
        assert!(difference <= tolerance, "{name}: {difference}");
    }
}

/// In networks of this size a ReLU's input is now and then within rounding of zero and changes sides. The losses, equal to
/// 5e-7 until then, differ by 2e-5 from that step on; where it happens depends on the processor.
const SIDES: f64 = 1e-4;

#[test]
fn ten_steps_of_dcgan_mnist_give_pytorchs_losses_and_weights() {
    let case = &fixture("steps")["dcgan-mnist"];
    let epsilon = Change::Set(format!("training.optimizer.adamw.epsilon={}", case["epsilon"]));
    let gan = Gan::load("dcgan-mnist".as_ref(), &[epsilon]).expect("an experiment");
    assert_summed(&played("dcgan-mnist", &gan, read(&case["images"]), &case["losses"], SIDES), &case["final"], SIDES);
}

#[test]
fn a_gradient_penalty_reaches_wide_convolutions_too() {
    let case = &fixture("steps")["wide"];
    let gan = Gan::from_value(case["experiment"].clone(), &[]).expect("an experiment");
    assert_summed(&played("wide", &gan, read(&case["images"]), &case["losses"], SIDES), &case["final"], SIDES);
}
