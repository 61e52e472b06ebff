//! From a decoded image to the network's input: where to cut, chosen apart from the cutting, so that choices can be tested
//! and repeated; and the normalisation, done for a whole batch on its device.

use anyhow::{Result, ensure};
use image::{RgbImage, imageops};
use rand::{Rng, RngExt};
use tch::{Device, Kind, TchError, Tensor};

use super::resize::{Rect, resize};
use crate::config::{Channels, Preprocess, Scale, TrainingCrop};

/// What was chosen for one training image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    pub cut: Cut,
    pub mirror: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The image is resized to `width` x `height` pixels, and the input is cut out at (x, y).
    FromResized { width: u32, height: u32, x: u32, y: u32 },
    /// This rectangle of the image is resized to the input.
    Resized(Rect),
    /// The image is resized to the input, `margin` black pixels are put around it, and the input is cut out at (x, y).
    FromPadded { margin: u32, x: u32, y: u32 },
}

/// Chooses where to cut an input of [height, width] out of an image of `size` (width, height).
pub fn choose(
    crop: &TrainingCrop,
    mirror: bool,
    size: (u32, u32),
    input: [u32; 2],
    random: &mut impl Rng,
) -> Placement {
    let cut = match *crop {
        TrainingCrop::Random { crop_fraction: [least, most] } => {
            let shortest = f64::from(input[0].min(input[1]));
            // Uniform in the side that the image is resized to, as the VGG and ResNet papers sample it.
            let side = uniform(random, shortest / most, shortest / least);
            let (width, height) = resized(size, side.round() as u32, input);
            let x = random.random_range(0..=width - input[1]);
            let y = random.random_range(0..=height - input[0]);
            Cut::FromResized { width, height, x, y }
        }
        TrainingCrop::RandomResized { area, aspect } => Cut::Resized(random_rectangle(size, area, aspect, random)),
        TrainingCrop::Padded { pixels: margin } => {
            let [x, y] = [(); 2].map(|()| random.random_range(0..=2 * margin));
            Cut::FromPadded { margin, x, y }
        }
    };
    Placement { cut, mirror: mirror && random.random_bool(0.5) }
}

/// Cuts what was chosen.
///
/// # Errors
/// See [`fits`].
pub fn apply(image: &RgbImage, placement: Placement, input: [u32; 2]) -> Result<RgbImage> {
    let mut cut = match placement.cut {
        Cut::FromResized { width, height, x, y } => {
            fits(image.dimensions(), width, height)?;
            let resized = resize(image, Rect::whole(image), width, height);
            imageops::crop_imm(&resized, x, y, input[1], input[0]).to_image()
        }
        Cut::Resized(rectangle) => resize(image, rectangle, input[1], input[0]),
        Cut::FromPadded { margin, x, y } => {
            let resized = resize(image, Rect::whole(image), input[1], input[0]);
            let mut padded = RgbImage::new(input[1], input[0]);
            let [left, top] = [x, y].map(|offset| i64::from(margin) - i64::from(offset));
            imageops::replace(&mut padded, &resized, left, top);
            padded
        }
    };
    if placement.mirror {
        imageops::flip_horizontal_in_place(&mut cut);
    }
    Ok(cut)
}

/// 200 MB of RGB: what a worker may take for one image.
const MOST_RESIZED_PIXELS: u64 = 1 << 26;

/// # Errors
/// Where an image is so thin that, its shorter side resized, its longer one takes all memory.
pub fn fits((from_width, from_height): (u32, u32), width: u32, height: u32) -> Result<()> {
    ensure!(
        u64::from(width) * u64::from(height) <= MOST_RESIZED_PIXELS,
        "the image is {from_width}x{from_height}, so thin that it would be resized to {width}x{height}, more than {MOST_RESIZED_PIXELS} pixels; cut it first"
    );
    Ok(())
}

/// The size (width, height) at which the image's shorter side is `side` pixels, the longer one rounded down as torchvision
/// does; larger where an input of [height, width] would not fit otherwise.
pub fn resized((width, height): (u32, u32), side: u32, input: [u32; 2]) -> (u32, u32) {
    let ratio = |side: u32| u64::from(side) * u64::from(width.max(height)) / u64::from(width.min(height));
    let longer = |side: u32| u32::try_from(ratio(side)).unwrap_or(u32::MAX);
    let sized = |side: u32| if width < height { (side, longer(side)) } else { (longer(side), side) };
    let mut side = side.max(1);
    // Only for inputs that are not square.
    while sized(side).0 < input[1] || sized(side).1 < input[0] {
        side += 1;
    }
    sized(side)
}

/// A rectangle of a random share of the image's area and a random aspect ratio (uniform in its logarithm); after ten tries
/// that do not fit, the largest central one of a permitted ratio. torchvision's `RandomResizedCrop.get_params`.
fn random_rectangle((width, height): (u32, u32), area: [f64; 2], aspect: [f64; 2], random: &mut impl Rng) -> Rect {
    let whole = f64::from(width) * f64::from(height);
    for _ in 0..10 {
        let share = whole * uniform(random, area[0], area[1]);
        let ratio = uniform(random, aspect[0].ln(), aspect[1].ln()).exp();
        let (w, h) = ((share * ratio).sqrt().round() as u32, (share / ratio).sqrt().round() as u32);
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let x = random.random_range(0..=width - w);
            let y = random.random_range(0..=height - h);
            return Rect { x, y, width: w, height: h };
        }
    }
    let ratio = f64::from(width) / f64::from(height);
    let w = if ratio > aspect[1] { (f64::from(height) * aspect[1]).round() as u32 } else { width };
    let h = if ratio < aspect[0] { (f64::from(width) / aspect[0]).round() as u32 } else { height };
    let (w, h) = (w.clamp(1, width), h.clamp(1, height));
    Rect { x: (width - w) / 2, y: (height - h) / 2, width: w, height: h }
}

fn uniform(random: &mut impl Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * random.random::<f64>()
}

/// Turns images of one size into a batch on `device`: (images, height, width, 3) bytes to normalised floats, (images, 3,
/// height, width).
pub struct Normalisation {
    mean: Tensor,
    reciprocal: Tensor,
    channels: Channels,
    device: Device,
}

impl Normalisation {
    /// # Errors
    /// Where the device has no room.
    pub fn new(preprocess: &Preprocess, device: Device) -> Result<Self, TchError> {
        let unit = match preprocess.scale {
            Scale::Unit => 255.0,
            Scale::Byte => 1.0,
        };
        let mean = preprocess.mean.map(|mean| (mean * unit) as f32);
        let reciprocal = preprocess.std.map(|std| (1.0 / (std * unit)) as f32);
        Ok(Normalisation {
            mean: Tensor::f_from_slice(&mean)?.f_to_device(device)?,
            reciprocal: Tensor::f_from_slice(&reciprocal)?.f_to_device(device)?,
            channels: preprocess.channels,
            device,
        })
    }

    /// # Errors
    /// Where the device has no room for the batch.
    pub fn apply(&self, bytes: &Tensor) -> Result<Tensor, TchError> {
        let bytes = match self.channels {
            Channels::Rgb => bytes.f_to_device(self.device)?,
            Channels::Bgr => bytes.f_to_device(self.device)?.f_flip([3])?,
        };
        let values = bytes.f_to_kind(Kind::Float)?.f_sub(&self.mean)?.f_mul(&self.reciprocal)?;
        // Left channels-last, as it comes out here, libtorch 2.11 on processors with AVX-512 writes past its buffers in the
        // weight gradient of 1x1 convolutions of fewer than 16 channels; in this order it is as fast and does not.
        values.f_permute([0, 3, 1, 2])?.f_contiguous()
    }
}
