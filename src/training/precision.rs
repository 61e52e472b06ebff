//! Which numbers, and in which order, a device can train with.

use anyhow::{Error, Result, ensure};
use tch::{Device, Kind};

use crate::device;
use crate::experiment::{MemoryFormat, Precision, Training};
use crate::network::node::{Node, narrow_convolution};
use crate::remedy::Remedy;

impl Precision {
    /// The kind of tensors.
    pub fn kind(self) -> Kind {
        match self {
            Precision::F32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
            Precision::F16 => Kind::Half,
        }
    }
}

/// Checks that a network can be trained in this precision and memory format on a device.
///
/// # Errors
/// Returns what to set instead if it cannot.
pub fn check(training: &Training, nodes: &[Node], device: Device) -> Result<()> {
    if device != Device::Cpu {
        return Ok(());
    }
    ensure!(
        training.precision != Precision::F16,
        refusal(
            format!("training.precision: f16 needs a GPU, but training runs on {}", device::name(device)),
            "training.precision",
            &["bf16", "f32"],
        )
    );
    // In the weight gradient of such convolutions, channels last, libtorch 2.11 writes past its buffers on processors with
    // AVX-512.
    if let (MemoryFormat::ChannelsLast, Some(layer)) = (training.memory_format, narrow_convolution(nodes)) {
        let problem = format!(
            "training.memory_format: on a CPU, channels_last needs 1x1 convolutions to have at least 16 channels in and out, but {} has fewer, where libtorch 2.11 has a defect",
            layer.name
        );
        return Err(refusal(problem, "training.memory_format", &["contiguous"]));
    }
    Ok(())
}

fn refusal(problem: String, field: &'static str, values: &[&str]) -> Error {
    Remedy { problem, changes: values.iter().map(|value| (field, (*value).to_string())).collect() }.into()
}

/// What to know about training in this precision on this device.
pub fn note(precision: Precision, device: Device) -> Option<&'static str> {
    (precision == Precision::Bf16 && device == Device::Cpu && !has_bf16()).then_some(
        "training.precision bf16: this processor does not compute with bfloat16 (neither AVX-512 BF16 nor AMX), so this will be slower than f32",
    )
}

#[cfg(target_arch = "x86_64")]
fn has_bf16() -> bool {
    std::arch::is_x86_feature_detected!("avx512bf16")
}

#[cfg(target_arch = "aarch64")]
fn has_bf16() -> bool {
    std::arch::is_aarch64_feature_detected!("bf16")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn has_bf16() -> bool {
    false
}
