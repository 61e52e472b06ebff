//! GIF files block by block: whether there are several pictures, and what Pillow shows where the first one leaves the
//! screen empty.

use image::RgbaImage;

/// A block that describes the next picture, and what it begins with (GIF89a, sections 20 and 23).
const PICTURE: u8 = 0x2C;
const EXTENSION: u8 = 0x21;
const CONTROL: u8 = 0xF9;
/// In flags: a table of colours follows. Its length is in the lowest three bits.
const HAS_TABLE: u8 = 0x80;

/// Gives the pixels that a decoder left transparent the colour of the file's background, if its first picture does not
/// cover the screen: the transparent colour of the picture, or else its first one.
pub fn fill(bytes: &[u8], image: &mut RgbaImage) {
    if let Some([red, green, blue]) = background(bytes) {
        let empty = image.pixels_mut().filter(|pixel| pixel[3] == 0);
        empty.for_each(|pixel| pixel.0 = [red, green, blue, 0]);
    }
}

/// Whether there is more than one picture.
pub fn is_animated(bytes: &[u8]) -> bool {
    let after_first = || {
        let screen = screen(bytes)?;
        let rest = up_to_picture(table(*screen.get(4)?, screen.get(7..)?)?.1)?;
        // After the colours of its own come the length of codes, and the codes.
        after_blocks(table(*rest.get(9)?, rest.get(10..)?)?.1.get(1..)?)
    };
    after_first().and_then(up_to_picture).is_some()
}

/// A file without its signature: the width and height of the screen, then flags.
fn screen(bytes: &[u8]) -> Option<&[u8]> {
    bytes.strip_prefix(b"GIF87a").or_else(|| bytes.strip_prefix(b"GIF89a"))
}

/// The blocks from the next picture on.
fn up_to_picture(mut blocks: &[u8]) -> Option<&[u8]> {
    while *blocks.first()? == EXTENSION {
        blocks = after_blocks(blocks.get(2..)?)?;
    }
    Some(blocks).filter(|blocks| blocks[0] == PICTURE)
}

/// `None` if the first picture covers the screen, or the file is not a GIF.
fn background(bytes: &[u8]) -> Option<[u8; 3]> {
    let screen = screen(bytes)?;
    let size = screen.get(..4)?;
    let (mut table, mut rest) = table(*screen.get(4)?, screen.get(7..)?)?;
    let mut transparent = None;
    while *rest.first()? == EXTENSION {
        if *rest.get(1)? == CONTROL {
            transparent = Some(*rest.get(6)?).filter(|_| rest[3] & 1 == 1);
        }
        rest = after_blocks(rest.get(2..)?)?;
    }
    let picture = rest.get(1..10).filter(|_| rest[0] == PICTURE)?;
    if picture.starts_with(&[0; 4]) && picture[4..8] == *size {
        return None;
    }
    if picture[8] & HAS_TABLE != 0 {
        table = self::table(picture[8], rest.get(10..)?)?.0;
    }
    table.as_chunks().0.get(usize::from(transparent.unwrap_or(0))).copied()
}

/// The table of colours that flags speak of, which is empty if there is none, and what follows it.
fn table(flags: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = if flags & HAS_TABLE == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    bytes.split_at_checked(length)
}

/// What follows blocks of data, each after its length, the last of which is empty.
fn after_blocks(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let (&length, rest) = bytes.split_first()?;
        bytes = rest.get(usize::from(length)..)?;
        if length == 0 {
            return Some(bytes);
        }
    }
}
