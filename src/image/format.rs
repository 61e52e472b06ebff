//! The format of an image file: what the ending of its name says, and what its first bytes say.

use std::path::Path;

use image::{ImageFormat, guess_format};

/// As many of a file's first bytes as [`Content::of`] looks at.
pub const START: usize = 64;

/// What a file's first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// An image that can be decoded.
    Image(ImageFormat),
    /// An image of a format, named here, that cannot be decoded.
    Unsupported(&'static str),
    /// Something else.
    Other,
}

/// The format that the ending of a file's name stands for, if images of this format can be decoded.
pub fn of_name(path: &Path) -> Option<ImageFormat> {
    ImageFormat::from_path(path).ok().filter(ImageFormat::reading_enabled)
}

impl Content {
    /// `start` holds the first [`START`] bytes of a file, or all of them if there are fewer.
    pub fn of(start: &[u8]) -> Self {
        match (unsupported(start), guess_format(start)) {
            (Some(name), _) => Content::Unsupported(name),
            (None, Ok(format)) if format.reading_enabled() && is_plausible(format, start) => Content::Image(format),
            _ => Content::Other,
        }
    }
}

/// The usual ending of the names of files with this content, if it is an image that can be decoded.
pub fn ending_of(bytes: &[u8]) -> Option<&'static str> {
    match Content::of(&bytes[..bytes.len().min(START)]) {
        Content::Image(format) => format.extensions_str().first().copied(),
        _ => None,
    }
}

/// The name of a format that cannot be decoded.
pub fn unsupported(start: &[u8]) -> Option<&'static str> {
    const SIGNATURES: [(&[u8], &str); 21] = [
        (b"\0\0\0\x0CjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xFF\x4F\xFF\x51", "JPEG 2000"),
        (b"\0\0\0\x0CJXL \r\n\x87\n", "JPEG XL"),
        (b"\xFF\x0A", "JPEG XL"),
        (b"II\xBC", "JPEG XR"),
        (b"II\x2B\0", "BigTIFF"),
        (b"MM\0\x2B", "BigTIFF"),
        (b"\x0A\x05\x01", "PCX"),
        (b"8BPS", "Photoshop"),
        (b"gimp xcf", "GIMP"),
        (b"\x76\x2F\x31\x01", "OpenEXR"),
        (b"DDS ", "DirectDraw Surface"),
        (b"icns", "Apple's icon format"),
        (b"AT&TFORM", "DjVu"),
        (b"<svg", "SVG"),
        (b"\x01\xDA\0\x01", "SGI"),
        (b"\x01\xDA\x01\x01", "SGI"),
        (b"\x59\xA6\x6A\x95", "Sun raster"),
        (b"FUJIFILMCCD-RAW", "camera raw"),
        (b"IIRO", "camera raw"),
        (b"IIU\0", "camera raw"),
    ];
    let found = SIGNATURES.iter().find(|(signature, _)| start.starts_with(signature));
    found.map(|&(_, name)| name).or_else(|| iso_media(start))
}

/// Formats in the container of MP4 (ISO/IEC 14496-12): a box `ftyp` lists what a file is compatible with.
fn iso_media(start: &[u8]) -> Option<&'static str> {
    let length = u32::from_be_bytes(*start.first_chunk()?) as usize;
    let brands = start.get(8..length.min(start.len()))?;
    let has = |wanted: &[&[u8]]| brands.chunks(4).any(|brand| wanted.contains(&brand));
    match start.get(4..8)? == b"ftyp" {
        true if has(&[b"avif", b"avis"]) => Some("AVIF"),
        true if has(&[b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"]) => Some("HEIC"),
        true if has(&[b"crx "]) => Some("camera raw"),
        _ => None,
    }
}

/// Signatures of two to four bytes also begin texts and other data: looks at what follows.
fn is_plausible(format: ImageFormat, start: &[u8]) -> bool {
    match format {
        // Four reserved bytes, and the sizes of the headers that exist.
        ImageFormat::Bmp => {
            start.get(6..10) == Some(&[0; 4]) && matches!(start.get(14), Some(12 | 16 | 40 | 52 | 56 | 64 | 108 | 124))
        }
        // At least one image, whose reserved byte is 0.
        ImageFormat::Ico => start.get(4..6) != Some(&[0, 0]) && start.get(9) == Some(&0),
        ImageFormat::Pnm => match start.get(2..) {
            Some([b'\n', b'#' | b'W', ..]) => true,
            Some([blank, digit, ..]) => blank.is_ascii_whitespace() && digit.is_ascii_digit(),
            _ => false,
        },
        _ => true,
    }
}

/// Endings of camera raw files that begin like a TIFF file. All that could be read of them is a thumbnail.
const CAMERA_RAW: [&str; 10] = ["3fr", "arw", "cr2", "dng", "erf", "iiq", "nef", "nrw", "pef", "srw"];

/// Whether a file's name is that of a camera raw file.
pub fn is_camera_raw(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| CAMERA_RAW.iter().any(|raw| ending == *raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsupported_formats_are_named() {
        assert_eq!(unsupported(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"), Some("HEIC"));
        assert_eq!(unsupported(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf"), Some("AVIF"));
        assert_eq!(unsupported(b"\0\0\0\x18ftypisom\0\0\0\0mp41avc1"), None, "a film");
        assert_eq!(unsupported(b"\0\0\0\x0CjP  \r\n\x87\n\0\0"), Some("JPEG 2000"));
    }

    #[test]
    fn texts_that_begin_like_an_image_are_not_taken_for_one() {
        for text in ["BMW is a class", "P5 and P6 are forms of PNM", "P1", "BM"] {
            assert_eq!(Content::of(text.as_bytes()), Content::Other, "{text}");
        }
        assert_eq!(Content::of(b"P6\n2 2\n255\n"), Content::Image(ImageFormat::Pnm));
    }
}
