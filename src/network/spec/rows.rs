//! The rows of the papers' tables, which a file may contain instead of the layers that they stand for.

use serde::{Deserialize, Serialize};

use super::{Pair, is_false};

/// A convolution (`conv`), a batch norm (`bn`) if asked for, and a ReLU.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BasicConv {
    /// Its name [default: its position in the list].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The number of output channels.
    pub channels: i64,
    /// The convolution's size in pixels.
    pub kernel: Pair,
    /// The pixels between two positions.
    #[serde(default = "Pair::one")]
    pub stride: Pair,
    /// Zeros around the map, in pixels on each side.
    #[serde(default)]
    pub padding: Pair,
    /// Whether there is a batch norm; the convolution then has no bias.
    #[serde(default)]
    pub batch_norm: bool,
}

/// 3x3 convolutions with padding 1, each with a ReLU (and a batch norm before it if asked for), then a 2x2 max pool.
/// Simonyan and Zisserman, arXiv:1409.1556, table 1.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct VggStage {
    /// The number of convolutions.
    pub convs: usize,
    /// Their output channels.
    pub channels: i64,
    /// Whether there are batch norms.
    #[serde(default)]
    pub batch_norm: bool,
}

/// An inception module. Szegedy et al., arXiv:1409.4842, table 1.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Inception {
    /// Its name.
    pub name: String,
    /// The table's six numbers: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
    pub channels: [i64; 6],
    /// The kernels, one after another, where the table has its 3x3: `[3]`, or `[[1, 3], [3, 1]]`.
    #[serde(default = "Inception::three", skip_serializing_if = "Inception::is_three")]
    pub kernels_3x3: Vec<Pair>,
    /// The same where the table has its 5x5: `[5]`, or `[3, 3]`.
    #[serde(default = "Inception::five", skip_serializing_if = "Inception::is_five")]
    pub kernels_5x5: Vec<Pair>,
    /// Whether each convolution has a batch norm.
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

/// Residual blocks one after another, the first of them with the stage's stride. He et al., arXiv:1512.03385, table 1.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ResidualStage {
    /// Its name.
    pub name: String,
    /// What a block's body is.
    #[serde(default, skip_serializing_if = "Block::is_basic")]
    pub block: Block,
    /// The number of blocks.
    pub blocks: usize,
    /// The output channels of the 3x3 convolutions.
    pub channels: i64,
    /// How much coarser the stage's output is than its input.
    #[serde(default = "one")]
    pub stride: i64,
    /// Which shortcuts the blocks have.
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
    /// 1x1, 3x3, and a 1x1 to four times the channels. The stage's stride is in the 3x3, as in torchvision and its
    /// weights; the paper has it in the first 1x1.
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
    /// Option A with the zeros on both sides of the channels, as common code for CIFAR has it.
    ABothSides,
    /// Projections where the size changes, identity elsewhere.
    #[default]
    B,
    /// Projections everywhere.
    C,
    /// No shortcuts: the paper's plain counterpart.
    None,
}

fn one() -> i64 {
    1
}
