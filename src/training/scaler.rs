//! Dynamic loss scaling: a loss times a large factor has gradients that 16-bit floats can hold. Micikevicius et al.,
//! arXiv:1710.03740, with the rule of PyTorch's `torch.amp.GradScaler`.

use tch::{Device, Kind, TchError, Tensor, no_grad};

/// The factor, and how it has fared. Both are state, as tensors of one value.
#[derive(Debug)]
pub struct Scaler {
    scale: Tensor,
    growth_tracker: Tensor,
}

/// What the names of its state start with.
pub const SCALER: &str = "grad_scaler.";

const INITIAL: f64 = 65536.0;
/// After gradients that were infinite or NaN.
const BACKOFF: f64 = 0.5;
/// After [`GROWTH_INTERVAL`] updates in a row whose gradients were finite.
const GROWTH: f64 = 2.0;
const GROWTH_INTERVAL: f64 = 2000.0;

impl Scaler {
    /// # Errors
    /// Returns an error if there is no memory.
    pub fn new() -> Result<Self, TchError> {
        let value = |value: f64| Tensor::f_full([0i64; 0], value, (Kind::Float, Device::Cpu));
        Ok(Scaler { scale: value(INITIAL)?, growth_tracker: value(0.0)? })
    }

    /// What to multiply the loss by.
    ///
    /// # Errors
    /// Returns libtorch's error; none is known.
    pub fn scale(&self) -> Result<f64, TchError> {
        self.scale.f_double_value(&[])
    }

    /// Divides the gradients by the scale and adapts it. Returns whether all are finite; if not, the update must be
    /// left out.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn unscale(&mut self, gradients: &mut [Tensor]) -> Result<bool, TchError> {
        no_grad(|| {
            let factor = 1.0 / self.scale()?;
            let mut sums = Vec::new();
            for gradient in gradients.iter_mut().filter(|gradient| gradient.defined()) {
                // A sum of 64-bit floats is finite exactly if all its 32-bit terms are.
                sums.push(gradient.f_multiply_scalar_(factor)?.f_sum(Kind::Double)?);
            }
            let is_finite =
                sums.is_empty() || Tensor::f_stack(&sums, 0)?.f_sum(Kind::Double)?.f_double_value(&[])?.is_finite();
            self.adapt(is_finite)?;
            Ok(is_finite)
        })
    }

    fn adapt(&mut self, is_finite: bool) -> Result<(), TchError> {
        let grows = is_finite && self.growth_tracker.f_add_scalar_(1.0)?.f_double_value(&[])? >= GROWTH_INTERVAL;
        if grows || !is_finite {
            let _ = self.scale.f_multiply_scalar_(if grows { GROWTH } else { BACKOFF })?;
            let _ = self.growth_tracker.f_zero_()?;
        }
        Ok(())
    }

    /// The state by name.
    pub fn state(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        [("grad_scaler.scale", &self.scale), ("grad_scaler.growth_tracker", &self.growth_tracker)].into_iter()
    }
}
