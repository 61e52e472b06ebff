//! One colour channel of a JPEG file, or grey: its place in the image and its coefficients.

use anyhow::{Context, Result};

use super::tables::Tables;

/// A count across and one down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factors {
    /// The horizontal count.
    pub across: usize,
    /// The vertical count.
    pub down: usize,
}

/// One colour channel, or grey.
pub struct Component {
    /// The number by which scans refer to the component.
    pub identifier: u8,
    /// The component's blocks of 8x8 in one unit.
    pub sampling: Factors,
    /// Samples per row that belong to the image; the blocks may reach beyond.
    pub width: usize,
    /// Rows of samples that belong to the image.
    pub height: usize,
    /// Blocks per row of blocks; rows consist of complete units.
    pub blocks_across: usize,
    /// Rows of blocks; columns consist of complete units.
    pub blocks_down: usize,
    /// The blocks in row-major order, each with 64 coefficients in row-major order; empty until the frame allocates them.
    pub coefficients: Vec<[i16; 64]>,
    /// In a progressive frame, for each coefficient in zigzag order the bits that no scan has contained yet; `None` if no
    /// scan has contained any.
    pub missing_bits: [Option<u32>; 64],
    /// The number of its quantization table.
    pub quantization_number: usize,
    /// Whether a scan has contained some of it.
    pub is_scanned: bool,
    /// The quantization table as defined at the component's first scan.
    pub quantization: [u16; 64],
}

impl Component {
    /// The number of blocks.
    pub fn blocks(&self) -> usize {
        self.blocks_across * self.blocks_down
    }

    /// Keeps the current quantization table at the component's first scan; a later segment may redefine it.
    ///
    /// # Errors
    /// Returns an error if the table has not been defined.
    pub fn keep_quantization(&mut self, tables: &Tables) -> Result<()> {
        if !self.is_scanned {
            let table = tables.quantization.get(self.quantization_number).copied().flatten();
            self.quantization = table.context("corrupt JPEG: a quantization table is missing")?;
            self.is_scanned = true;
        }
        Ok(())
    }
}
