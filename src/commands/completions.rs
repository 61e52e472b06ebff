//! `topfive completions`: what a shell offers for a half-typed command.

use std::io::{self, Write};

use anyhow::{Context, Result};
use clap::CommandFactory;

use super::Outcome;
use crate::cli::{Cli, Completions};

/// Prints the completions.
pub fn run(args: Completions) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "topfive", &mut script);
    match io::stdout().write_all(&script) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot write the completions"),
        _ => Ok(Outcome::Done),
    }
}
