//! Regions of images, which are made without the rest: the same pixels as cut out of what Pillow decodes
//! (`scripts/make_decode_fixtures.py`).

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::fixture;
use image::metadata::Orientation;
use image::{DynamicImage, RgbImage, imageops};
use topfive::geometry::{Placement, Rect, Resize, Size};
use topfive::image::crop::crop;
use topfive::image::decode::{Regions, open};

fn jpegs() -> Vec<PathBuf> {
    let entries = fs::read_dir(fixture("decode")).expect("fixtures");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "jpg")).collect()
}

fn expected(path: &Path) -> RgbImage {
    image::open(format!("{}.expected.png", path.display())).expect("an image").into_rgb8()
}

/// Regions of one pixel and of many, at the corners, edges and in the middle, that begin and end anywhere in a block.
fn regions(size: Size) -> Vec<Rect> {
    let spans = |length: u32| {
        let ends = [(0, 1), (length - 1, length), (0, length), (length / 3, length / 2 + 1), (1, 2), (7, 9), (8, 16)];
        let more = [(15, 18), (length.saturating_sub(10), length), (3, 40), (16, 17), (17, 33)];
        ends.into_iter().chain(more).filter(move |&(start, end)| start < end && end <= length).collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    for (top, bottom) in spans(size.height) {
        for (left, right) in spans(size.width) {
            all.push(Rect { x: left, y: top, width: right - left, height: bottom - top });
        }
    }
    all
}

fn cut(image: &RgbImage, Rect { x, y, width, height }: Rect) -> RgbImage {
    imageops::crop_imm(image, x, y, width, height).to_image()
}

fn region(image: &impl Regions, region: Rect) -> RgbImage {
    let (pixels, place) = image.region(region);
    cut(&pixels, place)
}

#[test]
fn any_region_of_a_jpeg_of_any_kind_is_what_pillow_cuts_out() {
    let paths = jpegs();
    assert_eq!(paths.len(), 38);
    for path in paths {
        let (expected, bytes) = (expected(&path), fs::read(&path).expect("a file"));
        let picture = open(&bytes, &path, true).expect("an image");
        assert_eq!(picture.size(), Size::from(expected.dimensions()));
        for part in regions(picture.size()) {
            assert!(region(&picture, part) == cut(&expected, part), "{}: {part:?}", path.display());
        }
    }
}

#[test]
fn a_region_of_a_turned_jpeg_is_counted_in_the_upright_image() {
    let path = fixture("decode/420-61x45.jpg");
    let (stored, bytes) = (expected(&path), fs::read(&path).expect("a file"));
    for number in 1..=8 {
        // Exif 2.32, section 4.6.2: one entry, tag 0x0112, one number of 16 bits.
        let exif =
            [b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", &[number, 0, 0, 0, 0, 0, 0][..]].concat();
        let segment = [&[0xFF, 0xE1, 0, exif.len() as u8 + 2], &exif[..]].concat();
        let picture = open(&[&bytes[..2], &segment, &bytes[2..]].concat(), &path, true).expect("an image");
        let mut upright = DynamicImage::from(stored.clone());
        upright.apply_orientation(Orientation::from_exif(number).expect("an orientation"));
        let upright = upright.into_rgb8();
        assert_eq!(picture.size(), Size::from(upright.dimensions()));
        for part in regions(picture.size()) {
            assert!(region(&picture, part) == cut(&upright, part), "orientation {number}: {part:?}");
        }
    }
}

#[test]
fn a_crop_of_a_resized_region_is_cut_out_of_the_whole_region_resized() {
    let path = fixture("decode/420-61x45.jpg");
    let picture = open(&fs::read(&path).expect("a file"), &path, true).expect("an image");
    let image = expected(&path);
    for from in [Rect { x: 0, y: 0, width: 61, height: 45 }, Rect { x: 7, y: 9, width: 30, height: 33 }] {
        for (width, height) in [(61, 45), (30, 33), (20, 20), (100, 17), (9, 80), (61, 20)] {
            let resize = Resize { from, to: Size { width, height } };
            let placement = |crop| Placement { resize, margin: 0, crop, mirror: false };
            let whole = crop(&image, placement(resize.to.whole())).expect("a crop");
            for part in regions(resize.to) {
                let found = crop(&picture, placement(part)).expect("a crop");
                assert!(found == cut(&whole, part), "{from:?} to {width}x{height}, {part:?}");
            }
        }
    }
}
