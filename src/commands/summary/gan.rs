//! The layers of a generator and of its discriminator, and what they cost.

use anyhow::Result;
use comfy_table::Table;
use serde_json::{Value, json};

use super::cost::{Total, layer, layers};
use crate::experiment::Gan;
use crate::network::cost::{self, LayerCost};
use crate::report::Report;
use crate::report::table::{grouped, table};

/// A generator, a discriminator, and what they cost.
pub struct Opponents {
    gan: Gan,
    /// Each part's name, layers and their sums.
    parts: [(&'static str, Vec<LayerCost>, Total); 2],
}

impl Opponents {
    /// Counts what they cost.
    pub fn of(gan: Gan) -> Self {
        let parts = gan.parts().map(|(name, _, nodes)| {
            let rows = cost::rows(nodes);
            let total = Total::of(&rows);
            (name, rows, total)
        });
        Opponents { gan, parts }
    }

    fn image(&self) -> String {
        self.gan.image().map(|side| side.to_string()).join("x")
    }

    /// Shows the layers of both.
    pub fn show(&self, report: Report) -> Result<()> {
        for (name, rows, total) in &self.parts {
            report.result(layers(rows.iter()).trim_fmt())?;
            report.result(format!(
                "{name}: {} parameters, {} multiply-adds per image",
                grouped(total.parameters),
                grouped(total.multiply_adds)
            ))?;
        }
        let classes = match self.gan.classes() {
            0 => String::new(),
            classes => format!(", given one of {classes} classes"),
        };
        report.result(format!(
            "{}: {} latent values in, images of {} out{classes}",
            self.gan.name,
            self.gan.latent.size,
            self.image()
        ))
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let mut json = json!({
            "name": self.gan.name, "latent": self.gan.latent.size, "image": self.gan.image(),
            "classes": self.gan.classes(),
        });
        for (name, rows, total) in &self.parts {
            json[name] = json!({
                "parameters": total.parameters, "multiply_adds": total.multiply_adds,
                "activation_bytes": total.activation_bytes, "layers": rows.iter().map(layer).collect::<Vec<_>>(),
            });
        }
        json
    }
}

/// A row for each.
pub fn side_by_side(all: &[&Opponents]) -> Table {
    let header = ["generator and discriminator", "image", "parameters of G", "of D", "multiply-adds of G", "of D"];
    let rows = all.iter().map(|it| {
        let [(_, _, generator), (_, _, discriminator)] = &it.parts;
        let giga = |multiply_adds: i64| format!("{:.3} G", multiply_adds as f64 / 1e9);
        [
            it.gan.name.clone(),
            it.image(),
            grouped(generator.parameters),
            grouped(discriminator.parameters),
            giga(generator.multiply_adds),
            giga(discriminator.multiply_adds),
        ]
    });
    table(header, rows, 1..6)
}
