//! Layers as rows of a table, and the sums of what they cost.

use comfy_table::Table;
use serde_json::{Value, json};

use crate::network::cost::LayerCost;
use crate::report::table::{grouped, table};

/// The sums over layers.
#[derive(Clone, Copy, Debug)]
pub struct Total {
    /// Trainable parameters.
    pub parameters: i64,
    /// Those of convolutions and their transposes.
    pub convolutional: i64,
    /// Those of fully connected layers.
    pub fully_connected: i64,
    /// Per image.
    pub multiply_adds: i64,
    /// Bytes of all layers' outputs for one image, as 32-bit floats: what a training step keeps for the backward pass.
    pub activation_bytes: i64,
}

impl Total {
    /// Those of these layers.
    pub fn of(rows: &[LayerCost]) -> Self {
        let of_kinds =
            |kinds: &[&str]| rows.iter().filter(|row| kinds.contains(&row.kind)).map(|row| row.parameters).sum();
        Total {
            parameters: rows.iter().map(|row| row.parameters).sum(),
            convolutional: of_kinds(&["conv", "conv_transpose"]),
            fully_connected: of_kinds(&["linear"]),
            multiply_adds: rows.iter().map(|row| row.multiply_adds).sum(),
            activation_bytes: rows.iter().map(|row| 4 * row.output.elements()).sum(),
        }
    }
}

/// A layer for programs.
pub fn layer(row: &LayerCost) -> Value {
    json!({
        "path": row.path, "type": row.kind, "output": row.output.dimensions(), "neurons": row.output.elements(),
        "parameters": row.parameters, "multiply_adds": row.multiply_adds, "auxiliary": row.auxiliary,
    })
}

/// A row for each layer.
pub fn layers<'a>(rows: impl Iterator<Item = &'a LayerCost>) -> Table {
    let header = ["layer", "type", "output", "neurons", "parameters", "multiply-adds"];
    let rows = rows.map(|row| {
        let name = if row.auxiliary { format!("{} (training only)", row.path) } else { row.path.clone() };
        let blank_zero = |number: i64| if number == 0 { String::new() } else { grouped(number) };
        [
            name,
            row.kind.to_string(),
            row.output.to_string(),
            grouped(row.output.elements()),
            blank_zero(row.parameters),
            blank_zero(row.multiply_adds),
        ]
    });
    table(header, rows, 2..6)
}
