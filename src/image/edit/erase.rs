//! Erasing: a rectangle is overwritten with one colour or with noise. Zhong et al., arXiv:1708.04896.

use image::RgbImage;
use rand::Rng;

use super::Fill;
use crate::geometry::Rect;
use crate::random;

/// Overwrites a rectangle inside the image.
pub fn erase(image: &mut RgbImage, area: Rect, fill: Fill) {
    let stride = 3 * image.width() as usize;
    let (left, width) = (3 * area.x as usize, 3 * area.width as usize);
    let rows = image.chunks_exact_mut(stride).skip(area.y as usize).take(area.height as usize);
    let rows = rows.map(|row| &mut row[left..][..width]);
    match fill {
        Fill::Colour(colour) => rows.flat_map(|row| row.as_chunks_mut().0).for_each(|pixel| *pixel = colour),
        Fill::Noise(seed) => {
            let mut random = random::noise_stream(seed);
            rows.for_each(|row| random.fill_bytes(row));
        }
    }
}
