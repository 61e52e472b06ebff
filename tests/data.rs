//! Images from files to the network's input, compared with Pillow and torchvision.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::{Workplace, fixture};
use image::RgbImage;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use topfive::data::augment::crop::choose;
use topfive::data::loader::Loader;
use topfive::data::split::{Splits, ValidationSource};
use topfive::data::{folder, labels};
use topfive::experiment::{Channels, Preprocess, Scale, Training, TrainingCrop};
use topfive::geometry::{Placement, Resize, Size};
use topfive::image::batch::Batch;
use topfive::image::crop::crop;
use topfive::image::decode;
use topfive::image::normalise::Normalisation;
use topfive::random;

/// Reads and decodes an image, as a worker does.
fn decoded(path: &Path, upright: bool) -> anyhow::Result<RgbImage> {
    decode::decode(&decode::read(path)?, path, upright).map(|image| image.clone())
}

fn expected(name: &str) -> RgbImage {
    image::open(fixture("decode").join(format!("{name}.expected.png"))).expect("an image").into_rgb8()
}

fn largest_difference(a: &RgbImage, b: &RgbImage) -> u8 {
    assert_eq!(a.dimensions(), b.dimensions());
    a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

#[test]
fn lossless_images_of_every_kind_decode_to_the_same_rgb_as_with_pillow() {
    for name in [
        "rgb.png",
        "grey.png",
        "palette.png",
        "alpha.png",
        "rgb.bmp",
        "palette.gif",
        "rgb.tiff",
        "lossless.webp",
        "grey16.png",
    ] {
        let image = decoded(&fixture("decode").join(name), true).expect(name);
        assert_eq!(largest_difference(&image, &expected(name)), 0, "{name}");
    }
}

#[test]
fn jpeg_images_of_every_kind_decode_to_the_same_bytes_as_with_pillow() {
    let mut count = 0;
    for entry in fs::read_dir(fixture("decode")).expect("fixtures") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        if name.ends_with(".jpg") || name == "jpeg-named.png" {
            let image = decoded(&path, true).expect(name);
            assert_eq!(largest_difference(&image, &expected(name)), 0, "{name}");
            count += 1;
        }
    }
    assert_eq!(count, 39);
}

#[test]
fn all_eight_exif_orientations_are_applied_unless_switched_off() {
    for orientation in 1..=8 {
        let name = format!("orientation-{orientation}.png");
        let upright = decoded(&fixture("decode").join(&name), true).expect(&name);
        assert_eq!(largest_difference(&upright, &expected(&name)), 0, "{name}");
        let as_stored = decoded(&fixture("decode").join(&name), false).expect(&name);
        assert_eq!(largest_difference(&as_stored, &expected("rgb.png")), 0, "{name}");
    }
}

// Pillow stops reading segments at the first scan.
#[test]
fn an_orientation_after_a_jpegs_first_scan_comes_too_late() {
    let jpeg = fs::read(fixture("decode").join("420-5x17.jpg")).expect("a file");
    let exif = b"\xFF\xE1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let size = |segment_at: usize| {
        let file = [&jpeg[..segment_at], exif, &jpeg[segment_at..]].concat();
        decode::decode(&file, "x.jpg".as_ref(), true).expect("an image").dimensions()
    };
    assert_eq!((size(2), size(jpeg.len() - 2)), ((17, 5), (5, 17)));
}

#[test]
fn a_jpeg_truncated_anywhere_is_an_error() {
    let path = fixture("decode").join("progressive.jpg");
    let complete = fs::read(&path).expect("a file");
    for length in 0..complete.len() {
        assert!(decode::decode(&complete[..length], &path, true).is_err(), "{length} of {} bytes", complete.len());
    }
}

#[test]
fn unreadable_images_are_errors_that_say_why() {
    let place = Workplace::new();
    let reason = |path: &Path| format!("{:#}", decoded(path, true).expect_err("an error"));
    assert!(reason(&place.path("missing.jpg")).contains("cannot be opened"));
    assert!(reason(&place.write("empty.jpg", "")).contains("empty (0 bytes)"));
    assert!(reason(&place.write("text.jpg", "only some text")).contains("not an image"));
    let png = fs::read(fixture("decode").join("rgb.png")).expect("a file");
    assert!(reason(&place.write("truncated.png", &png[..png.len() / 2])).contains("cannot be decoded"));
    let jpeg = fs::read(fixture("decode").join("rgb.jpg")).expect("a file");
    assert!(reason(&place.write("truncated.jpg", &jpeg[..jpeg.len() / 2])).contains("truncated"));
    // The marker of a lossless frame (T.81, table B.1) in place of a baseline one.
    let mut lossless = jpeg.clone();
    let frame = lossless.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("a frame");
    lossless[frame + 1] = 0xC3;
    assert!(reason(&place.write("lossless.jpg", &lossless)).contains("lossless JPEG is not supported"));
    // A PNG header that claims 60,000 x 60,000 pixels, with a valid checksum: nothing of that size is allocated.
    let mut huge = png.clone();
    huge[16..24].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
    let checksum = crc32(&huge[12..29]);
    huge[29..33].copy_from_slice(&checksum.to_be_bytes());
    let message = reason(&place.write("huge.png", &huge));
    assert!(message.contains("60000x60000") && message.contains("limit"), "{message}");
}

#[test]
fn a_tga_file_which_has_no_signature_is_recognised_by_its_extension() {
    // TGA 2.0: an uncompressed image of 1x1 pixels with 24 bits, in the order blue, green, red.
    let tga = [0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 24, 0, 30, 20, 10];
    let image = decode::decode(&tga, Path::new("a/pixel.TGA"), true).expect("an image");
    assert_eq!((image.dimensions(), image.get_pixel(0, 0).0), ((1, 1), [10, 20, 30]));
    assert!(decode::decode(&tga, Path::new("a/pixel"), true).is_err());
}

/// PNG specification, annex D.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 })
    })
}

// torchvision: Normalize(mean, std)(ToTensor()(image)).
#[test]
fn normalisation_subtracts_the_mean_and_divides_by_the_deviation_of_each_channel() {
    let image = RgbImage::from_pixel(2, 3, image::Rgb([255, 128, 0]));
    let normalised = |preprocess: &Preprocess| {
        let normalisation = Normalisation::new(&preprocess.constants(), tch::Device::Cpu).expect("a normalisation");
        let bytes = Batch::of(std::slice::from_ref(&image)).and_then(|batch| batch.tensor()).expect("a batch");
        let values = normalisation.apply(&bytes).expect("values");
        assert_eq!(values.size(), [1, 3, 3, 2]);
        [0, 1, 2].map(|channel| values.double_value(&[0, channel, 2, 1]))
    };
    let near = |found: [f64; 3], expected: [f64; 3]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5);
    let imagenet = Preprocess::default();
    let expected = [(1.0 - 0.485) / 0.229, (128.0 / 255.0 - 0.456) / 0.224, (0.0 - 0.406) / 0.225];
    assert!(near(normalised(&imagenet), expected));
    let caffe = Preprocess {
        channels: Channels::Bgr,
        scale: Scale::Byte,
        mean: [104.0, 117.0, 123.0],
        std: [1.0; 3],
        ..imagenet
    };
    assert!(near(normalised(&caffe), [0.0 - 104.0, 128.0 - 117.0, 255.0 - 123.0]));
}

const PHOTOGRAPH: Size = Size { width: 500, height: 375 };
const INPUT: Size = Size { width: 224, height: 224 };

fn cropping(crop: TrainingCrop) -> Training {
    Training { crop, ..Training::default() }
}

#[test]
fn random_resized_crops_keep_to_their_share_of_the_area_and_their_ratios() {
    let training = cropping(TrainingCrop::RandomResized { area: [0.25, 0.5], aspect: [0.75, 4.0 / 3.0] });
    let mut mirrored = 0;
    for sample in 0..1000 {
        let placement = choose(&training, PHOTOGRAPH, INPUT, &mut random::sample_stream(1, 0, sample));
        let Resize { from, to } = placement.resize;
        assert_eq!((to, placement.crop, placement.margin), (INPUT, INPUT.whole(), 0));
        let share = from.size().area() as f64 / PHOTOGRAPH.area() as f64;
        let ratio = f64::from(from.width) / f64::from(from.height);
        assert!((0.24..0.51).contains(&share) && (0.74..1.35).contains(&ratio), "{from:?}");
        assert!(from.x + from.width <= 500 && from.y + from.height <= 375, "{from:?}");
        mirrored += u32::from(placement.mirror);
    }
    assert!((400..600).contains(&mirrored), "{mirrored} of 1000 were mirrored");
}

/// `scripts/make_random_crop_fixture.py`
#[test]
fn random_resized_crops_spread_as_torchvisions_do() {
    const CROPS: u32 = 20_000;
    let cases: Vec<Value> = serde_json::from_str(include_str!("fixtures/random_crops.json")).expect("JSON");
    for case in &cases {
        let pair = |key: &str| serde_json::from_value::<[f64; 2]>(case[key].clone()).expect("two numbers");
        let [width, height] = pair("size").map(|side| side as u32);
        let training = cropping(TrainingCrop::RandomResized { area: pair("area"), aspect: pair("aspect") });
        let cuts = (0..CROPS).map(|sample| {
            let mut random = random::sample_stream(1, 0, sample);
            let cut = choose(&training, Size { width, height }, INPUT, &mut random).resize.from;
            let [x, y, width, height] = [cut.x, cut.y, cut.width, cut.height].map(f64::from);
            BTreeMap::from([("x", x), ("y", y), ("area", width * height), ("ratio", width / height)])
        });
        let cuts: Vec<_> = cuts.collect();
        for what in ["x", "y", "area", "ratio"] {
            let points: Vec<[f64; 2]> = serde_json::from_value(case["shares"][what].clone()).expect("points");
            assert!(!points.is_empty());
            for [value, expected] in points {
                let found = cuts.iter().filter(|cut| cut[what] <= value).count() as f64 / f64::from(CROPS);
                // Four times the standard deviation of so many crops.
                assert!(
                    (found - expected).abs() < 0.015,
                    "{width}x{height}: {found} have {what} <= {value}, expected {expected}"
                );
            }
        }
    }
    assert_eq!(cases.len(), 3);
}

#[test]
fn random_crops_reach_every_position_in_the_resized_image_and_no_further() {
    let training = cropping(TrainingCrop::Random { crop_fraction: [0.875, 0.875] });
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let (mut columns, mut rows) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for _ in 0..5000 {
        let Placement { resize, crop, .. } = choose(&training, PHOTOGRAPH, INPUT, &mut random);
        assert_eq!((resize.from, resize.to), (PHOTOGRAPH.whole(), Size { width: 341, height: 256 }));
        assert_eq!(crop.size(), INPUT);
        columns.insert(crop.x);
        rows.insert(crop.y);
    }
    // 341 - 224 and 256 - 224 pixels of room: the last position is drawn, too.
    assert_eq!((columns.first(), columns.last(), columns.len()), (Some(&0), Some(&117), 118));
    assert_eq!((rows.first(), rows.last(), rows.len()), (Some(&0), Some(&32), 33));
}

#[test]
fn padded_crops_shift_the_image_and_fill_up_with_black() {
    let image = decoded(&fixture("decode").join("rgb.png"), true).expect("an image");
    let size: Size = image.dimensions().into();
    let cut = |x, y| {
        let resize = Resize { from: size.whole(), to: size };
        crop(&image, Placement { resize, margin: 4, crop: size.at(x, y), mirror: false }).expect("a crop")
    };
    assert_eq!(cut(4, 4), image);
    let shifted = cut(0, 6);
    // Four pixels to the right and two up.
    assert_eq!(shifted.get_pixel(4, 0), image.get_pixel(0, 2));
    assert_eq!(shifted.get_pixel(3, 0).0, [0; 3]);
    assert_eq!(shifted.get_pixel(size.width - 1, size.height - 1).0, [0; 3]);
}

#[test]
fn a_mirrored_crop_is_the_crop_mirrored() {
    let image = decoded(&fixture("decode").join("rgb.png"), true).expect("an image");
    let training = cropping(TrainingCrop::RandomResized { area: [0.5, 1.0], aspect: [0.75, 1.33] });
    let input = Size { width: 12, height: 12 };
    let placement = choose(&training, image.dimensions().into(), input, &mut ChaCha8Rng::seed_from_u64(3));
    let [straight, mirrored] =
        [false, true].map(|mirror| crop(&image, Placement { mirror, ..placement }).expect("a crop"));
    assert_eq!(image::imageops::flip_horizontal(&straight), mirrored);
    // In a batch, too.
    let batch = |mirror| {
        let mut batch = Batch::with_capacity(input, 1).expect("a batch");
        batch.push(&straight, input.whole(), mirror);
        Vec::<u8>::try_from(batch.tensor().expect("a batch").flatten(0, -1)).expect("bytes")
    };
    assert_eq!((batch(false), batch(true)), (straight.as_raw().clone(), mirrored.as_raw().clone()));
}

#[test]
fn the_loader_yields_the_same_results_in_the_same_order_for_any_number_of_workers() {
    let work = |job: usize| {
        // Every seventh job takes longest, so that results finish out of order.
        std::thread::sleep(std::time::Duration::from_micros(if job.is_multiple_of(7) { 300 } else { 0 }));
        (job, random::sample_stream(5, 2, job as u32).get_stream())
    };
    let collected = |workers, ahead| {
        let loader = Loader::start(200, workers, ahead, work).expect("threads");
        loader.collect::<anyhow::Result<Vec<_>>>().expect("results")
    };
    let expected: Vec<_> = (0..200).map(work).collect();
    for (workers, ahead) in [(1, 1), (2, 3), (5, 16), (16, 400)] {
        assert_eq!(collected(workers, ahead), expected);
    }
}

#[test]
fn the_loader_never_runs_further_ahead_than_its_limit() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = begun.clone();
    let mut loader = Loader::start(1000, 4, 8, move |job| {
        counted.fetch_add(1, Ordering::SeqCst);
        job
    })
    .expect("threads");
    for taken in 1..=100 {
        loader.next();
        assert!(begun.load(Ordering::SeqCst) <= taken + 8);
    }
    drop(loader);
    assert!(begun.load(Ordering::SeqCst) <= 108);
}

#[test]
fn a_job_that_panics_becomes_an_error_in_its_place_and_the_rest_are_unaffected() {
    let loader = Loader::start(50, 2, 4, |job| if job == 20 { panic!("on purpose") } else { job }).expect("threads");
    let results: Vec<anyhow::Result<usize>> = loader.collect();
    assert_eq!(results.len(), 50);
    for (index, result) in results.iter().enumerate() {
        assert_eq!(result.as_ref().ok(), (index != 20).then_some(&index));
    }
}

#[test]
fn classes_are_sorted_by_name_in_any_language_and_links_are_followed() {
    let place = Workplace::new();
    let png = fs::read(fixture("decode").join("rgb.png")).expect("a file");
    for name in
        ["train/zèbre/été.png", "train/Apfel/a.PNG", "train/猫/三.png", "train/Apfel/deep/er/b.png", "elsewhere/c.png"]
    {
        place.write(name, &png);
    }
    place.write("train/Apfel/README.txt", "no image");
    place.write("train/.hidden/x.png", &png);
    std::os::unix::fs::symlink(place.path("elsewhere"), place.path("train/link")).expect("a link");
    std::os::unix::fs::symlink(place.path("train"), place.path("train/猫/loop")).expect("a link");
    let folder = folder::open(&place.path("train")).expect("a data set");
    assert_eq!(folder.classes, ["Apfel", "link", "zèbre", "猫"]);
    let labels: Vec<usize> = folder.samples.iter().map(|sample| sample.label).collect();
    assert_eq!(labels[..4], [0, 0, 1, 2]);
}

#[test]
fn validation_classes_are_matched_by_name_not_by_position() {
    let place = Workplace::new();
    let png = fs::read(fixture("decode").join("rgb.png")).expect("a file");
    for name in ["train/ant/1.png", "train/bee/2.png", "train/cat/3.png", "val/cat/4.png"] {
        place.write(name, &png);
    }
    let Splits { train, val, source, .. } = Splits::open(&place.path(""), None, 0).expect("a data set");
    assert_eq!(source, ValidationSource::Folder("val"));
    assert_eq!((val.classes.clone(), val.samples[0].label), (train.classes, 2));
    place.write("val/cap/5.png", &png);
    let error = format!("{:#}", Splits::open(&place.path(""), None, 0).expect_err("an unknown class"));
    let owner = place.path("train");
    let expected = format!("val/cap: not one of {}'s classes (did you mean \"cat\"?)", owner.display());
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn a_link_that_leads_back_up_brings_no_images_of_other_classes() {
    let place = Workplace::new();
    let png = fs::read(fixture("decode").join("rgb.png")).expect("a file");
    place.write("set/ant/1.png", &png);
    place.write("set/bee/2.png", &png);
    std::os::unix::fs::symlink(place.path("set"), place.path("set/bee/loop")).expect("a link");
    let dataset = folder::open(&place.path("set")).expect("a data set");
    let labels: Vec<usize> = dataset.samples.iter().map(|sample| sample.label).collect();
    assert_eq!(labels, [0, 1]);
}

#[test]
fn a_list_of_numbers_counts_positions_or_names_classes_but_never_both() {
    let place = Workplace::new();
    let png = fs::read(fixture("decode").join("rgb.png")).expect("a file");
    for name in ["a 1.png", "b.png", "c.png", "d.png"] {
        place.write(&format!("flat/{name}"), &png);
    }
    let classes = ["1", "2", "3", "4"].map(String::from);
    let labels = |list: &str| -> Result<Vec<usize>, String> {
        let list = place.write("list.txt", list);
        let dataset =
            labels::open(&place.path("flat"), &list, Some(&classes)).map_err(|error| format!("{error:#}"))?.dataset;
        Ok(dataset.samples.iter().map(|sample| sample.label).collect())
    };
    assert_eq!(labels("a 1.png 0\nb.png 1\nc.png 2\nd.png 3\n"), Ok(vec![0, 1, 2, 3]));
    assert_eq!(labels("a 1.png 1\nb.png 2\nc.png 3\nd.png 4\n"), Ok(vec![0, 1, 2, 3]));
    assert_eq!(labels("a 1.png\t1\nb.png\t1\nc.png\t1\nd.png\t4\n"), Ok(vec![0, 0, 0, 3]));
    let mixed = labels("a 1.png 1\nb.png 2\nc.png three\nd.png 4\n").expect_err("a label of no class");
    assert!(mixed.contains("list.txt line 3: \"three\" is not one of the model's classes"), "{mixed}");
}

/// The labels that a list, as bytes, gives the images a/1.png, a/2.png and b/1.png, and the files that it names in vain.
fn listed(list: &[u8], classes: &[&str]) -> Result<(Vec<usize>, Vec<String>), String> {
    let place = Workplace::new();
    let png = fs::read(fixture("decode").join("rgb.png")).expect("a file");
    for name in ["a/1.png", "a/2.png", "b/1.png"] {
        place.write(&format!("images/{name}"), &png);
    }
    let list = place.write("list", list);
    let classes: Vec<String> = classes.iter().map(|class| (*class).to_string()).collect();
    let labelled = labels::open(&place.path("images"), &list, Some(&classes)).map_err(|error| format!("{error:#}"))?;
    Ok((labelled.dataset.samples.iter().map(|sample| sample.label).collect(), labelled.absent))
}

#[test]
fn lists_are_read_whatever_separates_their_columns_and_whatever_editor_saved_them() {
    let plain = "a/1.png cat\na/2.png dog\nb/1.png cat\n";
    let utf_16 = |text: &str| [0xFEFF].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let lists: [(&str, Vec<u8>); 18] = [
        ("blanks", plain.into()),
        ("tabs", plain.replace(' ', "\t").into()),
        ("commas", plain.replace(' ', ",").into()),
        ("semicolons", plain.replace(' ', ";").into()),
        ("Windows", plain.replace('\n', "\r\n").replace('/', "\\").into()),
        ("a byte order mark", format!("\u{feff}{plain}").into()),
        ("UTF-16", utf_16(plain)),
        ("quotes and a header", "\"file\",\"label\"\n\"a/1.png\",\"cat\"\na/2.png,dog\nb/1.png,cat".into()),
        ("pandas", ",image,width,class\n0,a/1.png,5,cat\n1,a/2.png,5,dog\n2,b/1.png,5,cat\n".into()),
        ("label first", "label,path\ncat,a/1.png\ndog,a/2.png\ncat,b/1.png\n".into()),
        ("folders above", plain.replace("a/", "./set/images/a/").replace("b/", "images/b/").into()),
        ("no extensions", plain.replace(".png", "").into()),
        ("carriage returns", plain.replace('\n', "\r").into()),
        ("quotes after blanks", "\"a/1.png\", \"cat\"\n\"a/2.png\", \"dog\"\n\"b/1.png\", \"cat\"\n".into()),
        ("empty last columns", "a/1.png,cat,\na/2.png,dog,\nb/1.png,cat,\n".into()),
        ("a header that names the files", "image,diagnosis\na/1.png,cat\na/2.png,dog\nb/1.png,cat\n".into()),
        ("a header that names the labels", "diagnosed,class\na/1.png,cat\na/2.png,dog\nb/1.png,cat\n".into()),
        ("labels alone below a header", "label\ncat\ndog\ncat\n".into()),
    ];
    for (name, list) in lists {
        assert_eq!(listed(&list, &["cat", "dog"]), Ok((vec![0, 1, 0], Vec::new())), "{name}");
    }
}

#[test]
fn a_list_never_gives_an_image_the_label_of_another_folders_file() {
    let absent = listed(b"a/1.png cat\na/2.png cat\nb/1.png dog\nc/1.png dog\na/1.jpg dog\n", &["cat", "dog"]);
    assert_eq!(absent, Ok((vec![0, 0, 1], vec!["c/1.png".to_string(), "a/1.jpg".to_string()])));
    let ambiguous = listed(b"1.png cat\n2.png dog\n", &["cat", "dog"]).expect_err("two files of that name");
    assert!(ambiguous.contains("list line 1: 1.png may be") && ambiguous.contains("b/1.png"), "{ambiguous}");
    let open = listed(b"a/1.png,\"cat\na/2.png,dog\n", &["cat", "dog"]).expect_err("an open quotation");
    assert!(open.contains("a quotation mark is not closed"), "{open}");
}

#[test]
fn of_several_columns_a_list_must_say_which_hold_files_and_labels() {
    for (list, lacking) in [
        // One column per class, as Kaggle's plant pathology has them.
        ("image_id,healthy,rust\na/1.png,1,0\na/2.png,0,1\n", "found none for labels in \"image_id, healthy, rust\""),
        ("picture,age,class\na/1.png,7,cat\na/2.png,9,dog\n", "found none for files in"),
        ("a/1.png,7,cat\na/2.png,9,dog\n", "found none for files and labels in \"a/1.png, 7, cat\""),
    ] {
        let error = listed(list.as_bytes(), &["cat", "dog", "0", "1", "7", "9"]).expect_err(list);
        assert!(
            error.contains("calls the columns of files and labels \"file\" and \"label\"") && error.contains(lacking)
        );
    }
}

#[test]
fn a_class_may_be_called_by_a_columns_word_or_end_in_a_number() {
    let labels = |list: &str, classes: &[&str]| listed(list.as_bytes(), classes).map(|(labels, _)| labels);
    let targets = "a/1,target\na/2,clutter\nb/1,target\n";
    assert_eq!(labels(targets, &["clutter", "target"]), Ok(vec![1, 0, 1]));
    let aeroplanes = "file,label\na/1,Boeing 737\na/2,Boeing 747\nb/1,Boeing 737\n";
    assert_eq!(labels(aeroplanes, &["Boeing 737", "Boeing 747"]), Ok(vec![0, 1, 0]));
    let kaggle = "ImageId,PredictionString\na/1,n01440764 1 2 3 4 5 6 7 8 \na/2,n01443537 1 2 3 4\n";
    assert_eq!(labels(kaggle, &["n01440764", "n01443537"]), Ok(vec![0, 1]));
}

#[test]
fn without_a_model_the_labels_of_a_list_are_its_classes_numbers_by_their_value() {
    let place = Workplace::new();
    let png = fs::read(fixture("decode").join("rgb.png")).expect("a file");
    for name in ["1.png", "2.png", "3.png"] {
        place.write(&format!("flat/{name}"), &png);
    }
    let list = place.write("list.csv", "id,label\n1,10\n2,9\n3,10\n");
    let dataset = labels::open(&place.path("flat"), &list, None).expect("a data set").dataset;
    assert_eq!(dataset.classes, ["9", "10"]);
    assert_eq!(dataset.samples.iter().map(|sample| sample.label).collect::<Vec<_>>(), [1, 0, 1]);
}
