//! How the pixels of an image become the values that a network takes; training and evaluation share it.

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

use crate::image::normalise::Constants;
use crate::range::{positive, within};

/// The `preprocess` section.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preprocess {
    /// The order of the channels.
    pub channels: Channels,
    /// The range of a pixel's values.
    pub scale: Scale,
    /// Subtracted from each channel, in the order and the scale given above.
    pub mean: [f64; 3],
    /// Divides each channel afterwards.
    pub std: [f64; 3],
    /// The side of the crop over the shorter side of the image that it is cut from: 224 of 256 is 0.875.
    pub crop_fraction: f64,
    /// Whether the EXIF orientation is applied.
    pub exif_orientation: bool,
}

impl Default for Preprocess {
    /// torchvision's values, which most published weights expect.
    fn default() -> Self {
        Preprocess {
            channels: Channels::Rgb,
            scale: Scale::Unit,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            crop_fraction: 0.875,
            exif_orientation: true,
        }
    }
}

/// The order of an image's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red, as OpenCV reads images and Caffe's networks expect them.
    Bgr,
}

/// The range of a pixel's values before the mean is subtracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// 0..1
    Unit,
    /// 0..255
    Byte,
}

impl Preprocess {
    /// The normalisation constants for pixel values from 0 to 255.
    pub fn constants(&self) -> Constants {
        let unit = match self.scale {
            Scale::Unit => 255.0,
            Scale::Byte => 1.0,
        };
        let bgr = self.channels == Channels::Bgr;
        Constants { bgr, mean: self.mean.map(|mean| mean * unit), std: self.std.map(|std| std * unit) }
    }

    /// The mean colour as red, green and blue bytes.
    pub fn mean_colour(&self) -> [u8; 3] {
        let Constants { bgr, mean, .. } = self.constants();
        // The cast clamps to 0..=255.
        let [first, second, third] = mean.map(|mean| mean.round() as u8);
        if bgr { [third, second, first] } else { [first, second, third] }
    }

    /// # Errors
    /// Returns an error with the JSON path if a number is out of its range.
    pub fn check(&self) -> Result<()> {
        let at = |field: &str, checked: Result<(), String>| {
            checked.map_err(|reason| anyhow!("preprocess.{field}: {reason}"))
        };
        at("crop_fraction", within(self.crop_fraction, 0.05, 1.0))?;
        for (index, &mean) in self.mean.iter().enumerate() {
            at(&format!("mean[{index}]"), within(mean, -1e6, 1e6))?;
        }
        for (index, &std) in self.std.iter().enumerate() {
            at(&format!("std[{index}]"), positive(std, 1e6))?;
        }
        Ok(())
    }
}
