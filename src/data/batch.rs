//! Images as tensors of bytes, on the processor: those of one size as one, or each alone.

use anyhow::{Context, Result};
use image::RgbImage;
use tch::{Kind, Tensor};

/// (images, height, width, 3) bytes.
///
/// # Errors
/// Where the memory does not suffice.
pub fn stack(images: &[RgbImage]) -> Result<Tensor> {
    let (width, height) = images.first().context("a batch of no images")?.dimensions();
    let each = width as usize * height as usize * 3;
    let mut bytes: Vec<u8> = Vec::new();
    bytes
        .try_reserve_exact(images.len() * each)
        .with_context(|| format!("no memory for a batch of {} images of {width}x{height}", images.len()))?;
    images.iter().for_each(|image| bytes.extend_from_slice(image.as_raw()));
    let shape = [images.len() as i64, i64::from(height), i64::from(width), 3];
    Ok(Tensor::f_from_data_size(&bytes, &shape, Kind::Uint8)?)
}

/// One image alone, (1, height, width, 3) bytes.
///
/// # Errors
/// Where the memory does not suffice.
pub fn single(image: &RgbImage) -> Result<Tensor> {
    let shape = [1, i64::from(image.height()), i64::from(image.width()), 3];
    Ok(Tensor::f_from_data_size(image.as_raw(), &shape, Kind::Uint8)?)
}
