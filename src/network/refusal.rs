//! The error for an invalid network.

use std::fmt;

/// An invalid layer, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its JSON path.
    pub at: String,
    /// What was expected and what was found.
    pub reason: String,
    /// Whether a larger input could help.
    pub too_small: bool,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.reason)
    }
}

impl std::error::Error for Refusal {}

/// The result of a step of a proof.
pub type Proof<T> = Result<T, Refusal>;

/// Refuses the layer at this JSON path.
pub fn refuse<T>(at: &str, reason: impl Into<String>) -> Proof<T> {
    Err(Refusal { at: at.to_string(), reason: reason.into(), too_small: false })
}
