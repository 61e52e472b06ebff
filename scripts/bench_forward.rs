//! How many images per second a network classifies, as it is written and fused.
//!
//!     cargo bench --bench forward -- NETWORK BATCH THREADS [--plain]
//!
//! Each line on standard input asks for one measurement, which is printed: scripts/bench has several programs measure in
//! turns.

use std::env;
use std::io::stdin;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tch::{Device, Kind, Tensor, no_grad};
use topfive::experiment::Experiment;
use topfive::memory;
use topfive::network::{Mode, Network, init};

/// A measurement takes at least this long.
const LEAST: Duration = Duration::from_secs(2);

fn main() -> Result<()> {
    memory::keep_freed();
    let plain = env::args().any(|argument| argument == "--plain");
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let [network, batch, threads] = arguments.as_slice() else { bail!("expected NETWORK BATCH THREADS") };
    let batch: i64 = batch.parse().with_context(|| format!("{batch}: expected a number of images"))?;
    tch::set_num_threads(threads.parse().with_context(|| format!("{threads}: expected a number of threads"))?);
    let experiment = Experiment::load(Path::new(network), &[])?;
    let network = network_of(&experiment, batch, plain)?;
    let [channels, height, width] = experiment.network().input;
    let images = Tensor::f_rand([batch, channels, height, width], (Kind::Float, Device::Cpu))?;
    let forward = || no_grad(|| network.forward(&images, Mode::Evaluation));
    forward()?;
    forward()?;
    for line in stdin().lines() {
        line?;
        let (begun, mut count) = (Instant::now(), 0);
        while count < 3 || begun.elapsed() < LEAST {
            forward()?;
            count += batch;
        }
        println!("{}", count as f64 / begun.elapsed().as_secs_f64());
    }
    Ok(())
}

fn network_of(experiment: &Experiment, batch: i64, plain: bool) -> Result<Network> {
    let tensors = init::tensors(experiment.nodes(), &experiment.network().start, 0, Device::Cpu)?;
    let network = Network::new(experiment.nodes().to_vec(), tensors, Device::Cpu)?;
    if plain {
        return Ok(network);
    }
    network.fused(batch)?.context("this libtorch has no fused operations")
}
