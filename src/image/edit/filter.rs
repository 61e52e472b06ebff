//! Edits by a window around each pixel: sharpness as in Pillow's `ImageEnhance`, and torchvision's Gaussian blur.

use image::RgbImage;

use super::colour::blend;

/// Blends the smoothed image and the image. Smooth is the mean of each 3x3 window with the centre counted five times;
/// the image's outermost pixels stay.
pub fn sharpness(image: &mut RgbImage, factor: f64) {
    let (width, height) = (image.width() as usize, image.height() as usize);
    if width < 3 || height < 3 {
        return;
    }
    let factor = factor as f32;
    let stride = 3 * width;
    let before = image.as_raw().clone();
    for (y, row) in image.chunks_exact_mut(stride).enumerate().skip(1).take(height - 2) {
        let [above, here, below] = [y - 1, y, y + 1].map(|y| &before[y * stride..][..stride]);
        // The sum of each column of three, at most 765.
        let columns: Vec<u16> = above
            .iter()
            .zip(here)
            .zip(below)
            .map(|((&a, &b), &c)| u16::from(a) + u16::from(b) + u16::from(c))
            .collect();
        for x in 3..stride - 3 {
            let sum = columns[x - 3] + columns[x] + columns[x + 3] + 4 * u16::from(here[x]);
            // The nearest whole number to sum / 13, which is never half-way between two.
            let smooth = ((2 * sum + 13) / 26) as u8;
            row[x] = blend(smooth, here[x], factor);
        }
    }
}

/// Convolves with a Gaussian of `kernel` x `kernel` pixels, which is cut off there and then scaled to a sum of 1. The
/// image is reflected at its edges, without repeating them. torchvision adds the products of the whole window in one
/// sum, here columns and rows are added one after the other: in single precision, one value in 100,000 lies so close to
/// the middle between two bytes that it is rounded the other way. So do a few of torchvision's own on another processor.
pub fn gaussian_blur(image: &mut RgbImage, kernel: u32, sigma: f64) {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let weights = gaussian(kernel, sigma);
    let reach = weights.len() / 2;
    let reflected = |position: isize, side: usize| {
        let position = position.unsigned_abs();
        position.min((2 * (side - 1)).saturating_sub(position))
    };
    let stride = 3 * width;

    // Along the columns first, since whole rows are added quickly.
    let mut blurred = vec![0.0f32; image.as_raw().len()];
    for (y, sums) in blurred.chunks_exact_mut(stride).enumerate() {
        for (tap, &weight) in weights.iter().enumerate() {
            let from = reflected(y as isize + tap as isize - reach as isize, height);
            let row = &image.as_raw()[from * stride..][..stride];
            sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += weight * f32::from(value));
        }
    }
    let mut padded = vec![0.0f32; stride + 6 * reach];
    let mut sums = vec![0.0f32; stride];
    for (to, from) in image.chunks_exact_mut(stride).zip(blurred.chunks_exact(stride)) {
        for (x, pixel) in padded.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let x = reflected(x as isize - reach as isize, width);
            pixel.copy_from_slice(&from[3 * x..][..3]);
        }
        sums.fill(0.0);
        for (tap, &weight) in weights.iter().enumerate() {
            sums.iter_mut().zip(&padded[3 * tap..]).for_each(|(sum, value)| *sum += weight * value);
        }
        to.iter_mut().zip(&sums).for_each(|(byte, sum)| *byte = sum.round_ties_even() as u8);
    }
}

/// The weights along one side, in torchvision's single precision.
fn gaussian(kernel: u32, sigma: f64) -> Vec<f32> {
    let middle = (kernel as f32 - 1.0) / 2.0;
    let heights: Vec<f32> = (0..kernel)
        .map(|position| {
            let distance = (position as f32 - middle) / sigma as f32;
            (-0.5 * (distance * distance)).exp()
        })
        .collect();
    let total: f32 = heights.iter().sum();
    // Weights this small change no byte, but denormal numbers would be slow.
    heights.into_iter().map(|height| height / total).map(|weight| if weight < 1e-12 { 0.0 } else { weight }).collect()
}
