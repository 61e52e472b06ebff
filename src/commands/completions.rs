//! `topfive completions`: completion scripts for shells.

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use super::Outcome;
use crate::cli::{Cli, Completions, PUBLISHED};
use crate::experiment::builtin;
use crate::report::stdout;

/// Prints the completions.
pub fn run(args: Completions) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "topfive", &mut script);
    stdout::print(&with_files(args.shell, String::from_utf8(script)?))?;
    Ok(Outcome::Done)
}

/// Adds files to the completions of built-in names. clap's scripts for zsh and fish offer only one or the other, and
/// the one for fish offers no names for positional arguments; the one for bash falls back on files by itself.
fn with_files(shell: Shell, script: String) -> String {
    let experiments: Vec<&str> = builtin::all().collect();
    let recipes: Vec<&str> = builtin::recipes().collect();
    let lists = [experiments.join(" "), recipes.join(" "), PUBLISHED.to_string()];
    match shell {
        Shell::Zsh => {
            let script = lists.iter().fold(script, |script, names| {
                script.replace(&format!(":({names})"), &format!(": _topfive_names_or_files {names}"))
            });
            let function = "_topfive_names_or_files() { compadd -- \"$@\"; _files }";
            script.replacen("#compdef topfive\n", &format!("#compdef topfive\n\n{function}\n"), 1)
        }
        Shell::Fish => {
            let options =
                script.lines().map(|line| match ["-l weights ", "-l recipe "].iter().any(|it| line.contains(it)) {
                    true => line.replace(" -r -f -a ", " -r -a "),
                    false => line.to_string(),
                });
            let positional = ["train", "eval", "predict", "summary"].map(|command| {
                format!("complete -c topfive -n \"__fish_topfive_using_subcommand {command}\" -a \"{}\"", lists[0])
            });
            options.chain(positional).map(|line| line + "\n").collect()
        }
        _ => script,
    }
}
