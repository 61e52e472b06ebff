//! Weights of other programs, through the program itself.

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::{Workplace, config};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::Value;

type Tensors = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

/// A workplace with a trained tiny network, and its tensors.
fn trained() -> (Workplace, Tensors) {
    let place = Workplace::with_shapes(4, 2);
    place.train("run", &["--set", "training.epochs=1"]).succeeds();
    let bytes = place.read("run/best.safetensors");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let tensors = file.iter().map(|(name, view)| (name.to_string(), (view.shape().to_vec(), view.data().to_vec())));
    let tensors = tensors.collect();
    (place, tensors)
}

fn save(place: &Workplace, name: &str, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, (shape, data))| {
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), data).expect("a tensor"))
    });
    place.write(name, serialize(views, None).expect("a file"));
}

fn eval(place: &Workplace, arguments: &[&str]) -> common::Ran {
    let twelve = "network.classes=12";
    place.run(
        &[&["eval", &config("tiny"), "--set", twelve, "--data", "shapes", "--json", "-", "--weights"], arguments]
            .concat(),
    )
}

fn loss(ran: common::Ran) -> Value {
    let json: Value = serde_json::from_str(&ran.succeeds().stdout).expect("JSON");
    json["loss"].clone()
}

#[test]
fn prefixes_that_wrappers_add_are_recognised() {
    let (place, tensors) = trained();
    let expected = loss(place.run(&["eval", "run", "--data", "shapes", "--json", "-"]));
    for prefix in ["", "module.", "_orig_mod.", "model.", "_orig_mod.module."] {
        save(
            &place,
            "wrapped.safetensors",
            &tensors.iter().map(|(name, value)| (format!("{prefix}{name}"), value.clone())).collect(),
        );
        assert_eq!(loss(eval(&place, &["wrapped.safetensors"])), expected, "{prefix}");
    }
}

#[test]
fn weights_of_auxiliary_classifiers_may_be_missing_in_evaluation() {
    let (place, mut tensors) = trained();
    save(&place, "plain.safetensors", &tensors);
    tensors.retain(|name, _| !name.starts_with("aux."));
    save(&place, "headless.safetensors", &tensors);
    assert_eq!(loss(eval(&place, &["headless.safetensors"])), loss(eval(&place, &["plain.safetensors"])));
}

#[test]
fn every_mismatch_is_listed_with_the_nearest_name() {
    let (place, mut tensors) = trained();
    let fc = tensors.remove("fc.weight").expect("a classifier");
    tensors.insert("fc.wight".into(), fc);
    tensors.insert("conv2.weight".into(), (vec![16], vec![0; 64]));
    tensors.remove("conv2.bias");
    save(&place, "wrong.safetensors", &tensors);
    eval(&place, &["wrong.safetensors"]).fails_saying(&[
        "4 tensors differ",
        "missing     fc.weight [12, 16] (near: fc.wight)",
        "unexpected  fc.wight [12, 16] (near: fc.weight)",
        "wrong shape conv2.weight: expected [16, 10, 1, 3], found [16]",
        "missing     conv2.bias",
    ]);
}

#[test]
fn fine_tuning_reinitialises_the_classifier_for_other_classes_and_says_so() {
    let (place, _) = trained();
    for class in ["star", "ring", "disc"] {
        for split in ["train", "val"] {
            fs::create_dir_all(place.path(&format!("few/{split}"))).expect("a folder");
            fs::rename(place.path(&format!("shapes/{split}/{class}")), place.path(&format!("few/{split}/{class}")))
                .expect("a move");
        }
    }
    let tune = |out: &str, config: &str| {
        place.run(&[
            "train",
            config,
            "--data",
            "few",
            "--weights",
            "run/best.safetensors",
            "--out",
            out,
            "--set",
            "training.epochs=1",
        ])
    };
    tune("tuned", &config("tiny")).succeeds().says(&[
        "starting from the weights of run/best.safetensors",
        "newly initialised",
        "fc.weight",
        "fc.bias",
        "without the auxiliary classifiers aux",
    ]);
    tune("other", &config("resnet18")).fails_saying(&["not the weights of this network"]);
    assert!(!place.path("other").exists());
}

#[test]
fn flat_images_are_evaluated_with_a_list_of_labels() {
    let (place, _) = trained();
    let mut caffe = String::new();
    let mut kaggle = String::from("ImageId,PredictionString\n");
    let mut names = String::new();
    let classes = [
        "bullseye",
        "checkerboard",
        "crescent",
        "cross",
        "dice",
        "disc",
        "hourglass",
        "ring",
        "square",
        "star",
        "stripes",
        "triangle",
    ];
    for (position, class) in classes.iter().enumerate() {
        for number in 1..=2 {
            // Sorted by class, so that the third form's order is the same.
            let file = format!("{position:02}-{number}");
            place
                .write(&format!("flat/{file}.jpg"), place.read(&format!("shapes/val/{class}/{class}-000{number}.jpg")));
            caffe += &format!("{file}.jpg {position}\n");
            kaggle += &format!("{file},{class} 1 2 3 4\n");
            names += &format!("{class}\n");
        }
    }
    let expected = place.run(&["eval", "run", "--data", "shapes", "--json", "-"]).succeeds();
    let expected: Value = serde_json::from_str(&expected.stdout).expect("JSON");
    for list in [&caffe, &kaggle, &names] {
        place.write("labels.txt", list);
        let ran = place.run(&["eval", "run", "--data", "flat", "--labels", "labels.txt", "--json", "-"]).succeeds();
        let found: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        assert_eq!((&found["images"], &found["top1_error"]), (&expected["images"], &expected["top1_error"]), "{list}");
    }
    let refused = |list: &str, words: &[&str]| {
        place.write("labels.txt", list);
        place.run(&["eval", "run", "--data", "flat", "--labels", "labels.txt"]).fails_saying(words);
    };
    refused(&"490\n".repeat(24), &["only numbers", "meta.mat", "FILE LABEL"]);
    place.write("labels.txt", "00-1.jpg 0\n");
    place
        .run(&["eval", "run", "--data", "flat", "--labels", "labels.txt"])
        .succeeds()
        .says(&["flat: 23 images are in no list of labels, and so left out, the first flat/00-2.jpg"]);
    refused("00-1.jpg 12\n", &["labels.txt line 1", "from 0 to 11, found 12"]);
    refused("00-1.jpg stars\n", &["\"stars\" is not one of the model's classes (did you mean \"star\"?)"]);
}

/// A safetensors file with this header.
fn with_header(length: u64, header: &str, data: &[u8]) -> Vec<u8> {
    [&length.to_le_bytes(), header.as_bytes(), data].concat()
}

fn whole(header: &str, data: &[u8]) -> Vec<u8> {
    with_header(header.len() as u64, header, data)
}

#[test]
fn hostile_safetensors_files_are_refused_before_their_claims_are_believed() {
    let place = Workplace::with_shapes(1, 1);
    let refused = |contents: &[u8], words: &[&str]| {
        place.write("hostile.safetensors", contents);
        let words = [&["hostile.safetensors", "truncated, corrupt or not a safetensors file"], words].concat();
        eval(&place, &["hostile.safetensors"]).fails_saying(&words);
    };
    let tensor = |name: &str, shape: &str, begin: u64, end: u64| {
        format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
    };
    refused(&with_header(1 << 60, "{}", &[]), &["header claims 1152921504606846976 bytes"]);
    refused(&with_header(90_000_000, "{}", &[]), &["header claims 90000000 bytes"]);
    refused(&whole("{not JSON", &[]), &["header is corrupt"]);
    let overlapping = format!("{{{},{}}}", tensor("a", "[2]", 0, 8), tensor("b", "[2]", 4, 12));
    refused(&whole(&overlapping, &[0; 12]), &["header is corrupt", "b"]);
    let gap = format!("{{{},{}}}", tensor("a", "[2]", 0, 8), tensor("b", "[2]", 12, 20));
    refused(&whole(&gap, &[0; 20]), &["header is corrupt", "b"]);
    let overflowing = format!("{{{}}}", tensor("a", "[4294967296,4294967296,4294967296]", 0, 8));
    refused(&whole(&overflowing, &[0; 8]), &["header is corrupt"]);
    let huge = format!("{{{}}}", tensor("a", "[268435456,1024]", 0, 1 << 40));
    refused(&whole(&huge, &[0; 8]), &["lists 1099511627776 bytes", "8 follow"]);
    let short = format!("{{{}}}", tensor("a", "[2]", 0, 8));
    refused(&whole(&short, &[0; 7]), &["lists 8 bytes", "7 follow"]);
    refused(&whole(&short, &[0; 9]), &["lists 8 bytes", "9 follow"]);
    // A file that is mostly a hole costs neither time nor memory.
    let file = fs::File::create(place.path("hole.safetensors")).expect("a file");
    file.set_len(1 << 42).expect("a hole");
    use std::io::Write;
    (&file).write_all(&whole(&short, &[0; 8])).expect("a header");
    eval(&place, &["hole.safetensors"]).fails_saying(&["hole.safetensors", "lists 8 bytes"]);
}

#[test]
fn truncated_files_and_flipped_header_bits_are_errors_and_never_panics() {
    let (place, tensors) = trained();
    save(&place, "whole.safetensors", &tensors);
    let bytes = place.read("whole.safetensors");
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    for length in (0..bytes.len()).step_by(bytes.len() / 40) {
        place.write("cut.safetensors", &bytes[..length]);
        assert!(topfive::weights::read(&place.path("cut.safetensors")).is_err(), "{length}");
    }
    for bit in (0..8 * header).step_by(7) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // A name or a kind may have become another one, which comparing with the network finds.
        if let Ok(contents) = topfive::weights::read(&place.write("flipped.safetensors", flipped)) {
            let read = contents.tensors.iter().map(|tensor| tensor.data.len()).sum::<usize>();
            assert_eq!(read, bytes.len() - header);
        }
    }
}

#[test]
fn a_flipped_bit_in_the_header_of_a_checkpoint_never_changes_what_the_checkpoint_says() {
    let place = Workplace::with_shapes(4, 2);
    place.train("run", &["--set", "training.epochs=1"]).succeeds();
    let bytes = place.read("run/best.safetensors");
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    let said = |note: &str| serde_json::from_str::<Value>(note).expect("JSON");
    let whole = topfive::weights::read(&place.path("run/best.safetensors")).expect("a checkpoint");
    let original = said(&whole.note.expect("a note"));
    for byte in 8..header {
        let mut flipped = bytes.clone();
        flipped[byte] ^= 1 << (byte % 7);
        let read = topfive::weights::read(&place.write("flipped.safetensors", flipped));
        // Without the word by which it is found there is no note, and the file is no checkpoint. The last digit of a number
        // may be another one that stands for the same number.
        let note = read.ok().and_then(|contents| contents.note).map(|note| said(&note));
        assert!(note.is_none_or(|note| note == original), "byte {byte}");
    }
}

#[test]
fn a_flipped_bit_in_the_values_of_a_checkpoint_is_noticed() {
    let place = Workplace::with_shapes(4, 2);
    place.train("run", &["--set", "training.epochs=1"]).succeeds();
    let bytes = place.read("run/best.safetensors");
    for distance in [1, 777, 4000] {
        let mut flipped = bytes.clone();
        let last = flipped.len();
        flipped[last - distance] ^= 4;
        place.write("flipped.safetensors", flipped);
        place.run(&["eval", "flipped.safetensors", "--data", "shapes"]).fails_saying(&[
            "flipped.safetensors",
            "do not match their checksum",
            "corrupt",
        ]);
    }
}

#[test]
fn weights_with_thousands_of_unknown_tensors_are_refused_quickly() {
    let place = Workplace::with_shapes(1, 1);
    let names = (0..20_000)
        .map(|index| format!(r#""layer1.{index}.conv1.weight":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#));
    let header = format!("{{{}}}", names.collect::<Vec<_>>().join(","));
    place.write("many.safetensors", whole(&header, &[]));
    let ran = eval(&place, &["many.safetensors"]).fails_saying(&["missing", "unexpected", "more"]);
    assert!(ran.stderr.lines().count() < 1100, "{}", ran.stderr.lines().count());
}
