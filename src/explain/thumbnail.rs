//! Small pictures of images.

use image::{RgbImage, imageops};

/// The image in a size whose longer side is `side` pixels; a smaller image is enlarged.
pub fn thumbnail(image: &RgbImage, side: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    let longer = f64::from(width.max(height));
    let [width, height] =
        [width, height].map(|length| (f64::from(length) * f64::from(side) / longer).round().max(1.0) as u32);
    match longer > f64::from(side) {
        true => imageops::thumbnail(image, width, height),
        false => imageops::resize(image, width, height, imageops::FilterType::CatmullRom),
    }
}
