//! Weights and images that a formula fills, here and in `scripts/make_parity_fixtures.py`, so that no fixture holds
//! them.

use tch::{Device, Tensor, no_grad};
use topfive::experiment::Experiment;
use topfive::network::{Network, init};

/// Values in -1..1 that depend on the name and the place alone: SplitMix64 on FNV-1a's hash of the name.
pub fn noise(name: &str, count: usize) -> Vec<f64> {
    let hash = |seed: u64, byte: u8| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    let seed = name.bytes().fold(0xCBF2_9CE4_8422_2325, hash);
    let value = |place: u64| {
        let mut mixed = seed.wrapping_add((place + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        (mixed >> 40) as f64 / (1u64 << 23) as f64 - 1.0
    };
    (0..count as u64).map(value).collect()
}

/// A parameter's values: weights as large as He's rule has them, the rest near where it starts.
pub fn filled(name: &str, shape: &[i64]) -> Tensor {
    let count: i64 = shape.iter().product();
    let scale = |value: f64| {
        if shape.len() > 1 {
            value * (6.0 / shape[1..].iter().product::<i64>() as f64).sqrt()
        } else if name.ends_with("running_var") || name.ends_with("weight") {
            1.0 + 0.25 * value
        } else {
            value * 0.1
        }
    };
    let values: Vec<f32> = noise(name, count as usize).into_iter().map(|value| scale(value) as f32).collect();
    Tensor::from_slice(&values).reshape(shape)
}

/// An experiment's network with its initial values.
pub fn network(experiment: &Experiment) -> Network {
    let tensors = init::tensors(experiment.nodes(), &experiment.network().start, 0, Device::Cpu).expect("tensors");
    Network::for_training(experiment.nodes().to_vec(), tensors, Device::Cpu).expect("a network")
}

/// An experiment's network with all its parameters filled.
pub fn filled_network(experiment: &Experiment) -> Network {
    let network = network(experiment);
    no_grad(|| {
        for (parameter, tensor) in network.parameters() {
            tensor.shallow_clone().copy_(&filled(&parameter.name, &parameter.shape));
        }
    });
    network
}

/// Images of three channels, (count, 3, height, width), with values in -1..1.
pub fn images(name: &str, [count, height, width]: [i64; 3]) -> Tensor {
    let shape = [count, 3, height, width];
    let values: Vec<f32> =
        noise(name, shape.iter().product::<i64>() as usize).into_iter().map(|value| value as f32).collect();
    Tensor::from_slice(&values).reshape(shape)
}
