//! The curves of a training run, and its epochs as a table.

use serde_json::Value;

use super::chart::{Labels, Line, chart};
use super::html::{Column, percent, scrolling, table};

/// The progress of a training run, from its log.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The lines of its epochs.
    pub epochs: Vec<Value>,
    /// The learning rate by epoch.
    pub rates: Vec<(f64, f64)>,
}

/// Charts of the losses, the errors and the learning rate, and a table to unfold.
pub fn section(progress: &Progress) -> String {
    let line = |name, colour, is_dashed, pointer: &str| {
        let number = |epoch: &Value| Some((epoch["epoch"].as_f64()?, epoch.pointer(pointer)?.as_f64()?));
        Line { name, colour, is_dashed, points: progress.epochs.iter().filter_map(number).collect() }
    };
    let errors = |title, pointer: &str| {
        let lines = [
            line("weights", "wrong", false, pointer),
            line("averaged weights", "average", true, &format!("/averaged{pointer}")),
        ];
        chart(Labels { title, x: "epoch", unit: "&nbsp;%" }, &lines)
    };
    let losses = [
        line("training", "right", false, "/training_loss"),
        line("validation", "wrong", false, "/loss"),
        line("validation, averaged weights", "average", true, "/averaged/loss"),
    ];
    let rates = [Line { name: "learning rate", colour: "right", is_dashed: false, points: progress.rates.clone() }];
    let charts = [
        chart(Labels { title: "Loss", x: "epoch", unit: "" }, &losses),
        errors("Top-1 error on the validation images", "/top1_error"),
        errors("Top-5 error on the validation images", "/top5_error"),
        chart(Labels { title: "Learning rate", x: "epoch", unit: "" }, &rates),
    ];
    let epochs = scrolling("Epochs", "long", &epochs(&progress.epochs));
    format!(
        "<div class=\"charts\">{}</div>\n<details><summary>All epochs as a table</summary>{epochs}</details>\n",
        charts.concat()
    )
}

/// A column: its heading, where its number is in a line of the log, and how it is written.
type Field = (&'static str, &'static str, fn(f64) -> String);

/// One row per epoch; columns that no epoch has a number for are left out.
fn epochs(epochs: &[Value]) -> String {
    let all: [Field; 9] = [
        ("Epoch", "/epoch", |epoch| if epoch.fract() == 0.0 { format!("{epoch:.0}") } else { format!("{epoch:.2}") }),
        ("Training loss", "/training_loss", |loss| format!("{loss:.4}")),
        ("Validation loss", "/loss", |loss| format!("{loss:.4}")),
        ("Top-1 error", "/top1_error", percent),
        ("Top-5 error", "/top5_error", percent),
        ("Top-1 error, averaged", "/averaged/top1_error", percent),
        ("Top-5 error, averaged", "/averaged/top5_error", percent),
        ("Images/s", "/images_per_second", |speed| format!("{speed:.0}")),
        ("Seconds", "/seconds", |seconds| format!("{seconds:.1}")),
    ];
    let number = |epoch: &Value, pointer: &str| epoch.pointer(pointer).and_then(Value::as_f64);
    let shown: Vec<Field> =
        all.into_iter().filter(|(_, pointer, _)| epochs.iter().any(|it| number(it, pointer).is_some())).collect();
    let columns: Vec<Column> = shown.iter().map(|(title, ..)| (*title, true)).chain([("Best so far", false)]).collect();
    let rows = epochs.iter().map(|epoch| {
        let cell = |(_, pointer, text): &Field| number(epoch, pointer).map_or("–".into(), text);
        let best = match epoch["best"].as_str() {
            Some("averaged") => "averaged weights",
            Some(_) => "yes",
            None => "",
        };
        shown.iter().map(cell).chain([best.to_string()]).collect()
    });
    table("Every epoch of the run", "", &columns, rows)
}
