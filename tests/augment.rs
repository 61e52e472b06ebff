//! Random augmentation: edits compared with Pillow and torchvision to the byte, and choices with torchvision's
//! (`scripts/make_augment_fixtures.py`).

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Workplace, fixture};
use image::RgbImage;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use topfive::data::augment::choose;
use topfive::data::example::Examples;
use topfive::data::folder;
use topfive::experiment::{Augmentation, Change, Experiment};
use topfive::geometry::{Rect, Size};
use topfive::image::edit::{Edit, Fill, Interpolation};

fn fixture_image(name: &str) -> RgbImage {
    image::open(fixture("augment").join(name)).expect("a readable image").into_rgb8()
}

/// An edit as the fixture writes it: its name and its parameters.
fn parse(edit: &Value) -> Edit {
    fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
        serde_json::from_value(value.clone()).expect("parameters")
    }
    let (name, value) = (edit[0].as_str().expect("a name"), &edit[1]);
    match name {
        "brightness" => Edit::Brightness(read(value)),
        "contrast" => Edit::Contrast(read(value)),
        "saturation" => Edit::Saturation(read(value)),
        "hue" => Edit::Hue(read(value)),
        "sharpness" => Edit::Sharpness(read(value)),
        "grayscale" => Edit::Grayscale,
        "shift" => Edit::Shift(read(value)),
        "posterize" => Edit::Posterize(read(value)),
        "solarize" => Edit::Solarize(read(value)),
        "auto_contrast" => Edit::AutoContrast,
        "equalize" => Edit::Equalize,
        "invert" => Edit::Invert,
        "shear_x" => Edit::ShearX(read(value)),
        "shear_y" => Edit::ShearY(read(value)),
        "translate" => Edit::Translate(read(value)),
        "rotate" => Edit::Rotate { degrees: read(&value[0]), interpolation: read(&value[1]) },
        "blur" => Edit::Blur { kernel: read(&value[0]), sigma: read(&value[1]) },
        "erase" => {
            let [x, y, width, height, colour @ ..] = read::<[u32; 7]>(value);
            let fill = Fill::Colour(colour.map(|value| value as u8));
            Edit::Erase { area: Rect { x, y, width, height }, fill }
        }
        _ => panic!("an unknown edit: {edit}"),
    }
}

#[test]
fn edits_give_the_same_bytes_as_pillow_and_torchvision() {
    let edits: Vec<Value> = serde_json::from_str(include_str!("fixtures/augment/edits.json")).expect("edits");
    let mut differing = Vec::new();
    for source in ["photo", "tall", "tiny"] {
        let image = fixture_image(&format!("{source}.png"));
        let expected = fixture_image(&format!("{source}.expected.png"));
        let length = image.as_raw().len();
        assert_eq!(expected.as_raw().len(), edits.len() * length);
        for (edit, expected) in edits.iter().zip(expected.as_raw().chunks_exact(length)) {
            let found = parse(edit).apply(image.clone());
            assert_eq!(found.dimensions(), image.dimensions());
            let bytes = found.as_raw().iter().zip(expected).filter(|(found, expected)| found != expected).count();
            if bytes > 0 {
                differing.push(format!("{source} {edit}: {bytes} of {length} bytes"));
            }
        }
    }
    assert!(differing.is_empty(), "{differing:#?}");
}

#[test]
fn edits_work_on_the_smallest_images() {
    let edits: Vec<Value> = serde_json::from_str(include_str!("fixtures/augment/edits.json")).expect("edits");
    for (width, height) in [(1, 1), (1, 7), (2, 2), (5, 1)] {
        let image = RgbImage::from_pixel(width, height, image::Rgb([3, 200, 100]));
        for edit in edits.iter().filter(|edit| edit[0] != "erase" && edit[0] != "blur") {
            assert_eq!(parse(edit).apply(image.clone()).dimensions(), (width, height), "{edit}");
        }
    }
}

#[test]
fn noise_fills_the_erased_rectangle_alone_and_is_the_same_for_the_same_seed() {
    let image = RgbImage::from_pixel(40, 30, image::Rgb([3, 200, 100]));
    let area = Rect { x: 7, y: 3, width: 20, height: 25 };
    let erased = |seed| Edit::Erase { area, fill: Fill::Noise(seed) }.apply(image.clone());
    assert_eq!(erased(1), erased(1));
    assert!(erased(1) != erased(2));
    let noise = erased(1);
    let mut inside = Vec::new();
    for (x, y, pixel) in noise.enumerate_pixels() {
        if (7..27).contains(&x) && (3..28).contains(&y) {
            inside.extend(pixel.0);
        } else {
            assert_eq!(pixel.0, [3, 200, 100]);
        }
    }
    // 1500 uniform bytes: their mean has a standard deviation of 1.9.
    let mean = inside.iter().map(|&value| f64::from(value)).sum::<f64>() / inside.len() as f64;
    assert!((mean - 127.5).abs() < 8.0, "{mean}");
}

fn augmentation(json: &Value) -> Augmentation {
    let change = Change::Set(format!("training.augment=[{json}]"));
    let experiment = Experiment::load("resnet18".as_ref(), &[change]).expect("an augmentation");
    experiment.training.augment.into_iter().next().expect("one")
}

/// The name of an edit and its number, as the fixture writes them.
fn named(edit: &Edit) -> (&'static str, Vec<f64>) {
    match *edit {
        Edit::Brightness(factor) => ("brightness", vec![factor]),
        Edit::Contrast(factor) => ("contrast", vec![factor]),
        Edit::Saturation(factor) => ("saturation", vec![factor]),
        Edit::Sharpness(factor) => ("sharpness", vec![factor]),
        Edit::Posterize(bits) => ("posterize", vec![f64::from(bits)]),
        Edit::Solarize(threshold) => ("solarize", vec![threshold]),
        Edit::AutoContrast => ("auto_contrast", vec![]),
        Edit::Equalize => ("equalize", vec![]),
        Edit::Invert => ("invert", vec![]),
        // The fixture cannot tell them from a translation.
        Edit::ShearX(0.0) | Edit::ShearY(0.0) => ("translate", vec![0.0, 0.0]),
        Edit::ShearX(shear) => ("shear_x", vec![shear]),
        Edit::ShearY(shear) => ("shear_y", vec![shear]),
        Edit::Translate([x, y]) => ("translate", vec![f64::from(x), f64::from(y)]),
        Edit::Rotate { degrees, interpolation: Interpolation::Nearest } => ("rotate", vec![degrees]),
        _ => panic!("no policy draws {edit:?}"),
    }
}

fn is_outcome(edits: &[Edit], outcome: &[Value]) -> bool {
    edits.len() == outcome.len()
        && edits.iter().zip(outcome).all(|(edit, expected)| {
            let (name, values) = named(edit);
            let expected_values = match &expected[1] {
                Value::Null => vec![],
                Value::Array(values) => values.iter().filter_map(Value::as_f64).collect(),
                value => value.as_f64().into_iter().collect(),
            };
            let is_near = |(a, b): (&f64, &f64)| (a - b).abs() < 2e-5;
            expected[0] == name
                && values.len() == expected_values.len()
                && values.iter().zip(&expected_values).all(is_near)
        })
}

#[test]
fn policies_draw_torchvisions_operations_at_its_magnitudes_as_often() {
    const DRAWS: usize = 100_000;
    let choices: Value = serde_json::from_str(include_str!("fixtures/augment/choices.json")).expect("JSON");
    let [width, height] = serde_json::from_value(choices["size"].clone()).expect("a size");
    for policy in choices["policies"].as_array().expect("policies") {
        let list = [augmentation(&policy["augment"])];
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let mut counts: BTreeMap<String, (Vec<Edit>, usize)> = BTreeMap::new();
        for _ in 0..DRAWS {
            let edits = choose(&list, Size { width, height }, [0; 3], &mut random);
            counts.entry(format!("{edits:?}")).or_insert((edits, 0)).1 += 1;
        }
        let mut found = 0;
        for outcome in policy["outcomes"].as_array().expect("outcomes") {
            let edits = outcome[0].as_array().expect("edits");
            let probability = outcome[1].as_f64().expect("a probability");
            let count: usize =
                counts.values().filter(|(drawn, _)| is_outcome(drawn, edits)).map(|(_, count)| count).sum();
            let expected = probability * DRAWS as f64;
            let tolerance = 5.0 * (expected * (1.0 - probability)).sqrt();
            assert!(
                (count as f64 - expected).abs() <= tolerance,
                "{}: {outcome} was drawn {count} times",
                policy["augment"]
            );
            found += count;
        }
        assert_eq!(found, DRAWS, "{}: something that torchvision does not draw", policy["augment"]);
    }
}

#[test]
fn rand_augment_draws_as_many_operations_as_it_is_asked_for() {
    let list = [augmentation(&json!({ "rand_augment": { "operations": 3 } }))];
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let counts = (0..2000).map(|_| choose(&list, Size { width: 64, height: 64 }, [0; 3], &mut random).len());
    let counts: Vec<usize> = counts.collect();
    // One in 14 leaves the image as it is.
    let share = counts.iter().filter(|&&count| count == 3).count() as f64 / 2000.0;
    assert!(counts.iter().all(|&count| count <= 3) && (share - (13.0f64 / 14.0).powi(3)).abs() < 0.05, "{share}");
}

#[test]
fn erased_rectangles_spread_as_torchvisions_do() {
    const DRAWS: usize = 20_000;
    let choices: Value = serde_json::from_str(include_str!("fixtures/augment/choices.json")).expect("JSON");
    let [width, height] = serde_json::from_value(choices["size"].clone()).expect("a size");
    let erasing = &choices["erasing"];
    let list = [augmentation(
        &json!({ "random_erasing": { "probability": 1.0, "area": erasing["area"], "aspect": erasing["aspect"] } }),
    )];
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut drawn: Vec<BTreeMap<&str, f64>> = Vec::new();
    for _ in 0..DRAWS {
        let edits = choose(&list, Size { width, height }, [124, 116, 104], &mut random);
        let [Edit::Erase { area, fill }] = edits[..] else { panic!("one rectangle, not {edits:?}") };
        assert_eq!(fill, Fill::Colour([124, 116, 104]));
        assert!(area.x + area.width <= width && area.y + area.height <= height);
        let [x, y, w, h] = [area.x, area.y, area.width, area.height].map(f64::from);
        drawn.push(BTreeMap::from([("x", x), ("y", y), ("area", w * h), ("ratio", h / w)]));
    }
    for what in ["x", "y", "area", "ratio"] {
        let points: Vec<[f64; 2]> = serde_json::from_value(erasing["shares"][what].clone()).expect("points");
        assert!(!points.is_empty());
        for [value, expected] in points {
            let found = drawn.iter().filter(|draw| draw[what] <= value).count() as f64 / DRAWS as f64;
            assert!((found - expected).abs() < 0.015, "{found} have {what} <= {value}, expected {expected}");
        }
    }
}

#[test]
fn colour_jitter_draws_its_factors_within_their_ranges_and_in_every_order() {
    let jitter = json!({ "color_jitter": { "brightness": 0.4, "contrast": 1.5, "saturation": 0.2, "hue": 0.1 } });
    let list = [augmentation(&jitter)];
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut orders = BTreeSet::new();
    let mut ranges: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for _ in 0..5000 {
        let edits = choose(&list, Size { width: 8, height: 8 }, [0; 3], &mut random);
        let order = edits.iter().map(|edit| {
            let (which, value) = match *edit {
                Edit::Brightness(value) => (0, value),
                Edit::Contrast(value) => (1, value),
                Edit::Saturation(value) => (2, value),
                Edit::Hue(value) => (3, value),
                _ => panic!("{edit:?}"),
            };
            let (least, most) = ranges.entry(which).or_insert((value, value));
            (*least, *most) = (least.min(value), most.max(value));
            which
        });
        orders.insert(order.collect::<Vec<_>>());
    }
    assert_eq!(orders.len(), 24);
    for (which, (low, high)) in [(0.6, 1.4), (0.0, 2.5), (0.8, 1.2), (-0.1, 0.1)].into_iter().enumerate() {
        let (least, most) = ranges[&which];
        let width = high - low;
        assert!(least >= low && least < low + 0.01 * width && most <= high && most > high - 0.01 * width, "{which}");
    }
}

#[test]
fn lighting_moves_all_colours_along_imagenets_principal_components() {
    let list = [augmentation(&json!({ "lighting": { "deviation": 0.1 } }))];
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut moments = [[0.0; 3]; 3];
    const DRAWS: usize = 40_000;
    for _ in 0..DRAWS {
        let edits = choose(&list, Size { width: 8, height: 8 }, [0; 3], &mut random);
        let [Edit::Shift(shift)] = edits[..] else { panic!("one shift, not {edits:?}") };
        for (row, a) in moments.iter_mut().zip(shift) {
            row.iter_mut().zip(shift).for_each(|(moment, b)| *moment += a * b / 255.0 / 255.0 / DRAWS as f64);
        }
    }
    // Their covariance is vectors * (0.1 * values)^2 * vectors^T, with fb.resnet.torch's values.
    let values: [f64; 3] = [0.2175, 0.0188, 0.0045];
    let vectors = [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]];
    for (a, b) in (0..3).flat_map(|a| (0..3).map(move |b| (a, b))) {
        let expected: f64 = (0..3).map(|k| vectors[a][k] * vectors[b][k] * (0.1 * values[k]).powi(2)).sum();
        assert!((moments[a][b] / expected - 1.0).abs() < 0.04, "{a} {b}: {} of {expected}", moments[a][b]);
    }
}

const EVERYTHING: &str = r#"training.augment=[
    { "color_jitter": { "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "probability": 0.8 } },
    { "lighting": {} }, { "rand_augment": {} }, "trivial_augment", { "auto_augment": "imagenet" }, { "auto_augment": "cifar10" },
    { "random_erasing": { "fill": "noise" } }, { "random_erasing": { "fill": { "colour": [1, 2, 3] } } },
    { "gaussian_blur": { "kernel": 5 } }, { "grayscale": {} }, { "rotation": { "degrees": 15, "interpolation": "bilinear" } }
]"#;

fn with(changes: &[&str]) -> anyhow::Result<Experiment> {
    let changes: Vec<Change> = changes.iter().map(|change| Change::Set(change.to_string())).collect();
    Experiment::load("tiny".as_ref(), &changes)
}

#[test]
fn examples_are_the_same_for_any_number_of_workers_and_differ_from_epoch_to_epoch() {
    let place = Workplace::with_shapes(3, 1);
    let experiment = with(&[EVERYTHING]).expect("an experiment");
    let dataset = folder::open(&place.path("shapes/train")).expect("a data set");
    let examples = Examples::new(&dataset, &experiment);
    let loaded = |workers, epoch| {
        let loader = examples.load(&examples.order(0), epoch, workers, 8).expect("threads");
        loader.map(|example| example.expect("a result").1.expect("an image")).collect::<Vec<RgbImage>>()
    };
    let one = loaded(1, 0);
    assert_eq!(one.len(), 36);
    assert!(one == loaded(4, 0));
    assert!(one.iter().zip(&loaded(1, 1)).all(|(first, second)| first != second));
}

#[test]
fn without_augmentation_the_same_crops_are_drawn_as_with_it() {
    let place = Workplace::with_shapes(3, 1);
    let dataset = folder::open(&place.path("shapes/train")).expect("a data set");
    let [plain, inverted] = [r"training.augment=[]", r#"training.augment=[{ "grayscale": { "probability": 1 } }]"#]
        .map(|change| Examples::new(&dataset, &with(&[change]).expect("an experiment")));
    for visit in plain.order(2) {
        let expected = Edit::Grayscale.apply(plain.get(visit, 2).expect("an image"));
        assert!(inverted.get(visit, 2).expect("an image") == expected);
    }
}

#[test]
fn an_augmentation_that_is_out_of_range_or_could_not_act_is_refused_with_its_path() {
    let refused = |augmentation: &str, words: &[&str]| {
        let error = with(&[&format!("training.augment=[\"trivial_augment\", {augmentation}]")]).expect_err("a refusal");
        let error = format!("{error:#}");
        words.iter().for_each(|word| assert!(error.contains(word), "no '{word}' in {error}"));
    };
    let at = "training.augment[1].";
    refused(r#"{ "color_jitter": {} }"#, &["training.augment[1].color_jitter: expected brightness", "remove"]);
    refused(r#"{ "color_jitter": { "hue": 0.6 } }"#, &[at, "color_jitter.hue", "from 0 to 0.5, found 0.6"]);
    refused(r#"{ "color_jitter": { "brigthness": 0.6 } }"#, &[at, "did you mean `brightness`?"]);
    refused(r#"{ "rand_augment": { "magnitude": 31 } }"#, &[at, "rand_augment.magnitude", "from 0 to 30"]);
    refused(r#"{ "auto_augment": "svhn" }"#, &[at, "svhn", "cifar10"]);
    refused(r#"{ "random_erasing": { "probability": 0 } }"#, &[at, "random_erasing.probability"]);
    refused(r#"{ "random_erasing": { "area": [0.5, 0.1] } }"#, &[at, "random_erasing.area[1]", "found 0.1"]);
    refused(r#"{ "gaussian_blur": { "kernel": 4 } }"#, &[at, "gaussian_blur.kernel", "odd"]);
    // The tiny network's input has 32 pixels a side; 31 are reflected.
    refused(r#"{ "gaussian_blur": { "kernel": 65 } }"#, &[at, "gaussian_blur.kernel", "32x32"]);
    refused(r#"{ "rotation": { "degrees": 0 } }"#, &[at, "rotation.degrees"]);
    refused(r#"{ "lighting": { "deviation": -1 } }"#, &[at, "lighting.deviation"]);
    refused(r#""trivial_augmnet""#, &["training.augment[1]", "did you mean `trivial_augment`?"]);
}

#[test]
fn a_run_with_everything_on_trains_and_repeats_itself() {
    let place = Workplace::with_shapes(4, 2);
    for (run, workers) in [("1", "1"), ("2", "4")] {
        let mix = r#"training.mix={ "either": { "mixup": 0.2, "cutmix": 1.0 } }"#;
        let settings = ["--set", EVERYTHING, "--set", mix, "--set", "training.label_smoothing=0.1", "--epochs", "2"];
        place.train(run, &[&settings[..], &["--workers", workers, "--batch-size", "7"]].concat()).succeeds();
    }
    assert!(place.read("1/last.safetensors") == place.read("2/last.safetensors"));
}
