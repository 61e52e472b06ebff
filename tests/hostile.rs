//! Files that are made, or happen, to exhaust memory or time: refused by name, quickly, with what to do; or read.

mod common;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use common::{Ran, Workplace, fixture};
use topfive::experiment::Experiment;
use topfive::image::decode::decode;

fn refusal(bytes: &[u8]) -> String {
    format!("{:#}", decode(bytes, Path::new("image"), true).expect_err("refused"))
}

#[test]
fn an_image_that_needs_more_memory_than_there_is_is_refused_by_name_and_the_others_get_their_lines() {
    let place = Workplace::with_shapes(2, 1);
    place.train("run", &["--epochs", "1"]).succeeds();
    let [small, large] = ["decode/rgb.jpg", "bombs/grey-13370x13370.png"].map(fixture);
    let images = format!("{0} {1} {0} {1} {0}", small.display(), large.display());
    // A GB of address space, of which the program itself takes half.
    let script = format!(
        "ulimit -v 1000000; exec {} predict run {images} --threads 1 --workers 2 --device cpu",
        env!("CARGO_BIN_EXE_topfive")
    );
    let output = Command::new("bash").args(["-c", &script]).current_dir(place.path("")).output().expect("bash runs");
    let ran = Ran::of(output);
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    assert_eq!(ran.stdout.matches("rgb.jpg (center view)").count(), 3, "{}", ran.stdout);
    ran.says(&["grey-13370x13370.png: the image takes 715.03 MB of memory", "Scale it down"]);
}

#[test]
fn a_small_file_that_takes_a_gigabyte_to_be_decoded_is_refused_before_it_is_decoded() {
    // 16-bit RGB: the depth and the colour type behind the sides.
    let mut png = fs::read(fixture("bombs/grey-13370x13370.png")).expect("a file");
    png[24..26].copy_from_slice(&[16, 2]);
    let checksum = crc32fast::hash(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    let reason = refusal(&png);
    assert!(reason.contains("takes 1.61 GB of memory") && reason.contains("Scale the image down"), "{reason}");
}

#[test]
fn a_progressive_jpeg_of_hundreds_of_scans_of_a_large_image_is_refused() {
    let jpeg = fs::read(fixture("bombs/progressive-4000x4000.jpg")).expect("a file");
    assert_eq!(decode(&jpeg, Path::new("image"), true).expect("an image").dimensions(), (4000, 4000));
    let last = jpeg.windows(2).rposition(|pair| pair == [0xFF, 0xDA]).expect("a scan");
    let (before, scan) = (&jpeg[..last], &jpeg[last..jpeg.len() - 2]);
    let reason = refusal(&[before, &scan.repeat(400), &[0xFF, 0xD9]].concat());
    assert!(reason.contains("more scans of the whole image") && reason.contains("ordinary JPEG"), "{reason}");
}

#[test]
fn a_jpeg_says_which_fault_it_has() {
    let jpeg = fs::read(fixture("decode/restarts.jpg")).expect("a file");
    let scan = jpeg.windows(2).position(|pair| pair == [0xFF, 0xDA]).expect("a scan") + 14;
    let tables = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC4]).expect("a table");
    let cases: [(&str, Vec<u8>); 5] = [
        ("truncated JPEG: the file ends within a scan", jpeg[..scan + 40].to_vec()),
        ("corrupt JPEG: a scan ends before its last block", [&jpeg[..scan + 20], &[0xFF, 0xD9]].concat()),
        ("corrupt JPEG: a Huffman table is missing", [&jpeg[..tables + 1], &[0xFE], &jpeg[tables + 2..]].concat()),
        ("12 bits per channel is not supported, expected 8", replaced(&jpeg, &[0xFF, 0xC0], 4, 12)),
        ("arithmetic-coded JPEG is not supported; save", replaced(&jpeg, &[0xFF, 0xC0], 1, 0xC9)),
    ];
    for (expected, bytes) in cases {
        let reason = refusal(&bytes);
        assert!(reason.contains(expected), "{expected}: {reason}");
    }
}

/// The bytes with one of them replaced, so many places behind the first of `marker`.
fn replaced(bytes: &[u8], marker: &[u8], behind: usize, byte: u8) -> Vec<u8> {
    let at = bytes.windows(marker.len()).position(|window| window == marker).expect("a marker");
    let mut bytes = bytes.to_vec();
    bytes[at + behind] = byte;
    bytes
}

#[test]
fn an_experiment_of_too_many_layers_is_refused() {
    let tiny = fs::read_to_string(common::config("tiny")).expect("a file");
    let with_layers = |layers: &str| tiny.replacen("\"layers\": [", &format!("\"layers\": [{layers},"), 1);
    let reason = |text: &str| format!("{:#}", Experiment::parse(text, &[]).expect_err("refused"));
    let many = reason(&with_layers(&["\"relu\""; 20_000].join(",")));
    assert!(many.starts_with("network.layers: expected at most 10000 layers, found 2"), "{many}");
    let row = "{\"vgg_stage\": {\"channels\": 8, \"convs\": 10000}}";
    let rows = reason(&with_layers(&[row; 100].join(",")));
    assert!(rows.contains("expected at most 10000 layers, found 4000"), "{rows}");
    let place = Workplace::new();
    place.write("mine.json", with_layers(&["\"relu\""; 400_000].join(",")));
    place.run(&["summary", "mine.json"]).fails_saying(&["mine.json", "expected at most 2097152", "the right file"]);
}

#[test]
fn a_safetensors_header_of_any_size_is_refused_in_a_few_words() {
    let place = Workplace::new();
    let file = |name: &str, header: &str| {
        let mut file = File::create(place.path(name)).expect("a file");
        file.write_all(&(header.len() as u64).to_le_bytes()).expect("written");
        file.write_all(header.as_bytes()).expect("written");
        file.write_all(&[0]).expect("written");
    };
    let tensor = |shape: &str| format!("{{\"dtype\":\"U8\",\"shape\":[{shape}],\"data_offsets\":[0,1]}}");
    let empty = "{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}";
    let many: String = (0..300_000).map(|index| format!("\"{index}\":{empty},")).collect();
    file("many.safetensors", &format!("{{{many}\"last\":{}}}", tensor("1")));
    file("axes.safetensors", &format!("{{\"a\":{}}}", tensor(&["1"; 5_000_000].join(","))));
    let sparse = File::create(place.path("long.safetensors")).expect("a file");
    sparse.set_len(200_000_000).expect("a sparse file");
    (&sparse).write_all(&90_000_000_u64.to_le_bytes()).expect("written");
    (&sparse).write_all(b"{").expect("written");
    for (name, expected) in [
        ("many.safetensors", "expected at most 200000 tensors, found 300001"),
        ("axes.safetensors", "tensor a: expected at most 64 axes, found 5000000"),
        ("long.safetensors", "the header claims 90000000 bytes, expected at most 24000000"),
    ] {
        let ran = place.run(&["predict", "tiny", "--weights", name, "image.jpg"]);
        assert!(ran.stderr.len() < 1000, "{} bytes", ran.stderr.len());
        ran.fails_saying(&[name, expected]);
    }
}
