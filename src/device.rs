//! The device that tensors live on, as `--device` names it.

use anyhow::{Result, bail, ensure};
use tch::{Cuda, Device, TchError};

use crate::remedy::Remedy;

/// `auto` (the first GPU, or else the processor), `cpu`, `cuda` or `cuda:N`.
///
/// # Errors
/// Where there is no such device, with the ones that there are.
pub fn parse(name: &str) -> Result<Device> {
    let index = match name {
        "auto" => return Ok(Device::cuda_if_available()),
        "cpu" => return Ok(Device::Cpu),
        "cuda" => 0,
        _ => match name.strip_prefix("cuda:").and_then(|index| index.parse().ok()) {
            Some(index) => index,
            None => bail!("--device {name}: expected auto, cpu, cuda or cuda:N"),
        },
    };
    ensure!(
        Cuda::is_available(),
        "--device {name}: no GPU can be used here; `topfive doctor` says why. Use --device cpu or --device auto"
    );
    let devices = Cuda::device_count() as usize;
    ensure!(index < devices, "--device {name}: there are {devices} GPUs, cuda:0 to cuda:{}", devices - 1);
    Ok(Device::Cuda(index))
}

pub fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        Device::Mps => "mps".to_string(),
        Device::Vulkan => "vulkan".to_string(),
        Device::Cpu => "cpu".to_string(),
    }
}

/// An error of libtorch's in a user's terms: in most cases the batch does not fit.
pub fn explain(error: TchError, batch_size: usize, device: Device) -> anyhow::Error {
    if let TchError::Shape(reason) = error {
        return anyhow::anyhow!(reason);
    }
    let text = error.to_string();
    // libtorch adds a stack trace of its C++ side, which says nothing to a user.
    let first_line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("unknown error").to_string();
    let out_of_memory = ["out of memory", "can't allocate memory", "not enough memory", "bad_alloc"];
    if out_of_memory.iter().any(|sign| text.contains(sign)) {
        if batch_size <= 1 {
            return anyhow::anyhow!(
                "not even one image fits in {}'s memory; use a smaller network.input, or another device ({first_line})",
                name(device)
            );
        }
        let problem =
            format!("a batch of {batch_size} images does not fit in {}'s memory ({first_line})", name(device));
        return Remedy { problem, changes: vec![("training.batch_size", (batch_size / 2).to_string())] }.into();
    }
    anyhow::anyhow!("libtorch failed on {}: {first_line}", name(device))
}
