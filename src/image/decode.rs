//! Decoding: image files of every supported format become upright 8-bit RGB, the whole image or a region of it.

use std::borrow::Cow;
use std::fs;
use std::io::{Cursor, Read};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};
use indicatif::DecimalBytes;

use super::rgb::to_rgb;
use super::share::Share;
use super::tiff::{self, Palette};
use super::{format, gif, icon, jpeg};
use crate::geometry::{Rect, Size};

/// Twice the size at which Pillow warns; at this size Pillow refuses an image, too. 512 MiB of RGB.
const MAX_PIXELS: u64 = 178_956_970;
/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// The memory that a file of any size may take to be decoded.
const GRANTED_BYTES: u64 = 768 << 20;
/// Beyond that, how many bytes of memory a file may take per byte of its own: only files made to exhaust memory or time
/// take more.
const GRANTED_PER_BYTE: u64 = 400;
/// What decoders may allocate before they know the size of an image, for colour profiles for instance.
const MAX_HEADER_BYTES: u64 = 64 << 20;

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

/// An image whose pixels can be had region by region.
pub trait Regions {
    /// Returns an image that contains the pixels of `region`, which lies within the whole one, and their place in it.
    fn region(&self, region: Rect) -> (Cow<'_, RgbImage>, Rect);
}

impl Regions for RgbImage {
    fn region(&self, region: Rect) -> (Cow<'_, RgbImage>, Rect) {
        (Cow::Borrowed(self), region)
    }
}

/// An image file that has been read: every fault in it has been found, but a JPEG's pixels are made when they are asked
/// for. It keeps its share of the memory for images until it is dropped.
pub struct Picture {
    content: Content,
    /// How the content is to be turned.
    orientation: Orientation,
    share: Share,
}

enum Content {
    /// Upright pixels.
    Pixels(RgbImage),
    Jpeg(jpeg::Jpeg),
}

impl Regions for Picture {
    fn region(&self, region: Rect) -> (Cow<'_, RgbImage>, Rect) {
        match &self.content {
            Content::Pixels(image) => image.region(region),
            Content::Jpeg(jpeg) => {
                let image = jpeg.pixels(as_stored(region, self.orientation, jpeg.size()));
                (Cow::Owned(turned(image, self.orientation)), region.size().whole())
            }
        }
    }
}

impl Picture {
    /// The size of the whole image.
    pub fn size(&self) -> Size {
        match &self.content {
            Content::Pixels(image) => image.dimensions().into(),
            Content::Jpeg(jpeg) => {
                let Size { width, height } = jpeg.size();
                if swaps_sides(self.orientation) { (height, width).into() } else { (width, height).into() }
            }
        }
    }

    /// All pixels.
    pub fn decode(self) -> Decoded {
        let Picture { content, orientation, mut share } = self;
        let image = match content {
            Content::Pixels(image) => image,
            Content::Jpeg(jpeg) => {
                let image = jpeg.pixels(jpeg.size().whole());
                drop(jpeg);
                turned(image, orientation)
            }
        };
        share.shrink(image.len() as u64);
        Decoded { image, _share: share }
    }
}

/// A decoded image. It keeps its share of the memory for images until it is dropped.
#[derive(Debug)]
pub struct Decoded {
    image: RgbImage,
    _share: Share,
}

impl Deref for Decoded {
    type Target = RgbImage;

    fn deref(&self) -> &RgbImage {
        &self.image
    }
}

/// Reads the bytes of an image file. Grey, palette, 16-bit and CMYK images are converted, alpha is dropped as
/// Pillow's `convert("RGB")` drops it, and an animation yields its first frame. The format follows from the content;
/// only TGA, which has no signature, is recognised by the extension of the file's `name`. `upright` applies the EXIF
/// orientation.
///
/// Waits until the memory that it takes is free: a thread must drop one image before it opens another.
///
/// # Errors
/// Returns an error if the bytes are empty, truncated, corrupt or not an image, if the image has more than
/// 178,956,970 pixels, or takes more memory than there is or than such a file should. The name is left out of messages:
/// callers print it before them.
pub fn open(bytes: &[u8], name: &Path, upright: bool) -> Result<Picture> {
    ensure!(!bytes.is_empty(), "the file is empty (0 bytes)");
    // A corrupt file that makes a decoder panic must not abort the run.
    catch_unwind(AssertUnwindSafe(|| match bytes {
        _ if jpeg::is_jpeg(bytes) => open_jpeg(bytes, upright),
        _ if icon::is_icon(bytes) => open_other(&icon::largest(bytes)?, name, upright),
        _ => open_other(bytes, name, upright),
    }))
    .unwrap_or_else(|_| bail!("cannot be decoded: the file is probably corrupt (its decoder panicked)"))
}

/// Decodes the bytes of an image file: all pixels of [`open`].
///
/// # Errors
/// See [`open`].
pub fn decode(bytes: &[u8], name: &Path, upright: bool) -> Result<Decoded> {
    open(bytes, name, upright).map(Picture::decode)
}

fn open_jpeg(bytes: &[u8], upright: bool) -> Result<Picture> {
    let (jpeg, exif, (needed, mut share)) = jpeg::read(bytes, |width, height, needed| {
        check_size(width, height)?;
        // The turned copy of all pixels; whether there is one may be said later in the file.
        let turning = 3 * u64::from(width) * u64::from(height);
        Ok((needed, take_share(needed + turning, bytes)?))
    })?;
    let orientation = exif.filter(|_| upright).and_then(Orientation::from_exif_chunk);
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    if orientation == Orientation::NoTransforms {
        share.shrink(needed);
    }
    Ok(Picture { content: Content::Jpeg(jpeg), orientation, share })
}

/// The place in a stored image of `size` of what is `region` after it has been turned.
fn as_stored(region: Rect, orientation: Orientation, size: Size) -> Rect {
    use Orientation::{FlipHorizontal, FlipVertical, Rotate90, Rotate180, Rotate270, Rotate270FlipH};
    let mut stored = region;
    if swaps_sides(orientation) {
        stored = Rect { x: region.y, y: region.x, width: region.height, height: region.width };
    }
    if matches!(orientation, FlipHorizontal | Rotate180 | Rotate270 | Rotate270FlipH) {
        stored.x = size.width - stored.x - stored.width;
    }
    if matches!(orientation, FlipVertical | Rotate180 | Rotate90 | Rotate270FlipH) {
        stored.y = size.height - stored.y - stored.height;
    }
    stored
}

fn turned(image: RgbImage, orientation: Orientation) -> RgbImage {
    let mut image = DynamicImage::from(image);
    image.apply_orientation(orientation);
    image.into_rgb8()
}

/// Decodes any format but JPEG.
fn open_other(bytes: &[u8], name: &Path, upright: bool) -> Result<Picture> {
    tiff::check_bits(bytes)?;
    let palette = Palette::of(bytes);
    let bytes = palette.as_ref().map_or(bytes, |palette| &palette.indices);
    if let Some(name) = format::unsupported(bytes) {
        bail!("{name} is not supported; convert the image to JPEG or PNG");
    }
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().context("cannot be read")?;
    if reader.format().is_none() {
        match ImageFormat::from_path(name) {
            Ok(ImageFormat::Tga) => reader.set_format(ImageFormat::Tga),
            _ => bail!("not an image: its content does not match any known image format"),
        }
    }
    let format = reader.format();
    if let Some(format) = format.filter(|format| !format.reading_enabled()) {
        bail!("{format:?} images are not supported; save it as 8-bit PNG or JPEG");
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_HEADER_BYTES);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(undecodable)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height)?;
    let (pixels, stored) = (u64::from(width) * u64::from(height), decoder.total_bytes());
    let orientation = decoder.orientation().map_err(undecodable)?;
    let decoding = stored
        + match format {
            Some(ImageFormat::Png) => 0,
            // An animation's canvas, a frame and its planes.
            Some(ImageFormat::WebP) => 9 * pixels,
            // A copy of what is output.
            _ => stored,
        };
    let converting = if decoder.color_type() == ColorType::Rgb8 { 0 } else { stored + 3 * pixels };
    let turning = if swaps_sides(orientation) { 2 * 3 * pixels } else { 0 };
    let mut share = take_share(decoding.max(converting).max(turning), bytes)?;
    limits.max_alloc = Some(decoding + MAX_HEADER_BYTES);
    decoder.set_limits(limits).map_err(undecodable)?;
    let mut decoded = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
    if let DynamicImage::ImageRgba8(image) = &mut decoded {
        gif::fill(bytes, image);
    }
    let mut image = to_rgb(decoded, format);
    palette.iter().for_each(|palette| palette.apply(&mut image));
    let image = if upright { turned(image, orientation) } else { image };
    share.shrink(image.len() as u64);
    Ok(Picture { content: Content::Pixels(image), orientation: Orientation::NoTransforms, share })
}

fn check_size(width: u32, height: u32) -> Result<()> {
    let pixels = u64::from(width) * u64::from(height);
    ensure!(pixels > 0, "the image has no pixels ({width}x{height})");
    ensure!(
        pixels <= MAX_PIXELS,
        "the image has {width}x{height} = {pixels} pixels, more than the limit of {MAX_PIXELS}. Scale it down first"
    );
    Ok(())
}

/// Takes the memory that the image in these bytes needs to be decoded.
fn take_share(needed: u64, bytes: &[u8]) -> Result<Share> {
    let granted = GRANTED_BYTES.max(GRANTED_PER_BYTE * bytes.len() as u64);
    ensure!(
        needed <= granted,
        "takes {} of memory to be decoded, more than the limit of {} for a file of {}. Scale the image down",
        DecimalBytes(needed),
        DecimalBytes(granted),
        DecimalBytes(bytes.len() as u64)
    );
    Share::take(needed)
}

fn swaps_sides(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

fn undecodable(error: ImageError) -> Error {
    match error {
        // Floats in TIFF files, for instance.
        ImageError::Unsupported(error) => {
            anyhow!("this kind of image is not supported ({error}); save it as 8-bit PNG or JPEG")
        }
        error => anyhow!("cannot be decoded: {error}"),
    }
}
