//! What a generator and a discriminator are trained to minimise.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::experiment::field::at;
use crate::range::within;

/// The losses of both networks. d(x) is the discriminator's output for a real image, d(g) that for a made one, p the logistic
/// function of it; all are means over a batch.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AdversarialLoss {
    /// Discriminator: -log p(x) - log(1 - p(g)); generator: log(1 - p(g)). Goodfellow et al., arXiv:1406.2661, equation 1.
    Minimax {},
    /// The same for the discriminator; generator: -log p(g), whose gradient does not vanish while the discriminator is
    /// right. Same paper, section 3.
    NonSaturating {},
    /// Discriminator: ((d(x) - 1)² + d(g)²) / 2; generator: (d(g) - 1)² / 2. Mao et al., arXiv:1611.04076, equation 9.
    LeastSquares {},
    /// Discriminator: max(0, 1 - d(x)) + max(0, 1 + d(g)); generator: -d(g). Lim and Ye, arXiv:1705.02894.
    Hinge {},
    /// Discriminator: d(g) - d(x), plus `gradient_penalty` times (|gradient of d| - 1)² at a random place between a real and
    /// a made image; generator: -d(g). Gulrajani et al., arXiv:1704.00028, algorithm 1.
    Wasserstein {
        /// The weight of the penalty.
        #[serde(default = "ten")]
        gradient_penalty: f64,
    },
}

fn ten() -> f64 {
    10.0
}

impl AdversarialLoss {
    /// Whether the discriminator's output stands for a probability, its logistic function.
    pub fn is_of_probabilities(&self) -> bool {
        matches!(self, AdversarialLoss::Minimax {} | AdversarialLoss::NonSaturating {})
    }

    /// Whether it has a target for real images, which can be smoothed.
    pub fn has_target(&self) -> bool {
        self.is_of_probabilities() || matches!(self, AdversarialLoss::LeastSquares {})
    }

    /// # Errors
    /// Returns an error with the JSON path if a number is out of its range.
    pub(super) fn check(&self) -> Result<()> {
        match self {
            AdversarialLoss::Wasserstein { gradient_penalty } => {
                at("loss.wasserstein.gradient_penalty", within(*gradient_penalty, 0.0, 1e6))
            }
            _ => Ok(()),
        }
    }
}
