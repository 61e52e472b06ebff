//! Decoded pixels of any kind become 8-bit RGB; alpha is dropped.

use image::{DynamicImage, ImageFormat, RgbImage};

/// Converts an image that was decoded from a file of this format.
pub fn to_rgb(image: DynamicImage, format: Option<ImageFormat>) -> RgbImage {
    let size = (image.width(), image.height());
    // Of 16 bits, Pillow takes the upper ones; only in PNM files, which state their largest value, it rounds.
    let upper = format != Some(ImageFormat::Pnm);
    match image {
        // The general conversion takes ten times as long.
        DynamicImage::ImageLuma8(grey) => of_pixels(size, grey.pixels().map(|pixel| [pixel[0]; 3])),
        DynamicImage::ImageRgb16(deep) if upper => of_pixels(size, deep.pixels().map(|pixel| pixel.0.map(upper_bits))),
        DynamicImage::ImageRgba16(deep) if upper => {
            of_pixels(size, deep.pixels().map(|pixel| [pixel[0], pixel[1], pixel[2]].map(upper_bits)))
        }
        DynamicImage::ImageLumaA16(deep) if upper => {
            of_pixels(size, deep.pixels().map(|pixel| [upper_bits(pixel[0]); 3]))
        }
        other => other.into_rgb8(),
    }
}

fn of_pixels((width, height): (u32, u32), pixels: impl Iterator<Item = [u8; 3]>) -> RgbImage {
    let mut values = Vec::with_capacity(3 * width as usize * height as usize);
    values.extend(pixels.flatten());
    RgbImage::from_raw(width, height, values).unwrap_or_default()
}

fn upper_bits(value: u16) -> u8 {
    (value >> 8) as u8
}
