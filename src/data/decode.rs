//! An image file decoded: whatever it holds becomes upright 8-bit RGB.

use std::fs;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use super::jpeg;

/// Twice Pillow's warning mark, at which Pillow too gives up: 512 MiB of RGB.
const MOST_PIXELS: u64 = 178_956_970;
const MOST_BYTES: u64 = 1 << 30;
/// Of 16-bit RGBA, twice as many bytes as an 8-bit RGB image of the most pixels takes, and some.
const MOST_DECODED_BYTES: u64 = 8 * MOST_PIXELS;

/// Reads the image at `path`. Grey, palette, 16-bit and CMYK images are converted, alpha is dropped as Pillow's
/// `convert("RGB")` drops it; of an animation the first frame is taken. `upright` honours EXIF orientation.
///
/// # Errors
/// Where the file cannot be read, is cut short, is no image, or is larger than the limits, with the reason. The path is
/// left to the caller, who names it anyway.
pub fn decode(path: &Path, upright: bool) -> Result<RgbImage> {
    let size = fs::metadata(path).context("cannot be opened")?.len();
    ensure!(size > 0, "the file is empty (0 bytes)");
    ensure!(size <= MOST_BYTES, "the file has {size} bytes, more than the limit of {MOST_BYTES}");
    let bytes = fs::read(path).context("cannot be read")?;
    // A decoder that trips over a damaged file must not take the run with it.
    catch_unwind(AssertUnwindSafe(|| decode_bytes(&bytes, path, upright)))
        .unwrap_or_else(|_| bail!("the decoder failed on it; the file is damaged"))
}

fn decode_bytes(bytes: &[u8], path: &Path, upright: bool) -> Result<RgbImage> {
    let (mut image, orientation) = if jpeg::is_jpeg(bytes) {
        let jpeg = jpeg::decode(bytes, MOST_PIXELS).context("cannot be decoded")?;
        (DynamicImage::from(jpeg.image), jpeg.exif.and_then(Orientation::from_exif_chunk))
    } else {
        decode_other(bytes, path)?
    };
    if let (true, Some(orientation)) = (upright, orientation) {
        image.apply_orientation(orientation);
    }
    Ok(image.into_rgb8())
}

/// Whatever is not JPEG, as it lies in the file, and its EXIF orientation.
fn decode_other(bytes: &[u8], path: &Path) -> Result<(DynamicImage, Option<Orientation>)> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().context("cannot be read")?;
    if reader.format().is_none() {
        // TGA and a few others have no signature.
        match ImageFormat::from_path(path) {
            Ok(ImageFormat::Tga) => reader.set_format(ImageFormat::Tga),
            _ => bail!("not an image: its content is of no known image format, whatever its name says"),
        }
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(3 * MOST_PIXELS * 2);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(plain)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    ensure!(pixels > 0, "the image is {width}x{height}: it has no pixels");
    ensure!(
        pixels <= MOST_PIXELS,
        "the image is {width}x{height}, {pixels} pixels; the limit is {MOST_PIXELS}. Scale it down first"
    );
    let bytes = decoder.total_bytes();
    ensure!(
        bytes <= MOST_DECODED_BYTES,
        "the image takes {bytes} bytes decoded; the limit is {MOST_DECODED_BYTES}. Scale it down first"
    );
    let orientation = decoder.orientation().map_err(plain)?;
    Ok((DynamicImage::from_decoder(decoder).map_err(plain)?, Some(orientation)))
}

fn plain(error: image::ImageError) -> anyhow::Error {
    anyhow::anyhow!("cannot be decoded: {error}")
}
