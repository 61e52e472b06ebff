//! Local response normalisation, pixel by pixel: the values of a pixel's channels lie side by side.

use tch::Tensor;

use super::{Map, Result, values};
use crate::network::spec::LocalResponseNorm;

/// Each value divided by a power of the mean square of the channels around it. Krizhevsky et al. 2012, section 3.3.
///
/// # Errors
/// Returns libtorch's error: in practice, out of memory.
pub fn local_response_norm(input: &Tensor, norm: &LocalResponseNorm) -> Result<Tensor> {
    let input = Map::of(input)?;
    let LocalResponseNorm { size, alpha, beta, k } = *norm;
    let (before, after) = ((size / 2) as usize, ((size - 1) / 2) as usize);
    let (share, k) = ((alpha / size as f64) as f32, k as f32);
    let (channels, values) = (input.channels, values(&input.tensor)?);
    let mut output = Map::empty([input.images, input.height, input.width, channels])?;
    output.fill_rows(|image, y, row| {
        let begin = (image * input.height + y) * row.len();
        // Zeros stand for the channels beyond the first and the last.
        let mut squares = vec![0.0; before + channels + after];
        for (pixel, normed) in
            values[begin..begin + row.len()].chunks_exact(channels).zip(row.chunks_exact_mut(channels))
        {
            squares[before..].iter_mut().zip(pixel).for_each(|(square, value)| *square = value * value);
            normed.fill(0.0);
            for neighbours in squares.windows(channels) {
                normed.iter_mut().zip(neighbours).for_each(|(sum, square)| *sum += square);
            }
            normed.iter_mut().zip(pixel).for_each(|(sum, value)| *sum = value / power(k + share * *sum, beta));
        }
    });
    output.into_tensor()
}

/// The papers' power is taken by roots, which the compiler turns into vector operations.
fn power(base: f32, beta: f64) -> f32 {
    if beta == 0.75 { base.sqrt() * base.sqrt().sqrt() } else { base.powf(beta as f32) }
}
