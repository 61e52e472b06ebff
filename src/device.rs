//! Devices: finding one by its name, and explaining libtorch's errors.

use std::fs;

use anyhow::{Result, anyhow, bail, ensure};
use tch::{Cuda, Device, TchError, Tensor};

use crate::remedy::Remedy;

/// Finds the device called `auto` (the first GPU if there is one, otherwise the CPU), `cpu`, `cuda` or `cuda:N`.
///
/// # Errors
/// Returns an error if the name is not one of these or there is no such GPU. Its message starts with the name.
pub fn parse(name: &str) -> Result<Device> {
    let index = match name {
        "auto" => return Ok(Device::cuda_if_available()),
        "cpu" => return Ok(Device::Cpu),
        "cuda" => 0,
        _ => match name.strip_prefix("cuda:").and_then(|index| index.parse().ok()) {
            Some(index) => index,
            None => bail!("{name}: not a device; expected auto, cpu, cuda or cuda:N"),
        },
    };
    ensure!(Cuda::is_available(), "{name}: no usable GPU (`topfive doctor` says why). Use cpu or auto instead");
    let devices = Cuda::device_count() as usize;
    ensure!(index < devices, "{name}: no such GPU; expected cuda:0 to cuda:{}", devices - 1);
    Ok(Device::Cuda(index))
}

/// The name of a device, as [`parse`] accepts it.
pub fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        Device::Mps => "mps".to_string(),
        Device::Vulkan => "vulkan".to_string(),
        Device::Cpu => "cpu".to_string(),
    }
}

/// How a sentence calls a device's memory.
pub fn memory(device: Device) -> String {
    match device {
        Device::Cpu => "main memory".to_string(),
        device => format!("{}'s memory", name(device)),
    }
}

/// How a processor computes with bfloat16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bf16 {
    /// By instructions for its products: AMX, AVX-512's for vectors (with which ResNet-34 was twice as fast as in 32 bits,
    /// in evaluation and in training), or ARM's.
    Fast,
    /// With AVX-512 alone, no faster than in 32 bits.
    Slow,
    /// Not in oneDNN's packed layers, which evaluation needs.
    InTraining,
}

/// How this processor computes with bfloat16.
pub fn bf16() -> Bf16 {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has = |flag: &str| processors.split_whitespace().any(|found| found == flag);
    if ["amx_bf16", "avx512_bf16", "bf16"].into_iter().any(has) {
        Bf16::Fast
    } else if has("avx_ne_convert") || ["avx512bw", "avx512vl", "avx512dq"].into_iter().all(has) {
        Bf16::Slow
    } else {
        Bf16::InTraining
    }
}

/// Copies a tensor to a device. A GPU copies when it has done what it was given before, and is not waited for: it reads
/// pinned memory by itself.
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn send(tensor: &Tensor, device: Device) -> Result<Tensor, TchError> {
    match device {
        Device::Cpu => Ok(tensor.shallow_clone()),
        // `pin_memory` warns that its argument, the device, is deprecated; tch always passes it.
        _ => tensor.f_internal_pin_memory(device)?.f_to_device_(device, tensor.kind(), true, false),
    }
}

/// Restates libtorch's error for a batch of `batch_size` images in a user's terms. If the batch does not fit, the error
/// is a [`Remedy`].
pub fn explain(error: TchError, batch_size: usize, device: Device) -> anyhow::Error {
    if let TchError::Shape(reason) = error {
        return anyhow!(reason);
    }
    let (reason, memory) = (reason(&error), memory(device));
    if !is_out_of_memory(&error) {
        return anyhow!("libtorch failed on {}: {reason}", name(device));
    }
    if batch_size <= 1 {
        return anyhow!(
            "a single image does not fit in {memory} ({reason}). Use a smaller network.input or another device"
        );
    }
    let problem = format!("a batch of {batch_size} images does not fit in {memory} ({reason})");
    Remedy { problem, changes: vec![("training.batch_size", (batch_size / 2).to_string())] }.into()
}

/// Restates libtorch's error while a network was prepared for a device.
pub fn explain_preparation(error: anyhow::Error, device: Device) -> anyhow::Error {
    match error.downcast::<TchError>() {
        Ok(error) if is_out_of_memory(&error) => {
            anyhow!("the network's weights do not fit in {} ({})", memory(device), reason(&error))
        }
        Ok(error) => anyhow!("libtorch failed on {}: {}", name(device), reason(&error)),
        Err(error) => error,
    }
}

/// The first line; the others are a stack trace of libtorch's C++ code, which does not help a user.
fn reason(error: &TchError) -> String {
    error.to_string().lines().find(|line| !line.trim().is_empty()).unwrap_or("unknown error").to_string()
}

fn is_out_of_memory(error: &TchError) -> bool {
    let text = error.to_string();
    ["out of memory", "can't allocate memory", "not enough memory", "bad_alloc"].iter().any(|sign| text.contains(sign))
}
