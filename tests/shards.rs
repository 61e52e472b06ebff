//! Shards: those of webdataset's own writer (scripts/make_shard_fixtures.py), and corrupt, missing and changed ones.
#![allow(clippy::unwrap_used)] // in helpers, too

mod common;

use std::fs;
use std::path::Path;

use common::{Workplace, config, fixture};
use serde_json::Value;
use sha2::{Digest, Sha256};
use topfive::data::dataset::Dataset;
use topfive::data::listing::{LeftOut, Reason};
use topfive::data::shards;

/// A workplace with copies of fixtures in the folder `set`: opening shards writes beside them.
fn with_fixtures(names: &[&str]) -> Workplace {
    let place = Workplace::new();
    for name in names {
        place.write(&format!("set/{name}"), fs::read(fixture("shards").join(name)).unwrap());
    }
    place
}

const PLAIN: [&str; 2] = ["plain-000000.tar", "plain-000001.tar"];

/// Writes a tar file of these members.
fn write_tar(path: &Path, members: &[(&str, &[u8])]) {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, *content).unwrap();
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, tar.into_inner().unwrap()).unwrap();
}

fn png() -> Vec<u8> {
    fs::read(fixture("decode").join("rgb.png")).unwrap()
}

fn labels(dataset: &Dataset) -> Vec<usize> {
    dataset.samples.iter().map(|sample| sample.label).collect()
}

fn refused(place: &Path) -> String {
    format!("{:#}", shards::open(place).expect_err("refused"))
}

#[test]
fn shards_by_webdataset_hold_what_its_own_reader_finds() {
    let expected: Value = serde_json::from_slice(&fs::read(fixture("shards").join("expected.json")).unwrap()).unwrap();
    for (set, files) in [("plain", PLAIN.as_slice()), ("odd", &["odd.tar"])] {
        let place = with_fixtures(files);
        // First from the shards themselves, then from the index that this made.
        for _ in 0..2 {
            let dataset = shards::open(&place.path("set")).expect("a data set");
            let found = dataset.samples.iter().map(|sample| {
                let path = sample.source.path().into_owned();
                let (stem, ending) = (path.with_extension(""), path.extension().unwrap().to_str().unwrap().to_string());
                let shard = path.ancestors().find(|path| path.is_file()).unwrap();
                let digest = Sha256::digest(sample.source.bytes().expect("bytes"));
                let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                serde_json::json!({
                    "key": stem.strip_prefix(shard).unwrap().to_str(), "ending": ending, "label": sample.label, "sha256": digest,
                })
            });
            assert_eq!(Value::Array(found.collect()), expected[set], "{set}");
            assert_eq!((dataset.left_out.len(), dataset.classes.len()), (0, 3), "{set}");
        }
    }
}

#[test]
fn a_pattern_names_shards_and_every_one_must_exist() {
    let place = with_fixtures(&PLAIN);
    let dataset = shards::open(&place.path("set/plain-{000000..000001}.tar")).expect("a data set");
    assert_eq!((dataset.samples.len(), dataset.root.clone()), (7, place.path("set")));
    assert_eq!(shards::open(&place.path("set/plain-000001.tar")).expect("a data set").samples.len(), 3);
    let error = refused(&place.path("set/plain-{000000..000003}.tar"));
    assert!(error.contains("plain-000002.tar: no such shard (2 of the 4"), "{error}");
    let error = refused(&place.path("set/plain-{000000.tar"));
    assert!(error.contains("expected a pattern such as"), "{error}");
}

#[test]
fn classes_are_named_by_the_list_beside_the_shards_or_are_numbers() {
    let place = with_fixtures(&PLAIN);
    let classes =
        || shards::open(&place.path("set")).map(|dataset| dataset.classes).map_err(|error| format!("{error:#}"));
    assert_eq!(classes(), Ok(["0", "1", "2"].map(String::from).to_vec()));
    place.write("set/classes.json", r#"["ant", "bee", "cat"]"#);
    assert_eq!(classes(), Ok(["ant", "bee", "cat"].map(String::from).to_vec()));
    place.write("set/classes.json", r#"{"classes": ["ant", "bee"]}"#);
    let error = classes().expect_err("too few classes");
    assert!(
        error.contains("plain-000000.tar/000002.jpg: expected a class from 0 to 1") && error.contains("found 2"),
        "{error}"
    );
    place.write("set/classes.json", "ant, bee");
    assert!(classes().expect_err("no JSON").contains("classes.json: expected {\"classes\""));
}

#[test]
fn samples_are_ordered_by_their_numbers_if_all_differ() {
    let place = Workplace::new();
    let png = png();
    write_tar(&place.path("set/a.tar"), &[("3.png", &png), ("3.cls", b"3"), ("0.cls", b"0"), ("0.png", &png)]);
    write_tar(&place.path("set/b.tar"), &[("2.cls", b"2"), ("2.png", &png), ("1.cls", b"1"), ("1.png", &png)]);
    assert_eq!(labels(&shards::open(&place.path("set")).expect("a data set")), [0, 1, 2, 3]);
    write_tar(&place.path("set/c.tar"), &[("1.cls", b"0"), ("1.png", &png)]);
    assert_eq!(labels(&shards::open(&place.path("set")).expect("a data set")), [3, 0, 2, 1, 0]);
}

#[test]
fn samples_without_a_class_or_an_image_are_named() {
    let place = Workplace::new();
    let png = png();
    let members: [(&str, &[u8]); 6] =
        [("1.png", &png), ("1.cls", b"1"), ("2.png", &png), ("3.cls", b"0"), ("4.cls", b"cat"), ("4.png", &png)];
    write_tar(&place.path("set/a.tar"), &members);
    for _ in 0..2 {
        let dataset = shards::open(&place.path("set")).expect("a data set");
        let left_out: Vec<(String, Reason)> = dataset
            .left_out
            .iter()
            .map(|LeftOut { path, reason }| (path.file_name().unwrap().to_str().unwrap().to_string(), *reason))
            .collect();
        let expected = [("2", Reason::Unlabelled), ("3", Reason::Imageless), ("4", Reason::Unlabelled)];
        assert_eq!(left_out, expected.map(|(name, reason)| (name.to_string(), reason)));
    }
    write_tar(&place.path("none/a.tar"), &members[2..]);
    let error = refused(&place.path("none"));
    assert!(error.contains("no sample with an image and a class") && error.contains("000123.cls"), "{error}");
}

/// Where each image and its class end in a shard of webdataset's, by the blocks of its headers.
fn ends(tar: &[u8]) -> Vec<u64> {
    let mut archive = tar::Archive::new(tar);
    let ends = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        entry.raw_file_position() + entry.size().next_multiple_of(512)
    });
    ends.collect::<Vec<u64>>().chunks(2).map(|sample| sample[1]).collect()
}

#[test]
fn the_images_before_the_end_of_a_truncated_shard_count() {
    let whole = fs::read(fixture("shards").join(PLAIN[0])).unwrap();
    let ends = ends(&whole);
    assert_eq!(ends.len(), 4);
    for length in (ends[0]..*ends.last().unwrap()).step_by(100) {
        let place = with_fixtures(&PLAIN);
        place.write("set/plain-000000.tar", &whole[..length as usize]);
        let dataset = shards::open(&place.path("set")).expect("a data set");
        let before = ends.iter().filter(|end| **end <= length.next_multiple_of(512)).count();
        // The last block of a sample's last member is padded: what is cut there is not content.
        let count = dataset.samples.len() - 3;
        assert!(count == before || count + 1 == before, "{count} of {before} at {length}");
        let [LeftOut { path, reason: Reason::Truncated { lost } }] = &dataset.left_out[..] else {
            panic!("{:?} at {length}", dataset.left_out)
        };
        assert!(path.ends_with("plain-000000.tar") && *lost < length, "{lost}");
    }
}

#[test]
fn the_images_before_the_damage_in_a_corrupt_shard_count() {
    let whole = fs::read(fixture("shards").join(PLAIN[0])).unwrap();
    let damage: [fn(&mut [u8]); 3] = [|block| block.fill(0), |block| block.fill(0xA5), |block| block[3] ^= 1];
    for damage in damage {
        let mut corrupt = whole.clone();
        let second = ends(&whole)[1] as usize;
        damage(&mut corrupt[second..second + 512]);
        let place = Workplace::new();
        place.write("set/a.tar", &corrupt);
        let dataset = shards::open(&place.path("set")).expect("a data set");
        assert_eq!(labels(&dataset), [0, 1]);
        let reason = Reason::Truncated { lost: (whole.len() - second) as u64 };
        assert_eq!(dataset.left_out.iter().map(|it| it.reason).collect::<Vec<_>>(), [reason]);
    }
}

#[test]
fn an_index_of_another_shard_or_a_corrupt_one_is_made_anew() {
    let place = with_fixtures(&PLAIN);
    let expected = shards::open(&place.path("set")).expect("a data set");
    let index = place.read("set/plain-000000.tar.index");
    for at in 0..index.len() {
        let mut corrupt = index.clone();
        corrupt[at] ^= 0x41;
        place.write("set/plain-000000.tar.index", corrupt);
        assert_eq!(shards::open(&place.path("set")).expect("a data set").samples, expected.samples, "byte {at}");
        fs::write(place.path("set/plain-000000.tar.index"), &index).unwrap();
    }
    for length in [0, 10, index.len() - 1] {
        place.write("set/plain-000000.tar.index", &index[..length]);
        assert_eq!(shards::open(&place.path("set")).expect("a data set").samples, expected.samples, "{length} bytes");
        fs::write(place.path("set/plain-000000.tar.index"), &index).unwrap();
    }
    fs::copy(place.path("set/plain-000001.tar.index"), place.path("set/plain-000000.tar.index")).unwrap();
    write_tar(&place.path("set/plain-000001.tar"), &[("9.cls", b"1"), ("9.png", &png())]);
    assert_eq!(shards::open(&place.path("set")).expect("a data set").samples.len(), 5);
}

#[test]
fn an_index_that_cannot_be_written_is_kept_in_memory_and_a_users_file_is_kept() {
    let place = with_fixtures(&["odd.tar"]);
    place.write("set/odd.tar.index", "mine");
    let dataset = shards::open(&place.path("set")).expect("a data set");
    assert_eq!(dataset.samples.len(), 3);
    assert!(dataset.notes[0].contains("odd.tar.index: cannot be written"), "{:?}", dataset.notes);
    assert_eq!(place.read("set/odd.tar.index"), b"mine");
}

#[test]
fn a_shard_that_disappears_or_changes_leaves_bad_images() {
    let place = with_fixtures(&PLAIN);
    let dataset = shards::open(&place.path("set")).expect("a data set");
    let reason = |index: usize| dataset.samples[index].source.image(true).err().map(|error| format!("{error:#}"));
    assert_eq!(reason(0), None);
    fs::write(place.path("set/plain-000000.tar"), vec![b'x'; 20480]).unwrap();
    assert!(reason(0).expect("changed").contains("its shard has changed"));
    fs::write(place.path("set/plain-000000.tar"), [0; 700]).unwrap();
    assert!(reason(0).expect("too short").contains("its shard is truncated"));
    fs::remove_file(place.path("set/plain-000000.tar")).unwrap();
    assert!(reason(0).expect("missing").contains("its shard cannot be opened"));
    assert_eq!(reason(6), None, "the other shard is intact");
}

/// A data set of shards, `set/train` and `set/val`, with the images that `shapes` draws.
fn with_shards() -> Workplace {
    let place = Workplace::with_shapes(6, 2);
    for part in ["train", "val"] {
        let classes = topfive::data::folder::open(&place.path(&format!("shapes/{part}"))).expect("class folders");
        let mut members = Vec::new();
        for (number, sample) in classes.samples.iter().enumerate() {
            members.push((format!("{number:06}.cls"), sample.label.to_string().into_bytes()));
            members.push((format!("{number:06}.jpg"), sample.source.bytes().unwrap().into_owned()));
        }
        let members: Vec<(&str, &[u8])> =
            members.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        write_tar(&place.path(&format!("set/{part}/a.tar")), &members);
        place.write(&format!("set/{part}/classes.json"), serde_json::to_string(&classes.classes).unwrap());
    }
    place
}

#[test]
fn training_evaluation_and_check_take_shards_and_name_images_in_them() {
    let place = with_shards();
    let arguments = ["train", &config("tiny"), "--out", "run", "--epochs", "1", "--device", "cpu", "--threads", "1"];
    place
        .run(&[&arguments[..], &["--data", "set"]].concat())
        .succeeds()
        .says(&["set/train: made an index beside 1 of 1"]);
    let shards = ["eval", "run", "--data", "set", "--json", "shards.json", "--per-image", "shards.csv"];
    place.run(&shards).succeeds();
    place.run(&["eval", "run", "--data", "shapes", "--json", "folders.json"]).succeeds();
    let [shards, folders] = ["shards.json", "folders.json"].map(|name| place.read_json(name));
    assert_eq!((&shards["images"], &shards["loss"]), (&24.into(), &folders["loss"]));
    let table = String::from_utf8(place.read("shards.csv")).unwrap();
    assert!(table.contains("set/val/a.tar/000023.jpg"), "{table}");
    place.run(&["eval", "run", "--data", "set/val/a.tar"]).succeeds();
    let checked = place.run(&["check", "set", "--json", "check.json"]).succeeds();
    assert!(checked.stdout.contains("72 images, 12 classes of 6"), "{}", checked.stdout);
    place.write("labels.txt", "000000.jpg ring\n");
    for shards in ["set/val", "set/val/a.tar"] {
        let labelled = place.run(&["eval", "run", "--data", shards, "--labels", "labels.txt"]);
        labelled.fails_saying(&[&format!("{shards}: shards hold the classes of their images")]);
    }
    // A whole shard was cut: its images are bad or lost, and each is named.
    let val = place.read("set/val/a.tar");
    place.write("set/val/a.tar", &val[..val.len() / 2]);
    let checked = place.run(&["check", "set"]);
    assert_eq!(checked.status, 1);
    assert!(checked.stdout.contains("a corrupt or truncated shard"), "{}", checked.stdout);
    place
        .run(&["eval", "run", "--data", "set"])
        .succeeds()
        .says(&["warning: set/val: left out: 1 x a corrupt or truncated"]);
}

#[test]
fn a_pattern_of_training_shards_is_validated_on_the_folder_beside_theirs() {
    let place = with_shards();
    let splits = topfive::data::split::Splits::open(&place.path("set/train/{a,a}.tar"), None, 0).expect("both parts");
    assert_eq!((splits.train.samples.len(), splits.val.samples.len()), (144, 24));
    assert_eq!(splits.source, topfive::data::split::ValidationSource::Folder("val"));
    let split = topfive::data::split::Splits::open(&place.path("set/val/a.tar"), None, 0).expect("both parts");
    assert_eq!((split.train.samples.len(), split.val.samples.len()), (12, 12));
}

#[test]
fn a_class_without_images_is_refused_in_training_but_not_in_evaluation() {
    let place = with_shards();
    let arguments = ["train", &config("tiny"), "--out", "run", "--epochs", "1", "--device", "cpu", "--data", "set"];
    place.run(&arguments).succeeds();
    let (png, mut classes) = (png(), place.read_json("set/train/classes.json"));
    write_tar(&place.path("set/val/a.tar"), &[("0.cls", b"3"), ("0.png", &png)]);
    place.run(&["eval", "run", "--data", "set", "--json", "eval.json"]).succeeds();
    assert_eq!(place.read_json("eval.json")["images"], 1);
    classes.as_array_mut().unwrap().push("zebra".into());
    place.write("set/train/classes.json", classes.to_string());
    let out = ["train", &config("tiny"), "--out", "other", "--data", "set", "--device", "cpu"];
    place.run(&out).fails_saying(&["set/train: no images of the class \"zebra\""]);
}
