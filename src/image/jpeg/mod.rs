//! A JPEG decoder that gives libjpeg-turbo's bytes, on which published numbers rest as Pillow reads all photographs with it.
//!
//! A file's way: [`markers`] cut it into segments, [`frame`] holds the components' coefficients, [`scan`] reads them with
//! [`bits`], [`idct`] turns them into samples and [`pixels`] those into RGB. Decoders agree on a JPEG's coefficients but
//! may round everything after; other fast ones differ from libjpeg-turbo by a unit or two in one value of seven, most of
//! it from enlarging the colours.

mod bits;
mod frame;
mod idct;
mod markers;
mod pixels;
mod scan;

use anyhow::{Context, Result, bail, ensure};
use image::RgbImage;

use bits::{Bits, Huffman};
use frame::Frame;
use markers::{Segments, be16};
use pixels::Colours;

/// What a file holds.
pub struct Jpeg<'a> {
    pub image: RgbImage,
    /// The contents of the Exif segment, from its byte order mark on.
    pub exif: Option<&'a [u8]>,
}

/// Tables as they stand at a place in the file, by their numbers.
#[derive(Default)]
struct Tables {
    quantization: [Option<[u16; 64]>; 4],
    dc: [Option<Huffman>; 4],
    ac: [Option<Huffman>; 4],
    restart_interval: usize,
}

/// libjpeg-turbo's own fuzzers draw the line here: each scan may go over the whole image.
const MOST_SCANS: usize = 500;

pub fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xFF, 0xD8, 0xFF])
}

/// Decodes a baseline, extended or progressive JPEG of 8 bits a channel: grey, YCbCr, RGB, CMYK or YCCK. `most_pixels`
/// bounds what is taken for the image.
///
/// # Errors
/// Where the file is cut short or damaged, larger than the limit, or of a kind that Pillow does not read either.
pub fn decode(bytes: &[u8], most_pixels: u64) -> Result<Jpeg<'_>> {
    let mut segments = Segments::new(bytes);
    let (mut tables, mut frame, mut exif, mut scans) = (Tables::default(), None::<Frame>, None, 0);
    let (mut has_jfif, mut adobe_transform) = (false, None);
    loop {
        let (marker, content) = segments.next()?;
        match marker {
            0xC0..=0xC2 => {
                ensure!(frame.is_none(), "damaged: it has two frames");
                frame = Some(Frame::new(content, marker == 0xC2, most_pixels)?);
            }
            0xC4 => tables.huffman(content)?,
            0xDB => tables.quantization(content)?,
            0xDD => tables.restart_interval = usize::from(be16(content, 0)?),
            0xDA => {
                let frame = frame.as_mut().context("damaged: image data comes before the image's size")?;
                scans += 1;
                ensure!(scans <= MOST_SCANS, "it has more than {MOST_SCANS} scans, which no encoder writes");
                let mut bits = Bits::new(segments.rest());
                scan::read(frame, &tables, content, &mut bits)?;
                segments.skip(bits.position());
            }
            0xD9 => break,
            0xE0 => has_jfif |= content.starts_with(b"JFIF\0"),
            0xE1 => exif = exif.or(content.strip_prefix(b"Exif\0\0")),
            0xEE if content.starts_with(b"Adobe") => adobe_transform = content.get(11).copied(),
            0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                bail!("it is a JPEG of a rare kind ({}), which is not read", rare(marker))
            }
            _ => {}
        }
    }
    let mut frame = frame.context("damaged: it ends before its image begins")?;
    let colours = Colours::of(&frame.identifiers(), has_jfif, adobe_transform);
    frame.finish()?;
    Ok(Jpeg { image: pixels::rgb(&frame, colours), exif })
}

fn rare(marker: u8) -> &'static str {
    match marker {
        0xC3 => "lossless",
        0xC9..=0xCB => "arithmetic coding",
        _ => "hierarchical",
    }
}

impl Tables {
    /// A segment of quantization tables, which come in zigzag order.
    fn quantization(&mut self, mut content: &[u8]) -> Result<()> {
        while let Some((&head, rest)) = content.split_first() {
            let (is_wide, number) = (head >> 4 != 0, usize::from(head & 15));
            let length = if is_wide { 128 } else { 64 };
            ensure!(number < 4 && rest.len() >= length, "damaged: a quantization table is cut short");
            let mut table = [0; 64];
            for (index, &place) in scan::ZIGZAG.iter().enumerate() {
                table[place] = if is_wide { be16(rest, 2 * index)? } else { rest[index].into() };
            }
            self.quantization[number] = Some(table);
            content = &rest[length..];
        }
        Ok(())
    }

    /// A segment of Huffman tables.
    fn huffman(&mut self, mut content: &[u8]) -> Result<()> {
        while let Some((&head, rest)) = content.split_first() {
            let counts = rest.first_chunk::<16>().context("damaged: a Huffman table is cut short")?;
            let symbols: usize = counts.iter().map(|&count| usize::from(count)).sum();
            let values = rest.get(16..16 + symbols).context("damaged: a Huffman table is cut short")?;
            let tables = if head >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            let table =
                tables.get_mut(usize::from(head & 15)).context("damaged: a Huffman table of no known number")?;
            *table = Some(Huffman::new(counts, values)?);
            content = &rest[16 + symbols..];
        }
        Ok(())
    }
}
