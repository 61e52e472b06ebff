//! Edits: the elementary changes that random augmentation makes to an image, each with its parameters. What they do to
//! an RGB image of bytes equals Pillow 13 and torchvision 0.26 (its functions on `PIL.Image`).

mod affine;
mod colour;
mod erase;
mod filter;
mod tone;

use image::RgbImage;

use crate::geometry::Rect;

pub use affine::Interpolation;

/// One change to an image. None of them changes its size; whatever comes in from outside the image is black.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// Blends black (0) and the image (1); above 1 it gets brighter.
    Brightness(f64),
    /// Blends the image's mean grey (0) and the image (1).
    Contrast(f64),
    /// Blends the image in grey (0) and the image (1).
    Saturation(f64),
    /// Rotates the hue by this share of the full circle, -0.5 to 0.5.
    Hue(f64),
    /// Blends the smoothed image (0) and the image (1).
    Sharpness(f64),
    /// Replaces each pixel by its luma.
    Grayscale,
    /// Adds a value to each channel of every pixel, in units of a byte, rounded to the nearest byte.
    Shift([f64; 3]),
    /// Keeps this many bits per channel, 1 to 8.
    Posterize(u32),
    /// Inverts the values from this threshold on.
    Solarize(f64),
    /// Stretches each channel to 0..255.
    AutoContrast,
    /// Equalises each channel's histogram.
    Equalize,
    /// Inverts all values.
    Invert,
    /// Shears along the rows, by this many columns per row, about the top left corner.
    ShearX(f64),
    /// Shears along the columns, by this many rows per column, about the top left corner.
    ShearY(f64),
    /// Moves the image to the right and down, in whole pixels.
    Translate([i32; 2]),
    /// Rotates the image about its centre.
    Rotate {
        /// Counter-clockwise.
        degrees: f64,
        /// How pixels are read between positions.
        interpolation: Interpolation,
    },
    /// Convolves the image with a Gaussian.
    Blur {
        /// The side of the window, an odd number of pixels; half of it, rounded down, must be less than the image's
        /// shorter side.
        kernel: u32,
        /// Its standard deviation in pixels.
        sigma: f64,
    },
    /// Overwrites a rectangle, which lies inside the image.
    Erase {
        /// The rectangle.
        area: Rect,
        /// What it is overwritten with.
        fill: Fill,
    },
}

/// What an erased rectangle is overwritten with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// One colour.
    Colour([u8; 3]),
    /// Independent random bytes from the stream of this seed.
    Noise(u64),
}

impl Edit {
    /// The changed image.
    pub fn apply(&self, mut image: RgbImage) -> RgbImage {
        match *self {
            Edit::Brightness(factor) => colour::brightness(&mut image, factor),
            Edit::Contrast(factor) => colour::contrast(&mut image, factor),
            Edit::Saturation(factor) => colour::saturation(&mut image, factor),
            Edit::Hue(share) => colour::hue(&mut image, share),
            Edit::Sharpness(factor) => filter::sharpness(&mut image, factor),
            Edit::Grayscale => colour::grayscale(&mut image),
            Edit::Shift(shift) => colour::shift(&mut image, shift),
            Edit::Posterize(bits) => tone::posterize(&mut image, bits),
            Edit::Solarize(threshold) => tone::solarize(&mut image, threshold),
            Edit::AutoContrast => tone::auto_contrast(&mut image),
            Edit::Equalize => tone::equalize(&mut image),
            Edit::Invert => tone::invert(&mut image),
            Edit::ShearX(shear) => return affine::shear_x(&image, shear),
            Edit::ShearY(shear) => return affine::shear_y(&image, shear),
            Edit::Translate(by) => return affine::translate(&image, by),
            Edit::Rotate { degrees, interpolation } => return affine::rotate(&image, degrees, interpolation),
            Edit::Blur { kernel, sigma } => filter::gaussian_blur(&mut image, kernel, sigma),
            Edit::Erase { area, fill } => erase::erase(&mut image, area, fill),
        }
        image
    }
}
