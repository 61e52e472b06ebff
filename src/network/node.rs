//! A node: a layer with its full name, the sizes of its input and output, and its operation. Sizes only, no tensors;
//! `shape` proves them.

use std::fmt;

use strum::IntoStaticStr;

use super::spec::LocalResponseNorm;

/// The size of one image's values between two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Channels of a map.
    Map {
        /// The number of channels.
        channels: i64,
        /// Rows of each channel.
        height: i64,
        /// Columns of each channel.
        width: i64,
    },
    /// Values without positions.
    Vector {
        /// The number of values.
        features: i64,
    },
}

impl Shape {
    /// The number of values per image.
    pub fn elements(self) -> i64 {
        self.dimensions().iter().product()
    }

    /// The number of channels, or of features of a vector.
    pub fn channels(self) -> i64 {
        self.dimensions()[0]
    }

    /// `[channels, height, width]` of a map, `[features]` of a vector.
    pub fn dimensions(self) -> Vec<i64> {
        match self {
            Shape::Map { channels, height, width } => vec![channels, height, width],
            Shape::Vector { features } => vec![features],
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let sides: Vec<String> = self.dimensions().iter().map(i64::to_string).collect();
        f.write_str(&sides.join("x"))
    }
}

/// A layer with its name, sizes and operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What its parameters' names start with: `layer1.0.conv1`.
    pub name: String,
    /// Its JSON path in the file: `network.layers[4].residual_stage`.
    pub at: String,
    /// The shape of its input, at the network's own input size.
    pub input: Shape,
    /// The shape of its output, at the network's own input size.
    pub output: Shape,
    /// What it does.
    pub op: Op,
}

/// The operation of a layer, with all settings resolved. Channels and features are those of the node's input and
/// output.
#[derive(Clone, Debug, PartialEq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Op {
    /// A convolution.
    Conv {
        /// The window that slides over the map.
        window: Window,
        /// Groups of channels that do not see each other.
        groups: i64,
        /// Whether a bias is added.
        bias: bool,
        /// The initial value of the bias, unless it is the network's.
        start_bias: Option<f64>,
    },
    /// A convolution's transpose; the window slides over the output.
    ConvTranspose {
        /// The window that slides over the map.
        window: Window,
        /// Whether a bias is added.
        bias: bool,
    },
    /// A fully connected layer with a bias.
    Linear {
        /// The initial value of the bias, unless it is the network's.
        start_bias: Option<f64>,
    },
    /// Normalises each channel over batch and map.
    BatchNorm {
        /// Added to the variance.
        epsilon: f64,
        /// The share of each new batch in the running statistics.
        momentum: f64,
    },
    /// Divides by the activity of neighbouring channels.
    LocalResponseNorm(LocalResponseNorm),
    /// max(x, 0)
    Relu,
    /// x, or this slope times x if x is below 0.
    LeakyRelu(f64),
    /// The hyperbolic tangent.
    Tanh,
    /// 1 / (1 + exp(-x))
    Sigmoid,
    /// The greatest of so many neighbouring channels.
    Maxout(i64),
    /// The greatest value in each window.
    MaxPool(Window),
    /// The mean of each window, padding included.
    AveragePool(Window),
    /// The mean over the whole map.
    GlobalAveragePool,
    /// Sets values to 0 with this probability, in training only.
    Dropout(f64),
    /// A map as a vector.
    Flatten,
    /// A vector as the output's map.
    Reshape,
    /// Layers one after another.
    Sequence(Vec<Node>),
    /// The ReLU of the sum of both.
    Residual {
        /// The residual function.
        body: Vec<Node>,
        /// The layers of the shortcut; none for the identity.
        shortcut: Vec<Node>,
    },
    /// Every stride-th pixel, followed by channels of zeros, and after some of them.
    ZeroPad {
        /// How many of them come first.
        before: i64,
        /// Along [height, width].
        stride: [i64; 2],
    },
    /// Layers side by side on the same input, concatenated along the channels.
    Branches(Vec<Node>),
    /// A classifier on the side, in training only; the input passes through unchanged.
    Auxiliary {
        /// The weight of its loss.
        weight: f64,
        /// From the input to its logits.
        layers: Vec<Node>,
    },
    /// A convolution with a bias and, if `relu`, a ReLU as one operation. Only `fused` makes this and what follows.
    FusedConv {
        /// The window that slides over the map.
        window: Window,
        /// Groups of channels that do not see each other.
        groups: i64,
        /// Whether a ReLU follows.
        relu: bool,
        /// Whether it is computed by Winograd's minimal filtering, from weights that are transformed for it.
        winograd: bool,
    },
    /// A fully connected layer with a bias and, if `relu`, a ReLU as one operation.
    FusedLinear {
        /// Whether a ReLU follows.
        relu: bool,
    },
    /// The greatest value in each window, without its place.
    FusedMaxPool(Window),
    /// Divides by the activity of neighbouring channels, pixel by pixel.
    FusedLocalResponseNorm(LocalResponseNorm),
    /// The ReLU of the sum of both, in one operation with the last convolution.
    FusedResidual {
        /// The residual function up to its last convolution.
        body: Vec<Node>,
        /// The convolution that the shortcut is added to.
        last: Box<Node>,
        /// The layers of the shortcut; none for the identity.
        shortcut: Vec<Node>,
    },
}

/// A sliding window: [height, width] each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its size in pixels.
    pub kernel: [i64; 2],
    /// The pixels between two positions.
    pub stride: [i64; 2],
    /// The pixels around the map that it may cover, on each side.
    pub padding: [i64; 2],
    /// Whether the number of positions is rounded up.
    pub ceil: bool,
}

impl Window {
    /// One side of the map over which a window takes `positions` positions, where it reaches to the border: that of a
    /// convolution's transpose.
    pub fn side(&self, positions: i64, axis: usize) -> i64 {
        (positions - 1) * self.stride[axis] + self.kernel[axis] - 2 * self.padding[axis]
    }

    /// The number of positions along one side of `side` pixels. If it is rounded up, the last position must still begin
    /// inside the map or the padding before it, as in Caffe and PyTorch.
    pub fn positions(&self, side: i64, axis: usize) -> i64 {
        let [kernel, stride, padding] = [self.kernel[axis], self.stride[axis], self.padding[axis]];
        let room = side + 2 * padding - kernel;
        if room < 0 {
            return 0;
        }
        let positions = if self.ceil { (room + stride - 1) / stride } else { room / stride } + 1;
        if self.ceil && (positions - 1) * stride >= side + padding { positions - 1 } else { positions }
    }
}

impl Node {
    /// The layers inside this one, each list in the order of its forward pass.
    pub fn inner(&self) -> Vec<&[Node]> {
        match &self.op {
            Op::Sequence(layers) | Op::Branches(layers) | Op::Auxiliary { layers, .. } => vec![layers],
            Op::Residual { body, shortcut } => vec![body, shortcut],
            Op::FusedResidual { body, last, shortcut } => vec![body, std::slice::from_ref(last), shortcut],
            _ => Vec::new(),
        }
    }

    /// Its name in the JSON format.
    pub fn kind(&self) -> &'static str {
        (&self.op).into()
    }

    /// How much coarser its output is than its input, along [height, width].
    fn stride(&self) -> [i64; 2] {
        match &self.op {
            Op::Conv { window, .. } | Op::MaxPool(window) | Op::AveragePool(window) => window.stride,
            Op::Sequence(layers) => stride(layers),
            Op::Residual { body, .. } => stride(body),
            Op::Branches(branches) => branches.first().map_or([1, 1], Node::stride),
            _ => [1, 1],
        }
    }
}

/// How much coarser layers one after another make a map, along [height, width].
pub fn stride(layers: &[Node]) -> [i64; 2] {
    layers.iter().map(Node::stride).fold([1, 1], |[a, b], [c, d]| [a.saturating_mul(c), b.saturating_mul(d)])
}

/// The number of images that the network needs at least to be trained: two if it has a batch norm over a 1x1 map, as the
/// single value of each channel would have no variance.
pub fn least_images(nodes: &[Node]) -> usize {
    let of_node = |node: &Node| {
        let is_single = node.input.elements() == node.input.channels();
        let own = if is_single && matches!(node.op, Op::BatchNorm { .. }) { 2 } else { 1 };
        node.inner().into_iter().map(least_images).fold(own, usize::max)
    };
    nodes.iter().map(of_node).fold(1, usize::max)
}

/// Whether there is a batch norm among the layers.
pub fn has_batch_norm(nodes: &[Node]) -> bool {
    nodes.iter().any(|node| matches!(node.op, Op::BatchNorm { .. }) || node.inner().into_iter().any(has_batch_norm))
}

/// The first 1x1 convolution with fewer than 16 channels in or out of a group.
pub fn narrow_convolution(nodes: &[Node]) -> Option<&Node> {
    nodes.iter().find_map(|node| match &node.op {
        Op::Conv { window, groups, .. } => {
            let fewest = node.input.channels().min(node.output.channels()) / groups;
            (window.kernel == [1, 1] && fewest < 16).then_some(node)
        }
        _ => node.inner().into_iter().find_map(narrow_convolution),
    })
}

/// The same network without what only training uses: its auxiliary classifiers.
pub fn without_auxiliary(nodes: &[Node]) -> Vec<Node> {
    let trunk = nodes.iter().filter(|node| !matches!(node.op, Op::Auxiliary { .. }));
    let kept = trunk.map(|node| {
        let op = match &node.op {
            Op::Sequence(layers) => Op::Sequence(without_auxiliary(layers)),
            // A branch of its own outputs what comes in, which is concatenated.
            Op::Branches(layers) => Op::Branches(layers.iter().map(identity_for_auxiliary).collect()),
            Op::Residual { body, shortcut } => {
                Op::Residual { body: without_auxiliary(body), shortcut: shortcut.clone() }
            }
            op => op.clone(),
        };
        Node { op, ..node.clone() }
    });
    kept.collect()
}

fn identity_for_auxiliary(branch: &Node) -> Node {
    let kept = without_auxiliary(std::slice::from_ref(branch));
    kept.into_iter().next().unwrap_or_else(|| Node { op: Op::Sequence(Vec::new()), ..branch.clone() })
}
