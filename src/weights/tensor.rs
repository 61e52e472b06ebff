//! A tensor as a file holds it.

use ::safetensors::Dtype;
use anyhow::{Context, Result};
use tch::{Device, Kind, Tensor};

/// Contiguous little-endian values in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTensor {
    /// Its name in the file.
    pub name: String,
    /// The kind of its values.
    pub dtype: Dtype,
    /// Its sides.
    pub shape: Vec<usize>,
    /// The bytes of its values.
    pub data: Vec<u8>,
}

impl StoredTensor {
    /// Copies a tensor of 32-bit floats off its device.
    ///
    /// # Errors
    /// Returns an error if there is no memory for it.
    pub fn of(name: &str, tensor: &Tensor) -> Result<Self> {
        let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
        let values = tensor.numel();
        let mut data = vec![0; values * 4];
        tensor.f_copy_data_u8(&mut data, values)?;
        let shape = tensor.size().into_iter().map(|side| side as usize).collect();
        Ok(StoredTensor { name: name.to_string(), dtype: Dtype::F32, shape, data })
    }

    /// Moves the rows, along the first side, so that the one at `order[i]` comes to place i.
    ///
    /// # Panics
    /// Panics if a place is not below the first side.
    pub fn reorder(&mut self, order: &[usize]) {
        let row = self.data.len() / self.shape[0].max(1);
        self.data = order.iter().map(|&place| &self.data[place * row..][..row]).collect::<Vec<_>>().concat();
    }

    /// The values as 32-bit floats on `device`.
    ///
    /// # Errors
    /// Returns an error if they are not floating-point numbers, or the device is out of memory.
    pub fn into_tensor(self, device: Device) -> Result<Tensor> {
        let kind = self
            .kind()
            .with_context(|| format!("{}: expected floating-point numbers, found {:?}", self.name, self.dtype))?;
        let shape: Vec<i64> = self.shape.iter().map(|&side| side as i64).collect();
        let tensor = Tensor::f_from_data_size(&self.data, &shape, kind)?;
        drop(self);
        Ok(tensor.f_to_kind(Kind::Float)?.f_to_device(device)?)
    }

    /// The kind of its values; `None` if weights do not come in it.
    pub fn kind(&self) -> Option<Kind> {
        match self.dtype {
            Dtype::F64 => Some(Kind::Double),
            Dtype::F32 => Some(Kind::Float),
            Dtype::F16 => Some(Kind::Half),
            Dtype::BF16 => Some(Kind::BFloat16),
            _ => None,
        }
    }
}
