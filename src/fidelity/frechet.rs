//! The Fréchet distance between two sets of features, each taken as a normal distribution (Heusel et al., arXiv:1706.08500,
//! equation 6).

use anyhow::{Result, ensure};
use tch::{Kind, TchError, Tensor, no_grad};

/// |m1 - m2|² + tr(S1 + S2 - 2 (S1 S2)^½), from means m and covariances S of features of shapes (images, features), where
/// both sets have the same features. 0 if the means and covariances are equal.
///
/// # Errors
/// Returns an error if a set has fewer than two images, which have no covariance, or there is no memory.
pub fn distance(first: &Tensor, second: &Tensor) -> Result<f64> {
    for features in [first, second] {
        let images = features.size()[0];
        ensure!(images >= 2, "the Fréchet distance needs two images or more of each kind, found {images}");
    }
    Ok(no_grad(|| {
        let (first, second) = (Moments::of(first)?, Moments::of(second)?);
        let means = first.mean.f_sub(&second.mean)?.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])?;
        // S = RᵀR, so the square roots of the eigenvalues of S1 S2, which add up to the trace of its square root, are the
        // singular values of R1 R2ᵀ. Unlike roots of eigenvalues, these are exact to the last digits where S is singular, as
        // with dead features or fewer images than features.
        let product = first.root.f_matmul(&second.root.f_transpose(0, 1)?)?;
        let (_, values, _) = product.f_svd(true, false)?;
        let shared = values.f_sum(Kind::Double)?.f_double_value(&[])?;
        // Rounding may take the distance of equal sets below 0.
        Ok::<_, TchError>((means + first.trace()? + second.trace()? - 2.0 * shared).max(0.0))
    })?)
}

/// The mean of features, and a root R of their covariance RᵀR, in 64 bits.
struct Moments {
    /// (features)
    mean: Tensor,
    /// (the smaller one of images and features, features)
    root: Tensor,
}

impl Moments {
    fn of(features: &Tensor) -> Result<Self, TchError> {
        let features = features.f_to_kind(Kind::Double)?;
        let mean = features.f_mean_dim([0i64].as_slice(), false, None::<Kind>)?;
        let scale = 1.0 / ((features.size()[0] - 1) as f64).sqrt();
        let centered = features.f_sub(&mean)?.f_multiply_scalar(scale)?;
        let (_, root) = Tensor::f_linalg_qr(&centered, "r")?;
        Ok(Moments { mean, root })
    }

    /// The trace of the covariance.
    fn trace(&self) -> Result<f64, TchError> {
        self.root.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])
    }
}
