//! The average of the weights that is kept beside them.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::field::at;
use crate::range::within;

/// An average over the weights of many steps, updated after every step. Running statistics of batch norms are averaged
/// in the same way, as PyTorch's `AveragedModel` with `use_buffers=True`; no pass over the images computes them anew.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Average {
    /// The exponential moving average from the initial weights on: average = d * average + (1 - d) * weights.
    Ema {
        /// The highest d. In the n-th step, counted from 0, d is at most (1 + n) / (10 + n), as in TensorFlow's
        /// `ExponentialMovingAverage` with `num_updates`, so that a short run is not held back by its initial weights.
        #[serde(default = "decay")]
        decay: f64,
    },
    /// The mean of the weights after each step in the last part of the run. Polyak and Juditsky, 1992.
    Polyak {
        /// The share of the run at which that part begins.
        #[serde(default = "from")]
        from: f64,
    },
}

fn decay() -> f64 {
    0.9999
}

fn from() -> f64 {
    0.75
}

impl Average {
    /// # Errors
    /// Returns an error with the JSON path if a number is out of its range.
    pub(super) fn check(&self) -> Result<()> {
        match self {
            Average::Ema { decay } => at("average.ema.decay", within(*decay, 0.001, 0.999_999)),
            Average::Polyak { from } => at("average.polyak.from", within(*from, 0.0, 0.9999)),
        }
    }
}
