//! A JPEG decoder that produces the same bytes as libjpeg-turbo, with which Pillow reads photographs: published numbers
//! rest on those pixels.
//!
//! `markers` splits a file into segments, `tables` holds what some of them define, `frame` the image's size and each
//! `component`'s coefficients, `scan` reads those with `bits`, and `smooth` estimates those that are missing. From
//! there, `pixels` makes any region of the image: `idct` turns the blocks that it takes into `samples`, which are
//! enlarged to `channel`s of the image's size and become RGB by `colours`. Decoders agree on a JPEG's coefficients but
//! may round every later step differently: other fast ones differ from libjpeg-turbo by one or two units in one value of
//! seven, mostly because they upsample colours in another way.

mod bits;
mod channel;
mod colours;
mod component;
mod frame;
mod idct;
mod markers;
mod pixels;
mod samples;
mod scan;
mod smooth;
mod tables;

use anyhow::{Context, Result, bail, ensure};
use image::RgbImage;

use bits::Bits;
use colours::Colours;
use frame::Frame;
use markers::{Segments, be16};
use scan::Scan;
use tables::Tables;

use crate::geometry::{Rect, Size};

const TOO_MANY_SCANS: &str = "JPEG with more scans of the whole image than encoders write, which would take too long to \
                              read; save the image as an ordinary JPEG";

/// A file that has been read: its coefficients, of which any region's pixels can be made.
pub struct Jpeg {
    frame: Frame,
    colours: Colours,
}

impl Jpeg {
    /// The image's size as stored, not yet turned upright.
    pub fn size(&self) -> Size {
        Size { width: self.frame.width as u32, height: self.frame.height as u32 }
    }

    /// The pixels of `region`, which lies within the image: the same as cut out of the whole image, in less time.
    pub fn pixels(&self, region: Rect) -> RgbImage {
        pixels::rgb(&self.frame, self.colours, region)
    }
}

/// How many blocks the scans of a file may visit, all together: about a second's work. Each of a progressive file's
/// scans may traverse the whole image in a few bytes.
const GRANTED_VISITS: u64 = 12 << 20;
/// The same per byte of a larger file.
const GRANTED_VISITS_PER_BYTE: u64 = 16;

/// Whether `bytes` start like a JPEG file.
pub fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xFF, 0xD8, 0xFF])
}

/// Reads a baseline, extended or progressive JPEG with 8 bits per channel: grey, YCbCr, RGB, CMYK or YCCK. Returns it with
/// the content of the Exif segment, from its byte order mark on. Before memory is allocated, `admit` is asked with the
/// width, the height and the bytes needed for all pixels; what it returns comes last.
///
/// # Errors
/// Returns an error if the file is truncated or corrupt, not admitted, made of more scans than any encoder writes, or of
/// a kind that Pillow does not read either.
pub fn read<T>(bytes: &[u8], admit: impl Fn(u32, u32, u64) -> Result<T>) -> Result<(Jpeg, Option<&[u8]>, T)> {
    let mut segments = Segments::new(bytes);
    let (mut tables, mut frame, mut exif) = (Tables::default(), None::<(Frame, T)>, None);
    let (mut has_jfif, mut adobe_transform, mut is_header) = (false, None, true);
    let mut visits = GRANTED_VISITS.max(GRANTED_VISITS_PER_BYTE * bytes.len() as u64);
    loop {
        let (marker, content) = segments.next()?;
        match marker {
            0xC0..=0xC2 => {
                ensure!(frame.is_none(), "corrupt JPEG: more than one frame");
                let mut new = Frame::new(content, marker == 0xC2)?;
                let admitted = admit(new.width as u32, new.height as u32, new.bytes_needed())?;
                new.allocate();
                frame = Some((new, admitted));
            }
            0xC4 => tables.define_huffman(content)?,
            0xDB => tables.define_quantization(content)?,
            0xDD => tables.restart_interval = usize::from(be16(content, 0)?),
            0xDA => {
                is_header = false;
                let (frame, _) = frame.as_mut().context("corrupt JPEG: a scan comes before the frame header")?;
                let scan = Scan::new(frame, &tables, content)?;
                visits = visits.checked_sub(scan.visits()).context(TOO_MANY_SCANS)?;
                let mut bits = Bits::new(segments.rest());
                scan.read(frame, tables.restart_interval, &mut bits)?;
                segments.skip(bits.position());
            }
            0xD9 => break,
            // What comes after the first scan is too late, in other decoders as well.
            0xE0 if is_header => has_jfif |= content.starts_with(b"JFIF\0"),
            0xE1 if is_header => exif = exif.or(content.strip_prefix(b"Exif\0\0")),
            0xEE if is_header && content.starts_with(b"Adobe") => adobe_transform = content.get(11).copied(),
            0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                bail!("{} JPEG is not supported; save the image as an ordinary JPEG or PNG", process(marker))
            }
            _ => {}
        }
    }
    let (mut frame, admitted) = frame.context("corrupt JPEG: it ends without an image")?;
    let colours = Colours::of(&frame.identifiers(), has_jfif, adobe_transform);
    frame.finish()?;
    Ok((Jpeg { frame, colours }, exif, admitted))
}

/// What a file says before its first scan.
pub struct Header<'a> {
    /// The number of channels: 1 for grey, 3 for colours, 4 for CMYK.
    pub channels: u8,
    /// The content of the Exif segment, from its byte order mark on.
    pub exif: Option<&'a [u8]>,
}

/// Reads the header without the pixels.
///
/// # Errors
/// Returns an error if the file ends before its first scan, or has no frame before it.
pub fn header(bytes: &[u8]) -> Result<Header<'_>> {
    let (mut segments, mut channels, mut exif) = (Segments::new(bytes), None, None);
    loop {
        let (marker, content) = segments.next()?;
        match marker {
            0xC0..=0xC2 => channels = content.get(5).copied(),
            0xE1 => exif = exif.or(content.strip_prefix(b"Exif\0\0")),
            0xD9 | 0xDA => break,
            _ => {}
        }
    }
    Ok(Header { channels: channels.context("corrupt JPEG: it ends without an image")?, exif })
}

/// The name of a coding process that is not supported (T.81, table B.1).
fn process(marker: u8) -> &'static str {
    match marker {
        0xC3 => "lossless",
        0xC9..=0xCB => "arithmetic-coded",
        _ => "hierarchical",
    }
}
