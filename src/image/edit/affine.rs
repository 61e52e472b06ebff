//! Edits of positions: shears, translations and rotations as in Pillow's `Image.transform` and `Image.rotate`. What
//! comes in from outside the image is black.

use image::{RgbImage, imageops};
use serde::{Deserialize, Serialize};

/// How the pixels of an image are read between their positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// The nearest pixel.
    #[default]
    Nearest,
    /// Weighted by the distances to the four nearest pixels.
    Bilinear,
}

/// From a position in the result, in pixels from its top left corner, to the position in the image: x' = a x + b y + c,
/// y' = d x + e y + f.
type Matrix = [f64; 6];

/// Shears along the rows, about the top left corner.
pub fn shear_x(image: &RgbImage, shear: f64) -> RgbImage {
    // The detour through degrees is torchvision's.
    let slope = shear.atan().to_degrees().to_radians().tan();
    nearest(image, [1.0, slope, 0.0, 0.0, 1.0, 0.0])
}

/// Shears along the columns, about the top left corner.
pub fn shear_y(image: &RgbImage, shear: f64) -> RgbImage {
    let angle = shear.atan().to_degrees().to_radians();
    nearest(image, [1.0, 0.0, 0.0, angle.sin() / angle.cos(), 1.0, 0.0])
}

/// Moves the image to the right and down.
pub fn translate(image: &RgbImage, [right, down]: [i32; 2]) -> RgbImage {
    let mut moved = RgbImage::new(image.width(), image.height());
    imageops::replace(&mut moved, image, i64::from(right), i64::from(down));
    moved
}

/// Rotates the image counter-clockwise about its centre.
pub fn rotate(image: &RgbImage, degrees: f64, interpolation: Interpolation) -> RgbImage {
    let angle = -degrees.rem_euclid(360.0).to_radians();
    let [cos, sin] = [angle.cos(), angle.sin()].map(to_15_decimals);
    let [x, y] = [image.width(), image.height()].map(|side| f64::from(side) / 2.0);
    let matrix = [cos, sin, (cos * -x + sin * -y) + x, -sin, cos, (-sin * -x + cos * -y) + y];
    match interpolation {
        Interpolation::Nearest => nearest(image, matrix),
        Interpolation::Bilinear => bilinear(image, matrix),
    }
}

/// Rounded as Python's `round(value, 15)`: the decimal number nearest to it, and then the nearest `f64` to that.
fn to_15_decimals(value: f64) -> f64 {
    format!("{value:.15}").parse().unwrap_or(value)
}

/// Takes the nearest pixels, in 16.16 fixed point.
fn nearest(image: &RgbImage, [a, b, c, d, e, f]: Matrix) -> RgbImage {
    let (width, height) = (i64::from(image.width()), i64::from(image.height()));
    let fixed = |value: f64| (value * 65536.0 + 0.5).floor() as i64;
    let [dx, dy] = [fixed(a), fixed(d)];
    let [mut row_x, mut row_y] = [fixed(c + a * 0.5 + b * 0.5), fixed(f + d * 0.5 + e * 0.5)];
    let pixels = image.as_raw().as_chunks::<3>().0;
    let mut changed = RgbImage::new(image.width(), image.height());
    for row in changed.chunks_exact_mut(3 * width as usize) {
        let (mut x, mut y) = (row_x, row_y);
        for pixel in row.as_chunks_mut::<3>().0 {
            let (column, line) = (x >> 16, y >> 16);
            if (0..width).contains(&column) && (0..height).contains(&line) {
                *pixel = pixels[(line * width + column) as usize];
            }
            x += dx;
            y += dy;
        }
        row_x += fixed(b);
        row_y += fixed(e);
    }
    changed
}

/// Interpolates between the four nearest pixels, in double precision; truncates.
fn bilinear(image: &RgbImage, [a, b, c, d, e, f]: Matrix) -> RgbImage {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let pixels = image.as_raw().as_chunks::<3>().0;
    let inside = |position: f64, side: usize| position >= 0.0 && position < side as f64;
    let mut changed = RgbImage::new(image.width(), image.height());
    for (line, row) in changed.chunks_exact_mut(3 * width).enumerate() {
        for (column, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let (x, y) = (column as f64 + 0.5, line as f64 + 0.5);
            let (x, y) = (a * x + b * y + c, d * x + e * y + f);
            if !inside(x, width) || !inside(y, height) {
                continue;
            }
            let (left, right, across) = neighbours(x, width);
            let (top, bottom, down) = neighbours(y, height);
            let [upper, lower] = [top, bottom].map(|line| {
                let [left, right] = [left, right].map(|column| pixels[line * width + column].map(f64::from));
                mixed(left, right, across)
            });
            *pixel = mixed(upper, lower, down).map(|value| value as u8);
        }
    }
    changed
}

/// The two pixels around a position along one side, and how far it lies from the first to the second.
fn neighbours(position: f64, side: usize) -> (usize, usize, f64) {
    let first = (position - 0.5).floor();
    let clipped = |position: f64| position.clamp(0.0, (side - 1) as f64) as usize;
    (clipped(first), clipped(first + 1.0), position - 0.5 - first)
}

fn mixed(from: [f64; 3], to: [f64; 3], share: f64) -> [f64; 3] {
    std::array::from_fn(|channel| from[channel] + (to[channel] - from[channel]) * share)
}
