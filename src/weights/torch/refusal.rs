//! The refusal of a file that may well be intact, but holds something that a state dictionary does not need.

use std::error::Error;
use std::fmt::{self, Display, Formatter};

use anyhow::Result;

/// Why an intact file is refused. Its message ends with what to do.
#[derive(Debug)]
pub struct Refusal(String);

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Refusal {}

/// Gives up on a file.
///
/// # Errors
/// Always returns a [`Refusal`] for the reason `why`.
pub fn refuse<T>(why: impl Into<String>) -> Result<T> {
    let remedy = "Save the weights again with torch.save(model.state_dict(), ...) or as safetensors";
    Err(Refusal(format!("{}. {remedy}", why.into())).into())
}

/// Gives up on an archive that has a file of weights in it.
///
/// # Errors
/// Always returns a [`Refusal`].
pub fn refuse_archive<T>(inner: &str) -> Result<T> {
    Err(Refusal(format!("it is a zip archive with {inner} in it; unpack it first")).into())
}
