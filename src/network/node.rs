//! A layer in its place: with its full name, what goes in, what comes out, and everything worked out that its row leaves
//! open. Sizes only, no tensors; `shape` proves them.

use std::fmt;

/// The size of one image's values between two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Map { channels: i64, height: i64, width: i64 },
    Vector { features: i64 },
}

impl Shape {
    /// How many values one image has here.
    pub fn elements(self) -> i64 {
        match self {
            Shape::Map { channels, height, width } => channels * height * width,
            Shape::Vector { features } => features,
        }
    }

    pub fn channels(self) -> i64 {
        match self {
            Shape::Map { channels, .. } => channels,
            Shape::Vector { features } => features,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Shape::Map { channels, height, width } => write!(f, "{channels}x{height}x{width}"),
            Shape::Vector { features } => write!(f, "{features}"),
        }
    }
}

/// A layer in its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// What its parameters' names start with: `layer1.0.conv1`.
    pub name: String,
    /// Where it stands in the file: `network.layers[4].residual_stage`.
    pub at: String,
    pub input: Shape,
    pub output: Shape,
    pub op: Op,
}

/// What a layer does, with everything worked out that its row in the file leaves open.
#[derive(Clone, Debug)]
pub enum Op {
    Conv(Conv),
    Linear {
        inputs: i64,
        outputs: i64,
        bias: f64,
        per_class: bool,
    },
    BatchNorm {
        channels: i64,
        epsilon: f64,
        momentum: f64,
    },
    LocalResponseNorm {
        size: i64,
        alpha: f64,
        beta: f64,
        k: f64,
    },
    Relu,
    MaxPool(Window),
    AveragePool(Window),
    GlobalAveragePool,
    Dropout(f64),
    Flatten,
    Sequence(Vec<Node>),
    /// The ReLU of the sum of both; an empty shortcut is the identity.
    Residual {
        body: Vec<Node>,
        shortcut: Vec<Node>,
    },
    /// Every stride-th pixel, with zeros for the channels that are missing.
    ZeroPad {
        stride: [i64; 2],
        missing: i64,
    },
    Branches(Vec<Node>),
    Auxiliary {
        weight: f64,
        layers: Vec<Node>,
    },
}

#[derive(Clone, Debug)]
pub struct Conv {
    pub inputs: i64,
    pub outputs: i64,
    pub window: Window,
    pub groups: i64,
    /// The value that the biases start with; `None` where there are none.
    pub bias: Option<f64>,
    /// Whether its outputs are the classes.
    pub per_class: bool,
}

/// What slides over a map: [height, width] each.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub kernel: [i64; 2],
    pub stride: [i64; 2],
    pub padding: [i64; 2],
    pub ceil: bool,
}

impl Window {
    /// How many places the window takes along one side of `side` pixels. Rounded up, the last place must still begin
    /// inside the map or its padding before it, as in Caffe and PyTorch.
    pub fn places(&self, side: i64, axis: usize) -> i64 {
        let [kernel, stride, padding] = [self.kernel[axis], self.stride[axis], self.padding[axis]];
        let room = side + 2 * padding - kernel;
        if room < 0 {
            return 0;
        }
        let places = if self.ceil { (room + stride - 1) / stride } else { room / stride } + 1;
        if self.ceil && (places - 1) * stride >= side + padding { places - 1 } else { places }
    }
}

impl Node {
    /// The layers inside this one, each list in the order of its forward pass.
    pub fn inner(&self) -> Vec<&[Node]> {
        match &self.op {
            Op::Sequence(layers) | Op::Branches(layers) | Op::Auxiliary { layers, .. } => vec![layers],
            Op::Residual { body, shortcut } => vec![body, shortcut],
            _ => Vec::new(),
        }
    }

    /// The word that the file has for it.
    pub fn kind(&self) -> &'static str {
        match self.op {
            Op::Conv(_) => "conv",
            Op::Linear { .. } => "linear",
            Op::BatchNorm { .. } => "batch_norm",
            Op::LocalResponseNorm { .. } => "local_response_norm",
            Op::Relu => "relu",
            Op::MaxPool(_) => "max_pool",
            Op::AveragePool(_) => "average_pool",
            Op::GlobalAveragePool => "global_average_pool",
            Op::Dropout(_) => "dropout",
            Op::Flatten => "flatten",
            Op::Sequence(_) => "sequence",
            Op::Residual { .. } => "residual",
            Op::ZeroPad { .. } => "zero_pad",
            Op::Branches(_) => "branches",
            Op::Auxiliary { .. } => "auxiliary",
        }
    }

    /// By how much this layer's output is coarser than its input, along [height, width].
    fn stride(&self) -> [i64; 2] {
        match &self.op {
            Op::Conv(conv) => conv.window.stride,
            Op::MaxPool(window) | Op::AveragePool(window) => window.stride,
            Op::Sequence(layers) => stride(layers),
            Op::Residual { body, .. } => stride(body),
            Op::Branches(branches) => branches.first().map_or([1, 1], Node::stride),
            _ => [1, 1],
        }
    }
}

/// By how much layers one after another make a map coarser, along [height, width].
pub fn stride(layers: &[Node]) -> [i64; 2] {
    layers.iter().map(Node::stride).fold([1, 1], |[a, b], [c, d]| [a.saturating_mul(c), b.saturating_mul(d)])
}
