//! Mixing the images of a batch, compared with torchvision (`scripts/make_mix_fixture.py`).

mod common;

use std::collections::BTreeMap;

use common::Workplace;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};
use topfive::data::mix::{Mixing, choose};
use topfive::experiment::{Change, Experiment, Mix};
use topfive::geometry::{Rect, Size};
use topfive::network::Output;
use topfive::training::step::loss;

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/mix.json")).expect("JSON")
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("the right type")
}

fn rect(value: &Value) -> Rect {
    let [x, y, width, height] = read(value);
    Rect { x, y, width, height }
}

fn tensor(values: &Value, shape: &[i64]) -> Tensor {
    Tensor::from_slice(&read::<Vec<f32>>(values)).view(shape)
}

#[test]
fn mixed_inputs_targets_and_losses_are_torchvisions() {
    let fixture = fixture();
    let shape: [i64; 4] = read(&fixture["shape"]);
    let [images, ..] = shape;
    let classes = fixture["classes"].as_i64().expect("a number");
    let inputs = tensor(&fixture["inputs"], &shape);
    let before = inputs.copy();
    let labels = Tensor::from_slice(&read::<Vec<i64>>(&fixture["labels"]));
    let logits = tensor(&fixture["logits"], &[images, classes]);
    let cases = fixture["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 8);
    for case in cases {
        let share = read(&case["share"]);
        let mixing = match case.get("area") {
            Some(area) => Mixing::Paste { area: rect(area), share },
            None => Mixing::Blend { share },
        };
        let mixed = mixing.inputs(&inputs).expect("mixed inputs");
        assert!(mixed.equal(&tensor(&case["inputs"], &shape)), "{mixing:?}");
        assert!(inputs.equal(&before), "the inputs stay");
        let targets = mixing.targets(&labels, classes).expect("targets");
        let rows: Vec<Vec<f32>> = read(&case["targets"]);
        assert!(targets.equal(&Tensor::from_slice(&rows.concat()).view([images, classes])), "{mixing:?}");
        // An auxiliary classifier learns the same targets.
        let auxiliary = vec![(0.5, logits.shallow_clone())];
        let output = Output { values: logits.shallow_clone(), auxiliary };
        for (smoothing, expected) in [0.0, 0.1].into_iter().zip(read::<Vec<f64>>(&case["losses"])) {
            let found = loss(&output, &targets, smoothing, None).expect("a loss").double_value(&[]);
            assert!((found - 1.5 * expected).abs() < 1e-6 * expected, "{mixing:?}: {found}, expected 1.5 x {expected}");
        }
    }
}

#[test]
fn mixing_works_for_labels_of_many_classes_and_keeps_the_sum_of_probabilities() {
    let labels = Tensor::arange(7, (Kind::Int64, Device::Cpu));
    let targets = Mixing::Blend { share: 0.7 }.targets(&labels, 1000).expect("targets");
    assert_eq!(targets.size(), [7, 1000]);
    let sums = Vec::<f32>::try_from(targets.sum_dim_intlist([1i64].as_slice(), false, Kind::Float)).expect("sums");
    assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-6));
}

#[test]
fn shares_and_rectangles_spread_as_torchvisions_do() {
    const DRAWS: usize = 20_000;
    for case in fixture()["spread"].as_array().expect("cases") {
        let mix: Mix = read(&case["mix"]);
        let [width, height] = read(&case["size"]);
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let drawn: Vec<BTreeMap<&str, f64>> = (0..DRAWS)
            .map(|_| match choose(&mix, 2, Size { width, height }, &mut random).expect("a mixture") {
                Mixing::Blend { share } => BTreeMap::from([("share", share)]),
                Mixing::Paste { area, share } => {
                    let [x, y, w, h] = [area.x, area.y, area.width, area.height].map(f64::from);
                    assert!(area.x + area.width <= width && area.y + area.height <= height);
                    BTreeMap::from([("share", share), ("x", x), ("y", y), ("width", w), ("height", h)])
                }
            })
            .collect();
        for (what, points) in case["shares"].as_object().expect("shares") {
            for [value, expected] in read::<Vec<[f64; 2]>>(points) {
                // The share is a sum of rounded numbers.
                let below = drawn.iter().filter(|draw| draw[what.as_str()] <= value + 1e-6);
                let found = below.count() as f64 / DRAWS as f64;
                assert!(
                    (found - expected).abs() < 0.015,
                    "{mix:?}: {found} have {what} <= {value}, expected {expected}"
                );
            }
        }
    }
}

#[test]
fn either_takes_each_in_half_of_the_batches_and_a_single_image_is_never_mixed() {
    let either: Mix = read(&json!({ "either": { "mixup": 0.2, "cutmix": 1.0 } }));
    let size = Size { width: 32, height: 32 };
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let blends = (0..2000).filter(|_| matches!(choose(&either, 8, size, &mut random), Some(Mixing::Blend { .. })));
    let blends = blends.count();
    assert!((900..1100).contains(&blends), "{blends} of 2000");
    assert_eq!(choose(&either, 1, size, &mut random), None);
}

#[test]
fn a_mixture_that_is_out_of_range_or_could_not_act_is_refused_with_its_path() {
    let refused = |changes: &[&str], words: &[&str]| {
        let changes: Vec<Change> = changes.iter().map(|change| Change::Set(change.to_string())).collect();
        let error = format!("{:#}", Experiment::load("tiny".as_ref(), &changes).expect_err("a refusal"));
        words.iter().for_each(|word| assert!(error.contains(word), "no '{word}' in {error}"));
    };
    refused(&[r#"training.mix={ "mixup": { "alpha": 0 } }"#], &["training.mix.mixup.alpha", "found 0"]);
    refused(&[r#"training.mix={ "cutmix": { "alhpa": 1 } }"#], &["training.mix.cutmix", "did you mean `alpha`?"]);
    refused(&[r#"training.mix={ "mixpu": { "alpha": 1 } }"#], &["training.mix", "did you mean `mixup`?"]);
    refused(&[r#"training.mix={ "either": { "mixup": 0.2, "cutmix": 1e9 } }"#], &["training.mix.either.cutmix"]);
    let single = ["training.mix.mixup.alpha=0.2", "training.batch_size=1"];
    refused(&single, &["training.mix", "two images", "training.batch_size 1"]);
}

#[test]
fn mixing_changes_what_is_learned_and_the_last_single_image_of_an_epoch_is_left_as_it_is() {
    let place = Workplace::with_shapes(4, 2);
    // Batches of one and two images.
    let settings = ["--epochs", "1", "--batch-size", "2", "--lr", "0.001"];
    place.write("shapes/train/star/broken.jpg", "no image");
    let losses = ["training.mix=null", "training.mix.mixup.alpha=1"].map(|mix| {
        let run = mix.replace(['=', '.'], "-");
        let ran = place.train(&run, &[&settings[..], &["--set", mix]].concat());
        assert_eq!(ran.status, 1, "{}", ran.stderr);
        let log = String::from_utf8(place.read(&format!("{run}/log.jsonl"))).expect("text");
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines.filter_map(|line| line["loss"].as_f64().or(line["training_loss"].as_f64())).collect::<Vec<f64>>()
    });
    assert!(!losses[0].is_empty() && losses[0].len() == losses[1].len(), "{losses:?}");
    assert!(losses[0].iter().zip(&losses[1]).all(|(plain, mixed)| plain != mixed), "{losses:?}");
}
