//! Resizing, compared with images that Pillow resized (`scripts/make_resize_fixtures.py`).

use std::path::Path;

use image::RgbImage;
use serde_json::Value;
use topfive::geometry::Rect;
use topfive::image::resize::resize;

fn fixture(name: &Value) -> RgbImage {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/resize");
    let path = folder.join(name.as_str().expect("a file's name"));
    image::open(path).expect("a readable image").into_rgb8()
}

fn numbers<const COUNT: usize>(value: &Value) -> [u32; COUNT] {
    serde_json::from_value::<Vec<u32>>(value.clone())
        .ok()
        .and_then(|numbers| numbers.try_into().ok())
        .expect("the right number of numbers")
}

#[test]
fn resizing_yields_the_same_bytes_as_pillow() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("fixtures/resize/cases.json")).expect("a list of cases");
    assert!(!cases.is_empty());
    for case in &cases {
        let [x, y, width, height] = numbers(&case["crop"]);
        let crop = Rect { x, y, width, height };
        let [width, height] = numbers(&case["size"]);
        let resized = resize(&fixture(&case["source"]), crop, width, height);
        assert!(resized == fixture(&case["expected"]), "{case}");
    }
}
