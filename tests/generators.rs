//! `topfive eval` of a generator.

mod common;

use common::Workplace;
use serde_json::Value;

/// A generator of images of 16x16 and its discriminator, with as few parameters as possible.
const GAN: &str = r#"{
  "name": "small",
  "latent": { "size": 8 },
  "generator": { "layers": [
    { "conv_transpose": { "channels": 8, "kernel": 4 } }, "relu",
    { "conv_transpose": { "channels": 3, "kernel": 4, "stride": 4 } }, "tanh"] },
  "discriminator": { "layers": [
    { "conv": { "channels": 8, "kernel": 4, "stride": 4 } }, { "leaky_relu": 0.2 },
    { "conv": { "channels": 1, "kernel": 4 } }, "flatten"] },
  "training": { "epochs": 2, "batch_size": 32 }
}"#;

/// A workplace with shapes, a generator in `made` and a classifier in `run`, both hardly trained.
fn place() -> Workplace {
    let place = Workplace::with_shapes(4, 4);
    place.write("small.json", GAN);
    place.run(&["train", "small.json", "--data", "shapes", "--out", "made", "--threads", "1"]).succeeds();
    place.train("run", &["--epochs", "1"]).succeeds();
    place
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("expected a number, found {value}"))
}

#[test]
fn a_generator_is_measured_by_a_two_sample_test_and_in_the_features_of_a_classifier() {
    let place = place();
    let eval = ["eval", "made", "--data", "shapes", "--threads", "1", "--device", "cpu", "--json"];
    let ran = place.run(&[&eval[..], &["all.json", "--features", "run"]].concat()).succeeds();
    for word in ["two-sample accuracy", "52.4 %", "Fréchet distance", "precision", "recall", "not the FID"] {
        assert!(ran.stdout.contains(word), "no '{word}' in:\n{}", ran.stdout);
    }
    let all = place.read_json("all.json");
    // 12 classes of 4 validation images.
    assert_eq!((&all["images"], &all["two_sample"]["tested"]), (&48.into(), &48.into()), "{all}");
    assert!((0.0..=100.0).contains(&number(&all["two_sample"]["accuracy"])), "{all}");
    assert_eq!((&all["features"]["layer"], &all["features"]["count"]), (&"fc".into(), &16.into()), "{all}");
    for kind in ["made", "real"] {
        let shares = all[kind]["class_shares"].as_object().expect("classes");
        assert_eq!(shares.len(), 12, "{all}");
        assert!((shares.values().map(number).sum::<f64>() - 1.0).abs() < 1e-9, "{all}");
    }
    // What an untrained generator makes lies far from what real images are to one another.
    assert!(number(&all["made"]["frechet_distance"]) > number(&all["real"]["frechet_distance"]), "{all}");

    place.run(&[&eval[..], &["again.json"]].concat()).succeeds();
    let again = place.read_json("again.json");
    assert_eq!(again["two_sample"], all["two_sample"], "the same seed gives the same verdict");
    assert!(again.get("made").is_none(), "{again}");
    place.run(&[&eval[..], &["few.json", "--count", "24"]].concat()).succeeds();
    assert_eq!(place.read_json("few.json")["images"], 24);
}

#[test]
fn what_belongs_to_the_other_kind_of_model_is_refused_with_a_sentence() {
    let place = place();
    let eval = |arguments: &[&str]| place.run(&[&["eval", "--data", "shapes"], arguments].concat());
    eval(&["made", "--views", "ten-crop"]).fails_saying(&["--views is for classifiers alone, and made is a generator"]);
    eval(&["made", "--confusion", "c.csv"]).fails_saying(&["--confusion is for classifiers alone"]);
    eval(&["run", "made"]).fails_saying(&["made: a generator is evaluated alone, found 2 models"]);
    eval(&["run", "--features", "run"]).fails_saying(&["--features is for generators alone, and run is a classifier"]);
    eval(&["made", "--batch-size", "8"]).fails_saying(&["--batch-size: cannot act without --features"]);
    eval(&["made", "--count", "1000"]).fails_saying(&["--count 1000", "has 48 images"]);
    eval(&["made", "--features", "resnet18"]).fails_saying(&["--features", "expected a trained classifier"]);
}
