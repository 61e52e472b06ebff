//! Pixels as the values that both networks work with, and back.

use image::RgbImage;
use tch::{Device, Kind, TchError, Tensor};

use crate::device;
use crate::experiment::Gan;

/// The values of pixels: from that of black to that of white, in one channel (grey) or three (red, green, blue).
#[derive(Clone, Copy, Debug)]
pub struct Pixels {
    range: [f64; 2],
    channels: i64,
    device: Device,
}

impl Pixels {
    /// Those of an experiment's images.
    pub fn of(gan: &Gan, device: Device) -> Self {
        Pixels { range: gan.preprocess.range, channels: gan.image()[0], device }
    }

    /// (images, height, width, 3) bytes as values, (images, channels, height, width). Colours become grey as Pillow's
    /// `convert("L")` has it, but for rounding; grey pixels keep their value.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn values(&self, bytes: &Tensor) -> Result<Tensor, TchError> {
        let [black, white] = self.range;
        let values = device::send(bytes, self.device)?.f_permute([0, 3, 1, 2])?.f_to_kind(Kind::Float)?;
        let mut values = match self.channels {
            1 => luminance(&values)?,
            _ => values.f_contiguous()?,
        };
        values.f_multiply_scalar_((white - black) / 255.0)?.f_add_scalar_(black)
    }

    /// Values as bytes, (images, channels, height, width), on the CPU; what lies outside the range becomes black or white.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn bytes(&self, values: &Tensor) -> Result<Tensor, TchError> {
        let [black, white] = self.range;
        let mut scaled = values.f_sub_scalar(black)?.f_multiply_scalar_(255.0 / (white - black))?;
        scaled.f_round_()?.f_clamp_(0.0, 255.0)?.f_to_kind(Kind::Uint8)?.f_to_device(Device::Cpu)?.f_contiguous()
    }
}

/// A real image as networks of images with so many channels see it, in RGB: with one channel, in grey, as in
/// [`Pixels::values`].
pub fn as_seen(mut image: RgbImage, channels: i64) -> RgbImage {
    if channels == 1 {
        for pixel in image.pixels_mut() {
            let [red, green, blue] = pixel.0.map(f64::from);
            pixel.0 = [(0.299 * red + 0.587 * green + 0.114 * blue).round() as u8; 3];
        }
    }
    image
}

/// (images, 3, height, width) as (images, 1, height, width), in the proportions of ITU-R 601-2. The differences to green are
/// exactly 0 in grey pixels.
fn luminance(values: &Tensor) -> Result<Tensor, TchError> {
    let [red, green, blue] = [0, 1, 2].map(|channel| values.f_narrow(1, channel, 1));
    let (red, green, blue) = (red?, green?, blue?);
    let shift = red.f_sub(&green)?.f_multiply_scalar_(0.299)?.f_add(&blue.f_sub(&green)?.f_multiply_scalar_(0.114)?)?;
    green.f_add(&shift)?.f_contiguous()
}
