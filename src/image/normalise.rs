//! Normalisation: bytes become the values that a network takes, a whole batch at a time on its device.

use std::slice;

use tch::{Device, Kind, TchError, Tensor};

use super::twice::compiled_twice;
use crate::device;

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
    /// (channels, 1, 1), as the next.
    mean: Tensor,
    reciprocal: Tensor,
    /// The same: each channel's mean and reciprocal.
    constants: [[f32; 2]; 3],
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
            constants: [0, 1, 2].map(|channel| [mean[channel], reciprocal[channel]]),
            device,
        })
    }

    /// (images, height, width, 3) bytes as values, (images, 3, height, width).
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn apply(&self, bytes: &Tensor) -> Result<Tensor, TchError> {
        if self.device == Device::Cpu {
            return self.apply_here(&bytes.f_contiguous()?);
        }
        let bytes = device::send(bytes, self.device)?;
        let bytes = if self.bgr { bytes.f_flip([3])? } else { bytes };
        let mut values = bytes.f_permute([0, 3, 1, 2])?.f_contiguous()?.f_to_kind(Kind::Float)?;
        values.f_sub_(&self.mean)?.f_mul_(&self.reciprocal)
    }

    /// The same values on the CPU, whose memory is slow beside it: in one pass instead of libtorch's four.
    fn apply_here(&self, bytes: &Tensor) -> Result<Tensor, TchError> {
        let (images, height, width, _) = bytes.size4()?;
        // If the values stayed channels-last, as the bytes are, libtorch 2.11 on processors with AVX-512 would write past
        // its buffers in the weight gradient of 1x1 convolutions with fewer than 16 channels. This order is as fast.
        let values = Tensor::f_empty([images, 3, height, width], (Kind::Float, Device::Cpu))?;
        // SAFETY: both tensors are contiguous and on the CPU, of the kinds that the slices have, and have as many elements
        // as these; nothing else refers to the new one's.
        let (from, to) = unsafe {
            (
                slice::from_raw_parts(bytes.data_ptr().cast::<u8>(), bytes.numel()),
                slice::from_raw_parts_mut(values.data_ptr().cast::<f32>(), values.numel()),
            )
        };
        let image = (3 * height * width) as usize;
        for (bytes, values) in from.chunks_exact(image).zip(to.chunks_exact_mut(image)) {
            planes(bytes, self.bgr, &self.constants, values);
        }
        Ok(values)
    }
}

/// (channels, 1, 1)
fn per_channel(constants: &[f32; 3]) -> Result<Tensor, TchError> {
    Tensor::f_from_slice(constants)?.f_view([3, 1, 1])
}

compiled_twice! {
    /// Writes an image's values, one channel after the other.
    fn planes(bytes: &[u8], bgr: bool, constants: &[[f32; 2]; 3], values: &mut [f32]) {
        let area = values.len() / 3;
        for (channel, (plane, &[mean, reciprocal])) in values.chunks_exact_mut(area).zip(constants).enumerate() {
            let place = if bgr { 2 - channel } else { channel };
            for (value, pixel) in plane.iter_mut().zip(bytes.as_chunks::<3>().0) {
                *value = (f32::from(pixel[place]) - mean) * reciprocal;
            }
        }
    }
}
