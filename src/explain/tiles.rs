//! Tiles: the small pictures of filters and feature maps.

use anyhow::{Context, Result};
use image::RgbImage;
use tch::{Kind, Tensor};

use super::overlay::colour_of;
use crate::image::grid::enlarged;

/// The least side of a tile: smaller ones are enlarged, pixel by pixel.
const LEAST_SIDE: u32 = 32;

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
    let tile =
        |row: &Vec<f32>| Ok(enlarged(&draw(row, width, height).context("three values for each pixel")?, LEAST_SIDE));
    rows.iter().map(tile).collect()
}

/// The least and the greatest value, apart even if they are equal.
fn bounds(values: &[f32]) -> (f32, f32) {
    let least = values.iter().copied().fold(f32::INFINITY, f32::min);
    let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (least, if most > least { most } else { least + 1.0 })
}
