//! Latent vectors: what a generator makes images of.

use serde::{Deserialize, Serialize};

/// Where latent vectors come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Latent {
    /// The number of values.
    pub size: i64,
    /// How each of them is distributed.
    #[serde(default)]
    pub distribution: LatentDistribution,
}

/// How each value of a latent vector is distributed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LatentDistribution {
    /// Normal around 0 with variance 1.
    #[default]
    Normal,
    /// Uniform from -1 to 1.
    Uniform,
}
