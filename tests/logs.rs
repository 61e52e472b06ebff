//! The log for other programs: its table compared with its lines, its event files with those that PyTorch writes
//! (`scripts/make_tensorboard_fixture.py`). `scripts/check_tensorboard.py` reads a run's with TensorBoard itself.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;

use common::events::{Field, Quantity, bytes, fields, files, find, records, told};
use common::{Workplace, fixture};
use safetensors::SafeTensors;
use serde_json::Value;
use tch::Tensor;
use topfive::metrics::{Answer, Confusion};
use topfive::report::confusion_raster;
use topfive::report::event_file::{self, Event, record};
use topfive::training::histogram;

const ALL: &str = r#"training.log=["csv","tensorboard"]"#;
/// So that a run of fewer epochs begins like a longer one.
const CONSTANT: &str = "training.schedule=constant";

fn lines(place: &Workplace, run: &str, kind: &str) -> Vec<Value> {
    let text = String::from_utf8(place.read(&format!("{run}/log.jsonl"))).expect("text");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.filter(|line| line["kind"] == kind).collect()
}

#[test]
fn events_are_to_the_byte_those_that_pytorch_writes() {
    let file = fs::read(fixture("tensorboard/events")).expect("a fixture");
    let told: Value =
        serde_json::from_slice(&fs::read(fixture("tensorboard/told.json")).expect("a fixture")).expect("JSON");
    let number = |key: &str| told[key].as_u64().expect("a number");
    let (time, step) = (told["time"].as_f64().expect("a time"), number("step"));
    let tag = |value: &Value| value[0].as_str().expect("a tag").to_string();
    let scalars = told["scalars"].as_array().expect("scalars").iter();
    let scalars = scalars.map(|it| (tag(it), event_file::Quantity::Scalar(it[1].as_f64().expect("a number"))));
    let values: Vec<f32> = serde_json::from_value(told["histogram"][1].clone()).expect("values");
    let counted = histogram::of(&Tensor::from_slice(&values).reshape([2, 5, -1])).expect("a histogram");
    let [width, height] = [1, 2].map(|place| told["image"][place].as_u64().expect("a size") as u32);
    let png: Vec<u8> = serde_json::from_value(told["image"][3].clone()).expect("bytes");

    let mut quantities: Vec<_> = scalars.collect();
    quantities.push((tag(&told["histogram"]), event_file::Quantity::Histogram(counted)));
    quantities.push((tag(&told["image"]), event_file::Quantity::Image { png, width, height }));
    let begin = [Event::Version, Event::Restart].map(|event| record(time, number("purge_step"), event));
    let summaries = quantities.into_iter().map(|quantity| record(time, step, Event::Summary(&[quantity])));
    let written: Vec<Vec<u8>> = begin.into_iter().chain(summaries).collect();
    // PyTorch's first record names its writer, too.
    assert_eq!(written, records(&file)[1..]);
}

#[test]
fn a_tensor_of_equal_values_is_a_histogram_of_one_bucket() {
    let found = histogram::of(&Tensor::from_slice(&[0.5f32; 6])).expect("a histogram");
    assert_eq!((found.min, found.max, found.count, found.sum, found.sum_squares), (0.5, 0.5, 6.0, 3.0, 1.5));
    assert_eq!((found.limits, found.counts), (vec![0.5], vec![6.0]));
}

#[test]
fn the_matrix_is_blue_on_its_diagonal_and_red_beside_it() {
    let mut confusion = Confusion::default();
    let classes = 3;
    for (label, prediction, count) in [(0, 0, 4), (1, 1, 3), (1, 2, 1)] {
        let answer = Answer { label, prediction, probability: 1.0, label_probability: 1.0, rank: 0, classes };
        (0..count).for_each(|_| confusion.add(&answer));
    }
    let image = confusion_raster::draw(&confusion, classes);
    let cell = image.width() / 3;
    let at = |row: u32, column: u32| image.get_pixel(column * cell + cell / 2, row * cell + cell / 2).0;
    // A quarter of the row's images: 255 - (0.12 + 0.88 / 4) * (255 - colour).
    assert_eq!((at(0, 0), at(1, 2)), ([31, 119, 180], [241, 182, 182]));
    assert!(at(1, 1)[2] > at(1, 1)[0], "mostly right");
    assert!([at(0, 1), at(2, 2)].iter().all(|pixel| *pixel == [255; 3]), "nothing there");
}

#[test]
fn the_matrix_of_many_classes_sums_up_neighbours() {
    let mut confusion = Confusion::default();
    let classes = 1000;
    for label in [0, 1] {
        let answer =
            Answer { label, prediction: 998 + label, probability: 1.0, label_probability: 0.0, rank: 9, classes };
        confusion.add(&answer);
    }
    let image = confusion_raster::draw(&confusion, classes);
    assert_eq!(image.dimensions(), (500, 500));
    let inked: Vec<_> = image.enumerate_pixels().filter(|(.., pixel)| pixel.0 != [255; 3]).collect();
    assert_eq!(inked, [(499, 0, &image::Rgb([214, 39, 40]))]);
}

#[test]
fn the_table_and_the_events_say_what_the_log_says() {
    let place = Workplace::with_shapes(10, 2);
    let sets =
        ["--set", ALL, "--set", r#"training.average={"ema":{"decay":0.9}}"#, "--set", "training.freeze=[\"conv1\"]"];
    place.train("run", &[&["--epochs", "3", "--batch-size", "8"], &sets[..]].concat()).succeeds();
    let (epochs, steps) = (lines(&place, "run", "epoch"), lines(&place, "run", "step"));
    assert_eq!((epochs.len(), steps.len()), (3, 4));

    let mut table = csv::Reader::from_path(place.path("run/log.csv")).expect("a table");
    let header = table.headers().expect("a header").clone();
    let rows: Vec<csv::StringRecord> = table.records().map(|row| row.expect("a row")).collect();
    assert_eq!(rows.len(), epochs.len());
    for (row, epoch) in rows.iter().zip(&epochs) {
        for (name, cell) in header.iter().zip(row) {
            let value = match name.strip_prefix("averaged_") {
                Some(name) => &epoch["averaged"][name],
                None if name == "rate" => {
                    &steps.iter().rfind(|step| step["epoch"] == epoch["epoch"]).expect("a step")["rate"]
                }
                None => &epoch[name],
            };
            let expected = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            assert_eq!(cell, if value.is_null() { "" } else { &expected }, "{name}");
        }
    }

    let told = told(&place, "run");
    let scalar = |tag: &str, line: &Value, number: &Value| {
        let expected = Quantity { kind: 2, value: Field::Float(number.as_f64().expect("a number") as f32) };
        assert_eq!(told[tag][&line["step"].as_u64().expect("a step")], expected, "{tag}");
    };
    for step in &steps {
        scalar("training/loss", step, &step["loss"]);
        scalar("training/learning_rate", step, &step["rate"]);
    }
    for epoch in &epochs {
        scalar("training/epoch_loss", epoch, &epoch["training_loss"]);
        for name in ["loss", "top1_error", "top5_error"] {
            scalar(&format!("validation/{name}"), epoch, &epoch[name]);
            scalar(&format!("averaged/{name}"), epoch, &epoch["averaged"][name]);
        }
    }
    let scalars = told.values().flat_map(BTreeMap::values).filter(|quantity| quantity.kind == 2).count();
    assert_eq!(scalars, 2 * steps.len() + 7 * epochs.len(), "and nothing else");

    let file = place.read("run/last.safetensors");
    let last = SafeTensors::deserialize(&file).expect("a checkpoint");
    let is_trained = |name: &str| !name.contains("running_") && !name.starts_with("conv1.");
    let mut trained: Vec<String> =
        last.names().into_iter().filter(|name| is_trained(name)).map(str::to_string).collect();
    trained.sort();
    let histograms: Vec<&str> = told.keys().filter_map(|tag| tag.strip_prefix("weights/")).collect();
    assert_eq!(histograms, trained);
    for name in trained {
        let size: usize = last.tensor(&name).expect("a tensor").shape().iter().product();
        let counted = &told[&format!("weights/{name}")];
        assert_eq!(counted.len(), epochs.len());
        for quantity in counted.values() {
            let found = fields(bytes(&quantity.value));
            let buckets = bytes(find(&found, 7).expect("buckets")).chunks(8);
            let sum: f64 = buckets.map(|it| f64::from_le_bytes(it.try_into().expect("8 bytes"))).sum();
            assert_eq!(
                (quantity.kind, find(&found, 3), sum),
                (5, Some(&Field::Double(size as f64)), size as f64),
                "{name}"
            );
        }
    }
    assert_eq!(told["validation/confusion"].len(), epochs.len());
    for picture in told["validation/confusion"].values() {
        let found = fields(bytes(&picture.value));
        let png = image::load_from_memory(bytes(find(&found, 4).expect("a picture"))).expect("a PNG");
        let size = [png.height(), png.width()].map(|side| Field::Integer(side.into()));
        assert_eq!([1, 2].map(|field| find(&found, field).expect("a side").clone()), size);
    }
}

#[test]
fn a_run_that_was_killed_says_each_step_once_when_it_is_resumed() {
    let place = Workplace::with_shapes(10, 2);
    let train = |run: &str, arguments: &[&str]| {
        let fixed = ["--batch-size", "8", "--set", ALL, "--set", CONSTANT];
        place.train(run, &[&fixed[..], arguments].concat()).succeeds();
    };
    train("whole", &["--epochs", "4"]);
    train("run", &["--epochs", "2"]);
    let (last, state) = ("run/last.safetensors", "run/state-30.safetensors");
    let [kept_last, kept_state] = [last, state].map(|file| place.read(file));
    train("run", &["--epochs", "4", "--resume"]);
    // As if the process had died before it saved anything, while it wrote an event.
    place.write(last, kept_last);
    place.write(state, kept_state);
    for file in files(&place, "run") {
        let mut file = fs::OpenOptions::new().append(true).open(place.path("run").join(file)).expect("a file");
        file.write_all(&[9, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 8]).expect("written");
    }
    train("run", &["--epochs", "4", "--resume"]);

    assert!(files(&place, "run").len() > 1, "a process has a file of its own");
    assert_eq!(told(&place, "run"), told(&place, "whole"));
    let epochs = |run: &str| {
        let mut table = csv::Reader::from_path(place.path(run).join("log.csv")).expect("a table");
        table.records().map(|row| row.expect("a row").iter().take(7).map(str::to_string).collect()).collect()
    };
    let [whole, parts]: [Vec<Vec<String>>; 2] = ["whole", "run"].map(epochs);
    assert_eq!(whole, parts);
}

#[test]
fn the_formats_of_the_log_may_change_when_a_run_is_resumed() {
    let place = Workplace::with_shapes(4, 2);
    place.train("run", &["--epochs", "1"]).succeeds();
    assert!(files(&place, "run").is_empty() && !place.path("run/log.csv").exists());
    let ran = place.train("run", &["--epochs", "2", "--resume", "--set", ALL]).succeeds();
    ran.says(&["changed since the run was saved: training.log", "resuming after 1 epoch,"]);
    let said = told(&place, "run");
    assert_eq!(said["validation/loss"].keys().collect::<Vec<_>>(), [&4]);
    assert_eq!(String::from_utf8(place.read("run/log.csv")).expect("text").lines().count(), 3, "a header and two rows");
    place.train("run", &["--epochs", "3", "--resume"]).succeeds();
    assert_eq!(told(&place, "run"), said, "what was written stays");
    place.train("run", &["--epochs", "4", "--resume", "--set", ALL]).succeeds();
    assert_eq!(told(&place, "run")["validation/loss"].keys().collect::<Vec<_>>(), [&4, &8]);
    assert_eq!(String::from_utf8(place.read("run/log.csv")).expect("text").lines().count(), 5);
}

#[test]
fn an_unknown_format_of_the_log_is_refused_with_those_that_exist() {
    let place = Workplace::with_shapes(1, 1);
    let ran = place.train("run", &["--set", r#"training.log=["tensorbord"]"#]);
    ran.fails_saying(&[
        "training.log[0]",
        "`tensorbord`",
        "`jsonl`, `csv`, `tensorboard`",
        "did you mean `tensorboard`?",
    ]);
    place.train("run", &["--set", "training.log=csv"]).fails_saying(&["training.log: expected a list"]);
}
