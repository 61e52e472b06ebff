//! Error messages: the whole chain of causes, with command-line flags in place of the experiment's fields.

use anyhow::Error;

use crate::remedy::Remedy;
use crate::weights::fit::Unfit;

/// The error and its causes, one per line.
pub fn describe(error: &Error) -> String {
    let mut lines = error.chain().enumerate().map(|(depth, cause)| {
        let text = match (cause.downcast_ref::<Remedy>(), cause.downcast_ref::<Unfit>()) {
            (Some(remedy), _) => remedy.text(flag),
            (_, Some(unfit)) => unfit_text(unfit),
            _ => cause.to_string(),
        };
        if depth == 0 { format!("error: {text}") } else { format!("  because: {text}") }
    });
    let mut described = lines.next().unwrap_or_default();
    lines.for_each(|line| described += &format!("\n{line}"));
    described
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
