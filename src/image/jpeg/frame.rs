//! The frame of a JPEG file: the image's size and its components.

use anyhow::{Context, Result, ensure};

use super::component::{Component, Factors};
use super::markers::be16;
use super::smooth;

/// The frame: all components of an image.
pub struct Frame {
    /// The image's width in pixels.
    pub width: usize,
    /// The image's height in pixels.
    pub height: usize,
    /// Whether coefficients arrive in several scans, a band or a bit at a time.
    pub is_progressive: bool,
    /// The largest sampling factors of any component, horizontally and vertically: the size of a unit (MCU) in blocks.
    pub max_sampling: Factors,
    /// The number of units across and down.
    pub units: Factors,
    /// One to four components, in the order of the frame header.
    pub components: Vec<Component>,
}

impl Frame {
    /// Reads a frame header (T.81, B.2.2).
    ///
    /// # Errors
    /// Returns an error if the header is too short or contradicts itself, or if the image has no pixels, or a number of
    /// channels or of bits per channel that is not supported.
    pub fn new(content: &[u8], is_progressive: bool) -> Result<Self> {
        let too_short = "corrupt JPEG: the frame header is too short";
        let &[precision, _, _, _, _, count] = content.first_chunk().context(too_short)?;
        let (height, width) = (usize::from(be16(content, 1)?), usize::from(be16(content, 3)?));
        ensure!(
            precision == 8,
            "JPEG with {precision} bits per channel is not supported, expected 8; save the image as an ordinary JPEG"
        );
        ensure!(width > 0 && height > 0, "the image has no pixels ({width}x{height})");
        ensure!(matches!(count, 1 | 3 | 4), "JPEG with {count} channels is not supported; expected 1, 3 or 4");
        let described = content.get(6..6 + 3 * usize::from(count)).context(too_short)?;
        let factors = |byte: u8| Factors { across: usize::from(byte >> 4), down: usize::from(byte & 15) };
        let sampling: Vec<Factors> = described.chunks_exact(3).map(|three| factors(three[1])).collect();
        let in_range = |factors: &Factors| (1..=4).contains(&factors.across) && (1..=4).contains(&factors.down);
        ensure!(sampling.iter().all(in_range), "corrupt JPEG: a sampling factor is outside 1 to 4");
        let max_sampling = Factors {
            across: sampling.iter().map(|it| it.across).max().unwrap_or(1),
            down: sampling.iter().map(|it| it.down).max().unwrap_or(1),
        };
        let units =
            Factors { across: width.div_ceil(8 * max_sampling.across), down: height.div_ceil(8 * max_sampling.down) };
        let components = described.chunks_exact(3).zip(sampling).map(|(three, sampling)| {
            let divides =
                max_sampling.across.is_multiple_of(sampling.across) && max_sampling.down.is_multiple_of(sampling.down);
            ensure!(divides, "JPEG with sampling factors that do not divide the largest is not supported");
            Ok(Component {
                identifier: three[0],
                sampling,
                width: (width * sampling.across).div_ceil(max_sampling.across),
                height: (height * sampling.down).div_ceil(max_sampling.down),
                blocks_across: units.across * sampling.across,
                blocks_down: units.down * sampling.down,
                coefficients: Vec::new(),
                missing_bits: [None; 64],
                quantization_number: usize::from(three[2]),
                is_scanned: false,
                quantization: [0; 64],
            })
        });
        let components = components.collect::<Result<_>>()?;
        Ok(Frame { width, height, is_progressive, max_sampling, units, components })
    }

    /// The memory that the coefficients take and the pixels made of them. The samples in between are few: two rows of
    /// blocks of each component.
    pub fn bytes_needed(&self) -> u64 {
        let coefficients = 64 * self.components.iter().map(Component::blocks).sum::<usize>() as u64;
        let strips = 16 * 8 * self.components.iter().map(|component| component.blocks_across as u64 + 1).sum::<u64>();
        2 * coefficients + strips + 3 * self.width as u64 * self.height as u64
    }

    /// Allocates the coefficients, all zero.
    pub fn allocate(&mut self) {
        self.components.iter_mut().for_each(|component| component.coefficients = vec![[0; 64]; component.blocks()]);
    }

    /// The components' identifiers, in their order.
    pub fn identifiers(&self) -> Vec<u8> {
        self.components.iter().map(|component| component.identifier).collect()
    }

    /// Estimates coefficients that are missing, after the last scan.
    ///
    /// # Errors
    /// Returns an error if no scan contained one of the components.
    pub fn finish(&mut self) -> Result<()> {
        let is_complete = self.components.iter().all(|component| component.is_scanned);
        ensure!(is_complete, "corrupt JPEG: a colour channel has no data");
        if self.is_progressive && smooth::is_useful(&self.components) {
            self.components.iter_mut().for_each(|component| smooth::smooth(component, self.units.down));
        }
        Ok(())
    }
}
