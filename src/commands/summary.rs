//! `topfive summary`: a network's layers, with their parameters and multiply-adds.

use std::path::{Path, PathBuf};

use anyhow::Result;
use comfy_table::Table;
use serde_json::{Value, json};

use super::{Outcome, changes};
use crate::cli::Summary;
use crate::experiment::{Change, Experiment, builtin};
use crate::model::{Found, checkpoint, find};
use crate::network::cost::{self, LayerCost};
use crate::report::Report;
use crate::report::records::write_json;
use crate::report::table::{grouped, table};

/// Shows one network's layers, or several networks side by side; all built-in ones if none are named.
pub fn run(args: Summary) -> Result<Outcome> {
    let report = Report::new(args.output.quiet, args.output.json.as_deref())?;
    let (changes, mut names) = (changes(&args.sets), args.models);
    if names.is_empty() {
        names = builtin::experiments().map(PathBuf::from).collect();
    }
    let networks = names.iter().map(|name| Described::read(name, &changes)).collect::<Result<Vec<_>>>()?;
    let json = match networks.as_slice() {
        [network] => {
            network.show(report)?;
            network.json()
        }
        several => {
            report.result(side_by_side(several).trim_fmt())?;
            several.iter().map(Described::json).collect()
        }
    };
    args.output.json.map_or(Ok(()), |path| write_json(&path, &json))?;
    Ok(Outcome::Done)
}

/// A network and what it costs.
struct Described {
    experiment: Experiment,
    trunk: Vec<LayerCost>,
    heads: Vec<LayerCost>,
    total: Total,
    depth: usize,
    pooling_layers: usize,
}

impl Described {
    fn read(name: &Path, changes: &[Change]) -> Result<Self> {
        let experiment = match find(name)? {
            Found::Experiment(name) => Experiment::load(&name, changes)?,
            Found::Checkpoint(path) => checkpoint::open(&path)?.0.experiment(changes)?,
        };
        let nodes = experiment.nodes();
        let (trunk, heads): (Vec<LayerCost>, Vec<LayerCost>) =
            cost::rows(nodes).into_iter().partition(|row| !row.auxiliary);
        let (total, depth, pooling_layers) = (Total::of(&trunk), cost::depth(nodes), cost::pools(nodes));
        Ok(Described { experiment, trunk, heads, total, depth, pooling_layers })
    }

    fn with_heads(&self) -> i64 {
        self.total.parameters + Total::of(&self.heads).parameters
    }

    fn show(&self, report: Report) -> Result<()> {
        let [channels, height, width] = self.experiment.network().input;
        report.result(layers(&self.trunk, &self.heads).trim_fmt())?;
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

    fn json(&self) -> Value {
        let layer = |row: &LayerCost| {
            json!({
                "path": row.path, "type": row.kind, "output": row.output.dimensions(), "neurons": row.output.elements(),
                "parameters": row.parameters, "multiply_adds": row.multiply_adds, "auxiliary": row.auxiliary,
            })
        };
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

fn side_by_side(networks: &[Described]) -> Table {
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

struct Total {
    parameters: i64,
    convolutional: i64,
    fully_connected: i64,
    multiply_adds: i64,
    /// Bytes of all layers' outputs for one image, as 32-bit floats: what a training step keeps for the backward pass.
    activation_bytes: i64,
}

impl Total {
    fn of(rows: &[LayerCost]) -> Self {
        let parameters = |kind: Option<&str>| {
            rows.iter().filter(|row| kind.is_none_or(|kind| row.kind == kind)).map(|row| row.parameters).sum()
        };
        Total {
            parameters: parameters(None),
            convolutional: parameters(Some("conv")),
            fully_connected: parameters(Some("linear")),
            multiply_adds: rows.iter().map(|row| row.multiply_adds).sum(),
            activation_bytes: rows.iter().map(|row| 4 * row.output.elements()).sum(),
        }
    }
}

fn layers(trunk: &[LayerCost], heads: &[LayerCost]) -> Table {
    let header = ["layer", "type", "output", "neurons", "parameters", "multiply-adds"];
    let rows = trunk.iter().chain(heads).map(|row| {
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
