//! The proof of a network's sizes, from its file's rows to layers in their places.
//!
//! No tensors: a network that cannot work is refused here, with the JSON path of the layer, before any memory is taken or
//! any image read.

use std::collections::HashSet;
use std::fmt;

use anyhow::{Error, Result};

use super::blocks;
use super::node::{Conv, Node, Op, Shape, Window, stride};
use super::spec::{self, Layer, NetworkSpec, Pair, Pool, Residual, Shortcut, Width};

/// Proves every size of the network.
///
/// # Errors
/// The first layer that cannot work, with its JSON path, what it needs and what it gets; where a larger input would do,
/// the smallest square one that does.
pub fn prove(spec: &NetworkSpec) -> Result<Vec<Node>> {
    prove_at(spec, spec.input).map_err(|refusal| {
        let mut message = refusal.to_string();
        let side = spec.input[1].max(spec.input[2]);
        let enough = (side..=side.max(512)).find(|&side| prove_at(spec, [spec.input[0], side, side]).is_ok());
        if let Some(enough) = enough.filter(|_| refusal.too_small) {
            let channels = spec.input[0];
            message += &format!(
                "; the smallest input that this network takes is {enough}x{enough}: --set network.input=[{channels},{enough},{enough}]"
            );
        }
        Error::msg(message)
    })
}

/// Why a layer cannot work.
struct Refusal {
    at: String,
    reason: String,
    /// Whether a larger input could be the way out.
    too_small: bool,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.reason)
    }
}

type Proof<T> = std::result::Result<T, Refusal>;

fn refuse<T>(at: &str, reason: impl Into<String>) -> Proof<T> {
    Err(Refusal { at: at.to_string(), reason: reason.into(), too_small: false })
}

/// Sizes past these are slips of the pen, and products of sizes within them fit 64 bits.
const WIDEST: i64 = 1_000_000;
const LARGEST_WINDOW: i64 = 1024;
const LARGEST_MAP: i64 = 1 << 40;

fn prove_at(spec: &NetworkSpec, input: [i64; 3]) -> Proof<Vec<Node>> {
    let [channels, height, width] = input;
    if input.iter().any(|&size| !(1..=65_536).contains(&size)) {
        return refuse(
            "network.input",
            format!("expected [channels, height, width], each from 1 to 65536, found {input:?}"),
        );
    }
    if !(1..=WIDEST).contains(&spec.classes) {
        return refuse("network.classes", format!("expected a number from 1 to {WIDEST}, found {}", spec.classes));
    }
    let prover = Prover { spec };
    let nodes = prover.list(&spec.layers, "network.layers", "", Shape::Map { channels, height, width })?;
    let output = nodes.last().map_or(Shape::Map { channels, height, width }, |node| node.output);
    if output != (Shape::Vector { features: spec.classes }) {
        return refuse(
            "network.layers",
            format!(
                "the last layer gives {output}, expected one value for each of the {} classes; end with {{ \"linear\": {{ \"features\": \"classes\" }} }}",
                spec.classes
            ),
        );
    }
    unique_names(&nodes, &mut HashSet::new())?;
    Ok(nodes)
}

fn unique_names<'a>(nodes: &'a [Node], seen: &mut HashSet<&'a str>) -> Proof<()> {
    for node in nodes {
        let has_parameters = matches!(node.op, Op::Conv(_) | Op::Linear { .. } | Op::BatchNorm { .. });
        if has_parameters && !seen.insert(&node.name) {
            return refuse(
                &node.at,
                format!("a second layer is named \"{}\"; give one of them another name", node.name),
            );
        }
        node.inner().into_iter().try_for_each(|inner| unique_names(inner, seen))?;
    }
    Ok(())
}

struct Prover<'a> {
    spec: &'a NetworkSpec,
}

impl Prover<'_> {
    /// Layers one after another. A name that a layer does not give itself is its position, after rows are written out.
    fn list(&self, layers: &[Layer], at: &str, prefix: &str, input: Shape) -> Proof<Vec<Node>> {
        let mut nodes: Vec<Node> = Vec::new();
        for (index, layer) in layers.iter().enumerate() {
            let at = format!("{at}[{index}].{}", layer.kind());
            bounded(layer, &at)?;
            let channels = nodes.last().map_or(input, |node| node.output).channels();
            let written_out = blocks::expand(layer, channels);
            for layer in written_out.as_deref().unwrap_or(std::slice::from_ref(layer)) {
                let shape = nodes.last().map_or(input, |node| node.output);
                let position = nodes.len().to_string();
                let name = join(prefix, layer.name().unwrap_or(&position));
                nodes.push(self.layer(layer, &at, name, shape)?);
            }
        }
        Ok(nodes)
    }

    fn layer(&self, layer: &Layer, at: &str, name: String, input: Shape) -> Proof<Node> {
        let (op, output) = match layer {
            Layer::Conv(conv) => self.conv(conv, at, input)?,
            Layer::Linear(linear) => self.linear(linear, at, input)?,
            Layer::BatchNorm(norm) => {
                let (channels, ..) = map(at, input)?;
                (Op::BatchNorm { channels, epsilon: self.spec.batch_norm_epsilon, momentum: norm.momentum }, input)
            }
            Layer::LocalResponseNorm(norm) => {
                map(at, input)?;
                in_range(at, "size", norm.size, LARGEST_WINDOW)?;
                (Op::LocalResponseNorm { size: norm.size, alpha: norm.alpha, beta: norm.beta, k: norm.k }, input)
            }
            Layer::Relu => (Op::Relu, input),
            Layer::MaxPool(pool) => pooled(pool, at, input, Op::MaxPool)?,
            Layer::AveragePool(pool) => pooled(pool, at, input, Op::AveragePool)?,
            Layer::GlobalAveragePool => {
                let (channels, ..) = map(at, input)?;
                (Op::GlobalAveragePool, Shape::Vector { features: channels })
            }
            Layer::Dropout(probability) if (0.0..1.0).contains(probability) => (Op::Dropout(*probability), input),
            Layer::Dropout(probability) => {
                return refuse(at, format!("expected a probability, at least 0 and below 1, found {probability}"));
            }
            Layer::Flatten => (Op::Flatten, Shape::Vector { features: input.elements() }),
            Layer::Sequence(sequence) => {
                let layers = self.list(&sequence.layers, &format!("{at}.layers"), &name, input)?;
                let output = layers.last().map_or(input, |node| node.output);
                (Op::Sequence(layers), output)
            }
            Layer::Residual(residual) => self.residual(residual, at, &name, input)?,
            Layer::Branches(row) => self.branches(&row.branches, at, &name, input)?,
            Layer::Auxiliary(head) => {
                let layers = self.list(&head.layers, &format!("{at}.layers"), &name, input)?;
                let output = layers.last().map_or(input, |node| node.output);
                if output != (Shape::Vector { features: self.spec.classes }) {
                    let classes = self.spec.classes;
                    return refuse(
                        at,
                        format!("the head gives {output}, expected one value for each of the {classes} classes"),
                    );
                }
                (Op::Auxiliary { weight: head.weight, layers }, input)
            }
            Layer::BasicConv(_) | Layer::VggStage(_) | Layer::Inception(_) | Layer::ResidualStage(_) => {
                // A row that is a branch; rows in a list are written out there, in among the list's own positions.
                let layers = blocks::expand(layer, input.channels()).unwrap_or_default();
                if let [only] = layers.as_slice() {
                    return self.layer(only, at, name, input);
                }
                let layers = self.list(&layers, at, &name, input)?;
                let output = layers.last().map_or(input, |node| node.output);
                (Op::Sequence(layers), output)
            }
        };
        if output.elements() > LARGEST_MAP {
            return refuse(at, format!("gives {output} values for each image, more than any machine holds"));
        }
        Ok(Node { name, at: at.to_string(), input, output, op })
    }

    fn conv(&self, conv: &spec::Conv, at: &str, input: Shape) -> Proof<(Op, Shape)> {
        let (inputs, ..) = map(at, input)?;
        let outputs = self.width(at, "channels", conv.channels)?;
        in_range(at, "groups", conv.groups, WIDEST)?;
        if inputs % conv.groups != 0 || outputs % conv.groups != 0 {
            let groups = conv.groups;
            return refuse(
                at,
                format!("{groups} groups must divide the {inputs} channels coming in and the {outputs} going out"),
            );
        }
        let window = Window { kernel: conv.kernel.0, stride: conv.stride.0, padding: conv.padding.0, ceil: false };
        let output = slide(&window, at, input, outputs)?;
        let bias = conv.bias.then(|| conv.start_bias.unwrap_or(self.spec.start.bias));
        Ok((
            Op::Conv(Conv {
                inputs,
                outputs,
                window,
                groups: conv.groups,
                bias,
                per_class: conv.channels == Width::Classes,
            }),
            output,
        ))
    }

    fn linear(&self, linear: &spec::Linear, at: &str, input: Shape) -> Proof<(Op, Shape)> {
        let Shape::Vector { features: inputs } = input else {
            return refuse(
                at,
                format!(
                    "expected a vector, found a map of {input}; put \"flatten\" or \"global_average_pool\" before it"
                ),
            );
        };
        let outputs = self.width(at, "features", linear.features)?;
        let bias = linear.start_bias.unwrap_or(self.spec.start.bias);
        Ok((
            Op::Linear { inputs, outputs, bias, per_class: linear.features == Width::Classes },
            Shape::Vector { features: outputs },
        ))
    }

    fn width(&self, at: &str, field: &str, width: Width) -> Proof<i64> {
        match width {
            Width::Classes => Ok(self.spec.classes),
            Width::Fixed(width) => in_range(at, field, width, WIDEST),
        }
    }

    fn residual(&self, residual: &Residual, at: &str, name: &str, input: Shape) -> Proof<(Op, Shape)> {
        let (channels, ..) = map(at, input)?;
        let body = self.list(&residual.body, &format!("{at}.body"), name, input)?;
        let output = body.last().map_or(input, |node| node.output);
        let (outputs, ..) = map(at, output)?;
        let stride = stride(&body);
        let shortcut = match residual.shortcut {
            Shortcut::Identity => Vec::new(),
            Shortcut::Projection => {
                let projection = blocks::projection(outputs, stride);
                self.list(&projection, &format!("{at}.shortcut"), &join(name, "downsample"), input)?
            }
            Shortcut::ZeroPadded if outputs < channels => {
                return refuse(
                    at,
                    format!("a zero-padded shortcut cannot take {channels} channels to {outputs}; use \"projection\""),
                );
            }
            Shortcut::ZeroPadded => {
                let Shape::Map { height, width, .. } = input else { return refuse(at, "expected a map") };
                let op = Op::ZeroPad { stride, missing: outputs - channels };
                let output = Shape::Map {
                    channels: outputs,
                    height: (height - 1) / stride[0] + 1,
                    width: (width - 1) / stride[1] + 1,
                };
                vec![Node { name: join(name, "shortcut"), at: at.to_string(), input, output, op }]
            }
        };
        let around = shortcut.last().map_or(input, |node| node.output);
        if around != output {
            return refuse(
                at,
                format!("the body gives {output} and the shortcut {around}: their sum needs equal sizes"),
            );
        }
        Ok((Op::Residual { body, shortcut }, output))
    }

    fn branches(&self, branches: &[Layer], at: &str, name: &str, input: Shape) -> Proof<(Op, Shape)> {
        let mut nodes: Vec<Node> = Vec::new();
        let mut output: Option<(i64, i64, i64)> = None;
        for (index, branch) in branches.iter().enumerate() {
            let at = format!("{at}.branches[{index}].{}", branch.kind());
            let position = index.to_string();
            let node = self.layer(branch, &at, join(name, branch.name().unwrap_or(&position)), input)?;
            let (channels, height, width) = map(&at, node.output)?;
            output = match output {
                None => Some((channels, height, width)),
                Some((sum, h, w)) if (h, w) == (height, width) => Some((sum + channels, h, w)),
                Some((_, h, w)) => {
                    return refuse(
                        &at,
                        format!(
                            "gives a map of {height}x{width}, the branches before it {h}x{w}: they cannot be concatenated"
                        ),
                    );
                }
            };
            nodes.push(node);
        }
        match output {
            Some((channels, height, width)) => Ok((Op::Branches(nodes), Shape::Map { channels, height, width })),
            None => refuse(at, "expected at least one branch, found none"),
        }
    }
}

/// More rows than this are slips of the pen, too, and would take all memory before their sizes were looked at.
const MOST_ROWS: i64 = 10_000;

/// Checks numbers of a layer that no size depends on, and how often rows repeat.
fn bounded(layer: &Layer, at: &str) -> Proof<()> {
    let finite = |field: &str, value: f64, least: f64, most: f64| {
        let reason = format!("{field}: expected a number from {least} to {most}, found {value}");
        if (least..=most).contains(&value) { Ok(()) } else { refuse(at, reason) }
    };
    match layer {
        Layer::VggStage(row) => {
            in_range(at, "convs", i64::try_from(row.convs).unwrap_or(i64::MAX), MOST_ROWS).map(drop)
        }
        Layer::ResidualStage(row) => {
            in_range(at, "stride", row.stride, LARGEST_WINDOW)?;
            in_range(at, "channels", row.channels, WIDEST)?;
            in_range(at, "blocks", i64::try_from(row.blocks).unwrap_or(i64::MAX), MOST_ROWS).map(drop)
        }
        Layer::BatchNorm(norm) => finite("momentum", norm.momentum, 0.0, 1.0),
        Layer::LocalResponseNorm(norm) => {
            finite("alpha", norm.alpha, 0.0, 1e6)?;
            finite("beta", norm.beta, 0.0, 100.0)?;
            finite("k", norm.k, 1e-6, 1e6)
        }
        Layer::Auxiliary(head) => finite("weight", head.weight, 0.0, 1e3),
        _ => Ok(()),
    }
}

/// The channels, height and width of a map; refuses a vector.
fn map(at: &str, shape: Shape) -> Proof<(i64, i64, i64)> {
    match shape {
        Shape::Map { channels, height, width } => Ok((channels, height, width)),
        Shape::Vector { features } => refuse(
            at,
            format!(
                "expected a map of channels x height x width, found a vector of {features}; it belongs before \"flatten\" and \"global_average_pool\""
            ),
        ),
    }
}

fn in_range(at: &str, field: &str, value: i64, most: i64) -> Proof<i64> {
    if (1..=most).contains(&value) {
        Ok(value)
    } else {
        refuse(at, format!("{field}: expected a number from 1 to {most}, found {value}"))
    }
}

fn pooled(pool: &Pool, at: &str, input: Shape, op: fn(Window) -> Op) -> Proof<(Op, Shape)> {
    let (channels, ..) = map(at, input)?;
    let Pair(kernel) = pool.kernel;
    let window =
        Window { kernel, stride: pool.stride.unwrap_or(pool.kernel).0, padding: pool.padding.0, ceil: pool.ceil };
    if (0..2).any(|axis| window.padding[axis] > kernel[axis] / 2) {
        return refuse(
            at,
            format!("padding: expected at most half of the kernel {kernel:?}, found {:?}", window.padding),
        );
    }
    let output = slide(&window, at, input, channels)?;
    Ok((op(window), output))
}

/// The map that a window gives when it slides over `input`.
fn slide(window: &Window, at: &str, input: Shape, channels: i64) -> Proof<Shape> {
    let (_, height, width) = map(at, input)?;
    for axis in 0..2 {
        in_range(at, "kernel", window.kernel[axis], LARGEST_WINDOW)?;
        in_range(at, "stride", window.stride[axis], LARGEST_WINDOW)?;
        if !(0..=LARGEST_WINDOW).contains(&window.padding[axis]) {
            return refuse(
                at,
                format!("padding: expected a number from 0 to {LARGEST_WINDOW}, found {}", window.padding[axis]),
            );
        }
    }
    let output = Shape::Map { channels, height: window.places(height, 0), width: window.places(width, 1) };
    if window.places(height, 0) < 1 || window.places(width, 1) < 1 {
        let [kernel_height, kernel_width] = window.kernel;
        let reason = format!(
            "a window of {kernel_height}x{kernel_width} does not fit into the map of {height}x{width} that comes in"
        );
        return Err(Refusal { at: at.to_string(), reason, too_small: true });
    }
    Ok(output)
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") }
}
