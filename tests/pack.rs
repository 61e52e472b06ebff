//! Packing a data set into shards, through the program itself.
#![allow(clippy::unwrap_used)] // in helpers, too

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Ran, Workplace, config, fixture};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use topfive::data::dataset::Dataset;
use topfive::data::folder;
use topfive::data::shards;

fn pack(place: &Workplace, data: &str, out: &str, arguments: &[&str]) -> Ran {
    place.run(&[&["pack", data, out], arguments].concat())
}

/// The names and contents of the files in a folder, sorted.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_string(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// The class and the bytes of each image, in the order of the data set.
fn contents(dataset: &Dataset) -> Vec<(String, Vec<u8>)> {
    let content = dataset
        .samples
        .iter()
        .map(|sample| (dataset.classes[sample.label].clone(), sample.source.bytes().expect("bytes").into_owned()));
    content.collect()
}

#[test]
fn shards_hold_the_images_of_the_folders_byte_for_byte_in_another_order_on_disk() {
    let place = Workplace::with_shapes(6, 2);
    let packed = pack(&place, "shapes", "packed", &["--shard-images", "20", "--json", "packed.json"]).succeeds();
    assert!(
        packed.stdout.contains("packed/train/train-{0000..0003}.tar: 72 images of 12 classes in 4 shards"),
        "{}",
        packed.stdout
    );
    let json = place.read_json("packed.json");
    assert_eq!((&json["parts"][0]["images"], &json["parts"][1]["shards"].as_array().unwrap().len()), (&72.into(), &2));
    for part in ["train", "val"] {
        let folders = folder::open(&place.path(&format!("shapes/{part}"))).expect("class folders");
        let packed = shards::open(&place.path(&format!("packed/{part}"))).expect("shards");
        assert_eq!((&folders.classes, contents(&folders)), (&packed.classes, contents(&packed)), "{part}");
        assert!(packed.notes.is_empty(), "pack writes indices, too: {:?}", packed.notes);
    }
    // As another reader of tar files sees them: images of many classes follow each other.
    let first = place.read("packed/train/train-0000.tar");
    let mut archive = tar::Archive::new(first.as_slice());
    let names = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().to_str().unwrap().to_string());
    let names: Vec<String> = names.collect();
    assert_eq!(names.len(), 40);
    assert!(names[0].ends_with(".jpg") && names[1] == names[0].replace(".jpg", ".cls"), "{names:?}");
    assert!(!names.is_sorted(), "{names:?}");
}

#[test]
fn training_from_shards_gives_the_weights_of_training_from_folders() {
    let place = Workplace::with_shapes(6, 2);
    pack(&place, "shapes", "packed", &["--shard-images", "20", "--seed", "5"]).succeeds();
    for sampler in ["uniform", "balanced"] {
        for data in ["shapes", "packed"] {
            let (out, sampler) = (format!("{data}-{sampler}"), format!("training.sampler={sampler}"));
            let config = config("tiny");
            let fixed = ["train", &config, "--data", data, "--out", &out, "--threads", "1", "--device", "cpu"];
            let settings = [
                "--epochs",
                "2",
                "--batch-size",
                "16",
                "--set",
                &sampler,
                "--set",
                "training.augment=[\"trivial_augment\"]",
            ];
            place.run(&[fixed.as_slice(), &settings].concat()).succeeds();
        }
        for file in ["best.safetensors", "last.safetensors"] {
            let [folders, shards] = ["shapes", "packed"].map(|data| place.read(&format!("{data}-{sampler}/{file}")));
            assert!(folders == shards, "{file}, {sampler}");
        }
    }
}

#[test]
fn packing_that_is_killed_goes_on_to_the_same_shards() {
    let place = Workplace::with_shapes(2, 1);
    place.add_thousands_of_images();
    let arguments = ["--shard-images", "100"];
    let begun = Instant::now();
    pack(&place, "shapes", "whole", &arguments).succeeds();
    let mut longest = begun.elapsed();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut kept = 0;
    for number in 0..4 {
        let out = format!("parts-{number}");
        loop {
            let mut command = place.command(&[&["pack", "shapes", &out], arguments.as_slice()].concat());
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
            std::thread::sleep(longest.mul_f64(random.random::<f64>()));
            let _ = child.kill();
            let ran = child.wait_with_output().expect("an end");
            kept += usize::from(String::from_utf8_lossy(&ran.stderr).contains("keeping"));
            if ran.status.success() {
                break;
            }
            assert_eq!(ran.status.code(), None, "{}", String::from_utf8_lossy(&ran.stderr));
            // However slow the machine is now, packing comes to its end.
            longest += Duration::from_millis(20);
        }
        for part in ["train", "val"] {
            let [whole, parts] = ["whole", &out].map(|out| files(&place.path(&format!("{out}/{part}"))));
            assert!(whole == parts, "{out}/{part}");
        }
    }
    assert!(kept > 0, "shards of killed runs are kept");
}

#[test]
fn missing_and_corrupt_shards_are_packed_again_and_the_others_kept() {
    let place = Workplace::with_shapes(6, 2);
    let arguments = ["--shard-images", "10"];
    pack(&place, "shapes", "packed", &arguments).succeeds();
    let whole = files(&place.path("packed/train"));
    fs::remove_file(place.path("packed/train/train-0001.tar")).unwrap();
    let shard = place.read("packed/train/train-0002.tar");
    place.write("packed/train/train-0002.tar", &shard[..shard.len() / 2]);
    place.write("packed/train/.topfive-train-0003.tar-abc", "left by a killed run");
    pack(&place, "shapes", "packed", &arguments).succeeds().says(&["keeping 9 complete shards"]);
    assert!(files(&place.path("packed/train")) == whole);
}

#[test]
fn a_folder_that_holds_something_else_is_refused_and_left_alone() {
    let place = Workplace::with_shapes(3, 1);
    place.write("mine/notes.txt", "mine");
    pack(&place, "shapes", "mine", &[])
        .fails_saying(&["mine: holds something else, mine/notes.txt", "Choose a new folder"]);
    place.write("other/train/notes.txt", "mine");
    pack(&place, "shapes", "other", &[]).fails_saying(&["other/train: not empty"]);
    pack(&place, "shapes/train", "shapes/train/packed", &[]).fails_saying(&["inside the data set itself"]);
    pack(&place, "shapes/train", "other/../shapes/train/packed", &[]).fails_saying(&["inside the data set itself"]);
    pack(&place, "shapes", "packed", &[]).succeeds();
    let before = files(&place.path("packed/train"));
    let refusal = ["packed/train: contains shards of another data set, or shards packed with other options"];
    pack(&place, "shapes", "packed", &["--seed", "1"]).fails_saying(&refusal);
    fs::remove_file(place.path("shapes/train/ring/ring-0001.jpg")).unwrap();
    pack(&place, "shapes", "packed", &[]).fails_saying(&refusal);
    assert!(files(&place.path("packed/train")) == before);
}

#[test]
fn images_are_shrunk_to_a_shorter_side_and_small_ones_keep_their_bytes() {
    let place = Workplace::with_shapes(2, 1);
    let small = fs::read(fixture("decode").join("rgb.png")).unwrap();
    place.write("shapes/val/ring/small.png", &small);
    pack(&place, "shapes", "packed", &["--shorter-side", "30", "--quality", "80"]).succeeds();
    let packed = shards::open(&place.path("packed/train")).expect("shards");
    for sample in &packed.samples[..] {
        let image = sample.source.image(true).expect("an image");
        assert_eq!(image.width().min(image.height()), 30);
        assert!(sample.source.name().ends_with(".jpg"));
    }
    let val = shards::open(&place.path("packed/val")).expect("shards");
    assert!(contents(&val).iter().any(|(class, bytes)| class == "ring" && *bytes == small));
}

#[test]
fn images_that_cannot_be_read_are_named_and_left_out() {
    let place = Workplace::with_shapes(2, 1);
    place.write("shapes/train/ring/empty.jpg", "");
    let packed = pack(&place, "shapes", "packed", &[]);
    assert_eq!(packed.status, 1, "{}", packed.stderr);
    packed.says(&["shapes/train/ring/empty.jpg: the file is empty (0 bytes); left out"]);
    let dataset = shards::open(&place.path("packed/train")).expect("shards");
    assert_eq!((dataset.samples.len(), dataset.left_out.len()), (24, 0));
    // Once it is mended, the same command adds it, also to the number of images of its class.
    place.write("shapes/train/ring/empty.jpg", place.read("shapes/train/ring/ring-0001.jpg"));
    pack(&place, "shapes", "packed", &[]).succeeds();
    let classes = place.read_json("packed/train/classes.json");
    let ring = classes["classes"].as_array().unwrap().iter().position(|class| class == "ring").unwrap();
    assert_eq!(classes["counts"][ring], 3);
}

#[test]
fn two_processes_do_not_pack_into_one_folder() {
    let place = Workplace::with_shapes(2, 1);
    pack(&place, "shapes", "packed", &[]).succeeds();
    let folder = fs::File::open(place.path("packed/val")).unwrap();
    folder.lock().unwrap();
    pack(&place, "shapes", "packed", &[]).fails_saying(&["packed/val: another process packs into this folder"]);
    drop(folder);
    pack(&place, "shapes", "packed", &[]).succeeds();
}

#[test]
fn shards_of_other_programs_are_packed_anew() {
    let place = Workplace::new();
    for name in ["plain-000000.tar", "plain-000001.tar"] {
        place.write(&format!("set/{name}"), fs::read(fixture("shards").join(name)).unwrap());
    }
    pack(&place, "set/plain-{000000..000001}.tar", "packed", &[]).succeeds();
    let [before, after] = ["set", "packed"].map(|set| contents(&shards::open(&place.path(set)).expect("shards")));
    assert_eq!(before, after);
}
