//! Which numbers, and in which order, a device can train with.

use anyhow::{Error, Result, ensure};
use tch::Device;

use crate::device::{self, Bf16};
use crate::experiment::{MemoryFormat, Training};
use crate::network::node::{Node, Shape, narrow_convolution};
use crate::network::{Precision, cost};
use crate::remedy::Remedy;

/// The numbers that training computes with on a device: by itself those of PyTorch.
pub fn of(training: &Training, device: Device) -> Precision {
    training.precision.unwrap_or(if device == Device::Cpu { Precision::F32 } else { Precision::Tf32 })
}

/// Checks that a network can be trained in this precision and memory format on a device.
///
/// # Errors
/// Returns what to set instead if it cannot.
pub fn check(training: &Training, nodes: &[Node], device: Device) -> Result<()> {
    if device != Device::Cpu {
        return Ok(());
    }
    let precision = of(training, device);
    ensure!(
        precision.runs_on(device),
        refusal(
            format!("training.precision: {precision} needs a GPU, but training runs on {}", device::name(device)),
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
        return Err(refusal(problem, "training.memory_format", &["auto", "contiguous"]));
    }
    Ok(())
}

/// Whether the network is trained with the channels last in memory. By itself only where that was measured to be faster: on
/// a GPU (1.2 to 1.5 times for ResNet-34 on an H200), and on a processor for networks that compute mostly on maps of at least
/// 14x14 (on two cores with AVX-512 1.1 times as fast for ResNet-34 at 224x224, 1.3 times for CIFAR's ResNet-20, 1.5 times
/// for GoogLeNet with batch norm, but slower for ResNet-34 at 64x64).
pub fn puts_channels_last(training: &Training, nodes: &[Node], device: Device) -> bool {
    match training.memory_format {
        MemoryFormat::Contiguous => false,
        MemoryFormat::ChannelsLast => true,
        MemoryFormat::Auto => {
            let is_large = |shape| matches!(shape, Shape::Map { height, width, .. } if height.min(width) >= 14);
            let rows = cost::rows(nodes);
            let all: i64 = rows.iter().map(|row| row.multiply_adds).sum();
            let on_large: i64 = rows.iter().filter(|row| is_large(row.output)).map(|row| row.multiply_adds).sum();
            device != Device::Cpu || narrow_convolution(nodes).is_none() && on_large > all / 2
        }
    }
}

fn refusal(problem: String, field: &'static str, values: &[&str]) -> Error {
    Remedy { problem, changes: values.iter().map(|value| (field, (*value).to_string())).collect() }.into()
}

/// What to know about training in this precision on this device.
pub fn note(training: &Training, device: Device) -> Option<&'static str> {
    (of(training, device) == Precision::Bf16 && device == Device::Cpu && device::bf16() != Bf16::Fast).then_some(
        "training.precision bf16: this processor has no instructions for products of bfloat16 (avx512_bf16, AMX, or ARM's bf16), so training may be slower than in f32",
    )
}
