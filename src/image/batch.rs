//! Crops of one size, gathered into one tensor of bytes.

use anyhow::{Context, Result};
use image::RgbImage;
use tch::{Kind, Tensor};

use super::crop::append_rows;
use crate::geometry::{Rect, Size};

/// Crops of one size, row by row.
#[derive(Debug)]
pub struct Batch {
    size: Size,
    bytes: Vec<u8>,
    images: usize,
}

impl Batch {
    /// Room for `capacity` crops of this size.
    ///
    /// # Errors
    /// Returns an error if there is no memory for them.
    pub fn with_capacity(size: Size, capacity: usize) -> Result<Self> {
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(capacity * size.area() as usize * 3)
            .with_context(|| format!("no memory for a batch of {capacity} images of {size}"))?;
        Ok(Batch { size, bytes, images: 0 })
    }

    /// Adds a rectangle of an image, which has the batch's size.
    pub fn push(&mut self, image: &RgbImage, crop: Rect, mirror: bool) {
        debug_assert_eq!(crop.size(), self.size);
        append_rows(image, crop, mirror, &mut self.bytes);
        self.images += 1;
    }

    /// A batch of whole images of one size.
    ///
    /// # Errors
    /// Returns an error if there is none, or no memory for them.
    pub fn of(images: &[RgbImage]) -> Result<Self> {
        let size: Size = images.first().context("expected at least one image")?.dimensions().into();
        let mut batch = Batch::with_capacity(size, images.len())?;
        images.iter().for_each(|image| batch.push(image, size.whole(), false));
        Ok(batch)
    }

    /// (images, height, width, 3) bytes on the CPU.
    ///
    /// # Errors
    /// Returns an error if there is no memory for them.
    pub fn tensor(&self) -> Result<Tensor> {
        let shape = [self.images as i64, i64::from(self.size.height), i64::from(self.size.width), 3];
        Ok(Tensor::f_from_data_size(&self.bytes, &shape, Kind::Uint8)?)
    }
}
