//! Decoding: image files of every supported format become upright 8-bit RGB.

use std::fs;
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use super::jpeg;

/// Twice the size at which Pillow warns; at this size Pillow refuses an image, too. 512 MiB of RGB.
const MAX_PIXELS: u64 = 178_956_970;
/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// Enough for the most pixels in 16-bit RGBA.
const MAX_DECODED_BYTES: u64 = 8 * MAX_PIXELS;

/// Reads the bytes of an image file for [`decode`]. The path is left out of messages: callers print it before them.
///
/// # Errors
/// Returns an error if the file cannot be opened or read, or has more than 1 GiB.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let size = fs::metadata(path).context("cannot be opened")?.len();
    ensure!(size <= MAX_FILE_BYTES, "the file has {size} bytes, more than the limit of {MAX_FILE_BYTES}");
    fs::read(path).context("cannot be read")
}

/// Reads the bytes of an image from a stream.
///
/// # Errors
/// Returns an error if it cannot be read, or has more than 1 GiB.
pub fn read_from(stream: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).context("cannot be read")?;
    ensure!(bytes.len() as u64 <= MAX_FILE_BYTES, "more bytes than the limit of {MAX_FILE_BYTES}");
    Ok(bytes)
}

/// Decodes the bytes of an image file. Grey, palette, 16-bit and CMYK images are converted, alpha is dropped as
/// Pillow's `convert("RGB")` drops it, and an animation yields its first frame. The format follows from the content;
/// only TGA, which has no signature, is recognised by the extension of the file's `name`. `upright` applies the EXIF
/// orientation.
///
/// # Errors
/// Returns an error if the bytes are empty, truncated, corrupt or not an image, or if the image has more than
/// 178,956,970 pixels. The name is left out of messages: callers print it before them.
pub fn decode(bytes: &[u8], name: &Path, upright: bool) -> Result<RgbImage> {
    ensure!(!bytes.is_empty(), "the file is empty (0 bytes)");
    // A corrupt file that makes a decoder panic must not abort the run.
    catch_unwind(AssertUnwindSafe(|| upright_rgb(bytes, name, upright)))
        .unwrap_or_else(|_| bail!("cannot be decoded: the file is probably corrupt (its decoder panicked)"))
}

fn upright_rgb(bytes: &[u8], name: &Path, upright: bool) -> Result<RgbImage> {
    let (mut image, orientation) = if jpeg::is_jpeg(bytes) {
        let jpeg = jpeg::decode(bytes, MAX_PIXELS)?;
        (DynamicImage::from(jpeg.image), jpeg.exif.and_then(Orientation::from_exif_chunk))
    } else {
        decode_other(bytes, name)?
    };
    if let (true, Some(orientation)) = (upright, orientation) {
        image.apply_orientation(orientation);
    }
    Ok(image.into_rgb8())
}

/// The pixels of any format but JPEG as stored, and their EXIF orientation.
fn decode_other(bytes: &[u8], name: &Path) -> Result<(DynamicImage, Option<Orientation>)> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().context("cannot be read")?;
    if reader.format().is_none() {
        match ImageFormat::from_path(name) {
            Ok(ImageFormat::Tga) => reader.set_format(ImageFormat::Tga),
            _ => bail!("not an image: its content does not match any known image format"),
        }
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(3 * MAX_PIXELS * 2);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(undecodable)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    ensure!(pixels > 0, "the image has no pixels ({width}x{height})");
    ensure!(
        pixels <= MAX_PIXELS,
        "the image has {width}x{height} = {pixels} pixels, more than the limit of {MAX_PIXELS}. Scale it down first"
    );
    let bytes = decoder.total_bytes();
    ensure!(
        bytes <= MAX_DECODED_BYTES,
        "the image takes {bytes} bytes when decoded, more than the limit of {MAX_DECODED_BYTES}. Scale it down first"
    );
    let orientation = decoder.orientation().map_err(undecodable)?;
    Ok((DynamicImage::from_decoder(decoder).map_err(undecodable)?, Some(orientation)))
}

fn undecodable(error: image::ImageError) -> anyhow::Error {
    anyhow::anyhow!("cannot be decoded: {error}")
}
