//! The JSON description of a network: its layers, as written in the file.
//!
//! Nothing is computed here: `shape` proves the sizes. A layer is written as `{ "conv": { ... } }`, or as a bare word
//! if it needs no numbers (`"relu"`). Its name is its `name` or else its position in the list that it is in, which
//! gives parameters torchvision's names (`features.0.weight`).

mod layers;
mod numbers;
mod rows;

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

pub use layers::{
    Auxiliary, BatchNorm, Branches, Conv, ConvTranspose, Linear, LocalResponseNorm, Pool, Residual, Sequence, Shortcut,
};
pub use numbers::{Pair, Width};
pub use rows::{BasicConv, Block, Inception, ResidualStage, Shortcuts, VggStage};

/// A network: its input and its classes, its initial values, and its layers.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// Channels, height and width of the images that it takes, in pixels.
    pub input: [i64; 3],
    /// The number that the word "classes" stands for in its layers.
    pub classes: i64,
    /// How many parameters the paper's network has without its auxiliary classifiers: a claim, which tests check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<i64>,
    /// The same with the auxiliary classifiers, which only training uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_with_auxiliary: Option<i64>,
    /// The initial values.
    #[serde(default)]
    pub start: Start,
    /// What batch norms add to the variance.
    #[serde(default = "batch_norm_epsilon")]
    pub batch_norm_epsilon: f64,
    /// The layers, one after another.
    pub layers: Vec<Layer>,
}

/// The initial values of convolutions and linear layers; batch norms start at scale 1 and shift 0.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The distribution of the weights.
    #[serde(default)]
    pub weights: StartWeights,
    /// The distribution of linear layers' weights, where it is another than `weights`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linear: Option<StartWeights>,
    /// The initial bias of layers without a `start_bias`.
    #[serde(default)]
    pub bias: f64,
    /// Whether the last batch norm of each residual block starts at scale 0, so that the block starts as its shortcut:
    /// not in the ResNet paper, but it trains faster. Goyal et al., arXiv:1706.02677, section 5.1.
    #[serde(default, skip_serializing_if = "is_false")]
    pub zero_residual: bool,
}

/// The distribution of initial weights.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StartWeights {
    /// Normal with variance 2 / fan-out in convolutions; uniform within 1 / sqrt(fan-in) in linear layers. He et al.,
    /// arXiv:1502.01852, equation 14; for linear layers torchvision's ResNet, which keeps PyTorch's default.
    #[default]
    He,
    /// Uniform within sqrt(6 / (fan-in + fan-out)). Glorot and Bengio, AISTATS 2010, equation 16.
    Glorot,
    /// Normal around 0 with this standard deviation.
    Normal(f64),
}

/// One layer, or one row of a paper's table that stands for several (`network::rows` writes those out).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Layer {
    /// A convolution.
    Conv(Conv),
    /// A convolution's transpose.
    ConvTranspose(ConvTranspose),
    /// A fully connected layer.
    Linear(Linear),
    /// Normalisation over batch and map.
    BatchNorm(BatchNorm),
    /// Normalisation over neighbouring channels.
    LocalResponseNorm(LocalResponseNorm),
    /// max(x, 0)
    Relu,
    /// x, or this slope times x if x is below 0. Maas et al., ICML 2013.
    LeakyRelu(f64),
    /// The hyperbolic tangent.
    Tanh,
    /// 1 / (1 + exp(-x))
    Sigmoid,
    /// The greatest of so many neighbouring channels or features. Goodfellow et al., arXiv:1302.4389.
    Maxout(i64),
    /// The greatest value in each window.
    MaxPool(Pool),
    /// The mean of each window.
    AveragePool(Pool),
    /// The mean over the whole map: (channels, height, width) to (channels).
    GlobalAveragePool,
    /// Sets values to 0 in training, with this probability in 0..1.
    Dropout(f64),
    /// A map as a vector, by channel, row and column.
    Flatten,
    /// A vector as a map of [channels, height, width], by channel, row and column.
    Reshape([i64; 3]),
    /// Layers one after another.
    Sequence(Sequence),
    /// A body and its shortcut, added.
    Residual(Residual),
    /// Layers side by side, concatenated.
    Branches(Branches),
    /// A classifier on the side.
    Auxiliary(Auxiliary),
    /// A row: a convolution with its ReLU.
    BasicConv(BasicConv),
    /// A row: one of VGG's stages.
    VggStage(VggStage),
    /// A row: one of GoogLeNet's modules.
    Inception(Inception),
    /// A row: one of ResNet's stages.
    ResidualStage(ResidualStage),
}

impl Layer {
    /// The layer's explicit name.
    pub fn name(&self) -> Option<&str> {
        match self {
            Layer::Conv(it) => it.name.as_deref(),
            Layer::ConvTranspose(it) => it.name.as_deref(),
            Layer::Linear(it) => it.name.as_deref(),
            Layer::BatchNorm(it) => it.name.as_deref(),
            Layer::Sequence(it) => it.name.as_deref(),
            Layer::Residual(it) => it.name.as_deref(),
            Layer::Branches(it) => it.name.as_deref(),
            Layer::BasicConv(it) => it.name.as_deref(),
            Layer::Auxiliary(it) => Some(&it.name),
            Layer::Inception(it) => Some(&it.name),
            Layer::ResidualStage(it) => Some(&it.name),
            _ => None,
        }
    }

    /// Its name in the JSON format.
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}

/// PyTorch's default.
pub fn batch_norm_epsilon() -> f64 {
    1e-5
}

fn is_false(value: &bool) -> bool {
    !value
}
