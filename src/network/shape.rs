//! Shape inference: turns a network's layers into nodes with proved sizes.
//!
//! No tensors: an invalid network is refused here, with the JSON path of the layer, before any memory is allocated or
//! any image read.

use std::collections::HashSet;

use super::node::{Node, Op, Shape, Window, stride};
use super::refusal::{Proof, Refusal, refuse};
use super::spec::{Auxiliary, Conv, ConvTranspose, Layer, Linear, NetworkSpec, Pool, Residual, Shortcut, Width};
use super::{bounds, parameter, rows};

/// More values per image than any machine holds.
const LARGEST_MAP: i64 = 1 << 40;
/// A larger side of a map is almost certainly due to a typo in one of the layers that enlarge maps.
const LARGEST_SIDE: i64 = 1 << 16;

/// Proves every size of the network, whose JSON path is `at`.
///
/// # Errors
/// Returns the first invalid layer: its JSON path, what it needs and what it gets.
pub fn prove(spec: &NetworkSpec, at: &str) -> Proof<Vec<Node>> {
    bounds::check(spec, at)?;
    let [channels, height, width] = spec.input;
    let (prover, input) = (Prover { spec, row: None }, Shape::Map { channels, height, width });
    let nodes = prover.list(&spec.layers, &format!("{at}.layers"), "", input)?;
    unique_names(&nodes, &mut HashSet::new())?;
    Ok(nodes)
}

/// The output of the last of these layers, or `input` if the list is empty.
pub fn output(nodes: &[Node], input: Shape) -> Shape {
    nodes.last().map_or(input, |node| node.output)
}

fn unique_names<'a>(nodes: &'a [Node], seen: &mut HashSet<&'a str>) -> Proof<()> {
    for node in nodes {
        if !parameter::own(node).is_empty() && !seen.insert(&node.name) {
            let reason = format!("duplicate layer name \"{}\"; rename one of the layers", node.name);
            return refuse(&node.at, reason);
        }
        node.inner().into_iter().try_for_each(|inner| unique_names(inner, seen))?;
    }
    Ok(())
}

struct Prover<'a> {
    spec: &'a NetworkSpec,
    /// The JSON path of the row whose layers are proved: they have none of their own in the file.
    row: Option<&'a str>,
}

impl Prover<'_> {
    /// Layers one after another. A layer without a name of its own is named by its position, after rows are written
    /// out.
    fn list(&self, layers: &[Layer], at: &str, prefix: &str, input: Shape) -> Proof<Vec<Node>> {
        let mut nodes: Vec<Node> = Vec::new();
        for (index, layer) in layers.iter().enumerate() {
            let at = self.path(|| format!("{at}[{index}].{}", layer.kind()));
            let several = rows::several(layer);
            for layer in several.as_deref().unwrap_or(std::slice::from_ref(layer)) {
                let (shape, position) = (output(&nodes, input), nodes.len().to_string());
                let name = join(prefix, layer.name().unwrap_or(&position));
                nodes.push(self.layer(layer, &at, name, shape)?);
            }
        }
        Ok(nodes)
    }

    fn layer(&self, layer: &Layer, at: &str, name: String, input: Shape) -> Proof<Node> {
        let (op, output) = match layer {
            Layer::Conv(conv) => self.conv(conv, at, input)?,
            Layer::ConvTranspose(conv) => self.conv_transpose(conv, at, input)?,
            Layer::Linear(linear) => self.linear(linear, at, input)?,
            Layer::BatchNorm(norm) => {
                map(at, input)?;
                (Op::BatchNorm { epsilon: self.spec.batch_norm_epsilon, momentum: norm.momentum }, input)
            }
            Layer::LocalResponseNorm(norm) => {
                map(at, input)?;
                (Op::LocalResponseNorm(norm.clone()), input)
            }
            Layer::Relu => (Op::Relu, input),
            Layer::LeakyRelu(slope) => (Op::LeakyRelu(*slope), input),
            Layer::Tanh => (Op::Tanh, input),
            Layer::Sigmoid => (Op::Sigmoid, input),
            Layer::Maxout(pieces) => maxout(*pieces, at, input)?,
            Layer::MaxPool(pool) => pooled(pool, at, input, Op::MaxPool)?,
            Layer::AveragePool(pool) => pooled(pool, at, input, Op::AveragePool)?,
            Layer::GlobalAveragePool => {
                let [features, ..] = map(at, input)?;
                (Op::GlobalAveragePool, Shape::Vector { features })
            }
            Layer::Dropout(probability) => (Op::Dropout(*probability), input),
            Layer::Flatten => (Op::Flatten, Shape::Vector { features: input.elements() }),
            Layer::Reshape(to) => reshaped(*to, at, input)?,
            Layer::Sequence(sequence) => self.sequence(&sequence.layers, &format!("{at}.layers"), &name, input)?,
            Layer::Residual(residual) => self.residual(residual, at, &name, input)?,
            Layer::Branches(row) => self.branches(&row.branches, at, &name, input)?,
            Layer::Auxiliary(Auxiliary { weight, layers, .. }) => {
                let layers = self.list(layers, &format!("{at}.layers"), &name, input)?;
                (Op::Auxiliary { weight: *weight, layers }, input)
            }
            Layer::BasicConv(row) => return self.inside(at).layer(&rows::basic_conv(row), at, name, input),
            Layer::Inception(row) => return self.inside(at).layer(&rows::inception(row), at, name, input),
            Layer::ResidualStage(row) => {
                let stage = rows::residual_stage(row, input.channels());
                return self.inside(at).layer(&stage, at, name, input);
            }
            // Only as a branch: in a list, its layers are entries of the list itself.
            Layer::VggStage(row) => self.inside(at).sequence(&rows::vgg_stage(row), at, &name, input)?,
        };
        if output.elements() > LARGEST_MAP {
            return refuse(at, format!("outputs {output} values per image, more than fit in any machine's memory"));
        }
        Ok(Node { name, at: at.to_string(), input, output, op })
    }

    /// The same proof inside a row.
    fn inside<'b>(&'b self, at: &'b str) -> Prover<'b> {
        Prover { spec: self.spec, row: Some(self.row.unwrap_or(at)) }
    }

    /// The JSON path of a layer, which is the row's if it stands in one.
    fn path(&self, own: impl FnOnce() -> String) -> String {
        self.row.map_or_else(own, str::to_string)
    }

    fn sequence(&self, layers: &[Layer], at: &str, name: &str, input: Shape) -> Proof<(Op, Shape)> {
        let layers = self.list(layers, at, name, input)?;
        let output = output(&layers, input);
        Ok((Op::Sequence(layers), output))
    }

    fn conv(&self, conv: &Conv, at: &str, input: Shape) -> Proof<(Op, Shape)> {
        let ([inputs, ..], outputs, groups) = (map(at, input)?, self.width(conv.channels), conv.groups);
        if inputs % groups != 0 || outputs % groups != 0 {
            let reason =
                format!("groups: expected a divisor of {inputs} input and {outputs} output channels, found {groups}");
            return refuse(at, reason);
        }
        let window = Window { kernel: conv.kernel.0, stride: conv.stride.0, padding: conv.padding.0, ceil: false };
        let output = slide(&window, at, input, outputs)?;
        Ok((Op::Conv { window, groups, bias: conv.bias, start_bias: conv.start_bias }, output))
    }

    fn conv_transpose(&self, conv: &ConvTranspose, at: &str, input: Shape) -> Proof<(Op, Shape)> {
        let ([_, height, width], channels) = (map(at, input)?, self.width(conv.channels));
        let window = Window { kernel: conv.kernel.0, stride: conv.stride.0, padding: conv.padding.0, ceil: false };
        let [height, width] = [(height, 0), (width, 1)].map(|(side, axis)| window.side(side, axis));
        if !(1..=LARGEST_SIDE).contains(&height) || !(1..=LARGEST_SIDE).contains(&width) {
            let reason = format!("expected sides from 1 to {LARGEST_SIDE} as its output, found {height}x{width}");
            return refuse(at, reason);
        }
        Ok((Op::ConvTranspose { window, bias: conv.bias }, Shape::Map { channels, height, width }))
    }

    fn linear(&self, linear: &Linear, at: &str, input: Shape) -> Proof<(Op, Shape)> {
        if let Shape::Map { .. } = input {
            let way_out = "put \"flatten\" or \"global_average_pool\" before it";
            return refuse(at, format!("expected a vector, found a map of {input}; {way_out}"));
        }
        let output = Shape::Vector { features: self.width(linear.features) };
        Ok((Op::Linear { start_bias: linear.start_bias }, output))
    }

    fn width(&self, width: Width) -> i64 {
        match width {
            Width::Classes => self.spec.classes,
            Width::Fixed(width) => width,
        }
    }

    fn residual(&self, residual: &Residual, at: &str, name: &str, input: Shape) -> Proof<(Op, Shape)> {
        let [channels, height, width] = map(at, input)?;
        let body = self.list(&residual.body, &format!("{at}.body"), name, input)?;
        let output = output(&body, input);
        let [outputs, ..] = map(at, output)?;
        let stride = stride(&body);
        let shortcut = match residual.shortcut {
            Shortcut::Identity => Vec::new(),
            Shortcut::Projection => {
                let projection = rows::projection(outputs, stride);
                self.list(&projection, &format!("{at}.shortcut"), &join(name, "downsample"), input)?
            }
            Shortcut::ZeroPadded | Shortcut::ZeroPaddedBothSides if outputs < channels => {
                let reason = format!("a zero-padded shortcut cannot reduce {channels} channels to {outputs}");
                return refuse(at, format!("{reason}; use \"projection\""));
            }
            Shortcut::ZeroPaddedBothSides if (outputs - channels) % 2 != 0 => {
                let reason =
                    format!("{channels} channels cannot be padded to {outputs} by as many zeros on both sides");
                return refuse(at, format!("{reason}; use \"zero_padded\""));
            }
            Shortcut::ZeroPadded | Shortcut::ZeroPaddedBothSides => {
                let is_one_sided = residual.shortcut == Shortcut::ZeroPadded;
                let before = if is_one_sided { 0 } else { (outputs - channels) / 2 };
                let strided = |side: i64, axis: usize| (side - 1) / stride[axis] + 1;
                let output = Shape::Map { channels: outputs, height: strided(height, 0), width: strided(width, 1) };
                let name = join(name, "shortcut");
                vec![Node { name, at: at.to_string(), input, output, op: Op::ZeroPad { before, stride } }]
            }
        };
        let around = self::output(&shortcut, input);
        if around != output {
            let reason = format!("the body outputs {output}, the shortcut {around}");
            return refuse(at, format!("{reason}; the sizes must be equal"));
        }
        Ok((Op::Residual { body, shortcut }, output))
    }

    fn branches(&self, branches: &[Layer], at: &str, name: &str, input: Shape) -> Proof<(Op, Shape)> {
        let mut nodes: Vec<Node> = Vec::new();
        let (mut channels, mut side) = (0, None);
        for (index, branch) in branches.iter().enumerate() {
            let at = self.path(|| format!("{at}.branches[{index}].{}", branch.kind()));
            let position = index.to_string();
            let node = self.layer(branch, &at, join(name, branch.name().unwrap_or(&position)), input)?;
            let [more, height, width] = map(&at, node.output)?;
            channels += more;
            let (first_height, first_width) = *side.get_or_insert((height, width));
            if (height, width) != (first_height, first_width) {
                let reason =
                    format!("outputs a map of {height}x{width}, the branches before it {first_height}x{first_width}");
                return refuse(&at, format!("{reason}; they cannot be concatenated"));
            }
            nodes.push(node);
        }
        match side {
            Some((height, width)) => Ok((Op::Branches(nodes), Shape::Map { channels, height, width })),
            None => refuse(at, "expected at least one branch, found none"),
        }
    }
}

/// The channels, height and width of a map; refuses a vector.
fn map(at: &str, shape: Shape) -> Proof<[i64; 3]> {
    match shape {
        Shape::Map { channels, height, width } => Ok([channels, height, width]),
        Shape::Vector { features } => {
            let expected = format!("expected a map of channels x height x width, found a vector of {features}");
            refuse(at, format!("{expected}; move it before \"flatten\" and \"global_average_pool\""))
        }
    }
}

fn maxout(pieces: i64, at: &str, input: Shape) -> Proof<(Op, Shape)> {
    let channels = input.channels();
    if channels % pieces != 0 {
        return refuse(at, format!("expected a divisor of its {channels} inputs, found {pieces}"));
    }
    let output = match input {
        Shape::Map { height, width, .. } => Shape::Map { channels: channels / pieces, height, width },
        Shape::Vector { .. } => Shape::Vector { features: channels / pieces },
    };
    Ok((Op::Maxout(pieces), output))
}

fn reshaped([channels, height, width]: [i64; 3], at: &str, input: Shape) -> Proof<(Op, Shape)> {
    let output = Shape::Map { channels, height, width };
    if input.elements() != output.elements() {
        let (from, to) = (input.elements(), output.elements());
        return refuse(at, format!("expected a map of its {from} inputs, found {output}, which is {to}"));
    }
    Ok((Op::Reshape, output))
}

fn pooled(pool: &Pool, at: &str, input: Shape, op: fn(Window) -> Op) -> Proof<(Op, Shape)> {
    let [channels, ..] = map(at, input)?;
    let stride = pool.stride.unwrap_or(pool.kernel).0;
    let window = Window { kernel: pool.kernel.0, stride, padding: pool.padding.0, ceil: pool.ceil };
    let output = slide(&window, at, input, channels)?;
    Ok((op(window), output))
}

/// The map that a window makes as it slides over `input`.
fn slide(window: &Window, at: &str, input: Shape, channels: i64) -> Proof<Shape> {
    let [_, height, width] = map(at, input)?;
    let [rows, columns] = [window.positions(height, 0), window.positions(width, 1)];
    if rows < 1 || columns < 1 {
        let [kernel_height, kernel_width] = window.kernel;
        let kernel = format!("{kernel_height}x{kernel_width}");
        let reason = format!("a window of {kernel} does not fit in its input, a map of {height}x{width}");
        return Err(Refusal { at: at.to_string(), reason, too_small: true });
    }
    Ok(Shape::Map { channels, height: rows, width: columns })
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") }
}
