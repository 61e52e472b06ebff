//! How the `training` section updates weights: by which optimiser, with gradients cut how far, in which numbers.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::field::at;
use crate::range::{positive, within};

/// An optimiser and its settings; its name alone stands for its defaults.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerSpec {
    /// Stochastic gradient descent with momentum.
    Sgd(SgdSpec),
    /// Adam with decoupled weight decay: Loshchilov and Hutter, arXiv:1711.05101. Its learning rates are far below
    /// those of SGD: 0.001 is usual.
    Adamw(AdamwSpec),
    /// Gradients divided by a running mean of their size: Hinton's lecture 6e, in PyTorch's form.
    Rmsprop(RmspropSpec),
}

/// The settings of stochastic gradient descent.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SgdSpec {
    /// The fraction of the momentum buffer that each step keeps.
    pub momentum: f64,
    /// Whether to use Nesterov momentum: Sutskever et al., ICML 2013, in PyTorch's form.
    pub nesterov: bool,
}

impl Default for SgdSpec {
    fn default() -> Self {
        SgdSpec { momentum: 0.9, nesterov: false }
    }
}

/// The settings of AdamW.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamwSpec {
    /// The fractions of the running means of the gradient and of its square that each step keeps.
    pub betas: [f64; 2],
    /// Added to the root of the mean square.
    pub epsilon: f64,
}

impl Default for AdamwSpec {
    fn default() -> Self {
        AdamwSpec { betas: [0.9, 0.999], epsilon: 1e-8 }
    }
}

/// The settings of RMSprop.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RmspropSpec {
    /// The fraction of the running mean of the squared gradient that each step keeps: PyTorch's alpha.
    pub decay: f64,
    /// Added to the root of the mean square.
    pub epsilon: f64,
    /// The fraction of the momentum buffer that each step keeps; 0 for none.
    pub momentum: f64,
    /// Whether the gradient is divided by its running deviation rather than by the root of its mean square.
    pub centered: bool,
}

impl Default for RmspropSpec {
    fn default() -> Self {
        RmspropSpec { decay: 0.99, epsilon: 1e-8, momentum: 0.0, centered: false }
    }
}

/// How large gradients are cut before an update.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Clip {
    /// All gradients are scaled down together until their norm, over all of them, is at most this: Pascanu et al.,
    /// arXiv:1211.5063.
    Norm(f64),
    /// Each value is limited to the range from minus to plus this.
    Value(f64),
}

/// The order of a batch's values in memory during training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryFormat {
    /// The one that is faster for the network on the device.
    #[default]
    Auto,
    /// Image, channel, row, column.
    Contiguous,
    /// Image, row, column, channel.
    ChannelsLast,
}

impl OptimizerSpec {
    pub(super) fn check(&self) -> Result<()> {
        match self {
            OptimizerSpec::Sgd(sgd) => {
                ensure!(
                    !sgd.nesterov || sgd.momentum > 0.0,
                    "training.optimizer.sgd.nesterov: true needs a momentum above 0, found 0; set training.optimizer.sgd.momentum, or leave nesterov out"
                );
                at("optimizer.sgd.momentum", within(sgd.momentum, 0.0, 0.9999))
            }
            OptimizerSpec::Adamw(adamw) => {
                for (index, &beta) in adamw.betas.iter().enumerate() {
                    at(&format!("optimizer.adamw.betas[{index}]"), within(beta, 0.0, 0.999_999))?;
                }
                at("optimizer.adamw.epsilon", positive(adamw.epsilon, 1.0))
            }
            OptimizerSpec::Rmsprop(rmsprop) => {
                at("optimizer.rmsprop.decay", within(rmsprop.decay, 0.0, 0.999_999))?;
                at("optimizer.rmsprop.epsilon", positive(rmsprop.epsilon, 1.0))?;
                at("optimizer.rmsprop.momentum", within(rmsprop.momentum, 0.0, 0.9999))
            }
        }
    }
}

impl Clip {
    /// # Errors
    /// Returns an error with the JSON path if the number is out of its range.
    pub(super) fn check(&self) -> Result<()> {
        match *self {
            Clip::Norm(most) => at("clip.norm", positive(most, 1e9)),
            Clip::Value(most) => at("clip.value", positive(most, 1e9)),
        }
    }
}
