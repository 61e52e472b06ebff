//! Where the test protocols cut, against torchvision, Pillow and the papers (`scripts/make_view_fixtures.py`).

mod common;

use std::collections::{BTreeMap, HashSet};
use std::fs;

use common::fixture;
use serde_json::{Value, json};
use topfive::evaluation::request::planes;
use topfive::experiment::{Experiment, builtin};
use topfive::geometry::Size;
use topfive::image::crop::append_rows;
use topfive::views::plan::{Plan, View};
use topfive::views::{Part, Sizes, Views};

fn fixture_json(name: &str) -> Value {
    serde_json::from_slice(&fs::read(fixture("views").join(name)).expect("a fixture")).expect("JSON")
}

fn views_of(value: &Value) -> Views {
    serde_json::from_value(value.clone()).expect("views")
}

/// As VGG was trained: at the sides 256 to 512.
const VGG: Sizes = Sizes { input: Size { width: 224, height: 224 }, shorter_side: 256, trained: [256, 512] };

fn planned(views: &str, size: (u32, u32), sizes: &Sizes) -> (Plan, Vec<View>) {
    let parts: Vec<Part> = views_of(&views.into()).parts(sizes).expect("parts");
    let mut plan = Plan::new(size.into());
    let views = parts.iter().flat_map(|part| plan.views(part, sizes.input)).collect();
    (plan, views)
}

/// A view as geometry.json writes it.
fn written(plan: &Plan, view: &View) -> Value {
    let plane = &plan.planes()[view.plane];
    let (plane, rect, kind) = match plane.of {
        Some(parent) => (&plan.planes()[parent], plane.resize.from, "whole"),
        None => (plane, view.crop, if view.dense { "dense" } else { "crop" }),
    };
    let size = plane.resize.to;
    json!([size.width, size.height, rect.x, rect.y, rect.width, rect.height, view.mirror, kind])
}

#[test]
fn every_protocol_cuts_the_papers_rectangles_of_images_of_all_forms() {
    let mut protocols = HashSet::new();
    for (form, case) in fixture_json("geometry.json").as_object().expect("cases") {
        let [width, height]: [u32; 2] = serde_json::from_value(case["size"].clone()).expect("a size");
        for (name, expected) in case["views"].as_object().expect("views") {
            let (plan, views) = planned(name, (width, height), &VGG);
            let count = |views: Vec<Value>| {
                views.into_iter().fold(BTreeMap::new(), |mut counts: BTreeMap<String, u32>, view| {
                    *counts.entry(view.to_string()).or_default() += 1;
                    counts
                })
            };
            let found = count(views.iter().map(|view| written(&plan, view)).collect());
            assert_eq!(found, count(expected.as_array().expect("a list").clone()), "{name} of a {form} image");
            protocols.insert(name.split(':').next().expect("a name").to_string());
        }
    }
    assert_eq!(protocols.len(), 11);
}

#[test]
fn the_crops_and_mirrors_are_torchvisions_and_pillows_to_the_byte() {
    let cases = fixture_json("cases.json");
    let input = cases["input"].as_u64().expect("a size") as u32;
    let side = (f64::from(input) / cases["crop_fraction"].as_f64().expect("a fraction")).round() as u32;
    let sizes = Sizes { input: Size { width: input, height: input }, shorter_side: side, trained: [side, side] };
    for case in cases["cases"].as_array().expect("cases") {
        let load = |name: &Value| {
            image::open(fixture("views").join(name.as_str().expect("a name"))).expect("an image").into_rgb8()
        };
        let image = load(&case["image"]);
        let parts = views_of(&case["views"]).parts(&sizes).expect("parts");
        let mut plan = Plan::new(image.dimensions().into());
        let mut views = plan.views(&parts[0], sizes.input);
        let planes = planes(&image, &plan, views.iter_mut().collect()).expect("planes");
        let mut stacked = Vec::new();
        for View { plane, crop, mirror, .. } in &views {
            append_rows(&planes[*plane], *crop, *mirror, &mut stacked);
        }
        assert_eq!(views.len() as u64, case["count"].as_u64().expect("a count"));
        assert!(stacked == load(&case["expected"]).into_raw(), "{case}");
    }
}

#[test]
fn googlenets_144_crops_are_144_and_distinct() {
    for size in [(500, 375), (333, 500)] {
        let (_, views) = planned("googlenet-144", size, &VGG);
        assert_eq!((views.len(), views.iter().collect::<HashSet<_>>().len()), (144, 144));
    }
}

#[test]
fn each_scale_is_resized_once_whatever_is_cut_out_of_it() {
    for (views, planes) in
        [("multi-crop-150", 3), ("dense+multi-crop", 3), ("ten-crop", 1), ("googlenet-144", 4 + 4 * 3)]
    {
        assert_eq!(planned(views, (500, 375), &VGG).0.planes().len(), planes, "{views}");
    }
}

#[test]
fn ten_crops_cost_ten_center_crops_and_a_dense_view_a_fraction_of_its_grid() {
    // A convolution's work grows with the pixels that it runs over.
    let pixels = |views: &str| -> f64 {
        let (_, views) = planned(views, (500, 375), &VGG);
        views.iter().map(|view| f64::from(view.crop.width) * f64::from(view.crop.height)).sum()
    };
    assert_eq!(pixels("ten-crop") / pixels("center"), 10.0);
    for (dense, grid) in [("dense:256", "multi-crop-50:256"), ("dense-multiscale", "multi-crop-150")] {
        let times = pixels(grid) / pixels(dense);
        assert!(times > 5.0, "{dense} is only {times} times cheaper than {grid}");
    }
}

// VGG, section 4: trained at S = 256 it is tested at 256, and at 224, 256 and 288.
#[test]
fn dense_sides_follow_from_the_sides_of_training() {
    let trained_at_256 = Sizes { trained: [256, 256], ..VGG };
    let heights = |views, sizes| -> Vec<u32> {
        planned(views, (500, 375), sizes).0.planes().iter().map(|plane| plane.resize.to.height).collect()
    };
    assert_eq!(heights("dense", &trained_at_256), [256]);
    assert_eq!(heights("dense-multiscale", &trained_at_256), [224, 256, 288]);
    assert_eq!(heights("dense", &VGG), [384]);
    assert_eq!(heights("dense-multiscale", &VGG), [256, 384, 512]);
    // Of an input that is the whole shorter side there is none smaller.
    assert_eq!(heights("dense-multiscale", &Sizes { trained: [224, 224], ..VGG }), [224, 256]);
    let vgg16 = Experiment::load("vgg16".as_ref(), &[]).expect("a config");
    assert_eq!(vgg16.parts(&views_of(&"dense".into())).expect("parts")[0].scales, [384]);
}

#[test]
fn sizes_follow_the_input() {
    let small = Sizes { input: Size { width: 64, height: 64 }, shorter_side: 73, trained: [73, 73] };
    let (plan, _) = planned("resnet-multiscale", (500, 500), &small);
    let sides: Vec<u32> = plan.planes().iter().map(|plane| plane.resize.to.width).collect();
    assert_eq!(sides, [64, 73, 110, 137, 183]);
}

fn refusal(views: Value) -> String {
    let mut experiment: Value = serde_json::from_str(builtin::experiment("tiny").expect("tiny")).expect("JSON");
    experiment["evaluation"] = json!({ "views": views });
    let error = Experiment::parse(&experiment.to_string(), &[]).expect_err("views that do not work");
    format!("{error:#}")
}

#[test]
fn views_that_cannot_work_are_refused_with_the_way_out() {
    for (views, words) in [
        (json!("tencrop"), vec!["evaluation.views", "'tencrop'", "did you mean \"ten-crop\"?)", "googlenet-144"]),
        (json!("dense-multiscale:384"), vec!["dense-multiscale", "fixed scales", ":384"]),
        (json!("dense:wide"), vec!["'wide'", "pixels"]),
        (json!("center:16"), vec!["center:16", "32 pixels", "found 16"]),
        (json!(7), vec!["evaluation.views", "the name of a protocol", "found 7"]),
        (json!({ "scales": [40], "crop": ["center"] }), vec!["unknown field `crop`", "did you mean `crops`"]),
        (json!({ "scales": [40], "crops": ["centre"] }), vec!["unknown variant `centre`", "did you mean `center`"]),
        (json!({ "scales": [], "crops": ["center"] }), vec!["scales", "at least one"]),
        (json!({ "scales": [40], "crops": [] }), vec!["crops", "at least one"]),
        (json!({ "scales": [16], "crops": ["center"] }), vec!["32 pixels", "found 16"]),
        (json!({ "scales": [40], "crops": [{ "grid": 0 }] }), vec!["grid", "found 0"]),
        (json!([]), vec!["at least one part"]),
        (json!("center:5000"), vec!["4096", "found 5000"]),
        (json!("dense:3000"), vec!["at most 2896 pixels for dense views", "found 3000"]),
    ] {
        let message = refusal(views);
        for word in words {
            assert!(message.contains(word), "no '{word}' in: {message}");
        }
    }
}
