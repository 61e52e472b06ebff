//! What the decoder of TIFF files leaves undone: palettes, whose colours it does not look up, and the order of bits.

use anyhow::{Result, ensure};
use image::RgbImage;

/// The tags of a directory's entries (TIFF 6.0, section 8).
const BITS: u32 = 258;
const PHOTOMETRIC: u32 = 262;
const FILL_ORDER: u32 = 266;
const COLOUR_MAP: u32 = 320;
/// Values of [`PHOTOMETRIC`].
const BLACK_IS_ZERO: u8 = 1;
const RGB_PALETTE: u32 = 3;
/// The value of [`FILL_ORDER`] for bytes that begin with their lowest bit, as some fax machines send them.
const LOWEST_FIRST: u32 = 2;
/// An 8-bit palette has as many colours.
const COLOURS: usize = 256;

/// The first directory of a TIFF file.
struct Directory<'a> {
    bytes: &'a [u8],
    is_little: bool,
    /// Where its entries begin.
    start: usize,
    entries: usize,
}

impl<'a> Directory<'a> {
    /// `None` if this is not a TIFF file, or a truncated one.
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let is_little = match bytes.first_chunk()? {
            b"II*\0" => true,
            b"MM\0*" => false,
            _ => return None,
        };
        let header = Directory { bytes, is_little, start: 0, entries: 0 };
        let start = header.number(4, 4)? as usize;
        Some(Directory { start: start.checked_add(2)?, entries: header.number(start, 2)? as usize, ..header })
    }

    /// The number of so many bytes at this place.
    fn number(&self, at: usize, length: usize) -> Option<u32> {
        let digits = self.bytes.get(at..at.checked_add(length)?)?.iter();
        let join = |number: u32, digit: &u8| number << 8 | u32::from(*digit);
        Some(if self.is_little { digits.rev().fold(0, join) } else { digits.fold(0, join) })
    }

    /// Where the entry with this tag begins: the tag, the kind of its values, their number, and the values from the eighth
    /// byte on, or where they lie if there are many.
    fn entry(&self, tag: u32) -> Option<usize> {
        let mut places = (0..self.entries).map(|index| self.start.saturating_add(12 * index));
        places.find(|place| self.number(*place, 2) == Some(tag))
    }

    /// The value of an entry that has one short value.
    fn value(&self, tag: u32) -> Option<u32> {
        self.number(self.entry(tag)? + 8, 2)
    }
}

/// Checks that the bits of a TIFF file are in the usual order.
///
/// # Errors
/// Returns an error if they are not.
pub fn check_bits(bytes: &[u8]) -> Result<()> {
    let order = Directory::of(bytes).and_then(|directory| directory.value(FILL_ORDER));
    ensure!(order != Some(LOWEST_FIRST), "TIFF with reversed bits is not supported; save it as 8-bit PNG or JPEG");
    Ok(())
}

/// An 8-bit palette image: a file of grey values that are indices, and the colour of each.
pub struct Palette {
    /// The file of the indices.
    pub indices: Vec<u8>,
    colours: Vec<[u8; 3]>,
}

impl Palette {
    /// The palette image in a TIFF file's first directory; `None` if the file is anything else.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let directory = Directory::of(bytes)?;
        let (photometric, map) = (directory.entry(PHOTOMETRIC)?, directory.entry(COLOUR_MAP)?);
        let is_meant = directory.value(PHOTOMETRIC)? == RGB_PALETTE && directory.value(BITS)? == 8;
        if !is_meant || directory.number(map + 4, 4)? as usize != 3 * COLOURS {
            return None;
        }
        // All values of red, then those of green and blue, with 16 bits each.
        let map = directory.number(map + 8, 4)? as usize;
        let value = |channel: usize, index: usize| {
            let at = map.checked_add(2 * (channel * COLOURS + index))?;
            directory.number(at, 2).map(|value| (value >> 8) as u8)
        };
        let colour = |index: usize| Some([value(0, index)?, value(1, index)?, value(2, index)?]);
        let colours = (0..COLOURS).map(colour).collect::<Option<_>>()?;
        let mut indices = bytes.to_vec();
        let black_is_zero = if directory.is_little { [BLACK_IS_ZERO, 0] } else { [0, BLACK_IS_ZERO] };
        indices[photometric + 8..photometric + 10].copy_from_slice(&black_is_zero);
        Some(Palette { indices, colours })
    }

    /// Gives the pixels of the decoded file their colours.
    pub fn apply(&self, image: &mut RgbImage) {
        image.pixels_mut().for_each(|pixel| pixel.0 = self.colours[usize::from(pixel.0[0])]);
    }
}
