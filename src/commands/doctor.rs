//! `topfive doctor`: which libtorch and devices are available, what is missing and how to get it.

use std::fs;
use std::num::NonZero;
use std::thread::available_parallelism;

use anyhow::Result;
use serde_json::json;
use tch::{Cuda, Device, Kind, Tensor};

use super::Outcome;
use crate::cli::Doctor;
use crate::native;
use crate::report::Report;
use crate::report::records::write_json;

/// Shows versions and devices.
pub fn run(args: Doctor) -> Result<Outcome> {
    let report = Report::new(args.output.quiet, args.output.json.as_deref())?;
    let library = loaded_library();
    let version = env!("TOPFIVE_LIBTORCH_VERSION");
    let cores = available_parallelism().map_or(1, NonZero::get);
    let gpus = if Cuda::is_available() { Cuda::device_count() } else { 0 };
    let computes = Tensor::f_ones([2, 2], (Kind::Float, Device::Cpu)).and_then(|ones| ones.f_mm(&ones)).is_ok();

    let line = |name: &str, value: String| report.result(format!("{name:<10} {value}"));
    line("topfive", env!("CARGO_PKG_VERSION").to_string())?;
    line("libtorch", format!("{version}, loaded from {}", library.as_deref().unwrap_or("an unknown location")))?;
    line(
        "processor",
        format!(
            "{cores} cores; libtorch computes with {} threads{}",
            tch::get_num_threads(),
            if computes { "" } else { ", but a test multiplication failed" }
        ),
    )?;
    line("fused", fused().to_string())?;
    line("CUDA", cuda(gpus))?;
    line("cuDNN", if tch::Cuda::cudnn_is_available() { "available".to_string() } else { "not available".to_string() })?;
    if let Some(path) = &args.output.json {
        write_json(
            path,
            &json!({
                "version": env!("CARGO_PKG_VERSION"), "libtorch": version, "library": library, "cores": cores,
                "threads": tch::get_num_threads(), "cuda": tch::utils::has_cuda(), "gpus": gpus, "fused": native::is_present(),
            }),
        )?;
    }
    Ok(Outcome::Done)
}

fn fused() -> &'static str {
    match native::is_present() {
        true => "eval and predict join convolutions with what follows them",
        false => {
            "this libtorch lacks oneDNN's fused layers, so eval and predict run networks as they are written, which takes up to three times as long; scripts/setup fetches one that has them"
        }
    }
}

fn cuda(gpus: i64) -> String {
    match (tch::utils::has_cuda(), gpus) {
        (_, 1) => "1 GPU: cuda:0".to_string(),
        (_, 2..) => format!("{gpus} GPUs: cuda:0 to cuda:{}", gpus - 1),
        (true, _) => "this libtorch supports CUDA but finds no GPU; `nvidia-smi` shows whether the driver finds one".to_string(),
        (false, _) if fs::exists("/proc/driver/nvidia").unwrap_or(false) => {
            "an NVIDIA driver is installed, but this libtorch is CPU-only; to use the GPU, run scripts/setup --cuda and build again"
                .to_string()
        }
        (false, _) => "no GPU; this libtorch is CPU-only (scripts/setup --cuda fetches the CUDA version)".to_string(),
    }
}

/// The file that libtorch was loaded from, if the system reveals it.
fn loaded_library() -> Option<String> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let path = maps
        .lines()
        .find_map(|line| line.find('/').map(|at| &line[at..]).filter(|path| path.contains("libtorch_cpu")))?;
    Some(path.to_string())
}
