//! Standard output: everything that is written to it passes through here, whether for people or for programs.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};

/// The reader of standard output went away, as `| head` does: nobody waits for the rest of the work.
#[derive(Debug)]
pub struct ReaderGone;

impl Display for ReaderGone {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("the reader of standard output went away")
    }
}

impl Error for ReaderGone {}

/// Writes `text` to standard output.
///
/// # Errors
/// Returns [`ReaderGone`] if its reader went away, and any other error as it is.
pub fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        written => written.context("cannot write the result to standard output"),
    }
}
