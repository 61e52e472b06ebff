//! A run's log as a table: a row per epoch, as CSV.

use std::iter::once;

use anyhow::Result;
use serde_json::Value;

use super::records::csv;

/// The columns, and where the log's line of an epoch has them.
const COLUMNS: [(&str, &str); 14] = [
    ("epoch", "/epoch"),
    ("step", "/step"),
    ("rate", "/rate"),
    ("training_loss", "/training_loss"),
    ("loss", "/loss"),
    ("top1_error", "/top1_error"),
    ("top5_error", "/top5_error"),
    ("averaged_loss", "/averaged/loss"),
    ("averaged_top1_error", "/averaged/top1_error"),
    ("averaged_top5_error", "/averaged/top5_error"),
    ("best", "/best"),
    ("images_per_second", "/images_per_second"),
    ("waiting_percent", "/waiting_percent"),
    ("seconds", "/seconds"),
];

/// The table of a log's lines of epochs and of steps. A cell is empty if its epoch lacks the number. The learning rate is
/// that of the epoch's last step in the log.
///
/// # Errors
/// Returns an error only if memory runs out: the table is written to memory.
pub fn table(epochs: &[Value], steps: &[Value]) -> Result<String> {
    let header = COLUMNS.map(|(name, _)| name.to_string());
    let mut steps = steps.iter().peekable();
    let rows = epochs.iter().map(|epoch| {
        let mut rate = None;
        while let Some(step) = steps.next_if(|step| step["step"].as_u64() <= epoch["step"].as_u64()) {
            rate = Some(&step["rate"]);
        }
        COLUMNS.map(|(name, place)| cell(if name == "rate" { rate } else { epoch.pointer(place) }))
    });
    csv(once(header).chain(rows))
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(word)) => word.clone(),
        Some(number) => number.to_string(),
    }
}
