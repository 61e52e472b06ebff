//! Many small pictures side by side in one.

use image::{Rgb, RgbImage, imageops};

/// Pixels between two tiles.
const GAP: u32 = 2;
const BACKGROUND: Rgb<u8> = Rgb([255; 3]);

/// Tiles of one size, `across` in a row.
pub fn grid(tiles: &[RgbImage], across: u32) -> RgbImage {
    let (width, height) = tiles.first().map_or((1, 1), RgbImage::dimensions);
    let rows = (tiles.len() as u32).div_ceil(across);
    let across = across.min(tiles.len() as u32).max(1);
    let mut picture = RgbImage::from_pixel(GAP + across * (width + GAP), GAP + rows * (height + GAP), BACKGROUND);
    for (place, tile) in (0..).zip(tiles) {
        let (x, y) = (GAP + place % across * (width + GAP), GAP + place / across * (height + GAP));
        imageops::replace(&mut picture, tile, x.into(), y.into());
    }
    picture
}

/// The number of tiles in a row that makes a picture of this many about square.
pub fn square(tiles: usize) -> u32 {
    (tiles as f64).sqrt().ceil() as u32
}

/// A tile enlarged, pixel by pixel, until its longer side has at least this many.
pub fn enlarged(tile: &RgbImage, least_side: u32) -> RgbImage {
    let (width, height) = tile.dimensions();
    let factor = least_side.div_ceil(width.max(height)).max(1);
    imageops::resize(tile, width * factor, height * factor, imageops::FilterType::Nearest)
}
