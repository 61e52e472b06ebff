//! The page that `topfive train` leaves and `topfive eval --report` writes.

mod common;

use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use common::Workplace;
use serde_json::{Value, json};
use topfive::metrics::{Answer, Notable, Tally};
use topfive::report::page::{About, Class, Measured, Page, Picture, Pictures, Progress, Row, Thumbnail};

/// The text of a page, checked for what each must be: small, whole, and without anything to fetch.
fn page(place: &Workplace, name: &str) -> String {
    let text = String::from_utf8(place.read(name)).expect("UTF-8");
    check(&text);
    text
}

#[track_caller]
fn check(text: &str) {
    assert!(text.len() < 3_000_000, "{} bytes", text.len());
    assert!(text.starts_with("<!DOCTYPE html>") && text.ends_with("</html>\n"));
    for word in ["src=\"http", "href=\"http", "url(", "@import", "src=\"/", "fetch("] {
        assert!(!text.contains(word), "{word}");
    }
    assert_eq!(foreign_tags(text), Vec::<String>::new());
}

/// What the page holds for programs.
fn record(text: &str) -> Value {
    let (_, rest) = text.split_once("<script type=\"application/json\" id=\"report-data\">").expect("the data");
    serde_json::from_str(rest.split_once("</script>").expect("its end").0).expect("JSON")
}

const TAGS: [&str; 45] = [
    "!doctype",
    "a",
    "b",
    "bdi",
    "body",
    "br",
    "caption",
    "circle",
    "code",
    "details",
    "div",
    "figcaption",
    "figure",
    "footer",
    "h1",
    "h2",
    "h3",
    "head",
    "header",
    "html",
    "img",
    "li",
    "link",
    "main",
    "meta",
    "nav",
    "p",
    "path",
    "polyline",
    "pre",
    "rect",
    "script",
    "section",
    "span",
    "strong",
    "style",
    "summary",
    "svg",
    "table",
    "tbody",
    "td",
    "text",
    "th",
    "thead",
    "title",
];

/// Every tag that is not one of the page's own elements, or has an attribute that runs something. Scripts and styles, whose
/// contents are not markup, are left out up to their first end, as a browser does.
fn foreign_tags(text: &str) -> Vec<String> {
    let (mut found, mut rest, mut scripts) = (Vec::new(), text, 0);
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let tag = &rest[..rest.find('>').unwrap_or(rest.len())];
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap_or_default().to_lowercase();
        let is_own = TAGS.contains(&name.as_str()) || ["small", "tr", "ul"].contains(&name.as_str());
        let has_handler = tag.to_lowercase().split('"').step_by(2).any(|outside| outside.contains(" on"));
        if !is_own || has_handler {
            found.push(tag.chars().take(60).collect());
        }
        if (name == "script" || name == "style") && !tag.starts_with('/') {
            scripts += usize::from(name == "script");
            rest = &rest[rest.find(&format!("</{name}")).unwrap_or(rest.len())..];
        }
    }
    assert_eq!(scripts, 2, "the data and the sorting");
    found
}

/// The record without what differs between two runs that do the same: time, and the command itself.
fn timeless(mut record: Value) -> Value {
    record["about"] = Value::Null;
    record["results"]["run"] = Value::Null;
    for epoch in record["epochs"].as_array_mut().expect("epochs") {
        for field in ["images_per_second", "waiting_percent", "seconds"] {
            epoch.as_object_mut().expect("an epoch").remove(field);
        }
    }
    record
}

#[test]
fn a_run_ends_with_a_page_whose_numbers_are_its_own() {
    let place = Workplace::with_shapes(8, 4);
    place.train("run", &["--epochs", "2", "--json", "result.json", "--seed", "3"]).succeeds();
    let text = page(&place, "run/report.html");
    let record = record(&text);
    let result = place.read_json("result.json");
    assert_eq!(record["results"], result);
    assert_eq!(record["epochs"].as_array().map(Vec::len), Some(2));
    assert_eq!((&record["about"]["seed"], &record["about"]["experiment"]), (&json!(3), &json!("tiny")));
    assert!(record["about"]["command"].as_str().is_some_and(|command| command.starts_with("topfive train")));
    assert!(text.contains("data:image/jpeg;base64,") && text.contains("95&nbsp;% interval"));

    // The table beside the best weights holds the answers that the page is about.
    let table = String::from_utf8(place.read("run/validation.csv")).expect("text");
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let wrong = rows.iter().filter(|row| row[1] != row[2]).count() as f64;
    assert_eq!(Some(100.0 * wrong / rows.len() as f64), result["best"]["top1_error"].as_f64());
    let images: u64 =
        record["measured"]["confusion"].as_array().expect("cells").iter().filter_map(|cell| cell[2].as_u64()).sum();
    assert_eq!(images, rows.len() as u64);
}

#[test]
fn a_run_that_is_killed_has_a_page_of_its_epochs_and_ends_with_the_page_of_an_undisturbed_one() {
    let place = Workplace::with_shapes(8, 4);
    place.train("whole", &["--epochs", "12"]).succeeds();
    let config = common::config("tiny");
    let arguments =
        ["train", &config, "--data", "shapes", "--out", "run", "--threads", "1", "--device", "cpu", "--epochs", "12"];
    let mut child = place.command(&arguments).stderr(Stdio::null()).stdout(Stdio::null()).spawn().expect("a run");
    while !place.path("run/report.html").exists() && child.try_wait().expect("a status").is_none() {
        sleep(Duration::from_millis(2));
    }
    child.kill().expect("killed");
    child.wait().expect("a status");
    let early = record(&page(&place, "run/report.html"));
    assert!(early["epochs"].as_array().is_some_and(|epochs| !epochs.is_empty()));

    place.train("run", &["--epochs", "12", "--resume"]).succeeds();
    let [resumed, whole] = ["run", "whole"].map(|run| timeless(record(&page(&place, &format!("{run}/report.html")))));
    assert_eq!(resumed, whole);
}

#[test]
fn an_evaluations_page_has_the_numbers_of_its_json_and_replaces_nothing() {
    let place = Workplace::with_shapes(4, 4);
    place.train("run", &["--epochs", "1"]).succeeds();
    let eval = ["eval", "run", "--data", "shapes", "--views", "center,ten-crop", "--json", "result.json"];
    let with_page = [&eval[..], &["--report", "page.html"]].concat();
    place.run(&with_page).succeeds();
    let text = page(&place, "page.html");
    assert_eq!(record(&text)["results"], place.read_json("result.json"));
    assert!(text.contains("<td>center</td>") && text.contains("<td>ten-crop</td>"));

    place.run(&with_page).fails_saying(&["page.html", "exists already", "Choose another name"]);
    place.run(&[&eval[..], &["--report", "none/page.html"]].concat()).fails_saying(&["none", "does not exist"]);
    let twice = ["--report", "new.html", "--per-class", "new.html"];
    place.run(&[&eval[..], &twice].concat()).fails_saying(&["new.html"]);
}

#[test]
fn a_page_and_a_table_that_do_not_belong_to_a_run_are_left_alone() {
    let place = Workplace::with_shapes(4, 2);
    for name in ["report.html", "validation.csv"] {
        place.write(&format!("mine/{name}"), "mine");
        place.train("mine", &["--epochs", "1"]).fails_saying(&["mine: already contains other files"]);
        assert_eq!(place.read(&format!("mine/{name}")), b"mine");
        fs::remove_file(place.path(&format!("mine/{name}"))).expect("removed");
    }
}

#[test]
fn an_ensembles_page_has_a_row_for_each_model_and_no_evidence() {
    let place = Workplace::with_shapes(4, 2);
    for out in ["one", "two"] {
        place.train(out, &["--epochs", "1"]).succeeds();
    }
    place.run(&["eval", "one", "two", "--data", "shapes", "--report", "page.html"]).succeeds();
    let text = page(&place, "page.html");
    assert!(text.contains("Ensembles have no single map") && text.contains("tiny + tiny"));
}

const HOSTILE: [&str; 4] = ["<script>alert(1)<!--", "\" onload=\"alert(2)", "'&lt;\u{202E}שלום", "😀 <b>&amp;"];

#[test]
fn class_names_with_markup_quotes_and_other_scripts_are_shown_as_they_are() {
    let place = Workplace::with_shapes(4, 2);
    for split in ["train", "val"] {
        for (class, hostile) in ["ring", "star", "disc", "cross"].iter().zip(HOSTILE) {
            let folder = place.path(&format!("shapes/{split}"));
            fs::rename(folder.join(class), folder.join(hostile)).expect("renamed");
        }
    }
    place.train("run", &["--epochs", "1"]).succeeds();
    let text = page(&place, "run/report.html");
    for shown in [
        "<bdi>&lt;script&gt;alert(1)&lt;!--</bdi>",
        "<bdi>&quot; onload=&quot;alert(2)</bdi>",
        "<bdi>&#39;&amp;lt;\u{202E}שלום</bdi>",
        "<bdi>😀 &lt;b&gt;&amp;amp;</bdi>",
    ] {
        assert!(text.contains(shown), "{shown}");
    }
    let classes = record(&text)["measured"]["classes"].as_array().expect("classes").clone();
    for hostile in HOSTILE {
        assert!(classes.iter().any(|class| class["class"] == hostile), "{hostile}");
    }
}

/// A JPEG of 160 x 160 pixels that compresses badly.
fn noise() -> Vec<u8> {
    let image = image::RgbImage::from_fn(160, 160, |x, y| {
        image::Rgb([x * y, x * x, y * y * x].map(|value| (value % 251) as u8))
    });
    let mut jpeg = Vec::new();
    image.write_with_encoder(image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 40)).expect("a JPEG");
    jpeg
}

/// A page about made-up answers to `images` images of `count` classes, every ninth of them wrong, with full galleries.
fn made_up(count: usize, images: usize) -> String {
    let name =
        |class: usize| format!("{} class {class} with a rather long name", ["</script>", "\"", "<!--", "ש"][class % 4]);
    let classes: Vec<Class> = (0..count).map(|class| Class { id: format!("n{class:08}"), name: name(class) }).collect();
    let answers: Vec<Option<Answer>> = (0..images)
        .map(|index| {
            let label = index % count;
            let prediction = if index % 9 == 0 { (label * 7 + index / 9 + 1) % count } else { label };
            let probability = 0.5 + (index % 50) as f32 / 100.0;
            let (is_right, rank) = (prediction == label, index % 3 + 1);
            let label_probability = if is_right { probability } else { 0.01 };
            let rank = if is_right { 0 } else { rank.min(count - 1) };
            Some(Answer { label, prediction, probability, label_probability, rank, classes: count })
        })
        .collect();
    let mut tally = Tally::default();
    answers.iter().flatten().for_each(|answer| tally.add(answer));
    let small = Thumbnail { jpeg: noise(), width: 160, height: 160 };
    let pictures = |places: Vec<usize>| {
        let picture = |place: usize| Picture {
            path: format!("{}/{place}.jpg", name(place % count)),
            answer: answers[place].expect("an answer"),
            image: Some(small.clone()),
            evidence: Some(small.clone()),
        };
        places.into_iter().map(picture).collect::<Vec<_>>()
    };
    let Notable { mistakes, hits, labels } = Notable::of(&answers, 12);
    let [mistakes, hits, labels] = [mistakes, hits, labels].map(pictures);
    let epochs = (1..=20_000).map(|epoch| {
        json!({ "kind": "epoch", "epoch": epoch, "step": 10 * epoch, "training_loss": 1.0 / epoch as f64, "loss": 0.5, "top1_error": 20.0,
                "top5_error": 5.0, "averaged": { "top1_error": 19.0, "top5_error": 4.0, "loss": 0.4 }, "seconds": 1.25 })
    });
    let about = About {
        title: "</title><script>alert(3)</script>".to_string(),
        experiment: "tiny".to_string(),
        paper: String::new(),
        data: "photos".to_string(),
        weights: None,
        command: "topfive train '<tiny>'".to_string(),
        version: "topfive".to_string(),
        seed: Some(1),
        machine: "cpu".to_string(),
        seconds: 90.0,
        settings: json!({ "name": "</pre><script>" }),
    };
    let views = "center".to_string();
    let pictures = Pictures { mistakes, hits, labels, evidence: "Grad-CAM of a<b".to_string() };
    let page = Page {
        about: &about,
        progress: Some(Progress {
            epochs: epochs.collect(),
            rates: (1..50_000).map(|at| (f64::from(at), 0.1)).collect(),
        }),
        errors: vec![Row {
            model: "best weights".to_string(),
            views: views.clone(),
            tally,
            published: [Some(30.0), None],
        }],
        measured: Some(Measured { views: &views, answers: &answers, classes: &classes, pictures: &pictures }),
        results: Value::Null,
    };
    page.html()
}

#[test]
fn pages_of_two_classes_a_thousand_and_five_thousand_stay_small_however_long_the_run() {
    let place = Workplace::lasting("reports");
    for (count, images) in [(2, 200), (1000, 50_000), (5000, 50_000)] {
        let text = made_up(count, images);
        check(&text);
        let calibration = &record(&text)["measured"]["calibration"];
        assert!(calibration["expected_error"].as_f64().is_some_and(|error| error < 1.0));
        place.write(&format!("{count}-classes.html"), text);
    }
}
