//! Batch norm, over the images of this process or over those of all, as one process with all of them computes it. Ioffe,
//! Szegedy: Batch Normalization, arXiv:1502.03167, algorithm 1.

use tch::{Kind, TchError, Tensor, no_grad};

use crate::processes::Processes;

type Result<T> = std::result::Result<T, TchError>;

/// The tensors of a batch norm, (channels) each.
pub struct Norm<'a> {
    /// What normalised values are multiplied by.
    pub scale: &'a Tensor,
    /// What is added to them.
    pub shift: &'a Tensor,
    /// The running mean, which this batch changes.
    pub mean: &'a Tensor,
    /// The running variance, too.
    pub variance: &'a Tensor,
    /// The share of this batch in both.
    pub momentum: f64,
    /// Added to the batch's variance.
    pub epsilon: f64,
}

/// Normalises each channel of `x`, (images, channels, ...), over its own values if it `learns`, otherwise by the running
/// statistics.
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn over_own(x: &Tensor, norm: &Norm, learns: bool) -> Result<Tensor> {
    let Norm { scale, shift, mean, variance, momentum, epsilon } = *norm;
    x.f_batch_norm(Some(scale), Some(shift), Some(mean), Some(variance), learns, momentum, epsilon, true)
}

/// Normalises each channel of `x`, (images, channels, ...), over the values of all processes, of which some may have no
/// images. Two sums are exchanged, and their gradients in the backward pass.
///
/// # Errors
/// Returns an error if another process has ended, or the device is out of memory.
pub fn over_all(processes: &Processes, x: &Tensor, norm: &Norm) -> Result<Tensor> {
    let (size, kind) = (x.size(), x.kind());
    let channels = size[1];
    let axes: Vec<i64> = (0..size.len() as i64).filter(|axis| *axis != 1).collect();
    let mut along_channels = vec![1; size.len()];
    along_channels[1] = channels;
    // The sums, a value per channel, are in double precision, as libtorch's own are on a processor.
    let sum = |values: &Tensor| values.f_sum_dim_intlist(axes.as_slice(), false, Kind::Double);
    let spread = |values: &Tensor| values.f_to_kind(Kind::Float)?.f_view(along_channels.as_slice());

    let x = x.f_to_kind(Kind::Float)?;
    let own = Tensor::f_full([1], (x.numel() as i64 / channels) as f64, (Kind::Double, x.device()))?;
    let sums = processes.total(&Tensor::f_cat(&[sum(&x)?, own], 0)?)?;
    let count = sums.f_narrow(0, channels, 1)?.f_detach()?;
    let mean = sums.f_narrow(0, 0, channels)?.f_div(&count)?;
    let centred = x.f_sub(&spread(&mean)?)?;
    let squares = processes.total(&sum(&centred.f_square()?)?)?;
    let variance = squares.f_div(&count)?;
    let factor = variance.f_add_scalar(norm.epsilon)?.f_rsqrt()?.f_mul(norm.scale)?;
    let normalised = centred.f_mul(&spread(&factor)?)?.f_add(&spread(norm.shift)?)?;
    no_grad(|| {
        let unbiased = squares.f_div(&count.f_sub_scalar(1.0)?)?;
        for (running, batch) in [(norm.mean, &mean), (norm.variance, &unbiased)] {
            let _ = running.shallow_clone().f_lerp_(&batch.f_to_kind(Kind::Float)?, norm.momentum)?;
        }
        Ok::<(), TchError>(())
    })?;
    normalised.f_to_kind(kind)
}
