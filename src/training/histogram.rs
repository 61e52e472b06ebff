//! The distribution of a tensor's values, counted on its device.

use anyhow::Result;
use tch::{Kind, TchError, Tensor, no_grad};

use crate::report::event_file::Histogram;

/// Buckets of equal width between the lowest and the highest value.
const BUCKETS: i64 = 64;
/// Values that are counted at a time: their copies in 64 bits take 64 MB of the device's memory.
const PIECE: i64 = 1 << 22;

/// Counts the values of a tensor, which are finite and at least one, in 64 buckets. As numpy has it, a value on the limit of
/// two buckets is in the upper one. A first, empty bucket marks the lowest value, as in PyTorch's histograms for TensorBoard.
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn of(tensor: &Tensor) -> Result<Histogram> {
    Ok(no_grad(|| count(&tensor.f_detach()?.f_reshape([-1])?))?)
}

fn count(values: &Tensor) -> Result<Histogram, TchError> {
    let (least, most) = values.f_aminmax(None, false)?;
    let [min, max] = [least.f_double_value(&[])?, most.f_double_value(&[])?];
    let count = values.numel() as f64;
    let width = (max - min) / BUCKETS as f64;
    let mut histogram = Histogram { min, max, count, ..Histogram::default() };
    let mut counts = vec![0; BUCKETS as usize];
    for piece in values.f_split(PIECE, 0)? {
        let piece = piece.f_to_kind(Kind::Double)?;
        histogram.sum += piece.f_sum(Kind::Double)?.f_double_value(&[])?;
        histogram.sum_squares += piece.f_dot(&piece)?.f_double_value(&[])?;
        if width > 0.0 {
            let places = piece.f_sub_scalar(min)?.f_div_scalar_(width)?.f_to_kind(Kind::Int64)?;
            let found = places.f_clamp_max(BUCKETS - 1)?.f_bincount::<Tensor>(None, BUCKETS)?;
            counts.iter_mut().zip(Vec::<i64>::try_from(&found)?).for_each(|(count, found)| *count += found);
        }
    }
    if width > 0.0 {
        histogram.limits = (0..BUCKETS).map(|bucket| min + width * bucket as f64).chain([max]).collect();
        histogram.counts = [0].into_iter().chain(counts).map(|count| count as f64).collect();
    } else {
        (histogram.limits, histogram.counts) = (vec![max], vec![count]);
    }
    Ok(histogram)
}
