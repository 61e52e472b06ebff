//! Protocols and ensembles on the command line, and what `eval` writes of single images and classes.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use common::{Ran, Workplace, config};
use safetensors::SafeTensors;
use safetensors::tensor::serialize;
use serde_json::{Value, json};
use topfive::weights;

/// A workplace with 12 classes of shapes and two models that were trained on them for a moment.
fn two_models() -> Workplace {
    fill(Workplace::new())
}

fn fill(place: Workplace) -> Workplace {
    place.draw_shapes(8, 3);
    for (run, seed) in [("a", "1"), ("b", "2")] {
        place.train(run, &["--seed", seed, "--set", "training.epochs=1"]).succeeds();
    }
    place
}

/// The same for tests that change nothing in it and name their own files.
fn shared() -> &'static Workplace {
    static SHARED: LazyLock<Workplace> = LazyLock::new(|| fill(Workplace::lasting("two-models")));
    &SHARED
}

fn eval(place: &Workplace, arguments: &[&str]) -> Value {
    let ran =
        place.run(&[&["eval", "--data", "shapes", "--threads", "1", "--json", "-"], arguments].concat()).succeeds();
    serde_json::from_str(&ran.stdout).expect("JSON alone on standard output")
}

fn errors(result: &Value) -> [f64; 3] {
    ["top1_error", "top5_error", "loss"].map(|key| result[key].as_f64().expect("a number"))
}

/// The same errors, and the same loss but for the rounding in batches of another size.
fn assert_same(found: &Value, expected: &Value) {
    let [found, expected] = [errors(found), errors(expected)];
    assert_eq!(found[..2], expected[..2]);
    assert!((found[2] - expected[2]).abs() < 1e-5, "{found:?}, expected {expected:?}");
}

/// Each image's probabilities by class.
fn probabilities(place: &Workplace, models: &[&str]) -> Vec<BTreeMap<String, f64>> {
    let ran = place
        .run(&[&["predict"], models, &["shapes/val", "--top", "12", "--threads", "1", "--format", "jsonl"]].concat())
        .succeeds();
    ran.stdout.lines().map(guesses).collect()
}

/// The probabilities by class in a line of JSON.
fn guesses(line: &str) -> BTreeMap<String, f64> {
    let object: Value = serde_json::from_str(line).expect("JSON");
    let guess = |guess: &Value| {
        (guess["class"].as_str().expect("a class").to_string(), guess["probability"].as_f64().expect("a number"))
    };
    object["predictions"].as_array().expect("predictions").iter().map(guess).collect()
}

#[test]
fn an_ensemble_of_a_model_with_itself_has_the_errors_of_the_model() {
    let place = shared();
    let alone = eval(place, &["a"]);
    let twice = eval(place, &["a", "a"]);
    assert_same(&twice, &alone);
    assert_eq!(twice["members"].as_array().expect("members").len(), 2);
    assert_same(&twice["members"][1], &alone);
}

#[test]
fn an_ensembles_probabilities_are_the_mean_of_its_members() {
    let place = shared();
    let [a, b, both] = [vec!["a"], vec!["b"], vec!["a", "b"]].map(|models| probabilities(place, &models));
    assert_eq!(both.len(), 36);
    for ((a, b), both) in a.iter().zip(&b).zip(&both) {
        for (class, probability) in both {
            assert!((probability - (a[class] + b[class]) / 2.0).abs() < 1e-6, "{class}");
        }
    }
    let together = eval(place, &["a", "b"]);
    assert_same(&together["members"][0], &eval(place, &["a"]));
    assert_same(&together["members"][1], &eval(place, &["b"]));
}

/// Writes a checkpoint with its classes in the opposite order, and its classifier's rows with them: the same model.
fn reverse(checkpoint: &Path, to: &Path) {
    let contents = weights::read(checkpoint).expect("a checkpoint");
    let mut note: Value = serde_json::from_str(&contents.note.expect("a note")).expect("JSON");
    note["classes"].as_array_mut().expect("classes").reverse();
    let mut tensors = contents.tensors;
    for tensor in &mut tensors {
        if tensor.name == "fc.weight" || tensor.name == "fc.bias" || tensor.name.starts_with("aux.fc") {
            let row = tensor.data.len() / tensor.shape[0];
            tensor.data = tensor.data.rchunks(row).flatten().copied().collect();
        }
    }
    weights::safetensors::write(to, &tensors, &note).expect("room for a file");
}

#[test]
fn members_with_classes_in_a_different_order_are_matched_by_name() {
    let place = shared();
    reverse(&place.path("a/best.safetensors"), &place.path("reversed.safetensors"));
    let alone = eval(place, &["a"]);
    assert_eq!(errors(&eval(place, &["reversed.safetensors"])), errors(&alone));
    let both = eval(place, &["a", "reversed.safetensors"]);
    assert_same(&both, &alone);
}

#[test]
fn models_with_different_classes_are_refused() {
    let place = two_models();
    fs::rename(place.path("shapes/train/ring"), place.path("shapes/train/annulus")).expect("a rename");
    fs::rename(place.path("shapes/val/ring"), place.path("shapes/val/annulus")).expect("a rename");
    place.train("c", &["--set", "training.epochs=1"]).succeeds();
    place.run(&["eval", "a", "c", "--data", "shapes"]).fails_saying(&[
        "c/best.safetensors",
        "the class \"ring\"",
        "same classes",
    ]);
}

#[test]
fn experiments_take_weights_in_order_and_surplus_weights_are_refused() {
    let place = shared();
    let (tiny, twelve) = (config("tiny"), ["--set", "network.classes=12"]);
    let both = [&[tiny.as_str(), "--weights", "a/best.safetensors", "b"], twelve.as_slice()].concat();
    assert_same(&eval(place, &both), &eval(place, &["a", "b"]));
    place
        .run(&["eval", "a", "--weights", "b/best.safetensors", "--data", "shapes"])
        .fails_saying(&["--weights b/best.safetensors", "no experiment left to use it with"]);
    place.run(&["eval", "a", &tiny, "--data", "shapes"]).fails_saying(&[
        "tiny.json",
        "no published weights",
        "--weights FILE",
    ]);
}

#[test]
fn each_of_several_protocols_has_the_result_it_has_alone() {
    let place = shared();
    let names =
        ["center", "ten-crop", "googlenet-144", "dense", "multi-crop-50", "dense+multi-crop", "resnet-multiscale"];
    let together = eval(place, &["a", "--views", &names.join(",")]);
    for (index, name) in names.into_iter().enumerate() {
        let (found, alone) = (&together["results"][index], eval(place, &["a", "--views", name]));
        assert_eq!((&found["views"], &found["crops"]), (&alone["views"], &alone["crops"]));
        assert_same(found, &alone);
    }
}

#[test]
fn all_protocols_are_one_table_with_the_gain_against_the_center_crop() {
    let place = shared();
    let ran = place.run(&["eval", "a", "--data", "shapes", "--views", "all"]).succeeds();
    for word in ["against center", "googlenet-144", "144", "multi-crop-150", "150", "resnet-multiscale-mirror", "+0.00"]
    {
        assert!(ran.stdout.contains(word), "no '{word}' in:\n{}", ran.stdout);
    }
    assert_eq!(ran.stdout.lines().count(), 1 + 11 + 1, "{}", ran.stdout);
}

#[test]
fn custom_views_match_the_protocol_that_they_spell_out() {
    let place = shared();
    let own = |views: Value| format!("evaluation.views={views}");
    let ten = own(json!({ "scales": [37], "crops": ["corners", "center"], "mirrors": true }));
    assert_same(&eval(place, &["a", "--set", &ten, "--views", "paper"]), &eval(place, &["a", "--views", "ten-crop"]));
    let parts = own(json!([
        { "scales": [32, 37, 42], "crops": ["dense"], "mirrors": true },
        { "scales": [32, 37, 42], "crops": [{ "grid": 5 }], "mirrors": true }
    ]));
    let both = errors(&eval(place, &["a", "--views", "dense+multi-crop"]));
    assert_eq!(errors(&eval(place, &["a", "--set", &parts, "--views", "paper"])), both);
    let beside = eval(place, &["a", "--set", &ten, "--views", "center,paper"]);
    assert_eq!(beside["results"][1]["views"], "custom");
    assert_same(&beside["results"][1], &eval(place, &["a", "--views", "ten-crop"]));
}

/// The class probabilities of one image, by class.
fn of_image(place: &Workplace, image: &str, options: &[&str]) -> BTreeMap<String, f64> {
    let arguments = [&["predict", "a", image, "--top", "12", "--threads", "1", "--json", "-"], options].concat();
    guesses(&place.run(&arguments).succeeds().stdout)
}

fn assert_near(found: &BTreeMap<String, f64>, expected: impl Fn(&str) -> f64) {
    found.iter().for_each(|(class, found)| assert!((found - expected(class)).abs() < 1e-5, "{class}: {found}"));
}

#[test]
fn the_crops_and_mirrors_of_an_image_count_as_the_same_crops_cut_by_another_program() {
    let place = shared();
    let image = image::RgbImage::from_fn(40, 40, |x, y| image::Rgb([(x * 6) as u8, (y * 6) as u8, (x * y / 7) as u8]));
    image.save(place.path("views.png")).expect("saved");
    let mut crops = Vec::new();
    for mirror in [false, true] {
        for (x, y) in [(0, 0), (8, 0), (0, 8), (8, 8), (4, 4)] {
            let mut crop = image::imageops::crop_imm(&image, x, y, 32, 32).to_image();
            if mirror {
                image::imageops::flip_horizontal_in_place(&mut crop);
            }
            crop.save(place.path("views-crop.png")).expect("saved");
            crops.push(of_image(
                place,
                "views-crop.png",
                &["--set", "preprocess.crop_fraction=1", "--views", "center"],
            ));
        }
    }
    let mean = |class: &str| crops.iter().map(|crop| crop[class]).sum::<f64>() / 10.0;
    assert_near(&of_image(place, "views.png", &["--views", "ten-crop:40"]), mean);

    // A constant that the softmax drops from the logits of a view drops out of their mean, too.
    let views = r#"evaluation.views={"scales":[40],"crops":["corners","center"],"mirrors":true,"average":"logits"}"#;
    let power = |class: &str| (crops.iter().map(|crop| crop[class].ln()).sum::<f64>() / 10.0).exp();
    let sum: f64 = crops[0].keys().map(|class| power(class)).sum();
    assert_near(&of_image(place, "views.png", &["--set", views, "--views", "paper"]), |class| power(class) / sum);
}

#[test]
fn results_do_not_depend_on_the_batch_size_or_the_number_of_workers() {
    let place = shared();
    let views = "googlenet-144,dense-multiscale";
    let expected = eval(place, &["a", "--views", views]);
    let found = eval(place, &["a", "--views", views, "--batch-size", "1", "--workers", "3"]);
    for index in 0..2 {
        assert_same(&found["results"][index], &expected["results"][index]);
    }
}

#[test]
fn every_image_is_written_with_the_rank_of_its_class() {
    let place = two_models();
    place.write("shapes/val/ring/broken.jpg", "no image");
    let ran = place.run(&[
        "eval",
        "a",
        "--data",
        "shapes",
        "--views",
        "center,mirror",
        "--per-image",
        "images.csv",
        "--json",
        "r.json",
    ]);
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    let mut csv = csv::Reader::from_reader(fs::File::open(place.path("images.csv")).expect("a file"));
    let rows: Vec<BTreeMap<String, String>> = csv.deserialize().map(|row| row.expect("a row")).collect();
    assert_eq!(rows.len(), 2 * 36 + 1);
    let results = place.read_json("r.json");
    for (index, views) in ["center", "mirror"].into_iter().enumerate() {
        let own: Vec<_> = rows.iter().filter(|row| row["views"] == views).collect();
        let right = own.iter().filter(|row| row["rank"] == "1").count();
        assert_eq!(right, own.iter().filter(|row| row["label"] == row["prediction"]).count());
        let top5 = own.iter().filter(|row| row["rank"].parse::<u32>().expect("a rank") <= 5).count();
        let [top1_error, top5_error, _] = errors(&results["results"][index]);
        assert!((top1_error - 100.0 * (36 - right) as f64 / 36.0).abs() < 1e-9);
        assert!((top5_error - 100.0 * (36 - top5) as f64 / 36.0).abs() < 1e-9);
    }
    let bad: Vec<_> = rows.iter().filter(|row| !row["error"].is_empty()).collect();
    assert!(bad.len() == 1 && bad[0]["path"].ends_with("broken.jpg"));
}

#[test]
fn the_confusion_matrix_and_the_classes_add_up_to_the_errors() {
    let place = shared();
    let files = ["--confusion", "m.csv", "--confusion", "m.svg", "--per-class", "c.csv", "--per-class", "c.svg"];
    let result = eval(place, &[&["a"], files.as_slice()].concat());
    let mut csv = csv::Reader::from_reader(fs::File::open(place.path("m.csv")).expect("a file"));
    let columns: Vec<String> = csv.headers().expect("a header").iter().map(String::from).collect();
    let (mut images, mut right) = (0, 0);
    for row in csv.records() {
        let row = row.expect("a row");
        for (column, count) in row.iter().enumerate().skip(1) {
            let count: u64 = count.parse().expect("a count");
            images += count;
            right += if columns[column] == row[0] { count } else { 0 };
        }
    }
    assert_eq!(images, 36);
    assert!((errors(&result)[0] - 100.0 * (36 - right) as f64 / 36.0).abs() < 1e-9);
    let mut csv = csv::Reader::from_reader(fs::File::open(place.path("c.csv")).expect("a file"));
    let classes: Vec<BTreeMap<String, String>> = csv.deserialize().map(|row| row.expect("a row")).collect();
    assert_eq!(classes.len(), 12);
    let mean: f64 =
        classes.iter().map(|class| class["top1_error"].parse::<f64>().expect("a number")).sum::<f64>() / 12.0;
    assert!((errors(&result)[0] - mean).abs() < 1e-9, "classes of equal size");
    for (picture, words) in [("m.svg", ["<svg", "ring"]), ("c.svg", ["<svg", "top-5 error"])] {
        let text = String::from_utf8(place.read(picture)).expect("text");
        words.iter().for_each(|word| assert!(text.contains(word), "no '{word}' in {picture}"));
    }
}

#[test]
fn options_that_cannot_work_are_refused_before_the_work_begins() {
    let place = shared();
    let fails = |arguments: &[&str], words: &[&str]| {
        place.run(&[&["eval", "a", "--data", "shapes"], arguments].concat()).fails_saying(words);
    };
    fails(&["--confusion", "m.png"], &["m.png", ".csv", ".svg"]);
    fails(&["--confusion", "nowhere/m.csv"], &["nowhere/m.csv", "the folder nowhere does not exist"]);
    fails(&["--confusion", "m.csv", "--views", "center,mirror"], &["one protocol", "--views"]);
    fails(
        &["--confusion", "m.csv", "--per-class", "m.csv"],
        &["--per-class m.csv", "--confusion writes this file, too"],
    );
    fails(&["--per-image", "./r.csv", "--json", "r.csv"], &["--per-image ./r.csv", "--json writes this file, too"]);
    fails(&["--per-class", "c.csv", "--json", "shapes"], &["shapes", "it is a folder"]);
    fails(&["--per-image", "nowhere/i.csv"], &["nowhere/i.csv", "the folder nowhere does not exist"]);
    fails(&["--per-image", "images.txt"], &["images.txt", ".csv", ".jsonl"]);
    fails(&["--views", "tencrop"], &["unknown protocol 'tencrop'", "did you mean \"ten-crop\"?", "googlenet-144"]);
    fails(&["--views", "center:20"], &["center:20", "32 pixels", "found 20"]);
    place.run(&["predict", "a", "b-typo", "shapes/val"]).fails_saying(&["b-typo: no such file", "a run folder"]);
    place.run(&["predict", "a", "shapes/val", "--views", "all"]).fails_saying(&["predict takes one protocol"]);
    place.run(&["predict", "a"]).fails_saying(&["expected images after the model", "topfive predict a"]);
}

#[test]
fn images_of_any_aspect_ratio_work_with_tiny_batches() {
    let place = shared();
    for (name, width, height) in [("wide.png", 6000, 400), ("tall.png", 30, 900), ("dot.png", 1, 1)] {
        image::RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 99]))
            .save(place.path(name))
            .expect("saved");
    }
    for views in ["googlenet-144", "dense+multi-crop", "resnet-multiscale"] {
        let files = ["wide.png", "tall.png", "dot.png"];
        let options = ["--views", views, "--batch-size", "2", "--format", "csv", "--top", "1", "--threads", "1"];
        let ran = place.run(&[&["predict", "a"], files.as_slice(), &options].concat()).succeeds();
        assert_eq!(ran.stdout.lines().count(), 1 + 3, "{views}");
    }
}

/// Runs the program, sends SIGINT as soon as it has begun a file, and returns its standard output and error.
#[cfg(unix)]
fn interrupt(place: &Workplace, arguments: &[&str]) -> Ran {
    let begun = || place.names().iter().any(|name| name.starts_with(".topfive-"));
    let mut command = place.command(arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
    while !begun() {
        assert!(child.try_wait().expect("a status").is_none(), "ended before it could be interrupted");
        thread::sleep(Duration::from_millis(5));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
    let ran = Ran::of(child.wait_with_output().expect("an end"));
    assert_eq!(ran.status, 130, "{}", ran.stderr);
    assert!(!begun(), "{:?}", place.names());
    ran
}

#[cfg(unix)]
#[test]
fn an_interrupted_eval_leaves_nothing_behind() {
    let place = two_models();
    place.add_thousands_of_images();
    interrupt(&place, &["eval", "a", "--data", "shapes", "--views", "all", "--per-image", "images.csv"]);
    assert!(!place.path("images.csv").exists());
}

#[cfg(unix)]
#[test]
fn an_interrupted_predict_keeps_what_it_has_predicted() {
    let place = two_models();
    place.add_thousands_of_images();
    let ran =
        interrupt(&place, &["predict", "a", "shapes/val", "--views", "dense", "--json", "all.jsonl", "--top", "1"]);
    let lines = String::from_utf8(place.read("all.jsonl")).expect("text");
    let count = lines.lines().map(guesses).filter(|guesses| guesses.len() == 1).count();
    assert!(lines.ends_with('\n') && count > 0 && count < 3000, "{count} lines");
    ran.says(&[&format!("interrupted after {count} of 3036 images")]);
}

#[test]
fn each_member_of_an_ensemble_is_compared_with_what_it_publishes() {
    let place = shared();
    let tiny = fs::read_to_string(config("tiny")).expect("a config");
    for (file, views, top1_error) in [("one.json", "center", 10.0), ("two.json", "mirror", 20.0)] {
        let mut own: Value = serde_json::from_str(&tiny).expect("JSON");
        own["network"]["classes"] = 12.into();
        own["published"] = json!([{ "views": views, "top1_error": top1_error }]);
        place.write(file, own.to_string());
    }
    let weights = ["--weights", "a/best.safetensors", "--weights", "b/best.safetensors"];
    let options = ["--data", "shapes", "--views", "published", "--json", "published.json"];
    let table =
        place.run(&[&["eval", "one.json", "two.json"], weights.as_slice(), &options].concat()).succeeds().stdout;
    let results = place.read_json("published.json")["results"].clone();
    // Under each protocol a row for each member, and one for the ensemble.
    for (row, protocol, member, published) in [(0, 0, 0, 10.0), (4, 1, 1, 20.0)] {
        let member = &results[protocol]["members"][member];
        let difference = member["top1_error"].as_f64().expect("a number") - published;
        let line = table.lines().nth(1 + row).expect("a row");
        assert!(line.ends_with(&format!("{published:.2} / - %  {difference:+.2} / -")), "{table}");
        assert_eq!(member["published"], json!({ "top1_error": published, "top5_error": null }));
    }
    for row in [1, 2, 3, 5] {
        assert!(!table.lines().nth(1 + row).expect("a row").contains("/ - %"), "{table}");
    }
}

#[test]
fn eval_names_the_weights_that_it_chose_and_says_what_it_assumes_about_classes() {
    let place = shared();
    let eval = |arguments: &[&str]| place.run(&[&["eval", "--data", "shapes"], arguments].concat()).succeeds();
    eval(&["a", "b/best.safetensors"]).says(&["weights: a/best.safetensors\n"]);
    assert!(!eval(&["a/best.safetensors"]).stderr.contains("weights: "));

    // The same tensors without topfive's metadata.
    let checkpoint = place.read("a/best.safetensors");
    let plain = serialize(SafeTensors::deserialize(&checkpoint).expect("a file").iter(), None).expect("a file");
    place.write("plain.safetensors", plain);
    let by_position = eval(&[
        &config("tiny"),
        "--weights",
        "plain.safetensors",
        "--set",
        "network.classes=12",
        "--json",
        "plain.json",
    ]);
    by_position.says(&["plain.safetensors does not contain class names", "class folders in sorted order", "0, 1, 2"]);
    eval(&["a", "--json", "named.json"]);
    assert_same(&place.read_json("plain.json"), &place.read_json("named.json"));
}

#[test]
fn a_comparison_counts_the_images_that_only_one_model_gets_right() {
    let place = shared();
    let compared = eval(place, &["a", "b", "--compare"]);
    let labels = |model: &str| {
        let file = format!("compared-{model}.csv");
        place.run(&["eval", model, "--data", "shapes", "--threads", "1", "--per-image", &file]).succeeds();
        let mut rows = csv::Reader::from_path(place.path(&file)).expect("a table");
        let is_rank = rows.headers().expect("a header").iter().position(|name| name == "rank").expect("ranks");
        let row = |row: csv::StringRecord| (row[0].to_string(), &row[is_rank] == "1");
        rows.records().map(|it| row(it.expect("a row"))).collect::<BTreeMap<String, bool>>()
    };
    let [a, b] = ["a", "b"].map(labels);
    let only = |these: &BTreeMap<String, bool>, others: &BTreeMap<String, bool>| {
        these.iter().filter(|(path, right)| **right && !others[*path]).map(|(path, _)| path.clone()).collect::<Vec<_>>()
    };
    let comparison = &compared["comparisons"][0];
    for (key, mut expected) in [("first", only(&a, &b)), ("second", only(&b, &a))] {
        assert_eq!(comparison[format!("only_{key}")], json!(expected.len()));
        expected.sort();
        let mut found: Vec<String> =
            serde_json::from_value(comparison[format!("images_only_{key}")].clone()).expect("paths");
        found.sort();
        assert_eq!(found, expected);
    }
    for key in ["top1_error", "top5_error", "loss", "top1_interval", "top5_interval"] {
        assert!(compared.get(key).is_none(), "no ensemble is asked for, but {key} is {}", compared[key]);
    }
    for (member, alone) in [(0, "a"), (1, "b")] {
        assert_same(&compared["members"][member], &eval(place, &[alone]));
    }
    let shown = place.run(&["eval", "a", "b", "--compare", "--data", "shapes", "--threads", "1"]).succeeds();
    for words in ["McNemar's exact test, p = ", "a/best.safetensors", "b/best.safetensors"] {
        assert!(shown.stdout.contains(words), "expected {words:?} in {}", shown.stdout);
    }
}

#[test]
fn one_model_has_nothing_to_be_compared_with() {
    shared()
        .run(&["eval", "a", "--compare", "--data", "shapes"])
        .fails_saying(&["--compare: expected two models or more, found one", "topfive eval A B --compare"]);
}

#[test]
fn every_error_is_shown_with_its_interval() {
    let place = shared();
    let result = eval(place, &["a"]);
    let [low, high] = ["low", "high"].map(|limit| result["top1_interval"][limit].as_f64().expect("a number"));
    let error = errors(&result)[0];
    // Of 36 images, no Wilson interval is narrower than that of no error, which ends at 9.64 % (scipy).
    assert!(low <= error && error <= high && high - low > 9.6, "{low} to {high} around {error}");
    let shown = place.run(&["eval", "a", "--data", "shapes", "--threads", "1"]).succeeds();
    let words = format!("top-1 error {error:.2} % ({low:.2} to {high:.2} %), top-5 error ");
    assert!(shown.stdout.contains(&words), "expected {words:?} in {}", shown.stdout);
}
