//! Cropping: cutting the rectangle that a placement describes out of an image.

use anyhow::{Result, ensure};
use image::{RgbImage, imageops};

use super::decode::Regions;
use super::resize::Resizing;
use crate::geometry::{Placement, Rect, Resize, Size};

/// Cuts the crop that `placement` describes out of `image`. Only what the crop shows is made.
///
/// # Errors
/// See [`check_size`].
pub fn crop(image: &impl Regions, placement: Placement) -> Result<RgbImage> {
    let Placement { resize, margin, crop, mirror } = placement;
    check_size(resize.from.size(), resize.to)?;
    let mut cropped = if margin == 0 {
        resized(image, resize, crop)
    } else {
        let mut canvas = RgbImage::new(crop.width, crop.height);
        let [x, y] = [crop.x, crop.y].map(|offset| i64::from(margin) - i64::from(offset));
        imageops::replace(&mut canvas, &resized(image, resize, resize.to.whole()), x, y);
        canvas
    };
    if mirror {
        cropped.chunks_exact_mut(3 * crop.width as usize).for_each(|row| row.as_chunks_mut::<3>().0.reverse());
    }
    Ok(cropped)
}

/// The central part of an image at this size: its shorter side is resized to fit, and what sticks out is cut off.
///
/// # Errors
/// See [`check_size`].
pub fn centered(image: &impl Regions, from: Size, size: Size) -> Result<RgbImage> {
    let to = from.with_shorter_side(size.shorter_side(), size);
    let resize = Resize { from: from.whole(), to };
    crop(image, Placement { resize, margin: 0, crop: to.whole().center(size), mirror: false })
}

/// The pixels of `window` in an image that is resized.
pub fn resized(image: &impl Regions, resize: Resize, window: Rect) -> RgbImage {
    let resizing = Resizing::new(resize, window);
    let (pixels, place) = image.region(resizing.source());
    resizing.apply(&pixels, place)
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
