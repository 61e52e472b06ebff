//! A scan: coefficients of some of the components, complete or only some of their bits (ITU-T T.81, annexes F and G).

use anyhow::{Context, Result, ensure};

use super::bits::{Bits, Huffman, Symbol};
use super::component::Component;
use super::frame::Frame;
use super::tables::{Tables, ZIGZAG};
use crate::image::twice::compiled_twice;

/// A component's part in a scan.
struct Part<'a> {
    component: usize,
    dc: Option<&'a Huffman>,
    ac: Option<&'a Huffman>,
    /// The DC coefficient of the previous block, to which the next block's difference is added.
    previous: i32,
}

/// The coefficients that a scan contains, and which of their bits.
struct Band {
    /// The first and the last coefficient, in zigzag order.
    first: usize,
    last: usize,
    /// The lowest bit that this scan contains.
    shift: u32,
    /// Whether this scan adds that bit to those of an earlier scan.
    refines: bool,
    /// How many of the next blocks contain nothing more.
    empty_blocks: i32,
}

/// A scan whose header has been read.
pub struct Scan<'a> {
    parts: Vec<Part<'a>>,
    band: Band,
    units_across: usize,
    units_down: usize,
}

impl<'a> Scan<'a> {
    /// Reads a scan header (T.81, B.2.3), and keeps in `frame` what it says about the components.
    ///
    /// # Errors
    /// Returns an error if it is too short, contradicts the frame, or refers to a quantization table that has not been
    /// defined.
    pub fn new(frame: &mut Frame, tables: &'a Tables, content: &[u8]) -> Result<Self> {
        let (parts, band) = header(frame, tables, content)?;
        for part in &parts {
            let component = &mut frame.components[part.component];
            component.keep_quantization(tables)?;
            component.missing_bits[band.first..=band.last].fill(Some(band.shift));
        }
        let (units_across, units_down) = match parts.as_slice() {
            // A scan of a single component leaves out blocks that lie outside the image.
            [part] => {
                let component = &frame.components[part.component];
                (component.width.div_ceil(8), component.height.div_ceil(8))
            }
            _ => (frame.units.across, frame.units.down),
        };
        Ok(Scan { parts, band, units_across, units_down })
    }

    /// How many blocks, or units of blocks, the scan visits.
    pub fn visits(&self) -> u64 {
        (self.units_across * self.units_down) as u64
    }

    /// Reads the scan into the coefficients of `frame`; `bits` start after the header, and restart every
    /// `restart_interval` visits unless it is 0.
    ///
    /// # Errors
    /// Returns an error if the scan is truncated or corrupt, or refers to a Huffman table that has not been defined.
    pub fn read(mut self, frame: &mut Frame, restart_interval: usize, bits: &mut Bits) -> Result<()> {
        read_units(&mut self, frame, restart_interval, bits)
    }

    #[inline(always)]
    fn read_unit(&mut self, frame: &mut Frame, x: usize, y: usize, bits: &mut Bits) -> Result<()> {
        let is_alone = self.parts.len() == 1;
        for part in &mut self.parts {
            let Component { coefficients, blocks_across, sampling, .. } = &mut frame.components[part.component];
            let (across, down) = if is_alone { (1, 1) } else { (sampling.across, sampling.down) };
            for row in y * down..(y + 1) * down {
                for column in x * across..(x + 1) * across {
                    let block = &mut coefficients[row * *blocks_across + column];
                    read_block(bits, part, &mut self.band, frame.is_progressive, block)?;
                }
            }
        }
        Ok(())
    }
}

compiled_twice! {
    fn read_units(scan: &mut Scan<'_>, frame: &mut Frame, restart_interval: usize, bits: &mut Bits<'_>) -> Result<()> {
        for y in 0..scan.units_down {
            for x in 0..scan.units_across {
                let unit = y * scan.units_across + x;
                if restart_interval > 0 && unit > 0 && unit.is_multiple_of(restart_interval) {
                    bits.restart()?;
                    scan.band.empty_blocks = 0;
                    scan.parts.iter_mut().for_each(|part| part.previous = 0);
                }
                // Past the end of the data, zeros are read as codes, so that any fault may come of them.
                scan.read_unit(frame, x, y, bits).map_err(|error| bits.check().err().unwrap_or(error))?;
            }
            bits.check()?;
        }
        Ok(())
    }
}

fn header<'a>(frame: &Frame, tables: &'a Tables, content: &[u8]) -> Result<(Vec<Part<'a>>, Band)> {
    let too_short = "corrupt JPEG: a scan header is too short";
    let count = usize::from(*content.first().context(too_short)?);
    let named = content.get(1..1 + 2 * count).context(too_short)?;
    let &[first, last, bits] = content.get(1 + 2 * count..).and_then(|rest| rest.first_chunk()).context(too_short)?;
    ensure!((1..=4).contains(&count), "corrupt JPEG: a scan of {count} channels, expected 1 to 4");
    let mut parts: Vec<Part> = Vec::new();
    for pair in named.chunks_exact(2) {
        let component = frame.components.iter().position(|component| component.identifier == pair[0]);
        let component = component.context("corrupt JPEG: a scan of a channel that the image does not have")?;
        ensure!(parts.iter().all(|part| part.component != component), "corrupt JPEG: a scan lists a channel twice");
        let dc = tables.dc.get(usize::from(pair[1] >> 4)).and_then(Option::as_ref);
        let ac = tables.ac.get(usize::from(pair[1] & 15)).and_then(Option::as_ref);
        parts.push(Part { component, dc, ac, previous: 0 });
    }
    if !frame.is_progressive {
        return Ok((parts, Band { first: 0, last: 63, shift: 0, refines: false, empty_blocks: 0 }));
    }
    let band = Band {
        first: first.into(),
        last: last.into(),
        shift: u32::from(bits & 15),
        refines: bits >> 4 != 0,
        empty_blocks: 0,
    };
    let is_band = if first == 0 { last == 0 } else { first <= last && last <= 63 && count == 1 };
    ensure!(is_band && band.shift <= 13, "corrupt JPEG: a progressive scan of coefficients {first} to {last}");
    Ok((parts, band))
}

const NO_TABLE: &str = "corrupt JPEG: a Huffman table is missing";

#[inline(always)]
fn read_block(
    bits: &mut Bits,
    part: &mut Part,
    band: &mut Band,
    progressive: bool,
    block: &mut [i16; 64],
) -> Result<()> {
    // The compiler keeps a copy in registers.
    let mut ahead = *bits;
    let read = match (band.first, band.refines) {
        (0, true) => {
            block[0] |= (ahead.take(1) << band.shift) as i16;
            Ok(())
        }
        (0, false) if progressive => dc(&mut ahead, part, band.shift, block),
        (0, false) => sequential(&mut ahead, part, block),
        (_, false) => ac_first(&mut ahead, part, band, block),
        (_, true) => ac_refining(&mut ahead, part, band, block),
    };
    *bits = ahead;
    read
}

#[inline(always)]
fn dc(bits: &mut Bits, part: &mut Part, shift: u32, block: &mut [i16; 64]) -> Result<()> {
    let (Symbol { zeros, size }, difference) = bits.symbol_and_number(part.dc.context(NO_TABLE)?)?;
    ensure!(zeros == 0, "corrupt JPEG: a DC coefficient of {} bits, expected at most 15", 16 * zeros as u32 + size);
    part.previous = part.previous.wrapping_add(difference);
    block[0] = (part.previous << shift) as i16;
    Ok(())
}

/// Reads all coefficients of a sequential scan's block (F.2.2).
#[inline(always)]
fn sequential(bits: &mut Bits, part: &mut Part, block: &mut [i16; 64]) -> Result<()> {
    dc(bits, part, 0, block)?;
    let table = part.ac.context(NO_TABLE)?;
    let mut place = 1;
    while place < 64 {
        bits.top_up();
        // So many usually fit in what was topped up; none needs to refill then.
        for _ in 0..4 {
            let (Symbol { zeros, size }, value) = bits.symbol_and_number(table)?;
            if size > 0 {
                place += zeros;
                ensure!(place < 64, OVERFULL);
                block[ZIGZAG[place]] = value as i16;
                place += 1;
            } else if zeros == 15 {
                place += 16;
            } else {
                return Ok(());
            }
            if place >= 64 {
                break;
            }
        }
    }
    Ok(())
}

const OVERFULL: &str = "corrupt JPEG: a block has more than 64 coefficients";

/// Reads the upper bits of a band of coefficients (G.1.2.2).
#[inline(always)]
fn ac_first(bits: &mut Bits, part: &Part, band: &mut Band, block: &mut [i16; 64]) -> Result<()> {
    let table = part.ac.context(NO_TABLE)?;
    if band.empty_blocks > 0 {
        band.empty_blocks -= 1;
        return Ok(());
    }
    let mut place = band.first;
    while place <= band.last {
        let (Symbol { zeros, size }, value) = bits.symbol_and_number(table)?;
        if size == 0 {
            if zeros < 15 {
                band.empty_blocks = (1 << zeros) + bits.take(zeros as u32) - 1;
                break;
            }
            place += 16;
            continue;
        }
        place += zeros;
        ensure!(place < 64, OVERFULL);
        block[ZIGZAG[place]] = (value << band.shift) as i16;
        place += 1;
    }
    Ok(())
}

/// Reads one more bit of a band of coefficients (G.1.2.3): a bit for each nonzero one, and new ones between them.
#[inline(always)]
fn ac_refining(bits: &mut Bits, part: &Part, band: &mut Band, block: &mut [i16; 64]) -> Result<()> {
    let table = part.ac.context(NO_TABLE)?;
    let bit = 1_i16 << band.shift;
    let mut place = band.first;
    if band.empty_blocks == 0 {
        while place <= band.last {
            let Symbol { zeros, size } = bits.symbol(table)?;
            let mut new = 0;
            if size != 0 {
                ensure!(size == 1, "corrupt JPEG: a refining scan adds {size} bits, expected 1");
                new = if bits.take(1) == 1 { bit } else { -bit };
            } else if zeros < 15 {
                band.empty_blocks = (1 << zeros) + bits.take(zeros as u32);
                break;
            }
            place = refine(bits, block, place..=band.last, zeros, bit);
            if new != 0 {
                // In a corrupt scan the band may have no place left; libjpeg then writes behind its end.
                block[ZIGZAG[place.min(63)]] = new;
            }
            place += 1;
        }
    }
    if band.empty_blocks > 0 {
        // Most of these blocks have nothing that could be refined.
        if block[1..].iter().any(|&value| value != 0) {
            refine(bits, block, place..=band.last, usize::MAX, bit);
        }
        band.empty_blocks -= 1;
    }
    Ok(())
}

/// Reads a bit for each nonzero coefficient until it meets a zero after skipping `zeros` others; returns that one's
/// place.
#[inline(always)]
fn refine(
    bits: &mut Bits,
    block: &mut [i16; 64],
    places: std::ops::RangeInclusive<usize>,
    mut zeros: usize,
    bit: i16,
) -> usize {
    let after_all = places.end() + 1;
    for place in places {
        let value = &mut block[ZIGZAG[place]];
        if *value == 0 {
            if zeros == 0 {
                return place;
            }
            zeros -= 1;
        } else if bits.take(1) == 1 && *value & bit == 0 {
            *value += if *value > 0 { bit } else { -bit };
        }
    }
    after_all
}
