//! What is published for a network: its errors, and its weights.

use serde::{Deserialize, Serialize};

use crate::views::Views;

/// A published result, in percent.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The protocol under which it was measured.
    pub views: Views,
    /// Percent of the images whose most probable class is not the true one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top1_error: Option<f64>,
    /// Percent of the images whose true class is not among the five most probable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top5_error: Option<f64>,
    /// The errors of ILSVRC's second task, where boxes must be right as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub localisation: Option<PublishedLocalisation>,
}

impl Published {
    /// The top-1 and top-5 error.
    pub fn errors(&self) -> [Option<f64>; 2] {
        [self.top1_error, self.top5_error]
    }
}

/// Published localisation errors, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedLocalisation {
    /// Of the most probable class.
    pub top1_error: f64,
    /// Of the five most probable ones.
    pub top5_error: f64,
}

/// Published weights: a file that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedWeights {
    /// Its address.
    pub url: String,
    /// The beginning of its SHA-256: 8 to 64 hexadecimal digits.
    pub sha256: String,
}
