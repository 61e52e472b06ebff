//! The losses of `experiment::AdversarialLoss`, as tensors with gradients.

use tch::{Kind, Reduction, TchError, Tensor};

use crate::experiment::gan::AdversarialLoss;

type Result<T> = std::result::Result<T, TchError>;

/// The discriminator's loss, without a penalty: of its outputs for real and for made images, (images, 1) each. `smoothing` is
/// how far below 1 the target for real images is.
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn of_discriminator(loss: AdversarialLoss, real: &Tensor, made: &Tensor, smoothing: f64) -> Result<Tensor> {
    let target = 1.0 - smoothing;
    match loss {
        AdversarialLoss::Minimax {} | AdversarialLoss::NonSaturating {} => {
            cross_entropy(real, target)?.f_add(&cross_entropy(made, 0.0)?)
        }
        AdversarialLoss::LeastSquares {} => half_square(real, target)?.f_add(&half_square(made, 0.0)?),
        AdversarialLoss::Hinge {} => {
            let real = real.f_neg()?.f_add_scalar(1.0)?.f_relu()?;
            mean(&real)?.f_add(&mean(&made.f_add_scalar(1.0)?.f_relu()?)?)
        }
        AdversarialLoss::Wasserstein { .. } => mean(made)?.f_sub(&mean(real)?),
    }
}

/// The generator's loss, of the discriminator's outputs for made images, (images, 1).
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn of_generator(loss: AdversarialLoss, made: &Tensor) -> Result<Tensor> {
    match loss {
        AdversarialLoss::Minimax {} => cross_entropy(made, 0.0)?.f_neg(),
        AdversarialLoss::NonSaturating {} => cross_entropy(made, 1.0),
        AdversarialLoss::LeastSquares {} => half_square(made, 1.0),
        AdversarialLoss::Hinge {} | AdversarialLoss::Wasserstein { .. } => mean(made)?.f_neg(),
    }
}

/// The mean of (|gradient of `judge`| - 1)² at places between real and made images: each a `share`, (images, 1, 1, 1), of the
/// way from the made one. Gulrajani et al., arXiv:1704.00028, equation 3.
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn gradient_penalty(
    judge: impl Fn(&Tensor) -> Result<Tensor>,
    real: &Tensor,
    made: &Tensor,
    share: &Tensor,
) -> Result<Tensor> {
    let between = made.f_detach()?.f_add(&real.f_sub(&made.f_detach()?)?.f_mul(share)?)?.f_set_requires_grad(true)?;
    // Each image's output depends on that image alone, unless there are batch norms.
    let sum = judge(&between)?.f_sum(Kind::Float)?;
    let gradients = Tensor::f_run_backward(&[&sum], &[&between], true, true)?;
    let norms = gradients[0].f_flatten(1, -1)?.f_norm_scalaropt_dim(2.0, [1i64], false)?;
    mean(&norms.f_sub_scalar(1.0)?.f_square()?)
}

/// What the discriminator outputs on average, as a probability if it stands for one.
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn opinion(loss: AdversarialLoss, output: &Tensor) -> Result<f64> {
    let output = output.f_detach()?;
    let output = if loss.is_of_probabilities() { output.f_sigmoid()? } else { output };
    mean(&output)?.f_double_value(&[])
}

/// -target * log p - (1 - target) * log(1 - p), p being the logistic function.
fn cross_entropy(output: &Tensor, target: f64) -> Result<Tensor> {
    let target = output.f_full_like(target)?;
    output.f_binary_cross_entropy_with_logits(&target, None::<Tensor>, None::<Tensor>, Reduction::Mean)
}

fn half_square(output: &Tensor, target: f64) -> Result<Tensor> {
    mean(&output.f_sub_scalar(target)?.f_square()?)?.f_multiply_scalar(0.5)
}

fn mean(values: &Tensor) -> Result<Tensor> {
    values.f_mean(Kind::Float)
}
