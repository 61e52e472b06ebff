//! Maps of evidence against those that torch's hooks give (`scripts/make_explain_fixtures.py`), and the pictures of
//! `topfive explain`.

mod common;

use std::fs;

use common::formula::{filled_network, images};
use common::{Workplace, fixture};
use serde_json::Value;
use tch::{Kind, Tensor};
use topfive::experiment::Experiment;
use topfive::explain::evidence::{Evidence, Method};
use topfive::explain::heat::Heat;
use topfive::explain::receptive::fields;
use topfive::explain::region::bounding_box;
use topfive::explain::view::Seen;
use topfive::geometry::{Rect, Size};
use topfive::views::plan::Region;

/// Whether a map is the expected one but for a ten-thousandth of its greatest value.
fn assert_map(name: &str, map: &Tensor, expected: &Value) {
    let expected: Vec<f64> = serde_json::from_value(expected.clone()).expect("a map");
    let found = Vec::<f64>::try_from(map.to_kind(Kind::Double).flatten(0, -1)).expect("a map");
    let largest = expected.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    assert!(largest > 0.0 && found.len() == expected.len(), "{name}: {} values", found.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() <= 1e-4 * largest, "{name}: {found}, expected {expected} of {largest}");
    }
}

#[test]
fn class_activation_maps_and_grad_cam_equal_those_of_torchs_hooks() {
    for name in ["resnet34", "googlenet-bn", "vgg16"] {
        let experiment = Experiment::load(name.as_ref(), &[]).expect("an experiment");
        let network = filled_network(&experiment);
        let input = images("input", [1, 224, 224]);
        let text = fs::read_to_string(fixture(&format!("explain/{name}.json"))).expect("a fixture");
        let entries: Vec<Value> = serde_json::from_str(&text).expect("JSON");
        for entry in entries {
            let class = entry["class"].as_u64().expect("a class") as usize;
            let layer = entry["layer"].as_str();
            let maps = |method| {
                let evidence = Evidence::new(&network, Some(method), layer).expect("evidence");
                evidence.maps(&input, &[class, 0]).expect("maps").swap_remove(0)
            };
            assert_map(&format!("{name} {layer:?} Grad-CAM"), &maps(Method::GradCam), &entry["grad_cam"]);
            if !entry["class_activation"].is_null() {
                assert_map(&format!("{name} CAM"), &maps(Method::ClassActivation), &entry["class_activation"]);
            }
        }
    }
}

#[test]
fn a_network_without_a_global_average_pool_is_told_to_use_grad_cam() {
    let network = filled_network(&Experiment::load("vgg16".as_ref(), &[]).expect("an experiment"));
    let refusal = Evidence::new(&network, Some(Method::ClassActivation), None).expect_err("refused");
    assert!(format!("{refusal:#}").contains("choose grad-cam"), "{refusal:#}");
    assert_eq!(Evidence::new(&network, None, None).expect("evidence").to_string(), "Grad-CAM of features.29");
    let refusal = Evidence::new(&network, None, Some("features.92")).expect_err("refused");
    assert!(format!("{refusal:#}").contains("did you mean \"features.2"), "{refusal:#}");
}

/// Araujo, Norris, Sim: Computing Receptive Fields of Convolutional Neural Networks, Distill 2019, table 1. Their
/// AlexNet's first layer has no padding, torchvision's has two pixels: 66 instead of 64.
#[test]
fn receptive_fields_are_the_published_ones() {
    for (name, layer, length, step, padding) in
        [("alexnet-owt", "features.12", 195, 32, 66), ("vgg16", "features.30", 212, 32, 90)]
    {
        let experiment = Experiment::load(name.as_ref(), &[]).expect("an experiment");
        for field in fields(experiment.nodes(), layer).expect("a layer") {
            assert_eq!((field.start, field.length, field.step), (-padding, length, step), "{name}");
        }
    }
}

#[test]
fn the_box_is_that_of_the_largest_connected_region_above_a_fifth_of_the_greatest_evidence() {
    let map = [
        [0.0, 9.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 3.0, 2.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 1.9, 1.7],
        [0.0, 0.0, 0.0, 0.0, 4.0, 0.0],
    ];
    let size = Size { width: 6, height: 4 };
    let boxed = |mirror: bool| {
        let mut heat = Heat::new(size);
        let region = Region { x: 0.0, y: 0.0, width: 6.0, height: 4.0 };
        let values = Tensor::from_slice(&map.concat()).to_kind(Kind::Float).view([1, 4, 6]);
        heat.add(&values, &[Seen { region, mirror }]).expect("a map");
        bounding_box(&heat)
    };
    assert_eq!(boxed(false), Rect { x: 3, y: 1, width: 2, height: 3 });
    assert_eq!(boxed(true), Rect { x: 1, y: 1, width: 2, height: 3 });
}

#[test]
fn explain_draws_evidence_filters_features_and_patches() {
    let place = Workplace::with_shapes(4, 2);
    place.train("run", &["--epochs", "1"]).succeeds();
    let image = "shapes/val/star/star-0001.jpg";
    let flags =
        ["--filters", "--features", "--patches", "shapes", "--layer", "conv1.conv", "--channels", "0,2", "--json", "-"];
    let ran = place.run(&[&["explain", "run", image, "--out", "why"][..], &flags].concat()).succeeds();
    let record: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(record["path"], image);
    let (width, height) = image::image_dimensions(place.path(image)).expect("an image");
    for file in ["why/filters.png", "why/star-0001.png", "why/star-0001/conv1.conv.png", "why/patches-conv1.conv.png"] {
        image::open(place.path(file)).expect(file);
    }
    assert_eq!(image::image_dimensions(place.path("why/star-0001.png")).expect("a picture"), (width, height));
    let array = place.read("why/star-0001.npy");
    assert_eq!(array.len() % 64, (width * height * 4) as usize % 64);
    place.run(&["explain", "run", image, "--out", "why"]).fails_saying(&["not empty", "Choose a new folder"]);
    // What is wrong is said before a folder is made.
    let far = ["explain", "run", "--out", "far", "--patches", "shapes", "--layer", "conv1.conv", "--channels", "99"];
    place.run(&far).fails_saying(&["has the channels 0 to 7"]);
    assert!(!place.path("far").exists());
    place
        .run(&["explain", "run", "--out", "far", "--filters", "--features"])
        .fails_saying(&["--features is about images"]);
    place.run(&["explain", "run", image, "--out", "else", "--class", "sta"]).fails_saying(&["did you mean \"star\"?"]);
}

#[test]
fn predict_draws_the_evidence_for_its_first_guess() {
    let place = Workplace::with_shapes(4, 2);
    place.train("run", &["--epochs", "1"]).succeeds();
    let images = ["shapes/val/star/star-0001.jpg", "shapes/val/disc"];
    place.run(&[&["predict", "run"][..], &images, &["--explain", "why"]].concat()).succeeds();
    fs::create_dir(place.path("same")).expect("a folder");
    for name in ["same/filters.jpg", "same/star-0001.jpg"] {
        fs::copy(place.path(images[0]), place.path(name)).expect("a copy");
    }
    let out = ["predict", "run", images[0], "same", "--explain", "again", "--json", "-"];
    let ran = place.run(&out).succeeds();
    let pictures = ran.stdout.lines().map(|line| {
        let record: Value = serde_json::from_str(line).expect("JSON");
        record["evidence"]["picture"].as_str().expect("a path").to_string()
    });
    assert_eq!(pictures.collect::<Vec<_>>(), ["again/star-0001.png", "again/filters.png", "again/star-0001-2.png"]);
    for picture in ["why/star-0001.png", "why/disc-0001.png", "why/disc-0002.png"] {
        image::open(place.path(picture)).expect(picture);
    }
}

#[test]
fn localisation_counts_boxes_that_overlap_the_drawn_ones_by_half() {
    let place = Workplace::with_shapes(4, 2);
    place.train("run", &["--epochs", "1"]).succeeds();
    let eval = |boxes: &str| {
        let ran = place.run(&["eval", "run", "--data", "shapes", "--boxes", boxes, "--json", "-"]).succeeds();
        serde_json::from_str::<Value>(&ran.stdout).expect("JSON")["localisation"].clone()
    };
    let by_xml = eval("shapes/boxes");
    assert_eq!(by_xml["images"], 24);
    assert_eq!(by_xml, eval("shapes/boxes/val.csv"));
    // A box of another object, and one of a part of the right one, do not count.
    let object = |name: &str, inside: &str| {
        format!(
            "<object><name>{name}</name>{inside}<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>40</xmax><ymax>40</ymax></bndbox></object>"
        )
    };
    let part = object("head", "").replace("object>", "part>");
    for file in fs::read_dir(place.path("shapes/boxes/val")).expect("a folder").flatten() {
        for xml in fs::read_dir(file.path()).expect("a folder").flatten() {
            let text = fs::read_to_string(xml.path()).expect("a file");
            let text = text.replacen("<object>", &format!("{}<object>{part}", object("sofa", "")), 1);
            fs::write(xml.path(), text).expect("written");
        }
    }
    assert_eq!(by_xml, eval("shapes/boxes"));
    let ran = place.run(&["eval", "run", "--data", "shapes", "--boxes", "shapes/train"]);
    ran.fails_saying(&["no XML files with boxes"]);
}
