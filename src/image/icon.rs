//! Icons (`.ico`): a directory of images, each a PNG file, or a BMP file without its first header and with a mask behind
//! it.

use std::borrow::Cow;

use anyhow::{Context, Result, ensure};

/// Whether `bytes` start like an icon.
pub fn is_icon(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0, 0, 1, 0])
}

const TRUNCATED: &str = "truncated or corrupt icon: its directory points past its end";

/// The image of an icon that Pillow shows, as a file of its own: the largest one; of several of that size, the one with
/// the fewest bits per pixel.
///
/// # Errors
/// Returns an error if the icon is empty, truncated or corrupt.
pub fn largest(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    let count = usize::from(u16_at(bytes, 4)?);
    let entries = bytes.get(6..6 + 16 * count).context(TRUNCATED)?.as_chunks::<16>().0;
    let side = |byte: u8| if byte == 0 { 256 } else { u32::from(byte) };
    let area = |entry: &[u8; 16]| side(entry[0]) * side(entry[1]);
    let depth = |entry: &[u8; 16]| match (u16::from_le_bytes([entry[6], entry[7]]), entry[2]) {
        (0, 0) => 256,
        (0, colours) => u32::from(colours).next_power_of_two().ilog2() as u16,
        (bits, _) => bits,
    };
    let chosen = entries.iter().min_by_key(|entry| (std::cmp::Reverse(area(entry)), depth(entry)));
    let offset = u32_at(chosen.context("the icon contains no image")?, 12)? as usize;
    let image = bytes.get(offset..).context(TRUNCATED)?;
    if image.starts_with(b"\x89PNG\r\n\x1a\n") { Ok(image.into()) } else { Ok(bmp(image)?.into()) }
}

/// A BMP file out of an icon's: with its first header, and without the mask, which its height includes.
fn bmp(image: &[u8]) -> Result<Vec<u8>> {
    let (header, height, bits) = (u32_at(image, 0)?, u32_at(image, 8)? as i32, u16_at(image, 14)?);
    ensure!((40..=124).contains(&header), "corrupt icon: an image header of {header} bytes, expected 40 to 124");
    let colours = match u32_at(image, 32)? {
        0 if bits <= 8 => 1 << bits,
        colours => colours,
    };
    let masks = if header == 40 && u32_at(image, 16)? == 3 { 12 } else { 0 };
    let pixels = u64::from(14 + header + masks) + 4 * u64::from(colours);
    let mut file = Vec::with_capacity(14 + image.len());
    file.extend(b"BM");
    file.extend((14 + image.len() as u32).to_le_bytes());
    file.extend([0; 4]);
    file.extend(u32::try_from(pixels).context(TRUNCATED)?.to_le_bytes());
    file.extend(image);
    file[14 + 8..14 + 12].copy_from_slice(&(height / 2).to_le_bytes());
    Ok(file)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    let pair = bytes.get(at..at + 2).and_then(|pair| pair.first_chunk()).context(TRUNCATED)?;
    Ok(u16::from_le_bytes(*pair))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    let four = bytes.get(at..at + 4).and_then(|four| four.first_chunk()).context(TRUNCATED)?;
    Ok(u32::from_le_bytes(*four))
}
