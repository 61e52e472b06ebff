//! Edits of colours: brightness, contrast, saturation and hue as in Pillow's `ImageEnhance` and torchvision's
//! `adjust_hue`, grey, and a shift of all colours.

use image::RgbImage;

use super::tone::{Table, look_up};

/// Blends black and the image.
pub fn brightness(image: &mut RgbImage, factor: f64) {
    look_up(image, &[table_from(0, factor); 3]);
}

/// Blends the image's mean grey and the image.
pub fn contrast(image: &mut RgbImage, factor: f64) {
    let sum: u64 = image.as_raw().as_chunks().0.iter().map(|&pixel| u64::from(luma(pixel))).sum();
    let pixels = u64::from(image.width()) * u64::from(image.height());
    let mean = (sum as f64 / pixels as f64 + 0.5) as u8;
    look_up(image, &[table_from(mean, factor); 3]);
}

/// Blends the image in grey and the image.
pub fn saturation(image: &mut RgbImage, factor: f64) {
    let factor = factor as f32;
    for pixel in image.as_chunks_mut::<3>().0 {
        let grey = luma(*pixel);
        *pixel = pixel.map(|value| blend(grey, value, factor));
    }
}

/// Replaces each pixel by its luma.
pub fn grayscale(image: &mut RgbImage) {
    image.as_chunks_mut().0.iter_mut().for_each(|pixel| *pixel = [luma(*pixel); 3]);
}

/// Adds a value to each channel.
pub fn shift(image: &mut RgbImage, shift: [f64; 3]) {
    // The cast clamps to 0..=255.
    look_up(image, &shift.map(|shift| table(|value| (f64::from(value) + shift).round() as u8)));
}

/// Rotates the hue by a share of the full circle. Hue, saturation and value are bytes in between, as in Pillow's mode
/// HSV.
pub fn hue(image: &mut RgbImage, share: f64) {
    // Towards zero, then modulo 256.
    let turn = (share * 255.0) as i32 as u8;
    for pixel in image.as_chunks_mut().0 {
        let [hue, saturation, value] = to_hsv(*pixel);
        *pixel = from_hsv([hue.wrapping_add(turn), saturation, value]);
    }
}

/// ITU-R 601-2 luma in 16-bit fixed point, as Pillow converts RGB to L.
fn luma([red, green, blue]: [u8; 3]) -> u8 {
    ((u32::from(red) * 19595 + u32::from(green) * 38470 + u32::from(blue) * 7471 + 0x8000) >> 16) as u8
}

/// `from` at factor 0, `to` at 1, truncated and clamped; in single precision, as Pillow's `Image.blend`.
pub fn blend(from: u8, to: u8, factor: f32) -> u8 {
    (f32::from(from) + factor * (f32::from(to) - f32::from(from))) as u8
}

/// The blends of one grey with every value.
fn table_from(grey: u8, factor: f64) -> Table {
    table(|value| blend(grey, value, factor as f32))
}

fn table(entry: impl Fn(u8) -> u8) -> Table {
    std::array::from_fn(|value| entry(value as u8))
}

/// Pillow's conversion to HSV, with its mixture of single and double precision, on which the last bit depends.
fn to_hsv([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
    if most == least {
        return [0, 0, most];
    }
    let range = f32::from(most - least);
    let saturation = range / f32::from(most);
    let [r, g, b] = [red, green, blue].map(|channel| f32::from(most - channel) / range);
    let sixths = if red == most {
        b - g
    } else if green == most {
        (2.0 + f64::from(r) - f64::from(b)) as f32
    } else {
        (4.0 + f64::from(g) - f64::from(r)) as f32
    };
    let hue = (f64::from(sixths) / 6.0 + 1.0).fract() as f32;
    [(f64::from(hue) * 255.0) as u8, (f64::from(saturation) * 255.0) as u8, most]
}

/// Pillow's conversion from HSV.
fn from_hsv([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let sixths = f64::from(hue) * 6.0 / 255.0;
    let sector = sixths as u8;
    let within = (sixths - f64::from(sector)) as f32;
    let saturation = (f64::from(saturation) / 255.0) as f32;
    let level = |share: f64| (f64::from(value) * (1.0 - share)).round() as u8;
    let low = level(f64::from(saturation));
    let falling = level(f64::from(saturation * within));
    let rising = level(f64::from(saturation) * (1.0 - f64::from(within)));
    match sector % 6 {
        0 => [value, rising, low],
        1 => [falling, value, low],
        2 => [low, value, rising],
        3 => [low, falling, value],
        4 => [rising, low, value],
        _ => [value, low, falling],
    }
}
