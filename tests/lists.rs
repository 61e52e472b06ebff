//! Data and classes that lists name, through the program itself.

mod common;

use std::fs;

use common::{Ran, Workplace, config, fixture};
use safetensors::SafeTensors;
use serde_json::Value;

/// A workplace with a data set as Kaggle's are: `kaggle/labels.csv`, `kaggle/train` with 6 images of each of three classes
/// under names that say nothing, and an image in `kaggle/test`, whose label nobody knows. Also `kaggle/val.csv` and
/// `kaggle/rest.csv`, which share out the rows of labels.csv.
fn kaggle() -> Workplace {
    let place = Workplace::with_shapes(6, 1);
    let (mut all, mut val, mut rest) = ("id,breed\n".to_string(), "id,breed\n".to_string(), "id,breed\n".to_string());
    for (position, class) in ["star", "ring", "disc"].iter().enumerate() {
        for number in 1..=6 {
            let id = format!("{:08x}", (7 * position + number) * 0x1234_5677 % 0xFFFF_FFFF);
            let image = place.read(&format!("shapes/train/{class}/{class}-{number:04}.jpg"));
            place.write(&format!("kaggle/train/{id}.jpg"), image);
            let row = format!("{id},{class}\n");
            all += &row;
            if number > 4 { val += &row } else { rest += &row }
        }
    }
    place.write("kaggle/test/00000000.jpg", place.read("shapes/val/star/star-0001.jpg"));
    place.write("kaggle/labels.csv", all);
    place.write("kaggle/val.csv", val);
    place.write("kaggle/rest.csv", rest);
    place
}

fn train(place: &Workplace, out: &str, arguments: &[&str]) -> Ran {
    let fixed = ["train", &config("tiny"), "--data", "kaggle", "--out", out, "--threads", "1", "--device", "cpu"];
    place.run(&[&fixed[..], &["--set", "training.schedule=constant"], arguments].concat())
}

fn weights(place: &Workplace, run: &str) -> Vec<u8> {
    let bytes = place.read(&format!("{run}/last.safetensors"));
    let file = SafeTensors::deserialize(&bytes).expect("a file");
    file.tensor("fc.weight").expect("a tensor").data().to_vec()
}

#[test]
fn a_list_is_trained_from_with_a_part_split_off_and_resumed_exactly() {
    let place = kaggle();
    let list = ["--labels", "kaggle/labels.csv"];
    let with = |out: &str, more: &[&str]| train(&place, out, &[&list[..], more].concat());
    with("whole", &["--epochs", "2"]).succeeds().says(&[
        "20 % of each class is split off, 3 of 18 images",
        "on 15 images of 3 classes",
        "kaggle/test/00000000.jpg: in no list of labels, and so left out",
    ]);
    with("parts", &["--epochs", "1"]).succeeds();
    with("parts", &["--epochs", "2", "--resume"]).succeeds();
    assert!(weights(&place, "whole") == weights(&place, "parts"));
    let predicted = place.run(&["predict", "whole", "kaggle/test", "--format", "jsonl"]).succeeds();
    let classes: Value = serde_json::from_str(&predicted.stdout).expect("JSON");
    assert_eq!(classes["predictions"].as_array().map(Vec::len), Some(3));

    // Another label is another data set.
    let list = fs::read_to_string(place.path("kaggle/labels.csv")).expect("a list");
    place.write("kaggle/labels.csv", list.replacen("star", "ring", 1));
    with("parts", &["--epochs", "3", "--resume"]).fails_saying(&["the training images are not the ones"]);
    train(&place, "parts", &["--epochs", "3", "--resume"])
        .fails_saying(&["kaggle: found the parts of a data set (test, train), but no class folders in them"]);
}

#[test]
fn validation_images_may_have_a_list_of_their_own() {
    let place = kaggle();
    let lists = ["--labels", "kaggle/rest.csv", "--val-labels", "kaggle/val.csv", "--epochs", "1"];
    train(&place, "run", &[&lists[..], &["--json", "train.json"]].concat())
        .succeeds()
        .says(&["on 12 images of 3 classes, validating on 6", "kaggle/test/00000000.jpg: in no list of labels"]);
    // `eval` with the same list sees the same images.
    let model = "run/last.safetensors";
    let eval = place.run(&["eval", model, "--data", "kaggle", "--labels", "kaggle/val.csv", "--json", "-"]);
    let eval: Value = serde_json::from_str(&eval.succeeds().stdout).expect("JSON");
    assert_eq!(eval["images"], 6);
    assert_eq!(eval["top1_error"], place.read_json("train.json")["last"]["top1_error"]);

    let mut both = lists;
    both[1] = "kaggle/labels.csv";
    train(&place, "both", &both).succeeds().says(&["6 images are in both lists", "the errors will be too low"]);
}

#[test]
fn lists_that_cannot_be_trained_from_are_refused_with_a_remedy() {
    let place = kaggle();
    let refused = |list: &str, arguments: &[&str], words: &[&str]| {
        place.write("list.csv", list);
        train(&place, "run", &[&["--labels", "list.csv"], arguments].concat()).fails_saying(words);
    };
    let all = fs::read_to_string(place.path("kaggle/labels.csv")).expect("a list");
    refused("id,breed\nnone,cat\nnowhere,dog\n", &[], &["list.csv: none of the 2 files", "the first being none"]);
    refused(&all.replace("ring", "star").replace("disc", "star"), &[], &["at least two classes, found only \"star\""]);
    refused(&all.replacen("star", "comet", 1), &[], &["a single image of \"comet\"", "--val-labels"]);
    refused(
        &all.replace("ring", "star"),
        &["--val-labels", "kaggle/val.csv"],
        &["--val-labels, whose classes are those of list.csv", "val.csv line 4: \"ring\" is not one"],
    );
    refused(&all, &["--val-labels", "kaggle/val.csv", "--val-fraction", "0.3"], &["leave out --val-fraction"]);
    train(&place, "run", &["--val-labels", "kaggle/val.csv"]).fails_saying(&["--labels"]);
    fs::copy(place.path("kaggle/test/00000000.jpg"), place.path("kaggle/train/00000000.jpg")).expect("a copy");
    refused(&format!("{all}00000000,star\n"), &[], &["00000000 may be", "narrow that folder down"]);
    assert!(!place.path("run").exists());
}

#[test]
fn a_list_whose_header_is_in_other_words_loses_that_line_alone() {
    let place = kaggle();
    let all = fs::read_to_string(place.path("kaggle/labels.csv")).expect("a list");
    place.write("list.csv", all.replacen("id,breed", "picture,diagnosis", 1));
    let said = ["list.csv: names picture, which is not in kaggle", "of 3 classes"];
    train(&place, "run", &["--labels", "list.csv", "--epochs", "1"]).succeeds().says(&said);
}

/// A workplace with images in class folders of these names.
fn folders(names: &[&str]) -> Workplace {
    let place = Workplace::new();
    for name in names {
        place.write(&format!("data/{name}/a.png"), fs::read(fixture("decode/rgb.png")).expect("a file"));
    }
    place
}

/// Evaluates the network of three classes that the fixtures hold.
fn eval(place: &Workplace, arguments: &[&str]) -> Ran {
    let [network, weights] = ["network.json", "plain.pth"].map(|name| fixture("checkpoints").join(name));
    let [network, weights] = [network, weights].map(|path| path.to_string_lossy().into_owned());
    place.run(
        &[&["eval", &network, "--weights", &weights, "--data", "data", "--per-image", "all.csv"], arguments].concat(),
    )
}

/// The labels of the images `data/FOLDER/a.png`, by their folders.
fn labels(place: &Workplace) -> Vec<(String, String)> {
    let table = String::from_utf8(place.read("all.csv")).expect("text");
    let rows = table.lines().skip(1).map(|row| row.split(',').collect::<Vec<_>>());
    let folder = |path: &str| path.split('/').nth(1).unwrap_or_default().to_string();
    rows.map(|row| (folder(row[0]), row[2].to_string())).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(folder, label)| ((*folder).to_string(), (*label).to_string())).collect()
}

#[test]
fn class_folders_are_matched_with_a_list_of_names_or_by_their_numbers() {
    let place = folders(&["cat", "dog"]);
    place.write("names.txt", "dog\ncow\ncat\n");
    place.write("names.json", r#"{"cat": 2, "cow": 1, "dog": 0}"#);
    for list in ["names.txt", "names.json"] {
        eval(&place, &["--classes", list]).succeeds();
        assert_eq!(labels(&place), pairs(&[("cat", "cat"), ("dog", "dog")]));
    }
    eval(&place, &[]).fails_saying(&["2 class folders, but the model has 3 classes", "--classes FILE"]);
    place.write("two.txt", "dog\ncat\n");
    eval(&place, &["--classes", "two.txt"]).fails_saying(&["the weights are for 3 classes, but the list has 2 names"]);
    place.write("twice.txt", "dog\ncat\ndog\n");
    eval(&place, &["--classes", "twice.txt"])
        .fails_saying(&["--classes", "the classes 0 and 2 are both called \"dog\""]);

    let place = folders(&["0", "2"]);
    place.write("names.txt", "dog\ncow\ncat\n");
    eval(&place, &["--classes", "names.txt"]).succeeds().says(&["by number, from 0: data/0 is dog"]);
    assert_eq!(labels(&place), pairs(&[("0", "dog"), ("2", "cat")]));
    eval(&place, &[]).succeeds().says(&["matched by number, from 0"]);
    place.write("data/3/a.png", "");
    eval(&place, &[]).fails_saying(&["data/3: class folders with numbers", "the numbers are 0 to 2", "count from 0"]);
}

#[test]
fn imagenets_classes_are_found_in_folders_of_numbers_in_the_order_of_numbers() {
    let place = folders(&["0", "1", "10", "2", "217", "999"]);
    let config = config("tiny");
    place.draw_shapes(2, 1);
    let train = ["train", &config, "--data", "shapes", "--out", "run", "--epochs", "1"];
    place.run(&train).succeeds();
    // A thousand outputs, of which none is meant: only the labels matter here.
    let bytes = place.read("run/last.safetensors");
    let file = SafeTensors::deserialize(&bytes).expect("a file");
    let zeros = vec![0; 4 * 1000 * 16];
    let tensors = file.iter().filter(|(name, _)| !name.starts_with("aux.")).map(|(name, view)| {
        let shape =
            if name.starts_with("fc.") { [&[1000], &view.shape()[1..]].concat() } else { view.shape().to_vec() };
        let data = if name.starts_with("fc.") { &zeros[..4 * shape.iter().product::<usize>()] } else { view.data() };
        (name.to_string(), safetensors::tensor::TensorView::new(view.dtype(), shape, data).expect("a tensor"))
    });
    place.write("imagenet.safetensors", safetensors::serialize(tensors, None).expect("a file"));
    let thousand = ["--set", "network.classes=1000", "--weights", "imagenet.safetensors"];
    let eval = ["eval", &config, "--data", "data", "--per-image", "all.csv"];
    place.run(&[&eval[..], &thousand].concat()).succeeds().says(&["data/0 is tench", "ImageNet's are assumed"]);
    let expected = [
        ("0", "n01440764"),
        ("1", "n01443537"),
        ("10", "n01530575"),
        ("2", "n01484850"),
        ("217", "n02102040"),
        ("999", "n15075141"),
    ];
    assert_eq!(labels(&place), pairs(&expected));
}
