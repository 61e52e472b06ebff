//! Every format but JPEG in many kinds: the pixels that Pillow sees, or a refusal by name.

mod common;

use std::fs;
use std::path::Path;

use common::fixture;
use topfive::image::decode::decode;

/// Undamaged files that are not read, and what is said of them.
const REFUSED: [(&str, &str); 5] = [
    ("big.tif", "BigTIFF is not supported"),
    ("float.tif", "this kind of image is not supported"),
    ("reversed-bits.tif", "TIFF with reversed bits is not supported"),
    ("rgb.dds", "DirectDraw Surface is not supported"),
    ("rgb.pcx", "PCX is not supported"),
];

#[test]
fn every_kind_of_every_format_has_pillows_pixels_or_is_refused_by_name() {
    let mut faults = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(fixture("formats")).expect("fixtures") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        if name.ends_with(".expected.png") {
            continue;
        }
        count += 1;
        let decoded = decode(&fs::read(&path).expect("a file"), Path::new(name), true);
        let expected = image::open(path.with_file_name(format!("{name}.expected.png"))).expect("an image").into_rgb8();
        match (decoded, REFUSED.iter().find(|(refused, _)| *refused == name)) {
            (Ok(image), None) => {
                assert_eq!(image.dimensions(), expected.dimensions(), "{name}");
                let difference = image.iter().zip(expected.iter()).map(|(a, b)| a.abs_diff(*b)).max();
                // JPEG inside TIFF is decoded by a library that rounds otherwise than libjpeg-turbo.
                if difference > Some(u8::from(name == "jpeg.tif")) {
                    faults.push(format!("{name}: differs by up to {difference:?}"));
                }
            }
            (Err(error), Some((_, reason))) => {
                let error = format!("{error:#}");
                assert!(error.contains(reason) && error.contains("PNG"), "{name}: {error}");
            }
            (Err(error), None) => faults.push(format!("{name}: {error:#}")),
            (Ok(_), Some(_)) => faults.push(format!("{name}: no longer refused")),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(count, 66);
}

#[test]
fn an_icon_whose_directory_lies_is_an_error() {
    let icon = fs::read(fixture("formats/rgb-bmp.ico")).expect("a file");
    for length in 0..icon.len().min(400) {
        assert!(decode(&icon[..length], Path::new("icon.ico"), true).is_err(), "{length} of {} bytes", icon.len());
    }
    let mut beyond = icon.clone();
    beyond[18..22].copy_from_slice(&u32::MAX.to_le_bytes());
    let reason = format!("{:#}", decode(&beyond, Path::new("icon.ico"), true).expect_err("an error"));
    assert!(reason.contains("directory points past its end"), "{reason}");
}
