//! Tiles: many small pictures side by side in one.

use anyhow::{Context, Result};
use image::{Rgb, RgbImage, imageops};
use tch::{Kind, Tensor};

use super::overlay::colour_of;

/// Pixels between two tiles.
const GAP: u32 = 2;
/// The least side of a tile: smaller ones are enlarged, pixel by pixel.
const LEAST_SIDE: u32 = 32;
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

/// The filters of a convolution, (outputs, 3, height, width): each in colours, from its least value (black) to its greatest
/// (white), as in figure 3 of Krizhevsky et al. `bgr` says that the channels are blue, green and red.
///
/// # Errors
/// Returns an error if they are not filters of colours.
pub fn filters(weight: &Tensor, bgr: bool) -> Result<Vec<RgbImage>> {
    let weight = if bgr { weight.f_flip([1])? } else { weight.shallow_clone() };
    each(&weight.f_permute([0, 2, 3, 1])?, |values, width, height| {
        let (least, most) = bounds(values);
        let bytes = values.iter().map(|value| (255.0 * (value - least) / (most - least)).round() as u8);
        RgbImage::from_raw(width, height, bytes.collect())
    })
}

/// The channels of a map, (channels, height, width): each from 0 or its least value to its greatest.
///
/// # Errors
/// Returns an error if it is not a map.
pub fn channels(map: &Tensor) -> Result<Vec<RgbImage>> {
    each(&map.f_unsqueeze(-1)?, |values, width, height| {
        let (least, most) = bounds(values);
        let least = least.min(0.0);
        let bytes = values.iter().flat_map(|value| colour_of((value - least) / (most - least)).map(|it| it as u8));
        RgbImage::from_raw(width, height, bytes.collect())
    })
}

/// The tiles of (tiles, height, width, values), enlarged if they are small.
fn each(tensor: &Tensor, draw: impl Fn(&[f32], u32, u32) -> Option<RgbImage>) -> Result<Vec<RgbImage>> {
    let size = tensor.size();
    let (height, width) = (size[1] as u32, size[2] as u32);
    let flat = tensor.f_to_kind(Kind::Float)?.f_contiguous()?.f_view([size[0], -1])?;
    let rows = Vec::<Vec<f32>>::try_from(&flat).context("rows of 32-bit floats")?;
    let tile = |row: &Vec<f32>| Ok(enlarged(draw(row, width, height).context("three values for each pixel")?));
    rows.iter().map(tile).collect()
}

fn enlarged(tile: RgbImage) -> RgbImage {
    let (width, height) = tile.dimensions();
    let factor = LEAST_SIDE.div_ceil(width.max(height)).max(1);
    imageops::resize(&tile, width * factor, height * factor, imageops::FilterType::Nearest)
}

/// The least and the greatest value, apart even if they are equal.
fn bounds(values: &[f32]) -> (f32, f32) {
    let least = values.iter().copied().fold(f32::INFINITY, f32::min);
    let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (least, if most > least { most } else { least + 1.0 })
}
