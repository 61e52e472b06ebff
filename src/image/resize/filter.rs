//! The weights that resize one side.

use std::ops::Range;

/// Fractional bits of a fixed-point weight. 8 of an `i32`'s bits hold a channel's value, and Pillow reserves 2 more for
/// filters with weights above 1 or below 0.
pub const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Added before the fractional bits are dropped, so that sums round to the nearest value.
pub const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// How one side is resized.
pub struct Side {
    /// The input positions that the window is made of.
    pub read: Range<usize>,
    /// `None` if the side keeps its length.
    pub filter: Option<Filter>,
}

impl Side {
    /// Those output positions of a side of `from` that becomes `to`.
    pub fn new(from: u32, to: u32, window: Range<u32>) -> Self {
        if from == to {
            return Side { read: window.start as usize..window.end as usize, filter: None };
        }
        let (read, filter) = Filter::new(from, to, window);
        Side { read, filter: Some(filter) }
    }
}

/// For each output position along one side, the input positions that contribute to it and their weights.
pub struct Filter {
    /// The first contributing input position of each output position, counted from the first that is read.
    pub starts: Vec<usize>,
    /// `count` fixed-point weights for each output position.
    pub weights: Vec<i32>,
    /// The number of weights for each output position.
    pub count: usize,
}

impl Filter {
    /// A triangle around each output position's centre, reaching to the centres of the neighbouring output positions,
    /// or of the neighbouring input positions if the side grows. Returns the input positions that are read, too.
    fn new(from: u32, to: u32, window: Range<u32>) -> (Range<usize>, Self) {
        let scale = f64::from(from) / f64::from(to);
        let support = scale.max(1.0);
        let from = from as usize;
        let centres = window.map(|position| (f64::from(position) + 0.5) * scale);
        let spans = centres.clone().map(|centre| {
            // The cast clamps negative positions to 0.
            let start = (centre - support + 0.5) as usize;
            start..from.min((centre + support + 0.5) as usize)
        });
        // The same number of weights everywhere, padded with zeros, keeps the inner loops predictable.
        let count = spans.clone().map(|span| span.len()).max().unwrap_or(0);
        let starts: Vec<usize> = spans.clone().map(|span| span.start.min(from - count)).collect();
        let mut weights = vec![0; count * starts.len()];
        for (((centre, span), start), weights) in centres.zip(spans).zip(&starts).zip(weights.chunks_exact_mut(count)) {
            triangle(centre, support, &span, &mut weights[span.start - start..]);
        }
        let first = starts.first().copied().unwrap_or(0);
        let read = first..starts.last().map_or(0, |last| last + count);
        (read, Filter { starts: starts.into_iter().map(|start| start - first).collect(), weights, count })
    }

    /// For each output position, its first input position and the weights from there on.
    pub fn taps(&self) -> impl Iterator<Item = (usize, &[i32])> {
        let weights = self.weights.chunks_exact(self.count);
        self.starts.iter().copied().zip(weights)
    }
}

/// Writes the weights of the positions in `span`, which add up to 1 before they are rounded. The operations and their
/// order are Pillow's, because the last bit depends on them.
fn triangle(centre: f64, support: f64, span: &Range<usize>, weights: &mut [i32]) {
    let slope = 1.0 / support;
    let height = |position: usize| {
        let distance = (position as f64 - centre + 0.5) * slope;
        (1.0 - distance.abs()).max(0.0)
    };
    let total: f64 = span.clone().map(height).sum();
    for (weight, position) in weights.iter_mut().zip(span.clone()) {
        let share = height(position) / total;
        *weight = (0.5 + share * f64::from(1 << PRECISION_BITS)) as i32;
    }
}

/// Rounds fixed-point sums to bytes; clamps them, because rounded weights may add up to slightly more than 1.
#[inline(always)]
pub fn to_bytes<const COUNT: usize>(sums: [i32; COUNT]) -> [u8; COUNT] {
    let mut bytes = [0; COUNT];
    bytes.iter_mut().zip(sums).for_each(|(byte, sum)| *byte = (sum >> PRECISION_BITS).min(255) as u8);
    bytes
}
