//! Parses the command line, runs the command, prints the whole chain of an error and sets the exit status.

use std::process::ExitCode;

use clap::Parser;
use topfive::cli::Cli;
use topfive::{commands, memory};

fn main() -> ExitCode {
    memory::keep_freed();
    match commands::run(Cli::parse().command) {
        Ok(outcome) => ExitCode::from(outcome.exit_status()),
        Err(error) => {
            eprintln!("{}", commands::describe(&error));
            ExitCode::from(2)
        }
    }
}
