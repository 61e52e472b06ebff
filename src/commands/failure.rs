//! Error messages: the whole chain of causes, with command-line flags in place of the experiment's fields.

use anyhow::Error;
use tch::TchError;

use crate::remedy::Remedy;
use crate::weights::fit::Unfit;

/// The error and its causes, one per line.
pub fn describe(error: &Error) -> String {
    let mut lines = error.chain().enumerate().map(|(depth, cause)| {
        let text = if let Some(remedy) = cause.downcast_ref::<Remedy>() {
            remedy.text(flag)
        } else if let Some(unfit) = cause.downcast_ref::<Unfit>() {
            unfit_text(unfit)
        } else if let Some(TchError::Shape(reason)) = cause.downcast_ref::<TchError>() {
            // Ours, about exchanges with other processes; tch would call it an invalid shape.
            reason.clone()
        } else {
            cause.to_string()
        };
        let text = text.split('\n').map(shortened).collect::<Vec<_>>().join("\n");
        if depth == 0 { format!("error: {text}") } else { format!("  because: {text}") }
    });
    let mut described = lines.next().unwrap_or_default();
    lines.for_each(|line| described += &format!("\n{line}"));
    described
}

/// The most characters of a line: a hostile file may have names of any length.
const LONGEST_LINE: usize = 2000;

/// The beginning and the end of a line that is too long.
fn shortened(line: &str) -> String {
    let count = line.chars().count();
    if count <= LONGEST_LINE {
        return line.to_string();
    }
    let half = LONGEST_LINE / 2;
    let (begin, end): (String, String) = (line.chars().take(half).collect(), line.chars().skip(count - half).collect());
    format!("{begin} ... ({} characters left out) ... {end}", count - 2 * half)
}

/// Weights that do not fit, with the renames with which they would.
fn unfit_text(unfit: &Unfit) -> String {
    if unfit.renames.is_empty() {
        return unfit.to_string();
    }
    let renames: Vec<String> = unfit.renames.iter().map(|rename| format!("--rename {rename}")).collect();
    format!("{unfit}\nThey pair up by shape. If they are the same layers under other names, add {}", renames.join(" "))
}

/// The flag that sets a field of the experiment.
fn flag(field: &str, value: &str) -> String {
    match field {
        "training.batch_size" => format!("--batch-size {value}"),
        "training.learning_rate" => format!("--lr {value}"),
        "training.val_fraction" => format!("--val-fraction {value}"),
        _ => format!("--set {field}={value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_any_length_is_shown_by_its_beginning_and_its_end() {
        let error = anyhow::anyhow!("network.{}: unknown field", "é".repeat(1_000_000)).context("mine.json");
        let described = describe(&error);
        assert!(
            described.starts_with("error: mine.json\n  because: network.éé") && described.ends_with("é: unknown field")
        );
        assert!(described.chars().count() < 2200, "{} characters", described.chars().count());
    }
}
