//! How many images per second a network classifies or learns from.
//!
//!     cargo bench --bench network -- NETWORK BATCH DEVICE THREADS forward|plain|step [KEY=VALUE...]
//!
//! `forward` runs the network as `eval` does, in the numbers of training.precision, `plain` runs it as it is written, and
//! `step` is a whole training step. Each line on standard input asks for one measurement, which is printed: scripts/bench
//! has several programs measure in turns.

use std::env;
use std::io::stdin;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use image::RgbImage;
use tch::{Cuda, Device, Kind, Tensor, no_grad};
use topfive::experiment::{Change, Experiment};
use topfive::network::{Mode, Network, init};
use topfive::training::step::Learner;
use topfive::{device, memory};

/// A measurement takes at least this long.
const LEAST: Duration = Duration::from_secs(2);

fn main() -> Result<()> {
    memory::keep_freed();
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [network, batch, device, threads, work, changes @ ..] = arguments.as_slice() else {
        bail!("expected NETWORK BATCH DEVICE THREADS forward|plain|step [KEY=VALUE...]");
    };
    let batch: i64 = batch.parse().with_context(|| format!("{batch}: expected a number of images"))?;
    let device = device::parse(device)?;
    tch::set_num_threads(threads.parse().with_context(|| format!("{threads}: expected a number of threads"))?);
    let changes: Vec<Change> = changes.iter().cloned().map(Change::Set).collect();
    let experiment = Experiment::load(Path::new(network), &changes)?;
    let tensors = init::tensors(experiment.nodes(), &experiment.network().start, 0, device)?;
    let nodes = experiment.nodes().to_vec();
    match work.as_str() {
        "step" => measure(batch, device, step(&experiment, Network::for_training(nodes, tensors, device)?, batch)?),
        "plain" => measure(batch, device, forward(&experiment, Network::new(nodes, tensors, device)?, batch)?),
        "forward" => {
            let precision = experiment.training.precision.unwrap_or_default();
            ensure!(precision.runs_on(device), "{precision}: needs a GPU");
            let network = Network::new(nodes, tensors, device)?;
            let fused = network.fused(batch, precision)?;
            measure(batch, device, forward(&experiment, fused.unwrap_or(network), batch)?)
        }
        other => bail!("{other}: expected forward, plain or step"),
    }
}

/// Prints a measurement for each line of standard input.
fn measure(batch: i64, device: Device, mut work: impl FnMut() -> Result<()>) -> Result<()> {
    work()?;
    work()?;
    for line in stdin().lines() {
        line?;
        synchronise(device);
        let (begun, mut count) = (Instant::now(), 0);
        while count < 3 || begun.elapsed() < LEAST {
            work()?;
            synchronise(device);
            count += batch;
        }
        println!("{}", count as f64 / begun.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Waits for a GPU to finish what it was given.
fn synchronise(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

fn forward(experiment: &Experiment, network: Network, batch: i64) -> Result<impl FnMut() -> Result<()>> {
    let [channels, height, width] = experiment.network().input;
    let images = Tensor::f_rand([batch, channels, height, width], (Kind::Float, network.device()))?;
    Ok(move || {
        no_grad(|| network.forward(&images, Mode::Evaluation))?;
        Ok(())
    })
}

fn step(experiment: &Experiment, network: Network, batch: i64) -> Result<impl FnMut() -> Result<()>> {
    let (size, classes) = (experiment.input(), experiment.network().classes);
    // Noise, as weights that no gradient moves would be a step of another kind.
    let pixel = |image: i64| {
        move |x: u32, y: u32| {
            let mixed = (x + 257 * y + 65_537 * image as u32).wrapping_mul(2_654_435_761);
            image::Rgb([mixed as u8, (mixed >> 8) as u8, (mixed >> 16) as u8])
        }
    };
    let images: Vec<RgbImage> =
        (0..batch).map(|image| RgbImage::from_fn(size.width, size.height, pixel(image))).collect();
    let labels: Vec<i64> = (0..batch).map(|image| image * 7 % classes).collect();
    let mut learner = Learner::new(network, experiment)?;
    let mut number = 0;
    Ok(move || {
        learner.step(&images, &labels, number, 1e-4, true)?;
        number += 1;
        Ok(())
    })
}
