//! Parses the command line, runs the command, prints the whole chain of an error and sets the exit status.

use std::process::ExitCode;

use clap::Parser;
use topfive::cli::Cli;
use topfive::report::{ReaderGone, to_stderr};
use topfive::{commands, memory};

fn main() -> ExitCode {
    memory::keep_freed();
    match commands::run(Cli::parse().command) {
        Ok(outcome) => ExitCode::from(outcome.exit_status()),
        // `| head` has seen enough.
        Err(error) if error.is::<ReaderGone>() => ExitCode::SUCCESS,
        Err(error) => {
            to_stderr(&format!("{}\n", commands::describe(&error)));
            ExitCode::from(2)
        }
    }
}
