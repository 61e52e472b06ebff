//! Gradients cut before an update.

use tch::{Device, TchError, Tensor};

use crate::experiment::Clip;

/// Cuts the gradients in place, as PyTorch's `clip_grad_norm_` and `clip_grad_value_`.
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn clip(clip: Clip, gradients: &mut [Tensor]) -> Result<(), TchError> {
    let mut gradients: Vec<&mut Tensor> = gradients.iter_mut().filter(|gradient| gradient.defined()).collect();
    match clip {
        Clip::Value(most) => {
            for gradient in &mut gradients {
                let _ = gradient.f_clamp_(-most, most)?;
            }
        }
        Clip::Norm(most) => {
            if gradients.is_empty() {
                return Ok(());
            }
            let norms = gradients.iter().map(|gradient| gradient.f_norm()).collect::<Result<Vec<_>, _>>()?;
            let norm = Tensor::f_stack(&norms, 0)?.f_norm()?;
            // A GPU is not waited for: it multiplies by 1 if nothing is to be cut.
            let factor = norm.f_add_scalar(1e-6)?.f_reciprocal()?.f_multiply_scalar(most)?.f_clamp_max(1.0)?;
            if factor.device() != Device::Cpu || factor.f_double_value(&[])? < 1.0 {
                for gradient in &mut gradients {
                    let _ = gradient.f_mul_(&factor)?;
                }
            }
        }
    }
    Ok(())
}
