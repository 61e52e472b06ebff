//! Pictures as PNG files.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result};
use image::{ImageBuffer, ImageFormat, Pixel, PixelWithColorType};

use crate::atomic::write_atomically;

/// Writes a picture as a PNG file.
///
/// # Errors
/// Returns an error with the path if it cannot be written; an earlier file is then intact.
pub fn write<P: Pixel<Subpixel = u8> + PixelWithColorType>(path: &Path, image: &ImageBuffer<P, Vec<u8>>) -> Result<()> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).with_context(|| path.display().to_string())?;
    write_atomically(path, bytes.get_ref())
}
