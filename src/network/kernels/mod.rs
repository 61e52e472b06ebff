//! Layers of fused networks whose time goes into memory, and where libtorch's own do more than evaluation needs. Maps lie in
//! channels-last order, (images, height, width, channels), and their rows are shared among libtorch's threads.

mod local_response_norm;
mod max_pool;
pub mod winograd;

use std::slice;
use std::sync::atomic::{AtomicPtr, Ordering};

use tch::{Device, Kind, TchError, Tensor};

use crate::native::threads;

pub use local_response_norm::local_response_norm;
pub use max_pool::max_pool;

type Result<T> = std::result::Result<T, TchError>;

/// A map in channels-last order, whatever order the tensor has; it is copied only if that is another.
struct Map {
    tensor: Tensor,
    images: usize,
    height: usize,
    width: usize,
    channels: usize,
}

impl Map {
    /// The map that a tensor of (images, channels, height, width) holds.
    fn of(tensor: &Tensor) -> Result<Self> {
        if tensor.kind() != Kind::Float {
            return Err(TchError::Kind(format!("expected a map of 32-bit numbers, found {:?}", tensor.kind())));
        }
        let (images, channels, height, width) = tensor.size4()?;
        let [images, channels, height, width] = [images, channels, height, width].map(|side| side as usize);
        let tensor = tensor.f_permute([0, 2, 3, 1])?.f_contiguous()?;
        Ok(Map { tensor, images, height, width, channels })
    }

    /// A map whose values are not set yet.
    fn empty([images, height, width, channels]: [usize; 4]) -> Result<Self> {
        let size = [images, height, width, channels].map(|side| side as i64);
        let tensor = Tensor::f_empty(size, (Kind::Float, Device::Cpu))?;
        Ok(Map { tensor, images, height, width, channels })
    }

    /// The tensor of (images, channels, height, width) that holds the map.
    fn into_tensor(self) -> Result<Tensor> {
        self.tensor.f_permute([0, 3, 1, 2])
    }

    /// Fills every row with `fill(image, row, values)`, on several threads.
    fn fill_rows(&mut self, fill: impl Fn(usize, usize, &mut [f32]) + Sync) {
        let (height, row) = (self.height, self.width * self.channels);
        let start = AtomicPtr::new(self.tensor.data_ptr().cast::<f32>());
        threads::each(self.images * height, |index| {
            // SAFETY: the tensor is contiguous and has this many rows, and each is handed out once.
            let values = unsafe { slice::from_raw_parts_mut(start.load(Ordering::Relaxed).add(index * row), row) };
            fill(index / height, index % height, values);
        });
    }
}

/// The values of a contiguous tensor of 32-bit numbers on a processor.
fn values(tensor: &Tensor) -> Result<&[f32]> {
    check(tensor)?;
    // SAFETY: the tensor is contiguous, of this kind, has as many values, and outlives the slice.
    Ok(unsafe { slice::from_raw_parts(tensor.data_ptr().cast::<f32>(), tensor.numel()) })
}

/// The same, to be changed.
fn values_mut(tensor: &mut Tensor) -> Result<&mut [f32]> {
    check(tensor)?;
    // SAFETY: as above; the tensor is one that the caller has made.
    Ok(unsafe { slice::from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), tensor.numel()) })
}

fn check(tensor: &Tensor) -> Result<()> {
    if tensor.kind() == Kind::Float && tensor.device() == Device::Cpu && tensor.is_contiguous() {
        return Ok(());
    }
    Err(TchError::Kind(format!("expected 32-bit numbers in order, found {tensor:?}")))
}
