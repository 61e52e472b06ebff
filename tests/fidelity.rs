//! How close made images come to real ones: Fréchet distances compared with scipy's, precision and recall with the paper's
//! equations in numpy (`scripts/make_fidelity_fixtures.py`), and the two-sample test on images that can and cannot be told
//! apart.

mod common;

use std::path::PathBuf;

use image::RgbImage;
use serde_json::Value;
use tch::{Device, Kind, Tensor};
use topfive::experiment::Experiment;
use topfive::fidelity::classes::Spread;
use topfive::fidelity::features::Observer;
use topfive::fidelity::two_sample::{Verdict, tell_apart};
use topfive::fidelity::{frechet, neighbours};
use topfive::model::Model;
use topfive::report::Report;

use common::formula::{filled_network, noise};

fn cases() -> Vec<Value> {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/fidelity.json")).expect("JSON");
    fixture.as_array().expect("cases").clone()
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

/// The script's features of one kind.
fn features(case: &Value, kind: &str) -> Tensor {
    let count = |key: &str| case[key].as_u64().expect("a count") as usize;
    let (images, width) = (count(kind), count("features"));
    let alive = case["alive"].as_u64().map_or(width, |alive| alive as usize);
    let [scale, shift] = if kind == "real" { [1.0, 0.0] } else { ["scale", "shift"].map(|key| number(&case[key])) };
    let name = format!("{}, {kind}", case["name"].as_str().expect("a name"));
    let plain = noise(&name, images * width);
    let value = |place: usize| {
        let (row, column) = (place / width * width, place % width);
        let mixed = plain[place] + 0.5 * plain[row + (column + width - 1) % width];
        if column < alive { scale * mixed + shift } else { 0.0 }
    };
    let values: Vec<f64> = (0..images * width).map(value).collect();
    Tensor::from_slice(&values).reshape([images as i64, width as i64])
}

#[test]
fn frechet_distances_are_those_of_scipy() {
    for case in cases() {
        let found = frechet::distance(&features(&case, "real"), &features(&case, "made")).expect("a distance");
        let expected = number(&case["frechet"]);
        assert!((found - expected).abs() <= 1e-6 * expected, "{found} {case}");
    }
}

#[test]
fn precision_and_recall_are_those_of_the_papers_equations() {
    for case in cases() {
        let found = neighbours::coverage(&features(&case, "real"), &features(&case, "made")).expect("coverage");
        assert_eq!([found.precision, found.recall], ["precision", "recall"].map(|key| number(&case[key])), "{case}");
    }
}

#[test]
fn images_equal_to_the_real_ones_lie_at_distance_0_and_are_all_covered() {
    for case in cases() {
        let real = features(&case, "real");
        let distance = frechet::distance(&real, &real).expect("a distance");
        assert!(distance < 1e-9, "{distance} {case}");
        let coverage = neighbours::coverage(&real, &real).expect("coverage");
        assert_eq!((coverage.precision, coverage.recall), (1.0, 1.0), "{case}");
    }
}

#[test]
fn too_few_images_are_refused_with_the_number_that_would_do() {
    let features = |images: i64| Tensor::zeros([images, 4], (Kind::Float, Device::Cpu));
    let error = frechet::distance(&features(9), &features(1)).expect_err("one image");
    assert!(error.to_string().contains("two images or more"), "{error}");
    let error = neighbours::coverage(&features(9), &features(3)).expect_err("three images");
    assert!(error.to_string().contains("4 images or more of each kind, found 3"), "{error}");
    let error = tell_apart(&images("few", 30, 0), &images("few", 3, 0), 0, Device::Cpu, Report::silent())
        .expect_err("three images");
    assert!(error.to_string().contains("found 30 real and 3 made ones"), "{error}");
}

/// Images of noise, brighter by `light`.
fn images(name: &str, count: usize, light: u8) -> Vec<RgbImage> {
    let image = |index: usize| {
        let bytes = noise(&format!("{name} {index}"), 3 * 64).into_iter();
        let bytes = bytes.map(|value| (110.0 + 90.0 * value) as u8 + light).collect();
        RgbImage::from_raw(8, 8, bytes).expect("64 pixels")
    };
    (0..count).map(image).collect()
}

fn verdict(real: &[RgbImage], made: &[RgbImage], seed: u64) -> Verdict {
    tell_apart(real, made, seed, Device::Cpu, Report::silent()).expect("a verdict")
}

#[test]
fn two_halves_of_one_set_cannot_be_told_apart() {
    let all = images("one set", 800, 0);
    let verdict = verdict(&all[..400], &all[400..], 0);
    assert_eq!((verdict.learned, verdict.tested), (400, 400));
    let interval = verdict.interval();
    assert!(interval.low < 50.0 && interval.high > 50.0, "{verdict:?}");
}

#[test]
fn brighter_images_are_told_apart_the_same_way_for_the_same_seed() {
    let (real, made) = (images("real", 200, 0), images("made", 260, 30));
    let verdicts = [0, 0, 1].map(|seed| verdict(&real, &made, seed));
    assert!(verdicts[0].accuracy() > 98.0, "{verdicts:?}");
    assert_eq!(verdicts[0], verdicts[1]);
    assert!(verdicts[2].accuracy() > 98.0, "{verdicts:?}");
}

#[test]
fn images_fall_on_the_classes_that_are_most_probable() {
    let spread = Spread::of(&[vec![0.96, 0.04, 0.0], vec![0.5, 0.3, 0.2], vec![0.01, 0.95, 0.04], vec![0.9, 0.1, 0.0]]);
    assert_eq!((spread.images, spread.sure, spread.classes.as_slice()), (4, 2, &[3, 1, 0][..]));
    assert_eq!(spread.extremes(), Some([2, 0]));
    // 3/4 log2(4/3) + 1/4 log2(4)
    assert!((spread.entropy() - 0.811_278_124_459_132_9).abs() < 1e-12);
    let even = Spread::of(&[vec![1.0, 0.0], vec![0.0, 1.0]]);
    assert_eq!(even.entropy(), 1.0);
}

fn model(network: &str) -> Model {
    let text = format!(r#"{{ "name": "fixture", "network": {network}, "preprocess": {{ "crop_fraction": 1.0 }} }}"#);
    let experiment = Experiment::parse(&text, &[]).expect("an experiment");
    let network = filled_network(&experiment);
    Model { experiment, network, classes: None, weights: PathBuf::new(), assumes_imagenet: false }
}

#[test]
fn features_are_what_the_last_linear_layer_reads() {
    let conv = r#"{ "conv": { "name": "conv", "channels": 5, "kernel": 3 } }, "relu", "global_average_pool""#;
    let model = model(&format!(
        r#"{{ "input": [3, 8, 8], "classes": 3, "layers": [
            {{ "sequence": {{ "name": "body", "layers": [{conv}, {{ "dropout": 0.5 }}] }} }},
            {{ "linear": {{ "name": "fc", "features": "classes" }} }}] }}"#
    ));
    let observer = Observer::new(&model, 4).expect("an observer");
    let seen = observer.see(&images("seen", 10, 0), Report::silent()).expect("features");
    assert_eq!(seen.features.size(), [10, 5]);
    let tensor = |name: &str| model.network.tensor(name).expect("a tensor").detach();
    let logits = seen.features.linear(&tensor("fc.weight"), Some(tensor("fc.bias")));
    let found = Tensor::from_slice2(&seen.probabilities);
    let difference = (logits.softmax(1, Kind::Float) - found).abs().max().double_value(&[]);
    assert!(difference < 1e-6, "{difference}");
}

#[test]
fn a_network_that_does_not_end_in_a_linear_layer_has_no_features() {
    let model = model(
        r#"{ "input": [3, 8, 8], "classes": 3, "layers": [
            { "conv": { "name": "conv", "channels": "classes", "kernel": 1 } }, "global_average_pool"] }"#,
    );
    let error = Observer::new(&model, 4).expect_err("no features");
    assert!(error.to_string().contains("fixture: expected a network that ends in a linear layer"), "{error}");
}
