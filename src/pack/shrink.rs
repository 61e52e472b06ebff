//! Shrinking: images are resized to a shorter side, and encoded as JPEG.

use std::path::Path;

use anyhow::{Context, Result};
use image::codecs::jpeg::JpegEncoder;

use crate::geometry::{Resize, Size};
use crate::image::crop::{check_size, resized};
use crate::image::decode;

/// How images are shrunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shrink {
    /// The shorter side, in pixels.
    pub shorter_side: u32,
    /// The quality of the JPEG file, from 1 to 100.
    pub quality: u8,
}

/// An image as a JPEG file with the shorter side that is asked for, turned upright; `None` if it is not larger, and so keeps
/// its bytes.
///
/// # Errors
/// Returns the reason if it cannot be decoded or encoded.
pub fn shrunk(bytes: &[u8], name: &Path, shrink: Shrink) -> Result<Option<Vec<u8>>> {
    let picture = decode::open(bytes, name, true)?;
    let size = picture.size();
    if size.shorter_side() <= shrink.shorter_side {
        return Ok(None);
    }
    let to = size.with_shorter_side(shrink.shorter_side, Size { width: 1, height: 1 });
    check_size(size, to)?;
    let image = resized(&picture, Resize { from: size.whole(), to }, to.whole());
    let mut bytes = Vec::new();
    image
        .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, shrink.quality))
        .context("cannot be encoded as JPEG")?;
    Ok(Some(bytes))
}
