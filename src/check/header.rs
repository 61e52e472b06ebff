//! What the header of an image file says that the decoded pixels no longer show.

use std::io::Cursor;
use std::path::Path;

use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{ExtendedColorType, ImageDecoder, ImageFormat, ImageReader, guess_format};

use crate::image::{format, gif, jpeg};

/// What a header says; nothing, if it cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    pub wrong_ending: bool,
    pub animated: bool,
    pub grey: bool,
    pub palette: bool,
    /// More than 8 bits per channel.
    pub deep: bool,
    pub alpha: bool,
    pub cmyk: bool,
    /// Stored other than upright.
    pub turned: bool,
}

impl Header {
    /// Reads the header of an image that could be decoded.
    pub fn read(bytes: &[u8], path: &Path) -> Self {
        let content = guess_format(bytes).ok();
        let mut header = match content {
            Some(ImageFormat::Jpeg) => Header::of_jpeg(bytes),
            _ => Header::of_other(bytes).unwrap_or_default(),
        };
        // A name without the ending of an image format promises nothing.
        header.wrong_ending = format::of_name(path).zip(content).is_some_and(|(named, content)| named != content);
        header.animated = content.is_some_and(|content| is_animated(bytes, content));
        if content == Some(ImageFormat::Png) {
            // Color type 3 (PNG, section 11.2.1); the decoder turns it into RGB.
            header.palette = bytes.get(25) == Some(&3);
        }
        header
    }

    fn of_jpeg(bytes: &[u8]) -> Self {
        let Ok(jpeg::Header { channels, exif }) = jpeg::header(bytes) else { return Header::default() };
        let turned = exif.and_then(Orientation::from_exif_chunk).is_some_and(|it| it != Orientation::NoTransforms);
        Header { grey: channels == 1, cmyk: channels == 4, turned, ..Header::default() }
    }

    fn of_other(bytes: &[u8]) -> Option<Self> {
        let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
        let is_gif = reader.format() == Some(ImageFormat::Gif);
        let mut decoder = reader.into_decoder().ok()?;
        let (colour, stored) = (decoder.color_type(), decoder.original_color_type());
        let turned = decoder.orientation().is_ok_and(|it| it != Orientation::NoTransforms);
        Some(Header {
            grey: !colour.has_color(),
            deep: colour.bits_per_pixel() > 8 * u16::from(colour.channel_count()),
            // A GIF's decoder always returns transparency.
            alpha: colour.has_alpha() && !is_gif,
            cmyk: matches!(stored, ExtendedColorType::Cmyk8 | ExtendedColorType::Cmyk16),
            turned,
            ..Header::default()
        })
    }
}

/// Whether a file of this format has more than one picture.
fn is_animated(bytes: &[u8], format: ImageFormat) -> bool {
    match format {
        ImageFormat::Png => PngDecoder::new(Cursor::new(bytes)).is_ok_and(|decoder| decoder.is_apng().unwrap_or(false)),
        ImageFormat::WebP => WebPDecoder::new(Cursor::new(bytes)).is_ok_and(|decoder| decoder.has_animation()),
        ImageFormat::Gif => gif::is_animated(bytes),
        _ => false,
    }
}
