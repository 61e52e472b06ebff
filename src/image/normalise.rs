//! Normalisation: bytes become the values that a network takes, a whole batch at a time on its device.

use tch::{Device, Kind, TchError, Tensor};

/// The constants of a normalisation, for each channel: (byte - mean) / std.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constants {
    /// Whether the channels come in the order blue, green, red. Mean and deviation are then in that order, too.
    pub bgr: bool,
    /// Between 0 and 255.
    pub mean: [f64; 3],
    /// In units of a byte.
    pub std: [f64; 3],
}

/// A normalisation on a device.
#[derive(Debug)]
pub struct Normalisation {
    bgr: bool,
    mean: Tensor,
    reciprocal: Tensor,
    device: Device,
}

impl Normalisation {
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn new(constants: &Constants, device: Device) -> Result<Self, TchError> {
        let mean = constants.mean.map(|mean| mean as f32);
        let reciprocal = constants.std.map(|std| (1.0 / std) as f32);
        Ok(Normalisation {
            bgr: constants.bgr,
            mean: per_channel(&mean)?.f_to_device(device)?,
            reciprocal: per_channel(&reciprocal)?.f_to_device(device)?,
            device,
        })
    }

    /// (images, height, width, 3) bytes as values, (images, 3, height, width).
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn apply(&self, bytes: &Tensor) -> Result<Tensor, TchError> {
        let bytes = bytes.f_to_device(self.device)?;
        let bytes = if self.bgr { bytes.f_flip([3])? } else { bytes };
        // If the values stayed channels-last, as the bytes are, libtorch 2.11 on processors with AVX-512 would write past
        // its buffers in the weight gradient of 1x1 convolutions with fewer than 16 channels. This order is as fast.
        let mut values = bytes.f_permute([0, 3, 1, 2])?.f_contiguous()?.f_to_kind(Kind::Float)?;
        values.f_sub_(&self.mean)?.f_mul_(&self.reciprocal)
    }
}

/// (channels, 1, 1)
fn per_channel(constants: &[f32; 3]) -> Result<Tensor, TchError> {
    Tensor::f_from_slice(constants)?.f_view([3, 1, 1])
}
