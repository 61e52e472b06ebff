//! Folders as they lie on people's disks, through the program itself.

mod common;

use std::fs;
use std::os::unix::fs::symlink;

use common::{Ran, Workplace, config, fixture};
use serde_json::Value;
use topfive::data::folder;
use topfive::data::split::Splits;

/// A picture that can be read.
fn png() -> Vec<u8> {
    fs::read(fixture("decode").join("rgb.png")).expect("a file")
}

/// A workplace with these images.
fn with_images(names: &[&str]) -> Workplace {
    let place = Workplace::new();
    names.iter().for_each(|name| {
        place.write(name, png());
    });
    place
}

fn train(place: &Workplace, data: &str) -> Ran {
    place.run(&["train", &config("tiny"), "--data", data, "--out", "run", "--epochs", "1", "--device", "cpu"])
}

/// The names of the images that a folder of classes has.
fn images(place: &Workplace, dir: &str) -> Vec<String> {
    let dataset = folder::open(&place.path(dir)).expect("a data set");
    let below =
        |name: String| name.rsplit_once(&format!("{dir}/")).map_or(name.clone(), |(_, below)| below.to_string());
    dataset.samples.iter().map(|sample| below(sample.source.name())).collect()
}

fn refused(place: &Workplace, dir: &str) -> String {
    format!("{:#}", folder::open(&place.path(dir)).expect_err("refused"))
}

#[test]
fn the_parts_of_a_data_set_are_not_taken_for_its_classes() {
    let place =
        with_images(&["set/Train/cat/1.png", "set/Train/dog/2.png", "set/Test/cat/3.png", "set/Test/dog/4.png"]);
    train(&place, "set").fails_saying(&[
        "set: expected one folder per class",
        "Test, Train",
        "Did you mean set/Train?",
        "train and val",
    ]);
    let place = with_images(&["deep/set/train/cat/1.png", "deep/set/train/dog/2.png", "deep/set/val/cat/3.png"]);
    train(&place, "deep").fails_saying(&["only one class folder, \"set\"", "train, val", "did you mean deep/set?"]);
    let place = with_images(&["set/train/1.png", "set/val/2.png"]);
    train(&place, "set").fails_saying(&["no class folders"]);
    for [one, other] in [["seg_train", "seg_test"], ["training_set", "test_set"], ["TrainImages", "TestImages"]] {
        let files = [format!("set/{one}/cat/1.png"), format!("set/{other}/dog/2.png")];
        let place = with_images(&[&files[0], &files[1], "set/prediction/3.png"]);
        train(&place, "set").fails_saying(&["found the parts of a data set", &format!("Did you mean set/{one}?")]);
    }
    let place = with_images(&["set/train_images/1.png", "set/test_images/2.png"]);
    train(&place, "set").fails_saying(&["test_images, train_images), but no class folders", "give them other names"]);
}

#[test]
fn a_class_may_be_called_train() {
    let place =
        with_images(&["vehicles/bus/1.png", "vehicles/bus/2.png", "vehicles/train/3.png", "vehicles/train/4.png"]);
    let splits = Splits::open(&place.path("vehicles"), None, 0).expect("both parts");
    assert_eq!((splits.train.classes, splits.train.samples.len()), (vec!["bus".to_string(), "train".to_string()], 2));
    let trains = ["steam train/old/1.png", "steam train/new/2.png", "bullet_train/old/3.png", "bullet_train/new/4.png"];
    let place = with_images(&trains);
    assert_eq!(folder::open(&place.path("")).expect("a data set").classes, ["bullet_train", "steam train"]);
    let place = with_images(&["bus/old/1.png", "train/old/2.png", "tram/new/3.png"]);
    assert_eq!(folder::open(&place.path("")).expect("a data set").classes, ["bus", "train", "tram"]);
}

#[test]
fn a_single_class_is_refused_with_the_folders_inside() {
    let place = with_images(&["set/train/images/cat/1.png", "set/train/images/dog/2.png", "set/val/images/cat/3.png"]);
    train(&place, "set").fails_saying(&[
        "set/train: only one class folder, \"images\"",
        "cat, dog: did you mean set/train/images?",
        "move them up into set/train",
    ]);
    assert!(!place.path("run").exists());
}

#[test]
fn a_test_set_without_labels_is_said_to_be_unused() {
    let place = Workplace::with_shapes(5, 1);
    fs::remove_dir_all(place.path("shapes/val")).expect("removed");
    place.write("shapes/test/1.png", png());
    train(&place, "shapes")
        .succeeds()
        .says(&["shapes/test: no class folders inside, so these images are not used", "is split off"]);
}

#[test]
fn everything_that_is_left_out_is_counted_by_reason() {
    let place = Workplace::with_shapes(5, 2);
    for number in 1..=3 {
        place.write(&format!("shapes/train/ring/{number}.HEIC"), b"\0\0\0\x18ftypheic\0\0\0\0mif1heic rest");
    }
    place.write("shapes/train/ring/scan.jp2", b"\0\0\0\x0CjP  \r\n\x87\n rest");
    place.write("shapes/train/notes.txt", "a text");
    place.write("shapes/train/loose.png", png());
    symlink("nowhere", place.path("shapes/train/star/gone.jpg")).expect("a link");
    symlink("self.jpg", place.path("shapes/train/star/self.jpg")).expect("a link");
    train(&place, "shapes").succeeds().says(&[
        "warning: shapes/train: left out: ",
        "3 x HEIC, which is not supported (convert it to JPEG or PNG): for example shapes/train/ring/1.HEIC",
        "1 x JPEG 2000",
        "2 x a link whose target does not exist",
        "1 x an image outside the class folders: shapes/train/loose.png",
        "1 x not an image: shapes/train/notes.txt",
    ]);
    place.write("shapes/val/ring/notes.txt", "a text");
    let eval = place.run(&["eval", "run", "--data", "shapes"]).succeeds();
    assert!(
        eval.stderr.contains("shapes/val: left out: 1 x not an image") && !eval.stderr.contains("warning"),
        "{}",
        eval.stderr
    );
    place.run(&["predict", "run", "shapes/train/ring"]).succeeds().says(&["left out: 3 x HEIC"]);
    let named = place.run(&["predict", "run", "shapes/train/ring/1.HEIC", "shapes/train/star/star-0001.jpg"]);
    assert_eq!(named.status, 1);
    named.says(&["1.HEIC: HEIC is not supported; convert the image to JPEG or PNG"]);
}

#[test]
fn images_under_unknown_endings_are_read_by_content() {
    let place = with_images(&["set/cat/1.png", "set/dog/2.png"]);
    let jpeg = fs::read(fixture("decode").join("444.jpg")).expect("a file");
    for name in ["a.jpe", "b.mpo", "c", "d.jpg_large", "e.jfif"] {
        place.write(&format!("set/cat/{name}"), &jpeg);
    }
    place.write("set/cat/raw.nef", b"II*\0\x08\0\0\0 a raw photograph begins like a TIFF file");
    place.write("set/cat/readme", "BM of no bitmap");
    place.write("set/cat/nothing", "");
    let expected = ["cat/1.png", "cat/a.jpe", "cat/b.mpo", "cat/c", "cat/d.jpg_large", "cat/e.jfif", "dog/2.png"];
    assert_eq!(images(&place, "set"), expected);
    let checked = place.run(&["check", "set"]);
    assert_eq!(checked.status, 1, "{}", checked.stdout);
    assert!(checked.stdout.contains("camera raw, which is not supported"), "{}", checked.stdout);
}

#[test]
fn what_file_managers_leave_behind_is_ignored() {
    let place = with_images(&["set/cat/1.png", "set/dog/2.png"]);
    for name in [
        "cat/@eaDir/1.png",
        "cat/__MACOSX/1.png",
        "__MACOSX/cat/1.png",
        "@eaDir/1.png",
        "cat/.AppleDouble/1.png",
        "cat/@__thumb/1.png",
        "#snapshot/cat/1.png",
        "Network Trash Folder/1.png",
        ".ipynb_checkpoints/1.png",
    ] {
        place.write(&format!("set/{name}"), png());
    }
    for name in ["Thumbs.db", "desktop.ini", "cat/Picasa.ini", "cat/.DS_Store", "cat/Desktop.ini", "cat/._1.png"] {
        place.write(&format!("set/{name}"), "no image");
    }
    let dataset = folder::open(&place.path("set")).expect("a data set");
    assert_eq!(dataset.classes, ["cat", "dog"]);
    assert!(dataset.left_out.is_empty(), "{:?}", dataset.left_out);
    assert_eq!(images(&place, "set"), ["cat/1.png", "dog/2.png"]);
}

#[test]
fn links_are_followed_once_and_never_into_another_class() {
    let place = with_images(&["set/cat/1.png", "set/cat/more/2.png", "set/dog/puppies/3.png", "elsewhere/4.png"]);
    for (target, link) in [
        ("../cat", "set/cat/self"),
        ("..", "set/cat/up"),
        ("more", "set/cat/twice"),
        ("../dog/puppies", "set/cat/others"),
        ("../../elsewhere", "set/dog/linked"),
    ] {
        symlink(target, place.path(link)).expect("a link");
    }
    assert_eq!(images(&place, "set"), ["cat/1.png", "cat/more/2.png", "dog/linked/4.png", "dog/puppies/3.png"]);
    let dataset = folder::open(&place.path("set")).expect("a data set");
    assert_eq!(dataset.left_out.len(), 4, "{:?}", dataset.left_out);
    symlink("dog/puppies", place.path("set/wolf")).expect("a link");
    let error = refused(&place, "set");
    assert!(
        error.contains("set/wolf: a link into the folder of another class") && error.contains("set/dog"),
        "{error}"
    );
}

#[test]
fn names_in_both_unicode_forms_are_one_name() {
    let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
    let place = with_images(&[
        &format!("set/train/{decomposed}/1.png"),
        "set/train/tea/2.png",
        &format!("set/val/{composed}/3.png"),
    ]);
    let splits = Splits::open(&place.path("set"), None, 0).expect("both parts");
    assert_eq!((splits.train.classes, splits.val.samples[0].label), (vec![composed.to_string(), "tea".to_string()], 0));
    train(&place, "set").succeeds();
    place.write("list.txt", format!("set/val/{decomposed}/3.png {decomposed}\n"));
    place.run(&["eval", "run", "--data", "set/val", "--labels", "list.txt"]).succeeds();
    place.write(&format!("set/train/{composed}/4.png"), png());
    let error = refused(&place, "set/train");
    assert!(error.contains("two class folders are called") && error.contains("merge them"), "{error}");
}

#[test]
fn case_and_blanks_in_a_classs_name_are_pointed_out() {
    let place = with_images(&["set/train/cat/1.png", "set/train/dog/2.png", "set/val/CAT/3.png"]);
    train(&place, "set").fails_saying(&["val/CAT: not one of", "did you mean \"cat\"? Upper and lower case differ"]);
    fs::rename(place.path("set/val/CAT"), place.path("set/val/cat ")).expect("a move");
    train(&place, "set").fails_saying(&["did you mean \"cat\"? The two differ in blanks at their ends"]);
}

#[test]
fn with_five_classes_or_fewer_nothing_speaks_of_top_5() {
    let place = Workplace::with_shapes(6, 2);
    let classes: Vec<String> = fs::read_dir(place.path("shapes/train"))
        .expect("a folder")
        .map(|it| it.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    for class in &classes[5..] {
        for part in ["train", "val"] {
            fs::remove_dir_all(place.path(&format!("shapes/{part}/{class}"))).expect("removed");
        }
    }
    let trained = place.train("run", &["--epochs", "2", "--json", "train.json"]).succeeds();
    let evaluated = place
        .run(&[
            "eval",
            "run",
            "--data",
            "shapes",
            "--json",
            "eval.json",
            "--per-class",
            "c.csv",
            "--per-class",
            "c.svg",
        ])
        .succeeds();
    let log = String::from_utf8(place.read("run/log.jsonl")).expect("text");
    let texts = [&trained.stdout, &trained.stderr, &evaluated.stdout, &evaluated.stderr, &log];
    assert!(texts.iter().all(|text| !text.contains("top-5") && !text.contains("top5")), "{texts:?}");
    assert!(trained.stdout.contains("best top-1 error") && evaluated.stdout.contains("top-1 error"));
    for result in [&place.read_json("eval.json"), &place.read_json("train.json")["best"]] {
        assert!(result["top1_error"].is_number() && result.get("top5_error").is_none(), "{result}");
    }
    let picture = |name: &str| String::from_utf8(place.read(name)).expect("text");
    assert!(!picture("c.svg").contains("top-5") && !picture("run/curves.svg").contains("top-5"));
    let row = picture("c.csv").lines().nth(1).expect("a row").split(',').map(String::from).collect::<Vec<_>>();
    assert_eq!(row[4], "", "{row:?}");
    let two: Value = serde_json::from_str(log.lines().last().expect("a line")).expect("JSON");
    assert_eq!(two["kind"], "epoch");
    place.train("run", &["--epochs", "3", "--resume"]).succeeds();
}
