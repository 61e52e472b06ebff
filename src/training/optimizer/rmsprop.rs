//! RMSprop: gradients divided by a running mean of their size. Hinton, Neural Networks for Machine Learning, lecture 6e;
//! the centred form is of Graves, arXiv:1308.0850.

use tch::{TchError, Tensor};

use super::sgd::BUFFER;
use super::{Treatment, Update, Values};
use crate::experiment::RmspropSpec;

/// The prefixes of the buffers' names, after PyTorch's words: the running mean of the squared gradient, and if they are
/// used, that of the gradient and the momentum.
pub fn buffers(rmsprop: &RmspropSpec) -> Vec<&'static str> {
    let mut kinds = vec!["square_avg."];
    kinds.extend(rmsprop.centered.then_some("grad_avg."));
    kinds.extend((rmsprop.momentum > 0.0).then_some(BUFFER));
    kinds
}

/// g = gradient + weight_decay * w;  v = decay * v + (1 - decay) * g²;  s = g / (sqrt(v) + epsilon), or if centred, with
/// m = decay * m + (1 - decay) * g,  s = g / (sqrt(v - m²) + epsilon);  w -= rate * s, or with momentum
/// b = momentum * b + s,  w -= rate * b, as in PyTorch's RMSprop.
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn update(
    rmsprop: &RmspropSpec,
    values: Values,
    treatment: Treatment,
    update: &mut Update,
) -> Result<(), TchError> {
    let Values { mut weight, mut gradient, buffers } = values;
    let mut buffers = buffers.into_iter();
    let Some(mut square) = buffers.next() else { return Ok(()) };
    let new = 1.0 - rmsprop.decay;
    if treatment.weight_decay != 0.0 {
        let _ = gradient.f_addcmul_(&weight, &update.scalar(treatment.weight_decay)?)?;
    }
    let mut size = gradient.f_square()?;
    let _ = square.f_lerp_(&size, new)?;
    match rmsprop.centered.then(|| buffers.next()).flatten() {
        Some(mut mean) => {
            let _ = mean.f_lerp_(&gradient, new)?;
            let _ = mean.f_square_out(&size)?;
            let _ = square.f_sub_out(&size, &size)?;
            let _ = size.f_sqrt_()?;
        }
        None => drop(square.f_sqrt_out(&size)?),
    }
    let _ = size.f_add_scalar_(rmsprop.epsilon)?;
    let _ = gradient.f_divide_(&size)?;
    let rate = update.scalar(-update.rate * treatment.rate_scale)?;
    let step: Tensor = match buffers.next() {
        Some(momentum) => gradient.f_addcmul_out(&momentum, &momentum, &update.scalar(rmsprop.momentum)?)?,
        None => gradient,
    };
    let _ = weight.f_addcmul_(&step, &rate)?;
    Ok(())
}
