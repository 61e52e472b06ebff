//! The layers that a file may hold.

use serde::{Deserialize, Serialize};

use super::{Layer, Pair, Width};

/// A convolution.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Conv {
    /// Its name [default: its position in the list].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The number of output channels.
    pub channels: Width,
    /// Its size in pixels.
    pub kernel: Pair,
    /// The pixels between two positions.
    #[serde(default = "Pair::one")]
    pub stride: Pair,
    /// Zeros around the map, in pixels on each side.
    #[serde(default)]
    pub padding: Pair,
    /// The number of groups that input and output channels are split into; each sees only its own (AlexNet's two GPUs).
    #[serde(default = "one")]
    pub groups: i64,
    /// Whether a bias is added.
    #[serde(default = "yes")]
    pub bias: bool,
    /// The initial value of its bias [default: the network's].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_bias: Option<f64>,
}

/// A convolution's transpose, which makes a map larger: each pixel adds its kernel to the output. Zeiler et al., CVPR 2010;
/// a fractionally-strided convolution in Radford et al., arXiv:1511.06434.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ConvTranspose {
    /// Its name [default: its position in the list].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The number of output channels.
    pub channels: Width,
    /// Its size in pixels.
    pub kernel: Pair,
    /// The pixels of the output between the kernels of two neighbouring pixels of the input.
    #[serde(default = "Pair::one")]
    pub stride: Pair,
    /// What is cut off the output, in pixels on each side.
    #[serde(default)]
    pub padding: Pair,
    /// Whether a bias is added.
    #[serde(default = "yes")]
    pub bias: bool,
}

/// A fully connected layer with a bias.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// Its name [default: its position in the list].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The number of outputs.
    pub features: Width,
    /// The initial value of its bias [default: the network's].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_bias: Option<f64>,
}

/// Normalises each channel over batch and map. Ioffe and Szegedy, arXiv:1502.03167.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNorm {
    /// Its name [default: its position in the list].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The share of each new batch in the running mean and variance.
    #[serde(default = "BatchNorm::momentum")]
    pub momentum: f64,
}

impl BatchNorm {
    /// PyTorch's default momentum.
    pub fn momentum() -> f64 {
        0.1
    }
}

/// Divides by (k + alpha / size * sum of squares over `size` neighbouring channels) ^ beta, as Caffe and PyTorch do.
/// The AlexNet paper (section 3.3) does not divide alpha by the size: its 1e-4 over 5 channels is 5e-4 here.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LocalResponseNorm {
    /// The number of neighbouring channels, the channel itself included.
    pub size: i64,
    /// The weight of their squares.
    pub alpha: f64,
    /// The power.
    pub beta: f64,
    /// What is added to the sum.
    pub k: f64,
}

/// A window that slides over each channel.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Its size in pixels.
    pub kernel: Pair,
    /// The pixels between two positions; the kernel's size unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<Pair>,
    /// The pixels around the map that it may cover, on each side.
    #[serde(default)]
    pub padding: Pair,
    /// Whether the output's size is rounded up, so that a window may reach over the border, as in Caffe.
    #[serde(default)]
    pub ceil: bool,
}

/// Layers one after another; their names start with the sequence's own.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sequence {
    /// Its name [default: its position in the list].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The layers.
    pub layers: Vec<Layer>,
}

/// The sum of a body and its shortcut, followed by a ReLU. He et al., arXiv:1512.03385, section 3.2.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Residual {
    /// Its name [default: its position in the list].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The residual function.
    pub body: Vec<Layer>,
    /// The sum's other term.
    pub shortcut: Shortcut,
}

/// How a residual block's input reaches its sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shortcut {
    /// As it is.
    Identity,
    /// Through a strided 1x1 convolution and a batch norm, named `downsample.0` and `downsample.1`.
    Projection,
    /// Every `stride`-th pixel, followed by channels of zeros: no parameters.
    ZeroPadded,
    /// The same with as many channels of zeros before it as after it: `F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, c // 4, c //
    /// 4))` of common CIFAR ResNets, such as akamaster/pytorch_resnet_cifar10.
    ZeroPaddedBothSides,
}

/// Layers side by side on the same input, their outputs concatenated along the channels.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Branches {
    /// Its name [default: its position in the list].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The layers.
    pub branches: Vec<Layer>,
}

/// A classifier on the side, in training only: its weighted loss is added. The input passes through unchanged.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Auxiliary {
    /// Its name.
    pub name: String,
    /// The weight of its loss.
    pub weight: f64,
    /// From the input to its logits.
    pub layers: Vec<Layer>,
}

fn one() -> i64 {
    1
}

fn yes() -> bool {
    true
}
