//! Adam with decoupled weight decay. Loshchilov and Hutter, arXiv:1711.05101.

use tch::TchError;

use super::{Treatment, Update, Values};
use crate::experiment::AdamwSpec;

/// The prefixes of the buffers' names, after PyTorch's words: the running means of the gradient and of its square.
pub const BUFFERS: [&str; 2] = ["exp_avg.", "exp_avg_sq."];

/// w *= 1 - rate * weight_decay;  m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g²;
/// w -= rate / (1 - beta1^step) * m / (sqrt(v / (1 - beta2^step)) + epsilon), as in PyTorch's AdamW.
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn update(adamw: &AdamwSpec, values: Values, treatment: Treatment, update: &mut Update) -> Result<(), TchError> {
    let Values { mut weight, mut gradient, mut buffers } = values;
    let [mean, square] = buffers.as_mut_slice() else { return Ok(()) };
    let [beta1, beta2] = adamw.betas;
    let rate = update.rate * treatment.rate_scale;
    let correction = |beta: f64| 1.0 - beta.powf(update.step);
    // sqrt(v / c) + epsilon is (sqrt(v) + epsilon * sqrt(c)) / sqrt(c): the last factor goes to the rate.
    let root = correction(beta2).sqrt();
    let (epsilon, rate_of_mean) = (adamw.epsilon * root, rate * root / correction(beta1));

    if treatment.weight_decay != 0.0 {
        let _ = weight.f_multiply_scalar_(1.0 - rate * treatment.weight_decay)?;
    }
    let _ = mean.f_lerp_(&gradient, 1.0 - beta1)?;
    let _ = square.f_lerp_(&gradient.f_square_()?, 1.0 - beta2)?;
    // The gradient is spent: its memory takes the step.
    let _ = square.f_sqrt_out(&gradient)?;
    let _ = gradient.f_add_scalar_(epsilon)?;
    let _ = mean.f_div_out(&gradient, &gradient)?;
    let _ = weight.f_addcmul_(&gradient, &update.scalar(-rate_of_mean)?)?;
    Ok(())
}
