//! An error that a change to the experiment can fix.

use std::fmt;

/// What failed, and the fields to set to fix it. The command line shows them as flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// What failed, as a sentence without its full stop.
    pub problem: String,
    /// Alternatives: a field of the experiment and the JSON of its value.
    pub changes: Vec<(&'static str, String)>,
}

impl Remedy {
    /// The whole sentence, each change written by `write`.
    pub fn text(&self, write: impl Fn(&str, &str) -> String) -> String {
        let changes: Vec<String> = self.changes.iter().map(|(field, value)| write(field, value)).collect();
        format!("{}. Try {}", self.problem, changes.join(" or "))
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.text(|field, value| format!("{field}={value}")))
    }
}

impl std::error::Error for Remedy {}
