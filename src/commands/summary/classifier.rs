//! A classifier's layers, and what they cost.

use anyhow::Result;
use comfy_table::Table;
use serde_json::{Value, json};

use super::cost::{Total, layer, layers};
use crate::experiment::Experiment;
use crate::network::cost::{self, LayerCost};
use crate::report::Report;
use crate::report::table::{grouped, table};

/// A classifier and what it costs.
pub struct Classifier {
    experiment: Experiment,
    trunk: Vec<LayerCost>,
    heads: Vec<LayerCost>,
    total: Total,
    depth: usize,
    pooling_layers: usize,
}

impl Classifier {
    /// Counts what it costs.
    pub fn of(experiment: Experiment) -> Self {
        let nodes = experiment.nodes();
        let (trunk, heads): (Vec<LayerCost>, Vec<LayerCost>) =
            cost::rows(nodes).into_iter().partition(|row| !row.auxiliary);
        let (total, depth, pooling_layers) = (Total::of(&trunk), cost::depth(nodes), cost::pools(nodes));
        Classifier { experiment, trunk, heads, total, depth, pooling_layers }
    }

    fn with_heads(&self) -> i64 {
        self.total.parameters + Total::of(&self.heads).parameters
    }

    /// Shows its layers.
    pub fn show(&self, report: Report) -> Result<()> {
        let [channels, height, width] = self.experiment.network().input;
        report.result(layers(self.trunk.iter().chain(&self.heads)).trim_fmt())?;
        report.result(format!(
            "{}: {channels}x{height}x{width} in, {} classes out; depth {} (convolutional and fully connected layers), {} pooling layers",
            self.experiment.name, self.experiment.network().classes, self.depth, self.pooling_layers
        ))?;
        report.result(format!(
            "{} parameters ({} in convolutions, {} fully connected), {} multiply-adds per image",
            grouped(self.total.parameters),
            grouped(self.total.convolutional),
            grouped(self.total.fully_connected),
            grouped(self.total.multiply_adds)
        ))?;
        if !self.heads.is_empty() {
            let with_heads = grouped(self.with_heads());
            report
                .result(format!("{with_heads} parameters with the auxiliary classifiers, which only training uses"))?;
        }
        Ok(())
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        json!({
            "name": self.experiment.name, "input": self.experiment.network().input,
            "classes": self.experiment.network().classes, "depth": self.depth, "pooling_layers": self.pooling_layers,
            "parameters": self.total.parameters, "parameters_with_auxiliary": self.with_heads(),
            "parameters_in_convolutions": self.total.convolutional,
            "parameters_fully_connected": self.total.fully_connected, "multiply_adds": self.total.multiply_adds,
            "activation_bytes": self.total.activation_bytes, "published": self.experiment.published,
            "layers": self.trunk.iter().chain(&self.heads).map(layer).collect::<Vec<_>>(),
        })
    }
}

/// A row for each.
pub fn side_by_side(networks: &[&Classifier]) -> Table {
    let header =
        ["network", "depth", "parameters", "fully connected", "multiply-adds", "activations", "published error"];
    let rows = networks.iter().map(|network| {
        let published = network.experiment.published.first().map_or(String::new(), |it| {
            let percent = |error: Option<f64>| error.map_or("-".to_string(), |error| format!("{error:.2}"));
            format!("{} / {} % ({})", percent(it.top1_error), percent(it.top5_error), it.views)
        });
        let total = &network.total;
        [
            network.experiment.name.clone(),
            network.depth.to_string(),
            grouped(total.parameters),
            grouped(total.fully_connected),
            format!("{:.2} G", total.multiply_adds as f64 / 1e9),
            format!("{:.1} MB", total.activation_bytes as f64 / 1e6),
            published,
        ]
    });
    table(header, rows, 1..6)
}
