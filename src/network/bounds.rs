//! The ranges of a network's numbers. Every layer of the file is checked here, rows and branches included, before rows
//! are expanded or sizes computed: numbers past these are almost certainly typos, and products of numbers within them
//! fit 64 bits.

use std::fmt::Display;

use super::refusal::{Proof, refuse};
use super::spec::{Layer, NetworkSpec, Pair, StartWeights, Width};
use crate::range::{positive, within};

/// The greatest number of channels, features and classes.
const WIDEST: i64 = 1_000_000;
/// The greatest side of a kernel, a stride or a padding, in pixels.
const LARGEST_WINDOW: i64 = 1024;
/// The greatest side of an input, in pixels.
const LARGEST_INPUT: i64 = 65_536;
/// How often a row of the file may repeat its layers.
const MOST_REPEATS: usize = 10_000;
/// The most layers of a network, those that its rows stand for included.
const MOST_LAYERS: usize = 10_000;

/// Checks the numbers of the network at this JSON path, and those of all its layers.
pub fn check(spec: &NetworkSpec, at: &str) -> Proof<()> {
    if spec.input.iter().any(|&size| !(1..=LARGEST_INPUT).contains(&size)) {
        let found = spec.input;
        return refuse(
            &format!("{at}.input"),
            format!("expected [channels, height, width], each from 1 to {LARGEST_INPUT}, found {found:?}"),
        );
    }
    number(at, "classes", spec.classes, 1, WIDEST)?;
    number(&format!("{at}.start"), "bias", spec.start.bias, -1e3, 1e3)?;
    for (key, rule) in [("weights", Some(&spec.start.weights)), ("linear", spec.start.linear.as_ref())] {
        if let Some(StartWeights::Normal(deviation)) = rule {
            above_zero(&format!("{at}.start.{key}"), "normal", *deviation, 1e3)?;
        }
    }
    above_zero(at, "batch_norm_epsilon", spec.batch_norm_epsilon, 1.0)?;
    let at = format!("{at}.layers");
    layers(&spec.layers, &at)?;
    let count = count(&spec.layers);
    if count > MOST_LAYERS {
        let found = format!("expected at most {MOST_LAYERS} layers, found {count}, those of its rows included");
        return refuse(&at, format!("{found}; leave some out"));
    }
    Ok(())
}

/// How many layers these are when their rows are written out, roughly: only as many as they could be matters.
pub fn count(layers: &[Layer]) -> usize {
    let of = |layer: &Layer| match layer {
        Layer::Sequence(sequence) => count(&sequence.layers),
        Layer::Residual(residual) => 4 + count(&residual.body),
        Layer::Branches(row) => count(&row.branches),
        Layer::Auxiliary(head) => count(&head.layers),
        Layer::BasicConv(_) => 4,
        Layer::VggStage(row) => 4 * row.convs,
        Layer::Inception(_) => 32,
        Layer::ResidualStage(row) => 12 * row.blocks,
        _ => 0,
    };
    // Layers that contain none are counted, too: a file may hold any number of empty ones.
    layers.iter().map(|layer| 1 + of(layer)).sum()
}

fn layers(layers: &[Layer], at: &str) -> Proof<()> {
    layers.iter().enumerate().try_for_each(|(index, it)| layer(it, &format!("{at}[{index}].{}", it.kind())))
}

/// Checks the numbers of one layer, and the layers inside it.
fn layer(layer: &Layer, at: &str) -> Proof<()> {
    match layer {
        Layer::Conv(conv) => {
            if let Width::Fixed(channels) = conv.channels {
                number(at, "channels", channels, 1, WIDEST)?;
            }
            number(at, "groups", conv.groups, 1, WIDEST)?;
            number(at, "start_bias", conv.start_bias.unwrap_or(0.0), -1e3, 1e3)?;
            window(at, conv.kernel, conv.stride, conv.padding)
        }
        Layer::ConvTranspose(conv) => {
            if let Width::Fixed(channels) = conv.channels {
                number(at, "channels", channels, 1, WIDEST)?;
            }
            window(at, conv.kernel, conv.stride, conv.padding)
        }
        Layer::Linear(linear) => {
            if let Width::Fixed(features) = linear.features {
                number(at, "features", features, 1, WIDEST)?;
            }
            number(at, "start_bias", linear.start_bias.unwrap_or(0.0), -1e3, 1e3)
        }
        Layer::BatchNorm(norm) => number(at, "momentum", norm.momentum, 0.0, 1.0),
        Layer::LocalResponseNorm(norm) => {
            number(at, "size", norm.size, 1, LARGEST_WINDOW)?;
            number(at, "alpha", norm.alpha, 0.0, 1e6)?;
            number(at, "beta", norm.beta, 0.0, 100.0)?;
            number(at, "k", norm.k, 1e-6, 1e6)
        }
        Layer::MaxPool(pool) | Layer::AveragePool(pool) => {
            window(at, pool.kernel, pool.stride.unwrap_or(pool.kernel), pool.padding)?;
            let (Pair(kernel), Pair(padding)) = (pool.kernel, pool.padding);
            if (0..2).any(|axis| padding[axis] > kernel[axis] / 2) {
                let reason = format!("padding: expected at most half of the kernel {kernel:?}, found {padding:?}");
                return refuse(at, reason);
            }
            Ok(())
        }
        Layer::Dropout(probability) if (0.0..1.0).contains(probability) => Ok(()),
        Layer::Dropout(probability) => {
            refuse(at, format!("expected a probability, at least 0 and below 1, found {probability}"))
        }
        Layer::LeakyRelu(slope) => within(*slope, 0.0, 1.0).or_else(|reason| refuse(at, reason)),
        Layer::Maxout(pieces) => within(*pieces, 1, WIDEST).or_else(|reason| refuse(at, reason)),
        Layer::Reshape(sizes) => {
            sizes.iter().try_for_each(|&size| within(size, 1, WIDEST)).or_else(|reason| refuse(at, reason))
        }
        Layer::Relu | Layer::Tanh | Layer::Sigmoid | Layer::GlobalAveragePool | Layer::Flatten => Ok(()),
        Layer::Sequence(sequence) => layers(&sequence.layers, &format!("{at}.layers")),
        Layer::Residual(residual) => layers(&residual.body, &format!("{at}.body")),
        Layer::Branches(row) => layers(&row.branches, &format!("{at}.branches")),
        Layer::Auxiliary(head) => {
            number(at, "weight", head.weight, 0.0, 1e3)?;
            layers(&head.layers, &format!("{at}.layers"))
        }
        Layer::BasicConv(row) => {
            number(at, "channels", row.channels, 1, WIDEST)?;
            window(at, row.kernel, row.stride, row.padding)
        }
        Layer::VggStage(row) => {
            number(at, "channels", row.channels, 1, WIDEST)?;
            number(at, "convs", row.convs, 1, MOST_REPEATS)
        }
        Layer::Inception(row) => {
            row.channels.iter().try_for_each(|&channels| number(at, "channels", channels, 1, WIDEST))?;
            let kernels = row.kernels_3x3.iter().chain(&row.kernels_5x5);
            kernels.copied().try_for_each(|kernel| window(at, kernel, Pair::one(), Pair::default()))
        }
        Layer::ResidualStage(row) => {
            number(at, "channels", row.channels, 1, WIDEST / 4)?;
            number(at, "stride", row.stride, 1, LARGEST_WINDOW)?;
            number(at, "blocks", row.blocks, 1, MOST_REPEATS)
        }
    }
}

fn window(at: &str, Pair(kernel): Pair, Pair(stride): Pair, Pair(padding): Pair) -> Proof<()> {
    for axis in 0..2 {
        number(at, "kernel", kernel[axis], 1, LARGEST_WINDOW)?;
        number(at, "stride", stride[axis], 1, LARGEST_WINDOW)?;
        number(at, "padding", padding[axis], 0, LARGEST_WINDOW)?;
    }
    Ok(())
}

/// Refuses a number outside of its range.
fn number<T: PartialOrd + Display>(at: &str, field: &str, value: T, least: T, most: T) -> Proof<()> {
    within(value, least, most).or_else(|reason| refuse(at, format!("{field}: {reason}")))
}

fn above_zero(at: &str, field: &str, value: f64, most: f64) -> Proof<()> {
    positive(value, most).or_else(|reason| refuse(at, format!("{field}: {reason}")))
}
