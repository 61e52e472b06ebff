//! The tables that a JPEG file defines for its scans (ITU-T T.81, B.2.4).

use anyhow::{Context, Result, ensure};

use super::bits::Huffman;
use super::markers::be16;

/// For each position in zigzag order, in which files list a block's values, its index in row-major order.
#[rustfmt::skip]
pub const ZIGZAG: [usize; 64] = [
     0,  1,  8, 16,  9,  2,  3, 10, 17, 24, 32, 25, 18, 11,  4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,  6,  7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// The tables defined so far; a file may redefine them between scans.
#[derive(Default)]
pub struct Tables {
    /// Quantization tables in row-major order.
    pub quantization: [Option<[u16; 64]>; 4],
    /// Huffman tables for DC coefficients.
    pub dc: [Option<Huffman>; 4],
    /// Huffman tables for AC coefficients.
    pub ac: [Option<Huffman>; 4],
    /// Units (MCUs) between restart markers; 0 if there are none.
    pub restart_interval: usize,
}

impl Tables {
    /// Reads a segment of quantization tables.
    ///
    /// # Errors
    /// Returns an error if a table is incomplete or has an invalid number.
    pub fn define_quantization(&mut self, mut content: &[u8]) -> Result<()> {
        while let Some((&head, rest)) = content.split_first() {
            let (is_wide, number) = (head >> 4 != 0, usize::from(head & 15));
            let length = if is_wide { 128 } else { 64 };
            ensure!(number < 4, "corrupt JPEG: quantization table {number}, expected 0 to 3");
            ensure!(rest.len() >= length, "corrupt JPEG: a quantization table is incomplete");
            let mut table = [0; 64];
            for (index, &place) in ZIGZAG.iter().enumerate() {
                table[place] = if is_wide { be16(rest, 2 * index)? } else { rest[index].into() };
            }
            self.quantization[number] = Some(table);
            content = &rest[length..];
        }
        Ok(())
    }

    /// Reads a segment of Huffman tables.
    ///
    /// # Errors
    /// Returns an error if a table is incomplete, has an invalid number, or has too many codes.
    pub fn define_huffman(&mut self, mut content: &[u8]) -> Result<()> {
        let incomplete = "corrupt JPEG: a Huffman table is incomplete";
        while let Some((&head, rest)) = content.split_first() {
            let counts = rest.first_chunk::<16>().context(incomplete)?;
            let symbols: usize = counts.iter().map(|&count| usize::from(count)).sum();
            let values = rest.get(16..16 + symbols).context(incomplete)?;
            let tables = if head >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            let number = usize::from(head & 15);
            let table = tables
                .get_mut(number)
                .with_context(|| format!("corrupt JPEG: Huffman table {number}, expected 0 to 3"))?;
            *table = Some(Huffman::new(counts, values)?);
            content = &rest[16 + symbols..];
        }
        Ok(())
    }
}
