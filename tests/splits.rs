//! Data sets whose validation images are split off, and uneven classes, through the program itself.

mod common;

use std::collections::BTreeSet;
use std::fs;

use common::{Workplace, config};
use safetensors::SafeTensors;
use topfive::data::dataset::Dataset;
use topfive::data::example::Examples;
use topfive::data::split::{Splits, ValidationSource};
use topfive::experiment::{Change, Experiment};

/// A workplace with one folder per class in `photos`: 10 stars, 10 rings, 3 discs.
fn photos() -> Workplace {
    let place = Workplace::with_shapes(10, 1);
    fs::create_dir_all(place.path("photos")).expect("a folder");
    for class in ["star", "ring", "disc"] {
        fs::rename(place.path(&format!("shapes/train/{class}")), place.path(&format!("photos/{class}")))
            .expect("a move");
    }
    for number in 4..=10 {
        fs::remove_file(place.path(&format!("photos/disc/disc-{number:04}.jpg"))).expect("removed");
    }
    place
}

fn names(dataset: &Dataset) -> BTreeSet<String> {
    dataset.samples.iter().map(|sample| sample.source.name()).collect()
}

#[test]
fn the_same_images_are_split_off_for_the_same_files_and_seed() {
    let place = photos();
    let split = |fraction, seed| Splits::open(&place.path("photos"), fraction, seed).expect("both parts");
    let first = split(None, 0);
    assert_eq!(first.source, ValidationSource::Split(0.2));
    assert_eq!((first.train.class_sizes(), first.val.class_sizes()), (vec![2, 8, 8], vec![1, 2, 2]));
    assert!(names(&first.train).is_disjoint(&names(&first.val)));
    assert_eq!(names(&first.train).len() + names(&first.val).len(), 23);
    assert_eq!(names(&first.val), names(&split(Some(0.2), 0).val));
    assert_ne!(names(&first.val), names(&split(None, 1).val));
    assert_eq!(split(Some(0.9), 0).train.class_sizes(), [1, 1, 1], "one image stays to train on");
    assert_eq!(split(Some(0.01), 0).val.class_sizes(), [1, 1, 1]);
    // The folder may lie elsewhere.
    fs::rename(place.path("photos"), place.path("moved")).expect("a move");
    let base = |names: BTreeSet<String>| -> BTreeSet<String> {
        names.into_iter().map(|name| name.rsplit('/').next().unwrap_or_default().to_string()).collect()
    };
    let moved = Splits::open(&place.path("moved"), None, 0).expect("both parts");
    assert_eq!(base(names(&first.val)), base(names(&moved.val)));
    assert_eq!(first.train.fingerprint(), moved.train.fingerprint());
}

#[test]
fn a_split_run_is_resumed_only_with_the_same_split() {
    let place = photos();
    let train = |arguments: &[&str]| {
        let fixed =
            ["train", &config("tiny"), "--data", "photos", "--out", "run", "--set", "training.schedule=constant"];
        place.run(&[&fixed, arguments].concat())
    };
    train(&["--epochs", "1"]).succeeds().says(&["20 % of each class is split off, 5 of 23 images", "uneven classes"]);
    assert_eq!(place.read_json("run/experiment.json")["training"]["val_fraction"], 0.2);
    train(&["--epochs", "2", "--resume", "--val-fraction", "0.3"])
        .fails_saying(&["training.val_fraction: 0.2 then, 0.3 now"]);
    train(&["--epochs", "2", "--resume"]).succeeds();
    fs::remove_file(place.path("photos/star/star-0003.jpg")).expect("removed");
    train(&["--epochs", "3", "--resume"]).fails_saying(&["training images are not the ones"]);
    place.run(&["eval", "run", "--data", "photos"]).succeeds().says(&["most of these images were trained on"]);
}

#[test]
fn data_that_cannot_be_split_is_refused_with_a_remedy() {
    let place = photos();
    let train = |data: &str, arguments: &[&str]| {
        place.run(&[&["train", &config("tiny"), "--data", data, "--out", "run", "--epochs", "1"], arguments].concat())
    };
    train("shapes", &["--val-fraction", "0.3"]).fails_saying(&["shapes/val: has validation images", "val_fraction"]);
    train("photos", &["--val-fraction", "1.5"])
        .fails_saying(&["training.val_fraction", "from 0.001 to 0.9, found 1.5"]);
    fs::create_dir_all(place.path("photos/lone")).expect("a folder");
    fs::copy(place.path("photos/star/star-0001.jpg"), place.path("photos/lone/a.jpg")).expect("a copy");
    train("photos", &[]).fails_saying(&["photos/lone: a single image", "Add images"]);
    place.write("one/only/a.jpg", "");
    place.write("one/only/b.jpg", "");
    train("one", &[]).fails_saying(&["only one class folder, \"only\"", "train/cat/1.jpg"]);
    fs::rename(place.path("shapes/train"), place.path("elsewhere")).expect("a move");
    train("shapes", &[]).fails_saying(&["a folder \"val\", but no folder \"train\""]);
    assert!(!place.path("run").exists());
}

#[test]
fn folders_of_validation_images_have_many_names() {
    let place = Workplace::with_shapes(2, 1);
    place.train("run", &["--epochs", "1"]).succeeds();
    for (before, name) in [("val", "valid"), ("valid", "validation"), ("validation", "test")] {
        fs::rename(place.path(&format!("shapes/{before}")), place.path(&format!("shapes/{name}"))).expect("a move");
        let said = format!("\"{name}\" is used for validation");
        place.train(name, &["--epochs", "1"]).succeeds().says(&[&said]);
        place.run(&["eval", "run", "--data", "shapes"]).succeeds().says(&[&format!("shapes/{name} is evaluated")]);
    }
    fs::remove_dir_all(place.path("shapes/test/star")).expect("removed");
    place.train("less", &["--epochs", "1"]).succeeds().says(&["no validation images of star"]);
}

#[test]
fn balanced_sampling_draws_all_classes_equally_often_and_differs_from_epoch_to_epoch() {
    let place = Workplace::new();
    for (class, count) in [("common", 300), ("rare", 20), ("middle", 80)] {
        for number in 0..count {
            place.write(&format!("train/{class}/{number}.jpg"), "");
        }
    }
    let dataset = topfive::data::folder::open(&place.path("train")).expect("a data set");
    let change = Change::Set("training.sampler=balanced".to_string());
    let experiment = Experiment::load("tiny".as_ref(), &[change]).expect("an experiment");
    let examples = Examples::new(&dataset, &experiment);
    let mut drawn = [0; 3];
    for epoch in 0..10 {
        let order = examples.order(epoch);
        assert_eq!(order.len(), 400);
        order.iter().for_each(|visit| drawn[dataset.samples[visit.sample as usize].label] += 1);
    }
    // Four standard deviations of 4000 draws of a third each: 4 * sqrt(4000 * 1/3 * 2/3).
    assert!(drawn.iter().all(|&count| (f64::from(count) - 4000.0 / 3.0).abs() < 120.0), "{drawn:?}");
    assert_eq!(examples.order(3), examples.order(3));
    assert_ne!(examples.order(3), examples.order(4));
}

#[test]
fn balanced_classes_change_what_is_learned_and_resume_exactly() {
    let place = photos();
    let train = |out: &str, arguments: &[&str]| {
        let fixed = ["train", &config("tiny"), "--data", "photos", "--out", out, "--threads", "1", "--device", "cpu"];
        let constant = ["--set", "training.schedule=constant", "--batch-size", "4"];
        place.run(&[&fixed[..], &constant[..], arguments].concat())
    };
    let weights = |run: &str| {
        let bytes = place.read(&format!("{run}/last.safetensors"));
        SafeTensors::deserialize(&bytes).expect("a file").tensor("fc.weight").expect("a tensor").data().to_vec()
    };
    train("plain", &["--epochs", "2"]).succeeds();
    for key in ["training.sampler=balanced", "training.class_weights=balanced"] {
        train(key, &["--epochs", "2", "--set", key]).succeeds();
        train("parts", &["--epochs", "1", "--set", key]).succeeds();
        train("parts", &["--epochs", "2", "--set", key, "--resume"]).succeeds();
        assert!(weights(key) != weights("plain"), "{key}");
        assert!(weights(key) == weights("parts"), "{key}");
        fs::remove_dir_all(place.path("parts")).expect("removed");
    }
    let refused = |keys: &[&str], words: &[&str]| {
        let sets: Vec<&str> = keys.iter().flat_map(|key| ["--set", key]).collect();
        train("refused", &sets).fails_saying(words);
    };
    refused(
        &["training.sampler=balanced", "training.class_weights=balanced"],
        &["training.class_weights", "training.sampler already draws equally often"],
    );
    refused(
        &["training.class_weights=balanced", "training.accumulate=2"],
        &["training.accumulate", "training.sampler"],
    );
    fs::remove_dir_all(place.path("photos/disc")).expect("removed");
    refused(&["training.class_weights=balanced"], &["all classes have 8 images", "\"none\""]);
}

#[test]
fn a_folder_whose_name_nearly_says_validation_is_not_passed_over() {
    for name in ["Val", "Validation", "testing", "val_images"] {
        let place = Workplace::with_shapes(4, 2);
        fs::rename(place.path("shapes/val"), place.path(&format!("shapes/{name}"))).expect("renamed");
        place.train("run", &[]).fails_saying(&[name, "rename it to validate on it"]);
    }
}

#[test]
fn a_run_is_resumed_only_with_the_same_validation_images() {
    let place = Workplace::with_shapes(4, 2);
    place.train("run", &["--epochs", "1"]).succeeds();
    fs::remove_file(place.path("shapes/val/star/star-0001.jpg")).expect("removed");
    let ran = place.train("run", &["--epochs", "2", "--resume"]);
    ran.fails_saying(&["the validation images are not the ones that run had (24 images then, 23 now", "new run"]);
}
