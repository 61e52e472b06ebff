//! Cropping: cutting the rectangle that a placement describes out of an image.

use anyhow::{Result, ensure};
use image::{RgbImage, imageops};

use super::resize::resize;
use crate::geometry::{Placement, Rect, Resize, Size};

/// Cuts the crop that `placement` describes out of `image`.
///
/// # Errors
/// See [`check_size`].
pub fn crop(image: &RgbImage, placement: Placement) -> Result<RgbImage> {
    let Placement { resize: Resize { from, to }, margin, crop, mirror } = placement;
    check_size(image.dimensions().into(), to)?;
    let resized = resize(image, from, to.width, to.height);
    let mut cropped = match margin {
        0 if crop == to.whole() => resized,
        0 => imageops::crop_imm(&resized, crop.x, crop.y, crop.width, crop.height).to_image(),
        margin => {
            let mut canvas = RgbImage::new(crop.width, crop.height);
            let [x, y] = [crop.x, crop.y].map(|offset| i64::from(margin) - i64::from(offset));
            imageops::replace(&mut canvas, &resized, x, y);
            canvas
        }
    };
    if mirror {
        imageops::flip_horizontal_in_place(&mut cropped);
    }
    Ok(cropped)
}

/// Appends the rows of a rectangle of `image`, optionally mirrored, to `rows`: height x width x 3 bytes.
pub fn append_rows(image: &RgbImage, crop: Rect, mirror: bool, rows: &mut Vec<u8>) {
    let stride = 3 * image.width() as usize;
    let (left, width) = (3 * crop.x as usize, 3 * crop.width as usize);
    let all = image.as_raw().chunks_exact(stride).skip(crop.y as usize).take(crop.height as usize);
    for row in all.map(|row| &row[left..][..width]) {
        if mirror {
            rows.extend(row.as_chunks::<3>().0.iter().rev().flatten());
        } else {
            rows.extend_from_slice(row);
        }
    }
}

/// 200 MB of RGB: the most that a worker may take for one image.
const MOST_RESIZED_PIXELS: u64 = 1 << 26;

/// # Errors
/// Returns an error if an image is so thin that resizing its shorter side would make the longer one too long for
/// memory.
pub fn check_size(from: Size, to: Size) -> Result<()> {
    ensure!(
        to.area() <= MOST_RESIZED_PIXELS,
        "the image is {from}, so thin that it would be resized to {to}, more than {MOST_RESIZED_PIXELS} pixels; crop it first"
    );
    Ok(())
}
