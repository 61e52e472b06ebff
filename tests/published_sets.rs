//! Data sets as they are published, packed into shards. Their files are made here, small, by what their authors say of them.
#![allow(clippy::unwrap_used)] // in helpers, too

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;

use common::{Workplace, fixture};
use flate2::Compression;
use flate2::write::GzEncoder;
use topfive::data::dataset::Dataset;
use topfive::data::shards;

/// Packs the folder `set`, and opens its parts.
fn packed(place: &Workplace) -> [Dataset; 2] {
    place.run(&["pack", "set", "packed"]).succeeds();
    ["train", "val"].map(|part| shards::open(&place.path(&format!("packed/{part}"))).expect("shards"))
}

/// The names of the samples' classes.
fn classes(dataset: &Dataset) -> Vec<&str> {
    dataset.samples.iter().map(|sample| dataset.classes[sample.label].as_str()).collect()
}

fn idx(sizes: &[u32], values: &[u8]) -> Vec<u8> {
    let axes = sizes.len() as u8;
    let sizes = sizes.iter().flat_map(|size| size.to_be_bytes());
    [0, 0, 8, axes].into_iter().chain(sizes).chain(values.iter().copied()).collect()
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Two digits of 2x3 pixels to train on, gzipped, and one to validate on.
fn with_digits() -> Workplace {
    let place = Workplace::new();
    let images = idx(&[2, 2, 3], &[0, 1, 2, 3, 4, 5, 255, 254, 253, 252, 251, 250]);
    place.write("set/train-images-idx3-ubyte.gz", gzipped(&images));
    place.write("set/train-labels-idx1-ubyte.gz", gzipped(&idx(&[2], &[7, 0])));
    place.write("set/t10k-images.idx3-ubyte", idx(&[1, 2, 3], &[9; 6]));
    place.write("set/t10k-labels.idx1-ubyte", idx(&[1], &[3]));
    place
}

#[test]
fn mnists_digits_become_grey_png_files() {
    let place = with_digits();
    let [train, val] = packed(&place);
    assert_eq!((classes(&train), classes(&val), train.classes.len()), (vec!["7", "0"], vec!["3"], 8));
    let png = train.samples[0].source.bytes().expect("bytes");
    let image = image::load_from_memory(&png).expect("a picture");
    assert_eq!(image.color(), image::ColorType::L8);
    assert_eq!((image.width(), image.height(), image.as_bytes()), (3, 2, [0, 1, 2, 3, 4, 5].as_slice()));
    assert!(train.samples[0].source.name().ends_with("train-0000.tar/000000.png"));
}

#[test]
fn idx_files_that_are_truncated_or_do_not_fit_are_refused() {
    let place = with_digits();
    let whole = place.read("set/train-images-idx3-ubyte.gz");
    place.write("set/train-images-idx3-ubyte.gz", &whole[..whole.len() - 9]);
    let pack = || place.run(&["pack", "set", "packed"]);
    pack().fails_saying(&["set/train-images-idx3-ubyte.gz: truncated, corrupt or not gzipped"]);
    place.write("set/train-images-idx3-ubyte.gz", gzipped(&idx(&[2, 2, 3], &[1; 11])));
    pack().fails_saying(&["truncated or corrupt: 11 values for an array of [2, 2, 3]"]);
    place.write("set/train-images-idx3-ubyte.gz", &whole);
    place.write("set/train-labels-idx1-ubyte.gz", gzipped(&idx(&[3], &[1; 3])));
    pack().fails_saying(&["train-labels-idx1-ubyte.gz: 3 labels for the 2 images"]);
    fs::remove_file(place.path("set/train-labels-idx1-ubyte.gz")).unwrap();
    pack().fails_saying(&["expected a file train-labels-idx1-ubyte beside it"]);
}

/// A record of CIFAR: labels, then a red, a green and a blue plane of 32x32.
fn record(labels: &[u8], [red, green, blue]: [u8; 3]) -> Vec<u8> {
    let mut record = labels.to_vec();
    for (plane, value) in [red, green, blue].into_iter().enumerate() {
        let mut values = vec![value; 1024];
        // The second pixel of the first row tells rows from columns.
        values[1] = 100 + plane as u8;
        record.extend(values);
    }
    record
}

#[test]
fn cifar_10s_batches_are_one_part_and_its_colours_lie_in_planes() {
    let place = Workplace::new();
    for batch in 1..=5 {
        let records = [record(&[batch - 1], [batch, 20, 30]), record(&[9], [1, 2, 3])].concat();
        place.write(&format!("set/cifar-10-batches-bin/data_batch_{batch}.bin"), records);
    }
    place.write("set/cifar-10-batches-bin/test_batch.bin", record(&[2], [4, 5, 6]));
    let names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
    place.write("set/cifar-10-batches-bin/batches.meta.txt", names.join("\n") + "\n\n");
    let [train, val] = packed(&place);
    assert_eq!(train.classes, names);
    assert_eq!(classes(&train)[..4], ["airplane", "truck", "automobile", "truck"]);
    assert_eq!((train.samples.len(), classes(&val)), (10, vec!["bird"]));
    let image = train.samples[2].source.image(true).expect("a picture");
    assert_eq!(image.dimensions(), (32, 32));
    assert_eq!(
        (image.get_pixel(0, 0).0, image.get_pixel(1, 0).0, image.get_pixel(0, 1).0),
        ([2, 20, 30], [100, 101, 102], [2, 20, 30])
    );
    let cut = place.read("set/cifar-10-batches-bin/data_batch_3.bin");
    place.write("set/cifar-10-batches-bin/data_batch_3.bin", &cut[..cut.len() - 1]);
    place.run(&["pack", "set", "other"]).fails_saying(&["data_batch_3.bin: truncated"]);
}

#[test]
fn cifar_100s_classes_are_the_fine_ones() {
    let place = Workplace::new();
    place.write("set/train.bin", record(&[4, 1], [1, 2, 3]));
    place.write("set/test.bin", record(&[4, 0], [1, 2, 3]));
    place.write("set/fine_label_names.txt", "apple\naquarium_fish\n");
    let [train, val] = packed(&place);
    assert_eq!((classes(&train), classes(&val)), (vec!["aquarium_fish"], vec!["apple"]));
    place.write("set/test.bin", record(&[1, 2], [1, 2, 3]));
    place
        .run(&["pack", "set", "other"])
        .fails_saying(&["test.bin: image 0 has the class 2", "fine_label_names.txt names 2"]);
}

/// Different images of the fixtures, by number.
fn jpeg(number: usize) -> Vec<u8> {
    let mut bytes = fs::read(fixture("decode").join("444.jpg")).unwrap();
    // A comment after the first marker.
    bytes.splice(2..2, [0xFF, 0xFE, 0, 3, number as u8]);
    bytes
}

fn write_tar(path: &Path, members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, content.as_slice()).unwrap();
    }
    let bytes = tar.into_inner().unwrap();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, &bytes).unwrap();
    bytes
}

const SYNSETS: [&str; 2] = ["n01440764", "n02102040"];

/// The images of class folders, which ImageNet's other forms hold as well: three per class to train on, two to validate on.
fn with_class_folders() -> Workplace {
    let place = Workplace::new();
    for (class, synset) in SYNSETS.iter().enumerate() {
        for number in 0..3 {
            place.write(&format!("folders/train/{synset}/{synset}_{number}.JPEG"), jpeg(10 * class + number));
        }
        for number in [2 - class, 4 - class] {
            place.write(&format!("folders/val/{synset}/ILSVRC2012_val_{number:08}.JPEG"), jpeg(100 + number));
        }
    }
    place
}

/// The class and the bytes of each image, sorted.
fn contents(dataset: &Dataset) -> Vec<(String, Vec<u8>)> {
    let content = dataset.samples.iter().zip(classes(dataset));
    let mut contents: Vec<(String, Vec<u8>)> = content
        .map(|(sample, class)| (class.to_string(), sample.source.bytes().expect("bytes").into_owned()))
        .collect();
    contents.sort();
    contents
}

fn holds_the_class_folders(place: &Workplace) {
    let parts = packed(place);
    for (part, dataset) in ["train", "val"].iter().zip(&parts) {
        let folders = topfive::data::folder::open(&place.path(&format!("folders/{part}"))).expect("class folders");
        assert_eq!((&dataset.classes, contents(dataset)), (&folders.classes, contents(&folders)), "{part}");
    }
}

#[test]
fn ilsvrcs_tar_files_are_packed_as_they_are_distributed() {
    let place = with_class_folders();
    let inner = SYNSETS.iter().enumerate().map(|(class, synset)| {
        let images = (0..3).map(|number| (format!("{synset}_{number}.JPEG"), jpeg(10 * class + number)));
        (format!("{synset}.tar"), write_tar(&place.path("inner.tar"), &images.collect::<Vec<_>>()))
    });
    write_tar(&place.path("set/ILSVRC2012_img_train.tar"), &inner.collect::<Vec<_>>());
    let images = (1..5).map(|number| (format!("ILSVRC2012_val_{number:08}.JPEG"), jpeg(100 + number)));
    write_tar(&place.path("set/ILSVRC2012_img_val.tar"), &images.collect::<Vec<_>>());
    place.run(&["pack", "set", "packed"]).fails_saying(&[
        "ILSVRC2012_img_val.tar: the classes of these images are not known",
        "ILSVRC2012_devkit_t12.tar.gz, val.txt",
    ]);
    place.write("set/ILSVRC2012_validation_synset_labels.txt", "n02102040\nn01440764\nn02102040\nn01440764\n");
    holds_the_class_folders(&place);
    fs::remove_file(place.path("set/ILSVRC2012_validation_synset_labels.txt")).unwrap();
    fs::remove_dir_all(place.path("packed")).unwrap();
    let lines =
        [(4, 0), (1, 1), (2, 0), (3, 1)].map(|(number, class)| format!("ILSVRC2012_val_{number:08}.JPEG {class}"));
    place.write("set/val.txt", lines.join("\n"));
    holds_the_class_folders(&place);
    fs::remove_file(place.path("set/val.txt")).unwrap();
    fs::remove_dir_all(place.path("packed")).unwrap();
    fs::copy(fixture("devkit.tar.gz"), place.path("set/ILSVRC2012_devkit_t12.tar.gz")).unwrap();
    holds_the_class_folders(&place);
    let train = place.read("set/ILSVRC2012_img_train.tar");
    place.write("set/ILSVRC2012_img_train.tar", &train[..train.len() / 2]);
    place.run(&["pack", "set", "other"]).fails_saying(&["ILSVRC2012_img_train.tar", "corrupt or truncated"]);
}

#[test]
fn kaggles_layout_of_imagenet_is_packed() {
    let place = with_class_folders();
    let images = place.path("set/ILSVRC/Data/CLS-LOC");
    fs::create_dir_all(images.join("val")).unwrap();
    let copied = std::process::Command::new("cp")
        .args(["-r", "folders/train"])
        .arg(&images)
        .current_dir(place.path(""))
        .status();
    assert!(copied.expect("cp runs").success());
    for number in 1..5 {
        place.write(&format!("set/ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_{number:08}.JPEG"), jpeg(100 + number));
    }
    place.run(&["pack", "set", "packed"]).fails_saying(&["LOC_val_solution.csv: not there"]);
    // An image may show several objects of its class, each with a box.
    let rows = [(1, 1), (2, 0), (3, 1), (4, 0)].map(|(number, class)| {
        format!("ILSVRC2012_val_{number:08},{}", format!("{} 1 2 3 4 ", SYNSETS[class]).repeat(number % 3 + 1))
    });
    place.write("set/LOC_val_solution.csv", format!("ImageId,PredictionString\n{}\n", rows.join("\n")));
    holds_the_class_folders(&place);
}
