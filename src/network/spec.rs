//! What a JSON file says of a network: its layers, as they are written there.
//!
//! Nothing is worked out here and no tensor is made: `shape` proves the sizes, `build` makes the tensors.
//! A layer is written as `{ "conv": { ... } }`, or as a bare word where it has nothing to say (`"relu"`). Its name is its
//! `name` or else its position in the list it stands in, which gives parameters the names that torchvision's have
//! (`features.0.weight`).

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A network: the sizes that it takes and gives, how its weights start, and its layers.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// Channels, height and width of the images it takes, in pixels.
    pub input: [i64; 3],
    pub classes: i64,
    /// How many parameters the paper's network has without its auxiliary heads: a claim, which tests check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<i64>,
    /// The same with the auxiliary heads that only training uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_with_auxiliary: Option<i64>,
    #[serde(default)]
    pub start: Start,
    /// What batch norms add to the variance.
    #[serde(default = "batch_norm_epsilon")]
    pub batch_norm_epsilon: f64,
    pub layers: Vec<Layer>,
}

/// The values that convolutions and linear layers start with; batch norms start at scale 1 and shift 0.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    #[serde(default)]
    pub weights: StartWeights,
    /// Every bias that a layer's own `start_bias` does not name.
    #[serde(default)]
    pub bias: f64,
    /// Whether the last batch norm of a residual's body starts at scale 0, so that each residual starts as its shortcut:
    /// not in the ResNet paper, but it trains faster. Goyal et al., arXiv:1706.02677, section 5.1.
    #[serde(default, skip_serializing_if = "is_false")]
    pub zero_residual: bool,
}

/// The distribution of starting weights.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StartWeights {
    /// Normal with variance 2 / fan-out in convolutions; uniform within 1 / sqrt(fan-in) in linear layers. He et al.,
    /// arXiv:1502.01852, equation 14; for linear layers torchvision's ResNet, which leaves PyTorch's default.
    #[default]
    He,
    /// Uniform within sqrt(6 / (fan-in + fan-out)). Glorot and Bengio, AISTATS 2010, equation 16.
    Glorot,
    /// Normal around 0 with this standard deviation.
    Normal(f64),
}

/// One layer, or one row of a paper's table that stands for several (`blocks` expands those).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    Conv(Conv),
    Linear(Linear),
    BatchNorm(BatchNorm),
    LocalResponseNorm(LocalResponseNorm),
    Relu,
    MaxPool(Pool),
    AveragePool(Pool),
    /// The mean over the whole map: (channels, height, width) to (channels).
    GlobalAveragePool,
    /// The probability, in 0..1, with which a value is set to 0 in training.
    Dropout(f64),
    Flatten,
    Sequence(Sequence),
    Residual(Residual),
    Branches(Branches),
    Auxiliary(Auxiliary),
    BasicConv(BasicConv),
    VggStage(VggStage),
    Inception(Inception),
    ResidualStage(ResidualStage),
}

impl Layer {
    /// The name that the layer gives itself.
    pub fn name(&self) -> Option<&str> {
        match self {
            Layer::Conv(it) => it.name.as_deref(),
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

    /// The word that the file has for the layer.
    pub fn kind(&self) -> &'static str {
        match self {
            Layer::Conv(_) => "conv",
            Layer::Linear(_) => "linear",
            Layer::BatchNorm(_) => "batch_norm",
            Layer::LocalResponseNorm(_) => "local_response_norm",
            Layer::Relu => "relu",
            Layer::MaxPool(_) => "max_pool",
            Layer::AveragePool(_) => "average_pool",
            Layer::GlobalAveragePool => "global_average_pool",
            Layer::Dropout(_) => "dropout",
            Layer::Flatten => "flatten",
            Layer::Sequence(_) => "sequence",
            Layer::Residual(_) => "residual",
            Layer::Branches(_) => "branches",
            Layer::Auxiliary(_) => "auxiliary",
            Layer::BasicConv(_) => "basic_conv",
            Layer::VggStage(_) => "vgg_stage",
            Layer::Inception(_) => "inception",
            Layer::ResidualStage(_) => "residual_stage",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Conv {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub channels: Width,
    pub kernel: Pair,
    #[serde(default = "Pair::one")]
    pub stride: Pair,
    #[serde(default)]
    pub padding: Pair,
    /// The input's channels fall into this many groups, each seen by its own share of the output's (AlexNet's two GPUs).
    #[serde(default = "one")]
    pub groups: i64,
    #[serde(default = "yes")]
    pub bias: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_bias: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub features: Width,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_bias: Option<f64>,
}

/// Normalises each channel over batch and map. Ioffe and Szegedy, arXiv:1502.03167.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNorm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The share of each new batch in the running mean and variance.
    #[serde(default = "BatchNorm::momentum")]
    pub momentum: f64,
}

impl BatchNorm {
    pub fn momentum() -> f64 {
        0.1
    }
}

/// Divides by (k + alpha / size * sum of squares over `size` neighbouring channels) ^ beta, as Caffe and PyTorch do. The
/// AlexNet paper (section 3.3) does not divide alpha by the size: its 1e-4 over 5 channels is 5e-4 here.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LocalResponseNorm {
    pub size: i64,
    pub alpha: f64,
    pub beta: f64,
    pub k: f64,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    pub kernel: Pair,
    /// The kernel's size unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<Pair>,
    #[serde(default)]
    pub padding: Pair,
    /// Rounds the output's size up, so that a window may hang over the border, as Caffe does.
    #[serde(default)]
    pub ceil: bool,
}

/// Layers one after another; their names start with the sequence's own.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sequence {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub layers: Vec<Layer>,
}

/// The sum of a body and its shortcut, through a ReLU. He et al., arXiv:1512.03385, section 3.2.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Residual {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub body: Vec<Layer>,
    pub shortcut: Shortcut,
}

/// How a residual's input reaches its sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shortcut {
    Identity,
    /// A strided 1x1 convolution and a batch norm, named `downsample.0` and `downsample.1`.
    Projection,
    /// Every `stride`-th pixel, with channels of zeros added at the end: no parameters.
    ZeroPadded,
}

/// Layers side by side on the same input, their outputs concatenated along the channels.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Branches {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub branches: Vec<Layer>,
}

/// A classifier on the side, in training alone: its loss is added with this weight. The input passes through unchanged.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Auxiliary {
    pub name: String,
    pub weight: f64,
    pub layers: Vec<Layer>,
}

/// A row: a convolution (`conv`), a batch norm (`bn`) if asked for, and a ReLU.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BasicConv {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub channels: i64,
    pub kernel: Pair,
    #[serde(default = "Pair::one")]
    pub stride: Pair,
    #[serde(default)]
    pub padding: Pair,
    #[serde(default)]
    pub batch_norm: bool,
}

/// A row: `convs` 3x3 convolutions with padding 1, each with a ReLU (and before it a batch norm if asked for), then a 2x2
/// max pool. Simonyan and Zisserman, arXiv:1409.1556, table 1.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct VggStage {
    pub convs: usize,
    pub channels: i64,
    #[serde(default)]
    pub batch_norm: bool,
}

/// A row: an inception module. Szegedy et al., arXiv:1409.4842, table 1.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Inception {
    pub name: String,
    /// The table's six numbers: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
    pub channels: [i64; 6],
    /// The kernels that stand, one after another, where the table has its 3x3: `[3]`, or `[[1, 3], [3, 1]]`.
    #[serde(default = "Inception::three", skip_serializing_if = "Inception::is_three")]
    pub kernels_3x3: Vec<Pair>,
    /// The same for its 5x5: `[5]`, or `[3, 3]`.
    #[serde(default = "Inception::five", skip_serializing_if = "Inception::is_five")]
    pub kernels_5x5: Vec<Pair>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub batch_norm: bool,
}

impl Inception {
    fn three() -> Vec<Pair> {
        vec![Pair::square(3)]
    }

    fn is_three(kernels: &[Pair]) -> bool {
        kernels == Inception::three()
    }

    fn five() -> Vec<Pair> {
        vec![Pair::square(5)]
    }

    fn is_five(kernels: &[Pair]) -> bool {
        kernels == Inception::five()
    }
}

/// A row: `blocks` residual blocks, the first of them with the stage's stride. He et al., arXiv:1512.03385, table 1.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ResidualStage {
    pub name: String,
    #[serde(default, skip_serializing_if = "Block::is_basic")]
    pub block: Block,
    pub blocks: usize,
    /// Of the 3x3 convolutions.
    pub channels: i64,
    #[serde(default = "one")]
    pub stride: i64,
    #[serde(default)]
    pub shortcuts: Shortcuts,
}

/// What a residual block's body is: figure 5 of the ResNet paper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// Two 3x3 convolutions.
    #[default]
    Basic,
    /// 1x1, 3x3 and a 1x1 to four times the channels. The stage's stride is in the 3x3, as in torchvision and its weights;
    /// the paper has it in the first 1x1.
    Bottleneck,
}

impl Block {
    fn is_basic(&self) -> bool {
        *self == Block::Basic
    }
}

/// Which shortcuts the blocks of a stage have: the paper's options (section 4.1), or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shortcuts {
    /// Zero-padded where the size changes, identity elsewhere.
    A,
    /// Projections where the size changes, identity elsewhere.
    #[default]
    B,
    /// Projections everywhere.
    C,
    /// No shortcuts: the paper's plain counterpart.
    None,
}

/// A number of channels or features; "classes" stands for the network's number of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    Classes,
    Fixed(i64),
}

impl Serialize for Width {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Width::Classes => serializer.serialize_str("classes"),
            Width::Fixed(width) => serializer.serialize_i64(*width),
        }
    }
}

impl<'de> Deserialize<'de> for Width {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        match (value.as_i64(), value.as_str()) {
            (Some(width), _) => Ok(Width::Fixed(width)),
            (_, Some("classes")) => Ok(Width::Classes),
            _ => Err(de::Error::custom(format!("expected a whole number or \"classes\", found {value}"))),
        }
    }
}

/// Height and width; written as one number where both are the same, as `[height, width]` elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pair(pub [i64; 2]);

impl Pair {
    pub fn square(side: i64) -> Self {
        Pair([side, side])
    }

    pub fn one() -> Self {
        Pair::square(1)
    }
}

impl Serialize for Pair {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            [height, width] if height == width => serializer.serialize_i64(height),
            pair => pair.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Pair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        if let Some(side) = value.as_i64() {
            return Ok(Pair::square(side));
        }
        serde_json::from_value(value.clone())
            .map(Pair)
            .map_err(|_| de::Error::custom(format!("expected a whole number or [height, width], found {value}")))
    }
}

fn batch_norm_epsilon() -> f64 {
    1e-5
}

fn is_false(value: &bool) -> bool {
    !value
}

fn one() -> i64 {
    1
}

fn yes() -> bool {
    true
}
