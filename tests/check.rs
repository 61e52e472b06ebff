//! `topfive check`, through the program itself.

mod common;

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use common::{Ran, Workplace, fixture};
use image::codecs::gif::GifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, flip_horizontal, resize};
use image::{DynamicImage, Frame, RgbImage, RgbaImage};
use serde_json::{Value, json};

/// Checks `dir`, and returns what is printed and the JSON.
fn check(place: &Workplace, dir: &str, arguments: &[&str]) -> (Ran, Value) {
    let ran = place.run(&[&["check", dir, "--json", "found.json"], arguments].concat());
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    (ran, place.read_json("found.json"))
}

fn jpeg(image: &RgbImage, quality: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(image).expect("a JPEG");
    bytes
}

/// The names of a field's files.
fn names(paths: &Value) -> Vec<String> {
    let paths = paths.as_array().unwrap_or_else(|| panic!("{paths}")).iter();
    let name = |path: &Value| {
        let path = path.as_str().or_else(|| path["path"].as_str()).expect("a path");
        path.rsplit('/').next().unwrap_or(path).to_string()
    };
    paths.map(name).collect()
}

#[test]
fn a_clean_data_set_takes_a_few_lines_and_exit_status_0() {
    let place = Workplace::with_shapes(4, 2);
    let (ran, found) = check(&place, "shapes", &[]);
    let ran = ran.succeeds();
    assert!(
        ran.stdout.contains("shapes: 72 images\n  train  48 images, 12 classes of 4\n  val    24 images"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.ends_with("nothing is wrong\n"), "{}", ran.stdout);
    assert!(ran.stdout.lines().count() <= 8, "{}", ran.stdout);
    assert_eq!((&found["wrong"], &found["images"]), (&json!(false), &json!(72)));
    assert_eq!((&found["parts"][1]["classes"]["star"], &found["lighting"]), (&json!(2), &Value::Null));
}

#[test]
fn everything_that_is_wrong_is_named_and_makes_the_exit_status_1() {
    let place = Workplace::with_shapes(4, 2);
    let photo = place.read("shapes/train/ring/ring-0001.jpg");
    place.write("shapes/train/ring/truncated.jpg", &photo[..photo.len() / 2]);
    place.write("shapes/train/ring/empty.png", "");
    place.write("shapes/train/ring/iphone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic rest");
    symlink("nowhere.jpg", place.path("shapes/train/ring/dangling.jpg")).expect("a link");
    place.write("shapes/train/disc/also-a-disc.jpg", &photo);
    fs::copy(place.path("shapes/train/star/star-0002.jpg"), place.path("shapes/val/star/leaked.jpg")).expect("a copy");
    fs::create_dir_all(place.path("shapes/train/nothing")).expect("a folder");
    fs::rename(place.path("shapes/val/cross"), place.path("shapes/val/Cross")).expect("a move");
    let (ran, found) = check(&place, "shapes", &[]);
    assert_eq!((ran.status, &found["wrong"]), (1, &json!(true)), "{}", ran.stdout);
    assert_eq!(names(&found["unreadable"]), ["empty.png", "truncated.jpg"]);
    assert!(found["unreadable"][1]["error"].as_str().expect("a reason").contains("truncated"), "{found}");
    assert_eq!(names(&found["left_out"]), ["dangling.jpg", "iphone.heic"]);
    let same = &found["same"];
    assert_eq!((&same[0]["where"], &same[1]["where"]), (&json!("two_classes"), &json!("two_parts")));
    assert_eq!(names(&same[0]["paths"]), ["also-a-disc.jpg", "ring-0001.jpg"]);
    assert_eq!(names(&same[1]["paths"]), ["star-0002.jpg", "leaked.jpg"]);
    for word in [
        "wrong: 2 images cannot be read",
        "wrong: 1 x HEIC, which is not supported",
        "train/nothing: no images in this class folder",
        "val/Cross: not one of the classes in shapes/train (did you mean \"cross\"? Upper and lower case differ)",
        "wrong: 1 x the same image in two classes\n",
    ] {
        assert!(ran.stdout.contains(word), "no '{word}' in:\n{}", ran.stdout);
    }
}

#[test]
fn odd_images_are_noted_and_leave_the_exit_status_at_0() {
    let place = Workplace::new();
    fs::create_dir_all(place.path("odd")).expect("a folder");
    for name in ["grey16.png", "palette.png", "alpha.png", "cmyk.jpg", "orientation-6.png", "jpeg-named.png", "444.jpg"]
    {
        fs::copy(fixture("decode").join(name), place.path("odd").join(name)).expect("a copy");
    }
    let mut gif = Vec::new();
    let frames = [0, 200].map(|value| Frame::new(RgbaImage::from_pixel(64, 64, [value, 90, 30, 255].into())));
    GifEncoder::new(&mut gif).encode_frames(frames).expect("a GIF");
    place.write("odd/animated.gif", gif);
    place.write("odd/long.jpg", jpeg(&RgbImage::from_fn(400, 40, |x, y| [x as u8, y as u8, 9].into()), 90));
    let (ran, found) = check(&place, "odd", &[]);
    assert_eq!(ran.status, 0, "{}", ran.stdout);
    let odd = |what: &str| names(&found["odd"][what]);
    assert_eq!(odd("grey"), ["grey16.png"]);
    assert_eq!(odd("sixteen_bit"), ["grey16.png"]);
    assert_eq!(odd("palette"), ["palette.png"]);
    assert_eq!(odd("alpha"), ["alpha.png"]);
    assert_eq!(odd("cmyk"), ["cmyk.jpg"]);
    assert_eq!(odd("turned"), ["orientation-6.png"]);
    assert_eq!(odd("wrong_ending"), ["jpeg-named.png"]);
    assert_eq!(odd("animated"), ["animated.gif"]);
    assert_eq!(odd("elongated"), ["long.jpg"]);
    assert!(ran.stdout.contains("noted: CMYK: 1 image, odd/cmyk.jpg"), "{}", ran.stdout);
}

#[test]
fn scaled_and_recompressed_copies_are_found_and_other_images_are_not() {
    let place = Workplace::new();
    let photograph = |number: u32| {
        // Smooth like a photograph, and different for each number.
        RgbImage::from_fn(320, 240, |x, y| {
            let wave =
                |speed: f32| 127.0 + 120.0 * ((x + 7 * number) as f32 * speed + (y * (number + 1)) as f32 * 0.01).sin();
            [wave(0.011), wave(0.017), wave(0.023)].map(|value| value as u8).into()
        })
    };
    for number in 0..20 {
        place.write(&format!("set/{number:02}.jpg"), jpeg(&photograph(number), 90));
    }
    place.write("set/copy-a.jpg", jpeg(&resize(&photograph(3), 200, 150, FilterType::Triangle), 60));
    let mut png = Cursor::new(Vec::new());
    DynamicImage::from(photograph(3)).write_to(&mut png, image::ImageFormat::Png).expect("a PNG");
    place.write("set/copy-b.png", png.into_inner());
    place.write("set/mirrored.jpg", jpeg(&flip_horizontal(&photograph(5)), 90));
    let (ran, found) = check(&place, "set", &[]);
    assert_eq!(ran.status, 0, "{}", ran.stdout);
    assert_eq!(found["same"], json!([]));
    let near = found["nearly_same"].as_array().expect("groups");
    assert_eq!(near.len(), 1, "{near:?}");
    assert_eq!(names(&near[0]["paths"]), ["03.jpg", "copy-a.jpg", "copy-b.png"]);
}

#[test]
fn mean_deviation_and_components_of_the_colours_are_numpys() {
    let place = Workplace::new();
    let folder = fixture("lighting");
    for index in 0..4 {
        place.write(&format!("set/a/{index}.png"), fs::read(folder.join(format!("{index}.png"))).expect("a file"));
    }
    let expected: Value =
        serde_json::from_slice(&fs::read(folder.join("expected.json")).expect("a file")).expect("JSON");
    let (ran, found) = check(&place, "set", &["--lighting"]);
    let near = |found: &Value, expected: &Value| {
        let numbers = |value: &Value| -> Vec<f64> {
            let flat = value
                .as_array()
                .expect("a list")
                .iter()
                .flat_map(|it| it.as_array().cloned().unwrap_or(vec![it.clone()]));
            flat.map(|it| it.as_f64().expect("a number")).collect()
        };
        let (found, expected) = (numbers(found), numbers(expected));
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?} {expected:?}");
    };
    near(&found["preprocess"]["mean"], &expected["mean"]);
    near(&found["preprocess"]["std"], &expected["std"]);
    near(&found["lighting"]["eigenvalues"], &expected["eigenvalues"]);
    near(&found["lighting"]["eigenvectors"], &expected["eigenvectors"]);

    // The printed settings can be used as they are.
    let line = |start: &str| {
        let line = ran.stdout.lines().find(|line| line.starts_with(start)).expect("a line");
        line.split("--set ").skip(1).map(|set| set.trim().trim_matches('\'').to_string()).collect::<Vec<String>>()
    };
    let sets: Vec<String> = [line("colours"), line("lighting")].concat();
    assert_eq!(sets.len(), 3);
    let arguments: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    place.run(&[&["summary", "tiny"], &arguments[..]].concat()).succeeds();
}

#[test]
fn a_data_set_need_not_have_parts_or_classes() {
    let place = Workplace::with_shapes(2, 1);
    place.run(&["check", "shapes/train"]).succeeds();
    let flat = place.run(&["check", "shapes/train/star"]).succeeds();
    assert!(flat.stdout.contains("shapes/train/star: 2 images without class folders"), "{}", flat.stdout);
    let single = place.run(&["check", "shapes/.."]);
    assert_eq!(single.status, 1, "{}", single.stdout);
    assert!(single.stdout.contains("only one class folder, \"shapes\""), "{}", single.stdout);
    place.write("nothing/notes.txt", "none");
    place.run(&["check", "nothing"]).fails_saying(&["nothing: no images in this folder"]);
    place.run(&["check", "missing"]).fails_saying(&["missing: not a folder", "expected a folder of images"]);
}

/// Whether the process has a handler for SIGINT.
fn catches_ctrl_c(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a running process");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask");
    u64::from_str_radix(caught.trim(), 16).expect("a number") & 0b10 != 0
}

#[test]
fn ctrl_c_ends_a_check_quietly() {
    let place = Workplace::new();
    // Half a minute of work.
    place.write("set/0.jpg", jpeg(&RgbImage::from_fn(2000, 2000, |x, y| [(x * y) as u8, x as u8, y as u8].into()), 95));
    for index in 1..500 {
        fs::hard_link(place.path("set/0.jpg"), place.path(&format!("set/{index}.jpg"))).expect("a link");
    }
    let mut command = place.command(&["check", "set", "--json", "found.json", "--workers", "1"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    while !catches_ctrl_c(child.id()) {
        sleep(Duration::from_millis(5));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    let ran = Ran::of(child.wait_with_output().expect("the program ends"));
    assert!(sent.success());
    assert_eq!((ran.status, ran.stdout.as_str()), (130, ""), "{}", ran.stderr);
    assert!(ran.stderr.starts_with("interrupted after "), "{}", ran.stderr);
    assert!(!place.path("found.json").exists());
}

#[test]
fn class_folders_that_differ_in_case_or_blanks_alone_are_pointed_out() {
    let place = Workplace::new();
    for name in ["set/Cat/1.png", "set/cat /2.png", "set/dog/3.png"] {
        place.write(name, fs::read(fixture("decode/rgb.png")).expect("a file"));
    }
    let (ran, _) = check(&place, "set", &[]);
    let word =
        "set: the class folders \"Cat\" and \"cat \" differ in case or blanks alone; if they are one class, merge them";
    assert!(ran.status == 1 && ran.stdout.contains(word), "{}", ran.stdout);
}
