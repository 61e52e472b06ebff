//! The image that a JPEG file describes, as components with their coefficients and samples.

use anyhow::{Context, Result, ensure};

use super::Tables;
use super::idct::inverse;
use super::markers::be16;

/// The frame: all components of an image.
pub struct Frame {
    pub width: usize,
    pub height: usize,
    pub is_progressive: bool,
    /// The largest sampling factors of any component: how many blocks, across and down, a unit (MCU) has at most.
    pub most: Factors,
    /// Units across and down.
    pub units: Factors,
    pub components: Vec<Component>,
}

/// A count across and one down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factors {
    pub across: usize,
    pub down: usize,
}

/// One colour channel, or grey.
pub struct Component {
    pub identifier: u8,
    /// Blocks of 8x8 that a unit has.
    pub sampling: Factors,
    /// Samples that belong to the image.
    pub width: usize,
    pub height: usize,
    /// Blocks in a row of the arrays, whole units.
    pub blocks_across: usize,
    /// Block after block, row after row: 64 values each, row after row.
    pub coefficients: Vec<[i16; 64]>,
    /// Samples, row after row, 8 for each block of `blocks_across`; once [`Frame::finish`] has been called.
    pub samples: Vec<u8>,
    quantization_number: usize,
    /// As it stood at the component's first scan.
    quantization: Option<[u16; 64]>,
}

impl Frame {
    /// Reads the segment that begins a frame (T.81, B.2.2).
    ///
    /// # Errors
    /// Where it describes no image, one of more pixels than `most_pixels`, or not 8 bits a channel.
    pub fn new(content: &[u8], is_progressive: bool, most_pixels: u64) -> Result<Self> {
        let cut = "damaged: the image's description is cut short";
        let &[precision, _, _, _, _, count] = content.first_chunk().context(cut)?;
        let (height, width) = (usize::from(be16(content, 1)?), usize::from(be16(content, 3)?));
        ensure!(precision == 8, "it has {precision} bits a channel; only JPEG of 8 is read");
        ensure!(width > 0 && height > 0, "the image is {width}x{height}: it has no pixels");
        let pixels = width as u64 * height as u64;
        ensure!(
            pixels <= most_pixels,
            "the image is {width}x{height}, {pixels} pixels; the limit is {most_pixels}. Scale it down first"
        );
        ensure!(matches!(count, 1 | 3 | 4), "it has {count} channels; expected 1, 3 or 4");
        let described = content.get(6..6 + 3 * usize::from(count)).context(cut)?;
        let factors = |byte: u8| Factors { across: usize::from(byte >> 4), down: usize::from(byte & 15) };
        let sampling: Vec<Factors> = described.chunks_exact(3).map(|three| factors(three[1])).collect();
        let in_range = |factors: &Factors| (1..=4).contains(&factors.across) && (1..=4).contains(&factors.down);
        ensure!(sampling.iter().all(in_range), "damaged: a sampling factor is not 1 to 4");
        let most = Factors {
            across: sampling.iter().map(|it| it.across).max().unwrap_or(1),
            down: sampling.iter().map(|it| it.down).max().unwrap_or(1),
        };
        let units = Factors { across: width.div_ceil(8 * most.across), down: height.div_ceil(8 * most.down) };
        let components = described.chunks_exact(3).zip(sampling).map(|(three, sampling)| {
            let is_whole = most.across.is_multiple_of(sampling.across) && most.down.is_multiple_of(sampling.down);
            ensure!(is_whole, "its channels' sizes are no whole fractions of each other, which is not read");
            let blocks = units.across * sampling.across * units.down * sampling.down;
            Ok(Component {
                identifier: three[0],
                sampling,
                width: (width * sampling.across).div_ceil(most.across),
                height: (height * sampling.down).div_ceil(most.down),
                blocks_across: units.across * sampling.across,
                coefficients: vec![[0; 64]; blocks],
                samples: Vec::new(),
                quantization_number: usize::from(three[2]),
                quantization: None,
            })
        });
        let components = components.collect::<Result<_>>()?;
        Ok(Frame { width, height, is_progressive, most, units, components })
    }

    pub fn identifiers(&self) -> Vec<u8> {
        self.components.iter().map(|component| component.identifier).collect()
    }

    /// Turns the coefficients into samples.
    ///
    /// # Errors
    /// Where a component was in no scan.
    pub fn finish(&mut self) -> Result<()> {
        for component in &mut self.components {
            let quantization = component.quantization.context("damaged: a colour channel has no data")?;
            let coefficients = std::mem::take(&mut component.coefficients);
            component.samples = inverse(&coefficients, &quantization, component.blocks_across);
        }
        Ok(())
    }
}

impl Component {
    /// Keeps the quantization table as it stands now, at the component's first scan.
    ///
    /// # Errors
    /// Where there is none.
    pub fn keep_quantization(&mut self, tables: &Tables) -> Result<()> {
        if self.quantization.is_none() {
            let table = tables.quantization.get(self.quantization_number).copied().flatten();
            self.quantization = Some(table.context("damaged: a quantization table is missing")?);
        }
        Ok(())
    }
}
