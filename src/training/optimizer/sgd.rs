//! Stochastic gradient descent with momentum.

use tch::TchError;

use super::{Treatment, Update, Values};
use crate::experiment::SgdSpec;

/// The prefix of a momentum buffer's name, after PyTorch's word for it.
pub const BUFFER: &str = "momentum_buffer.";

/// g = gradient + weight_decay * w;  b = momentum * b + g;  w -= rate * b, or with Nesterov's momentum rate * (g +
/// momentum * b), as in PyTorch's SGD. b is the momentum buffer.
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn update(sgd: &SgdSpec, values: Values, treatment: Treatment, update: &mut Update) -> Result<(), TchError> {
    let Values { mut weight, mut gradient, buffers } = values;
    let [buffer] = buffers.as_slice() else { return Ok(()) };
    let momentum = update.scalar(sgd.momentum)?;
    let rate = update.scalar(-update.rate * treatment.rate_scale)?;
    let _ = gradient.f_addcmul_(&weight, &update.scalar(treatment.weight_decay)?)?;
    let _ = gradient.f_addcmul_out(buffer, buffer, &momentum)?;
    let _ = if sgd.nesterov {
        weight.f_addcmul_(&gradient.f_addcmul_(buffer, &momentum)?, &rate)?
    } else {
        weight.f_addcmul_(buffer, &rate)?
    };
    Ok(())
}
