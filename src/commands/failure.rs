//! Error messages: the whole chain of causes, with command-line flags in place of the experiment's fields.

use anyhow::Error;

use crate::remedy::Remedy;

/// The error and its causes, one per line.
pub fn describe(error: &Error) -> String {
    let mut lines = error.chain().enumerate().map(|(depth, cause)| {
        let text = cause.downcast_ref::<Remedy>().map_or_else(|| cause.to_string(), |remedy| remedy.text(flag));
        if depth == 0 { format!("error: {text}") } else { format!("  because: {text}") }
    });
    let mut described = lines.next().unwrap_or_default();
    lines.for_each(|line| described += &format!("\n{line}"));
    described
}

/// The flag that sets a field of the experiment.
fn flag(field: &str, value: &str) -> String {
    match field {
        "training.batch_size" => format!("--batch-size {value}"),
        "training.learning_rate" => format!("--lr {value}"),
        _ => format!("--set {field}={value}"),
    }
}
