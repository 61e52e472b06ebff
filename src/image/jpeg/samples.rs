//! The samples of one component, a row of blocks at a time, as they are asked for.

use std::ops::Range;

use super::component::Component;
use super::idct::inverse;

/// Some columns of a component's samples, of which two neighbouring rows of blocks are at hand.
pub struct Samples<'a> {
    component: &'a Component,
    /// The columns of blocks that are transformed.
    blocks: Range<usize>,
    /// Where the columns that were asked for lie in a line of the strips.
    columns: Range<usize>,
    /// For even and for odd rows of blocks.
    strips: [Strip; 2],
}

/// The samples of a row of blocks, in eight lines.
struct Strip {
    /// The row of blocks; `None` as long as there is none.
    row: Option<usize>,
    samples: Vec<u8>,
}

impl<'a> Samples<'a> {
    /// None at hand yet; `columns` lie within the component.
    pub fn new(component: &'a Component, columns: &Range<usize>) -> Self {
        let blocks = columns.start / 8..columns.end.div_ceil(8);
        let strip = || Strip { row: None, samples: vec![0; 8 * 16 * blocks.len().div_ceil(2)] };
        let columns = columns.start - 8 * blocks.start..columns.end - 8 * blocks.start;
        Samples { component, strips: [strip(), strip()], blocks, columns }
    }

    /// Makes this row of samples ready to be read.
    #[inline(always)]
    pub fn prepare(&mut self, row: usize) {
        let row = row / 8;
        let strip = &mut self.strips[row % 2];
        if strip.row != Some(row) {
            let first = row * self.component.blocks_across;
            let blocks = &self.component.coefficients[first + self.blocks.start..first + self.blocks.end];
            inverse(blocks, &self.component.quantization, &mut strip.samples);
            strip.row = Some(row);
        }
    }

    /// A row of samples, after [`Samples::prepare`] for it or another one of its row of blocks.
    #[inline(always)]
    pub fn row(&self, row: usize) -> &[u8] {
        let samples = &self.strips[row / 8 % 2].samples;
        &samples[row % 8 * (samples.len() / 8)..][self.columns.clone()]
    }
}
