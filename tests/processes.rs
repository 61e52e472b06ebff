//! Several processes train and evaluate one network as one process with larger batches does. They are started as launchers
//! start them: by the variables of the environment.
#![cfg(unix)]

mod common;

use std::collections::BTreeMap;

use common::Workplace;
use common::formula::{filled_network, noise};
use common::launch::{Variables, ends, open_mpi, run, slurm, start, torchrun};
use image::RgbImage;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};
use topfive::experiment::Experiment;

/// A network without batch norm, trained without chance: every process sees its images as one process would.
fn plain() -> Value {
    json!({
        "name": "plain", "paper": "", "network": {
            "input": [3, 16, 16], "classes": 12, "start": { "weights": "he", "bias": 0.0 },
            "layers": [
                { "conv": { "name": "conv1", "channels": 8, "kernel": 3, "stride": 2, "padding": 1 } }, "relu",
                { "conv": { "name": "conv2", "channels": 16, "kernel": 3, "stride": 2, "padding": 1 } }, "relu",
                "global_average_pool", { "linear": { "name": "fc", "features": "classes" } }
            ]
        },
        "preprocess": { "channels": "rgb", "scale": "unit", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25] },
        "training": {
            "epochs": 2, "batch_size": 16, "optimizer": { "sgd": { "momentum": 0.9 } }, "learning_rate": 0.1,
            "crop": { "random_resized": { "area": [0.5, 1.0] } }, "augment": ["trivial_augment"]
        }
    })
}

const TRAIN: [&str; 10] =
    ["train", "plain.json", "--data", "shapes", "--device", "cpu", "--threads", "1", "--workers", "1"];

fn train<'a>(out: &'a str, others: &[&'a str]) -> Vec<&'a str> {
    [&TRAIN, &["--out", out][..], others].concat()
}

/// 17 images of each of 12 classes: neither steps nor shares are even.
fn place() -> Workplace {
    let place = Workplace::with_shapes(17, 3);
    place.write("plain.json", plain().to_string());
    place
}

fn weights(place: &Workplace, run: &str) -> BTreeMap<String, Vec<f32>> {
    let bytes = place.read(&format!("{run}/last.safetensors"));
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let values = |data: &[u8]| data.chunks(4).map(|four| f32::from_le_bytes(four.try_into().expect("four"))).collect();
    file.tensors().into_iter().map(|(name, tensor)| (name, values(tensor.data()))).collect()
}

#[track_caller]
fn assert_near(place: &Workplace, run: &str, other: &str) {
    let (run, other) = (weights(place, run), weights(place, other));
    assert!(run.keys().eq(other.keys()));
    for (name, values) in &run {
        for (found, expected) in values.iter().zip(&other[name]) {
            assert!((found - expected).abs() <= 1e-5, "{name}: {found}, expected {expected}");
        }
    }
}

#[test]
fn processes_of_every_launcher_learn_what_one_with_larger_batches_learns() {
    let place = place();
    let clipped = ["--set", "training.augment=[\"random_erasing\"]", "--set", "training.clip.norm=0.5"];
    let averaged = ["--set", "training.average={\"ema\":{\"decay\":0.9}}", "--set", "training.accumulate=2"];
    for (name, sets) in [("clipped", &clipped[..]), ("averaged", &averaged)] {
        place.run(&train(name, &[&["--batch-size", "24"][..], sets].concat())).succeeds();
        let launchers: [(&str, Variables, usize, &str); 3] =
            [("torchrun", torchrun, 2, "12"), ("slurm", slurm, 3, "8"), ("mpi", open_mpi, 2, "12")];
        for (launcher, variables, count, batch_size) in launchers {
            let out = format!("{name}-{launcher}");
            let arguments = train(&out, &[&["--batch-size", batch_size][..], sets].concat());
            let ran = run(&place, variables, count, &arguments);
            ran.says(&[&format!("{count} processes with up to {batch_size} images each"), "epoch 2/2"]);
            assert_near(&place, &out, name);
        }
    }
}

/// The same network with batch norms, two of them side by side.
fn normed() -> Value {
    let mut experiment = plain();
    let layers = experiment["network"]["layers"].as_array_mut().expect("layers");
    layers.insert(1, json!({ "batch_norm": { "name": "bn1" } }));
    layers[3] = json!({ "residual_stage": { "name": "layer1", "blocks": 1, "channels": 12, "stride": 2 } });
    experiment["training"]["learning_rate"] = json!(0.02);
    experiment["training"]["sync_batch_norm"] = json!(true);
    experiment
}

#[test]
fn batch_norms_over_all_processes_are_those_of_one_with_larger_batches() {
    let place = place();
    place.write("plain.json", normed().to_string());
    place.run(&train("one", &["--batch-size", "24"])).succeeds();
    for (out, count, batch_size) in [("two", 2, "12"), ("three", 3, "8")] {
        run(&place, torchrun, count, &train(out, &["--batch-size", batch_size]));
        assert_near(&place, out, "one");
    }
}

#[test]
fn a_process_without_images_takes_part_in_batch_norms_over_all() {
    let place = Workplace::with_shapes(2, 1);
    place.write("plain.json", normed().to_string());
    // In some steps of two processes with an image each, one has none.
    place.write("shapes/train/ring/ring-0001.jpg", "no image");
    place.run(&train("one", &["--batch-size", "2", "--epochs", "1"]));
    let ended = ends(start(&place, torchrun, 2, &train("two", &["--batch-size", "1", "--epochs", "1"])));
    assert_eq!((ended[0].status, ended[1].status), (0, 0), "{}{}", ended[0].stderr, ended[1].stderr);
    assert_near(&place, "two", "one");
}

#[test]
fn batch_norms_over_all_processes_are_refused_where_there_are_none_to_train() {
    let place = place();
    let refusal = ["training.sync_batch_norm: true cannot act"];
    place.run(&train("run", &["--set", "training.sync_batch_norm=true"])).fails_saying(&refusal);
    place.write("plain.json", normed().to_string());
    let frozen = ["--set", "training.freeze=[\"bn1\",\"layer1\"]"];
    place.run(&train("run", &frozen)).fails_saying(&refusal);
}

/// Writes the images and the initial weights of a case of the fixture, and its experiment; returns the classes.
fn write_case(place: &Workplace, case: &Value) {
    const SIDE: usize = 16;
    place.write("case.json", case["experiment"].to_string());
    let experiment = Experiment::parse(&case["experiment"].to_string(), &[]).expect("an experiment");
    let classes = experiment.network().classes as usize;
    let count = case["images"].as_u64().expect("a number") as usize;
    // Python rounds halves to even.
    let bytes: Vec<u8> = noise("images", count * 3 * SIDE * SIDE)
        .into_iter()
        .map(|value| ((value + 1.0) * 127.5).round_ties_even() as u8)
        .collect();
    for (number, bytes) in bytes.chunks(3 * SIDE * SIDE).enumerate() {
        let image = RgbImage::from_fn(SIDE as u32, SIDE as u32, |x, y| {
            image::Rgb([0, 1, 2].map(|channel| bytes[(channel * SIDE + y as usize) * SIDE + x as usize]))
        });
        for part in ["train", "val"] {
            let path = place.write(&format!("set/{part}/{}/{number:02}.png", number % classes), "");
            image.save(path).expect("an image written");
        }
    }
    let network = filled_network(&experiment);
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = network
        .parameters()
        .map(|(parameter, tensor)| {
            let values = Vec::<f32>::try_from(tensor.detach().flatten(0, -1)).expect("values");
            let shape = parameter.shape.iter().map(|side| *side as usize).collect();
            (parameter.name, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, data)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), data).expect("a tensor"))
    });
    place.write("start.safetensors", serialize(views, None).expect("a file"));
    place.write("classes.txt", (0..classes).map(|class| format!("{class}\n")).collect::<String>());
}

#[test]
fn two_processes_learn_what_pytorchs_distributed_data_parallel_learns() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("fixtures/ddp.json")).expect("JSON");
    assert_eq!(cases.len(), 2);
    for case in &cases {
        let place = Workplace::new();
        write_case(&place, case);
        let arguments = ["train", "case.json", "--data", "set", "--out", "run", "--device", "cpu", "--threads", "1"];
        let weights_of = ["--weights", "start.safetensors", "--classes", "classes.txt"];
        run(&place, torchrun, 2, &[&arguments[..], &weights_of].concat());
        let found = weights(&place, "run");
        let expected: BTreeMap<String, Vec<f64>> = serde_json::from_value(case["final"].clone()).expect("weights");
        assert!(expected.len() >= 6, "{}", case["name"]);
        for (name, values) in &expected {
            for (found, expected) in found[name].iter().zip(values) {
                let near = (f64::from(*found) - expected).abs() <= 1e-5;
                assert!(near, "{}, {name}: {found}, expected {expected}", case["name"]);
            }
        }
    }
}

#[test]
fn unevenly_weighted_classes_count_over_all_processes() {
    let place = place();
    for index in 5..=17 {
        std::fs::remove_file(place.path(&format!("shapes/train/ring/ring-{index:04}.jpg"))).expect("an image");
    }
    let sets = &["--set", "training.class_weights=balanced"][..];
    place.run(&train("one", &[&["--batch-size", "24"][..], sets].concat())).succeeds();
    run(&place, torchrun, 2, &train("two", &[&["--batch-size", "12"][..], sets].concat()));
    assert_near(&place, "two", "one");
}

#[test]
fn an_image_that_cannot_be_read_is_reported_once_and_the_rest_count_as_in_one_process() {
    let place = place();
    place.write("shapes/train/ring/ring-0003.jpg", "no image");
    let one = place.run(&train("one", &["--batch-size", "24"]));
    let two = ends(start(&place, torchrun, 2, &train("two", &["--batch-size", "12"])));
    // A launcher would take 1 for a failure.
    assert_eq!((one.status, two[0].status, two[1].status), (1, 0, 0), "{}", two[0].stderr);
    assert_eq!(two[0].stderr.matches("ring-0003.jpg").count(), 1, "{}", two[0].stderr);
    assert_near(&place, "two", "one");
}

#[test]
fn any_number_of_processes_counts_and_lists_the_same_answers() {
    let place = place();
    place.run(&train("run", &["--epochs", "1"])).succeeds();
    place.write("shapes/val/ring/ring-0002.jpg", "no image");
    let answers = |count: usize| {
        let json = format!("{count}.json");
        let csv = format!("{count}.csv");
        let eval =
            ["eval", "run", "--data", "shapes", "--views", "center,ten-crop", "--device", "cpu", "--threads", "1"];
        let eval = [&eval[..], &["--json", &json, "--per-image", &csv]].concat();
        let predict = ["predict", "run", "shapes/val", "--format", "csv", "--device", "cpu", "--threads", "1"];
        let first = |arguments: &[&str]| {
            let ends = ends(start(&place, torchrun, count, arguments));
            let others = ends[1..].iter().all(|other| other.status == 0 && other.stdout.is_empty());
            assert!(others && ends[0].status == i32::from(count == 1), "{}", ends[0].stderr);
            ends.into_iter().next().expect("a first process").stdout
        };
        first(&eval);
        let ranks = |table: &[u8], column: usize| -> Vec<(String, String)> {
            let mut rows = csv::Reader::from_reader(table);
            let row = |row: csv::StringRecord| (row[0].to_string(), row[column].to_string());
            rows.records().map(|record| row(record.expect("a row"))).collect()
        };
        let mut results = place.read_json(&json)["results"].take();
        for result in results.as_array_mut().expect("results") {
            let result = result.as_object_mut().expect("a result");
            result.retain(|key, _| ["top1_error", "top5_error", "images", "views"].contains(&key.as_str()));
        }
        (results, ranks(&place.read(&csv), 5), ranks(first(&predict).as_bytes(), 2))
    };
    let one = answers(1);
    assert!(one.0[0]["top1_error"].is_number() && one.1.len() == 2 * 35 + 1, "{one:?}");
    assert_eq!(answers(2), one);
    assert_eq!(answers(3), one);
}

#[test]
fn a_thousand_and_one_images_are_counted_alike_by_one_two_and_three_processes() {
    let place = Workplace::with_shapes(2, 84);
    for index in 1..=7 {
        std::fs::remove_file(place.path(&format!("shapes/val/ring/ring-{index:04}.jpg"))).expect("an image");
    }
    place.train("run", &["--epochs", "1"]).succeeds();
    let counts = |count: usize| {
        let eval = ["eval", "run", "--data", "shapes", "--json", "eval.json", "--device", "cpu", "--threads", "1"];
        run(&place, torchrun, count, &eval);
        ["images", "top1_error", "top5_error"].map(|key| place.read_json("eval.json")[key].clone())
    };
    let one = counts(1);
    assert_eq!(one[0], 1001);
    assert_eq!((counts(2), counts(3)), (one.clone(), one));
}

#[test]
fn shards_are_predicted_image_by_image_whatever_the_number_of_processes() {
    let place = place();
    place.run(&train("run", &["--epochs", "1"])).succeeds();
    place.run(&["pack", "shapes", "packed"]).succeeds();
    // Of each row the image and the class of that rank: probabilities are rounded as batches are put together.
    let predict = |images: &str, count: usize| -> Vec<(String, String)> {
        let arguments = ["predict", "run", images, "--format", "csv", "--device", "cpu", "--threads", "1"];
        let table = run(&place, torchrun, count, &arguments).stdout;
        let mut rows = csv::Reader::from_reader(table.as_bytes());
        let row = |row: csv::StringRecord| (row[0].to_string(), row[2].to_string());
        rows.records().map(|record| row(record.expect("a row"))).collect()
    };
    let shards = predict("packed/val", 1);
    assert_eq!((shards.len(), shards[5 * 35].0.as_str()), (5 * 36, "packed/val/val-0000.tar/000035.jpg"));
    assert_eq!(predict("packed/val/val-{0000..0000}.tar", 3), shards);
    // As the files that were packed, in their order.
    let classes = |rows: &[(String, String)]| rows.iter().map(|(_, class)| class.clone()).collect::<Vec<_>>();
    assert_eq!(classes(&predict("shapes/val", 2)), classes(&shards));
}

#[test]
fn processes_that_find_different_images_are_told() {
    let place = place();
    place.run(&train("run", &["--epochs", "1"])).succeeds();
    for folder in ["here", "there"] {
        place.write(&format!("{folder}/shapes/{folder}.jpg"), place.read("shapes/val/ring/ring-0001.jpg"));
    }
    let mut children = Vec::new();
    let port = common::launch::free_port();
    for rank in 0..2 {
        let mut command = place.command(&["predict", "../run", "shapes", "--device", "cpu", "--threads", "1"]);
        command.current_dir(place.path(["here", "there"][rank])).envs(torchrun(rank, 2, port));
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        children.push(command.spawn().expect("the program runs"));
    }
    for end in ends(children) {
        end.fails_saying(&["the images of rank 1 of 2 differ from those of rank 0"]);
    }
    let ended = ends(start(&place, torchrun, 2, &["predict", "run", "-", "--device", "cpu"]));
    ended.into_iter().for_each(|end| _ = end.fails_saying(&["standard input (-) reaches only one of 2 processes"]));
}
