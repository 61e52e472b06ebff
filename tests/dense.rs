//! Networks as convolutions over whole images.

mod common;

use common::formula::{filled_network, images};
use serde_json::{Value, json};
use tch::{Kind, Tensor, no_grad};
use topfive::experiment::{Experiment, builtin};
use topfive::network::{Mode, Network};

fn network(experiment: &Value) -> Network {
    filled_network(&Experiment::parse(&experiment.to_string(), &[]).expect("an experiment"))
}

/// A built-in experiment.
fn experiment(name: &str) -> Value {
    serde_json::from_str(builtin::experiment(name).expect("an experiment")).expect("JSON")
}

fn image(height: i64, width: i64) -> Tensor {
    images("input", [1, height, width])
}

fn logits(network: &Network, images: &Tensor) -> Tensor {
    no_grad(|| network.forward(images, Mode::Evaluation)).expect("a forward pass").values
}

/// Whether these are the expected scores but for a ten-thousandth of the largest.
fn assert_near(name: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!(found.size(), expected.size(), "{name}");
    let difference = (found - expected).abs().max().double_value(&[]);
    let largest = expected.abs().max().double_value(&[]);
    assert!(difference <= 1e-4 * largest, "{name}: {difference} of {largest}");
}

/// The mean over crops of `side` pixels at these places.
fn mean_over_crops(network: &Network, image: &Tensor, side: i64, places: &[(i64, i64)]) -> Tensor {
    let crops: Vec<Tensor> =
        places.iter().map(|&(y, x)| logits(network, &image.narrow(2, y, side).narrow(3, x, side))).collect();
    Tensor::stack(&crops, 0).mean_dim([0i64].as_slice(), false, None::<Kind>)
}

/// Small networks with what PyTorch gives for images of several sizes (`scripts/make_dense_fixtures.py`).
fn fixtures() -> Vec<Value> {
    serde_json::from_str(include_str!("fixtures/dense.json")).expect("JSON")
}

#[test]
fn dense_scores_are_pytorchs_mean_over_the_windows_of_the_last_map() {
    let mut count = 0;
    for fixture in fixtures() {
        let dense = network(&fixture["experiment"]).dense().expect("a dense network");
        for score in fixture["scores"].as_array().expect("scores") {
            let [height, width]: [i64; 2] = serde_json::from_value(score["size"].clone()).expect("a size");
            let expected: Vec<f32> = serde_json::from_value(score["logits"].clone()).expect("logits");
            let name = format!("{}, {height}x{width}", fixture["experiment"]["name"]);
            assert_near(&name, &logits(&dense, &image(height, width)), &Tensor::from_slice(&expected).unsqueeze(0));
            count += 1;
        }
    }
    assert_eq!(count, 4 * 3);
}

#[test]
fn at_the_training_size_a_dense_network_gives_what_the_plain_one_gives() {
    for name in ["alexnet", "vgg16", "googlenet", "resnet34", "tiny"] {
        let network = network(&experiment(name));
        let side = experiment(name)["network"]["input"][1].as_i64().expect("a size");
        let image = image(side, side);
        assert_near(name, &logits(&network.dense().expect("a dense network"), &image), &logits(&network, &image));
    }
}

#[test]
fn without_padding_dense_scores_are_the_mean_over_the_crops_32_pixels_apart() {
    let fixtures = fixtures();
    let fixture = fixtures.iter().find(|it| it["experiment"]["name"] == "without padding").expect("a network");
    let network = network(&fixture["experiment"]);
    let image = image(256, 256);
    let found = logits(&network.dense().expect("a dense network"), &image);
    let expected = mean_over_crops(&network, &image, 224, &[(0, 0), (0, 32), (32, 0), (32, 32)]);
    assert_near("without padding", &found, &expected);
}

#[test]
fn a_network_that_flattens_its_map_into_the_scores_is_refused_with_the_layers_path() {
    let mut experiment = experiment("tiny");
    experiment["network"] = json!({
        "input": [3, 8, 8], "classes": 4,
        "layers": [{ "conv": { "channels": 1, "kernel": 7 } }, "relu", "flatten"]
    });
    let error = network(&experiment).dense().map(drop).expect_err("no dense form");
    let message = format!("{error:#}");
    // Told before training, too, where the experiment asks for such views.
    experiment["evaluation"] = json!({ "views": "dense" });
    let early = Experiment::parse(&experiment.to_string(), &[]).map(drop).expect_err("views that cannot be");
    assert!(
        format!("{early:#}")
            .contains("evaluation.views: network.layers[2].flatten: this network cannot run over a whole image"),
        "{early:#}"
    );
    for words in ["network.layers[2].flatten", "1x2x2", "linear", "global_average_pool"] {
        assert!(message.contains(words), "no '{words}' in: {message}");
    }
}

#[test]
fn a_map_of_one_place_that_is_flattened_into_the_scores_is_the_mean_over_the_places() {
    let mut experiment = experiment("tiny");
    let conv = json!({ "conv": { "channels": "classes", "kernel": 7 } });
    experiment["network"] = json!({ "input": [3, 7, 7], "classes": 4, "layers": [conv, "flatten"] });
    let network = network(&experiment);
    let image = image(8, 8);
    let found = logits(&network.dense().expect("a dense network"), &image);
    assert_near("one place", &found, &mean_over_crops(&network, &image, 7, &[(0, 0), (0, 1), (1, 0), (1, 1)]));
}
