//! Gradients of several batches, gathered for one update.

use tch::{Device, Kind, TchError, Tensor, no_grad};

use crate::network::Network;

/// The gradients of a group of batches so far, summed over their images. They are state: a run may be resumed in the middle
/// of a group.
#[derive(Debug)]
pub struct Accumulation {
    sums: Vec<(String, Tensor)>,
    /// One value, the number of images.
    images: Tensor,
}

impl Accumulation {
    /// Nothing yet.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory: the sums take as much as the parameters.
    pub fn new(network: &Network) -> Result<Self, TchError> {
        let zeros = |weight: &Tensor| weight.f_zeros_like()?.f_detach();
        let sums = network.trainable().map(|(it, weight)| Ok((format!("gradient.{}", it.name), zeros(weight)?)));
        let images = Tensor::f_zeros([0i64; 0], (Kind::Float, Device::Cpu))?;
        Ok(Accumulation { sums: sums.collect::<Result<_, TchError>>()?, images })
    }

    /// Adds the gradients of a batch, summed over its images.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn add(&mut self, gradients: &[Tensor], images: u64) -> Result<(), TchError> {
        no_grad(|| {
            for ((_, sum), gradient) in self.sums.iter_mut().zip(gradients).filter(|(_, gradient)| gradient.defined()) {
                let _ = sum.f_add_(gradient)?;
            }
            self.images.f_add_scalar_(images as f64).map(drop)
        })
    }

    /// Whether there are images.
    ///
    /// # Errors
    /// Returns libtorch's error; none is known.
    pub fn is_open(&self) -> Result<bool, TchError> {
        Ok(self.images.f_double_value(&[])? > 0.0)
    }

    /// The mean gradients over all images, in memory that is the caller's until [`Accumulation::clear`]; `None`
    /// before the first image.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn mean(&mut self) -> Result<Option<Vec<Tensor>>, TchError> {
        let images = self.images.f_double_value(&[])?;
        if images == 0.0 {
            return Ok(None);
        }
        let mean = |(_, sum): &mut (String, Tensor)| sum.f_multiply_scalar_(1.0 / images);
        no_grad(|| self.sums.iter_mut().map(mean).collect::<Result<_, _>>()).map(Some)
    }

    /// Begins the next group.
    ///
    /// # Errors
    /// Returns libtorch's error; none is known.
    pub fn clear(&mut self) -> Result<(), TchError> {
        no_grad(|| {
            for (_, sum) in &mut self.sums {
                let _ = sum.f_zero_()?;
            }
            self.images.f_zero_().map(drop)
        })
    }

    /// The state by name.
    pub fn state(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        let sums = self.sums.iter().map(|(name, sum)| (name.as_str(), sum));
        sums.chain([("accumulated_images", &self.images)])
    }
}
