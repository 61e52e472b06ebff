//! Max pooling without the places of the maxima, which libtorch's own records for training.

use std::ops::Range;

use tch::Tensor;

use super::{Map, Result, values};
use crate::network::node::Window;

/// Channels whose maxima stay in registers while the window goes by.
const BLOCK: usize = 32;

/// The greatest value in each window of each channel.
///
/// # Errors
/// Returns libtorch's error: in practice, out of memory.
pub fn max_pool(input: &Tensor, window: &Window) -> Result<Tensor> {
    let input = Map::of(input)?;
    let positions = |side: usize, axis: usize| window.positions(side as i64, axis) as usize;
    let (height, width) = (positions(input.height, 0), positions(input.width, 1));
    let pool = Pool {
        values: values(&input.tensor)?,
        width: input.width,
        columns: (0..width).map(|x| covered(window, 1, x, input.width)).collect(),
    };
    let mut output = Map::empty([input.images, height, width, input.channels])?;
    output.fill_rows(|image, y, row| {
        let Range { start, end } = covered(window, 0, y, input.height);
        pool.fill(image * input.height + start..image * input.height + end, row);
    });
    output.into_tensor()
}

/// The pixels inside the map that a window covers at its `position` along one axis.
fn covered(window: &Window, axis: usize, position: usize, side: usize) -> Range<usize> {
    let [kernel, stride, padding] = [window.kernel[axis], window.stride[axis], window.padding[axis]];
    let begin = position as i64 * stride - padding;
    begin.max(0) as usize..(begin + kernel).min(side as i64) as usize
}

struct Pool<'a> {
    /// The maps of all images, one below the other.
    values: &'a [f32],
    width: usize,
    /// The columns that each window of a row covers.
    columns: Vec<Range<usize>>,
}

impl Pool<'_> {
    /// Fills a row of the output from these rows of the input.
    fn fill(&self, rows: Range<usize>, output: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return unsafe { self.fill_avx2(rows, output) };
        }
        self.fill_plainly(rows, output);
    }

    /// The same, compiled for AVX2.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn fill_avx2(&self, rows: Range<usize>, output: &mut [f32]) {
        self.fill_plainly(rows, output);
    }

    #[inline(always)]
    fn fill_plainly(&self, rows: Range<usize>, output: &mut [f32]) {
        let channels = output.len() / self.columns.len();
        for (columns, pixel) in self.columns.iter().zip(output.chunks_exact_mut(channels)) {
            let (blocks, rest) = pixel.as_chunks_mut::<BLOCK>();
            let first_of_rest = BLOCK * blocks.len();
            for (index, block) in blocks.iter_mut().enumerate() {
                let mut maxima = [f32::NEG_INFINITY; BLOCK];
                self.raise(&mut maxima, rows.clone(), columns, channels, BLOCK * index);
                *block = maxima;
            }
            rest.fill(f32::NEG_INFINITY);
            self.raise(rest, rows.clone(), columns, channels, first_of_rest);
        }
    }

    /// Raises maxima of the channels from `first` on to the values in a window.
    #[inline(always)]
    fn raise(&self, maxima: &mut [f32], rows: Range<usize>, columns: &Range<usize>, channels: usize, first: usize) {
        for row in rows {
            for column in columns.clone() {
                let begin = (row * self.width + column) * channels + first;
                let values = &self.values[begin..begin + maxima.len()];
                for (greatest, value) in maxima.iter_mut().zip(values) {
                    *greatest = if *value > *greatest { *value } else { *greatest };
                }
            }
        }
    }
}
