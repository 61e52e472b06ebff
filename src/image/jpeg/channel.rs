//! A component as wide and as high as the image: subsampled ones are enlarged bit for bit as by libjpeg-turbo's "fancy
//! upsampling" (`jdsample.c`).

use std::ops::Range;

use super::component::{Component, Factors};
use super::frame::Frame;
use super::samples::Samples;

/// How a component's rows become as wide as the image.
#[derive(Clone, Copy)]
enum Widening {
    None,
    /// Two pixels per sample, each mixed from three quarters of it and one quarter of the nearer neighbour.
    Double,
    /// Each sample repeated for this many pixels.
    Repeat(usize),
}

/// One component's values for some columns of the image, row by row.
pub struct Channel<'a> {
    samples: Samples<'a>,
    widening: Widening,
    /// Rows of the image per row of the component.
    down: usize,
    /// The component's last row.
    last: usize,
    /// Whether each row is mixed with its nearer neighbour too.
    mixes_rows: bool,
    /// The samples that a row of the image is made of, four times as large if rows are mixed; if they are doubled, with a
    /// neighbour at each end.
    mixed: Vec<u16>,
    /// Which of these the component has; a neighbour beyond its edge repeats the last sample.
    present: Range<usize>,
    values: Vec<u8>,
    /// The values that belong to the image's columns.
    wanted: Range<usize>,
}

impl<'a> Channel<'a> {
    /// For these columns of the image.
    pub fn new(frame: &Frame, component: &'a Component, columns: &Range<usize>) -> Self {
        let Factors { across, down } = Factors {
            across: frame.max_sampling.across / component.sampling.across,
            down: frame.max_sampling.down / component.sampling.down,
        };
        // libjpeg repeats samples in components too narrow for a neighbour on each side.
        let is_smooth = across == 2 && down <= 2 && component.width > 2;
        let widening = match across {
            1 => Widening::None,
            2 if is_smooth => Widening::Double,
            _ => Widening::Repeat(across),
        };
        let own = columns.start / across..columns.end.div_ceil(across);
        let beside = usize::from(is_smooth);
        let read = own.start.saturating_sub(beside)..component.width.min(own.end + beside);
        Channel {
            samples: Samples::new(component, &read),
            widening,
            down,
            last: component.height - 1,
            mixes_rows: down == 2 && (across == 1 || is_smooth),
            mixed: vec![0; own.len() + 2 * beside],
            present: read.start + beside - own.start..read.end + beside - own.start,
            values: vec![0; across * own.len()],
            wanted: columns.start - across * own.start..columns.end - across * own.start,
        }
    }

    /// Makes the values of row `y` of the image.
    #[inline(always)]
    pub fn prepare(&mut self, y: usize) {
        let near = y / self.down;
        self.samples.prepare(near);
        if self.mixes_rows {
            let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { self.last.min(near + 1) };
            self.samples.prepare(far);
            let rows = self.samples.row(near).iter().zip(self.samples.row(far));
            for (mixed, (&near, &far)) in self.mixed[self.present.clone()].iter_mut().zip(rows) {
                *mixed = 3 * u16::from(near) + u16::from(far);
            }
        }
        match self.widening {
            Widening::None if self.mixes_rows => {
                let rounding = if y.is_multiple_of(2) { 1 } else { 2 };
                let mixed = self.values.iter_mut().zip(&self.mixed);
                mixed.for_each(|(value, &mixed)| *value = ((mixed + rounding) >> 2) as u8);
            }
            Widening::None => {}
            Widening::Double if self.mixes_rows => self.double([8, 7], 4),
            Widening::Double => {
                let mixed = self.mixed[self.present.clone()].iter_mut().zip(self.samples.row(near));
                mixed.for_each(|(mixed, &sample)| *mixed = sample.into());
                self.double([1, 2], 2);
            }
            Widening::Repeat(times) => {
                let values = self.values.chunks_exact_mut(times).zip(self.samples.row(near));
                values.for_each(|(values, &sample)| values.fill(sample));
            }
        }
    }

    /// The values of the row that was prepared last.
    #[inline(always)]
    pub fn row(&self, y: usize) -> &[u8] {
        match self.widening {
            Widening::None if !self.mixes_rows => self.samples.row(y / self.down),
            _ => &self.values[self.wanted.clone()],
        }
    }

    /// Writes two values per sample, each three parts of it and one part of its neighbour on that side, plus the rounding
    /// constant of that side, shifted right by `shift`.
    #[inline(always)]
    fn double(&mut self, [left, right]: [u16; 2], shift: u32) {
        let Range { start, end } = self.present;
        self.mixed[0] = self.mixed[start];
        let last = self.mixed.len() - 1;
        self.mixed[last] = self.mixed[end - 1];
        let neighbours = self.mixed.iter().zip(&self.mixed[1..]).zip(&self.mixed[2..]);
        for (pair, ((&before, &sample), &after)) in self.values.as_chunks_mut::<2>().0.iter_mut().zip(neighbours) {
            let first = (3 * sample + before + left) >> shift;
            let second = (3 * sample + after + right) >> shift;
            *pair = (first | (second << 8)).to_le_bytes();
        }
    }
}
