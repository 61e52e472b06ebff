//! Models side by side on the same images: which of them only one gets right, and whether that can be chance.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::cli::Eval;
use crate::data::dataset::Sample;
use crate::evaluation::Outcome;
use crate::metrics::{mcnemar, rank};
use crate::model::Ensemble;
use crate::report::Report;
use crate::views::Views;

/// Differences are told from chance if chance would make them this rarely: the 5 % that go with intervals of 95 %.
const SIGNIFICANCE: f64 = 0.05;

/// Every pair of models under every protocol.
pub struct Comparison {
    /// By model: what it is called.
    names: Vec<String>,
    pairs: Vec<Pair>,
}

/// Two models under one protocol.
struct Pair {
    /// The place of the protocol.
    protocol: usize,
    /// The places of the models.
    models: [usize; 2],
    /// The images that only the first, and only the second, gets right, by path.
    only: [Vec<String>; 2],
}

impl Comparison {
    /// What --compare asks for; `None` without it.
    ///
    /// # Errors
    /// Returns an error if there is one model only.
    pub fn new(args: &Eval, ensemble: &Ensemble, protocols: &[Views]) -> Result<Option<Self>> {
        if !args.compare {
            return Ok(None);
        }
        let count = ensemble.models().len();
        ensure!(
            count > 1,
            "--compare: expected two models or more, found one; name the other too: topfive eval A B --compare"
        );
        let pair = |protocol, models| Pair { protocol, models, only: Default::default() };
        let pairs = (0..protocols.len()).flat_map(|protocol| {
            (0..count).flat_map(move |first| (first + 1..count).map(move |second| pair(protocol, [first, second])))
        });
        Ok(Some(Comparison { names: names(ensemble), pairs: pairs.collect() }))
    }

    /// Counts an image that could be read.
    pub fn count(&mut self, sample: &Sample, outcome: &Outcome) {
        let Ok(averaged) = outcome else { return };
        for Pair { protocol, models, only } in &mut self.pairs {
            let is_right = models.map(|model| rank(&averaged[*protocol].members[model], sample.label) == 0);
            match is_right {
                [true, false] => only[0].push(sample.source.name()),
                [false, true] => only[1].push(sample.source.name()),
                _ => {}
            }
        }
    }

    /// What the models are called, in their order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// # Errors
    /// Returns an error if standard output cannot be written to.
    pub fn show(&self, protocols: &[Views], report: Report) -> Result<()> {
        for pair in &self.pairs {
            let [a, b] = pair.models.map(|model| &self.names[model]);
            let ([only_a, only_b], p) = (pair.counts(), pair.p_value());
            let verdict = if p < SIGNIFICANCE {
                let better = if only_a > only_b { a } else { b };
                format!("chance hardly explains this: {better} is better")
            } else {
                "the difference cannot be told from chance".to_string()
            };
            report.result(format!(
                "{a} and {b}, {} view: only {a} is right on {only_a} images, only {b} on {only_b}; {verdict} (McNemar's exact test, p = {})",
                protocols[pair.protocol],
                if p < 0.0001 { format!("{p:.1e}") } else { format!("{p:.4}") },
            ))?;
        }
        Ok(())
    }

    /// The comparisons as JSON, with the paths of the images.
    pub fn json(&self, protocols: &[Views]) -> Value {
        let pair = |pair: &Pair| {
            let [first, second] = &pair.only;
            json!({
                "views": protocols[pair.protocol].to_string(), "models": pair.models.map(|model| &self.names[model]),
                "only_first": pair.counts()[0], "only_second": pair.counts()[1], "p_value": pair.p_value(),
                "images_only_first": first, "images_only_second": second,
            })
        };
        self.pairs.iter().map(pair).collect()
    }
}

impl Pair {
    fn counts(&self) -> [u64; 2] {
        [&self.only[0], &self.only[1]].map(|images| images.len() as u64)
    }

    fn p_value(&self) -> f64 {
        let [first, second] = self.counts();
        mcnemar(first, second)
    }
}

/// The models' names; where two have the same, their weights tell them apart.
fn names(ensemble: &Ensemble) -> Vec<String> {
    let models = ensemble.models();
    let is_unique = |name: &str| models.iter().filter(|model| model.experiment.name == name).count() == 1;
    let name = |name: &str, weights: String| if is_unique(name) { name.to_string() } else { weights };
    models.iter().map(|model| name(&model.experiment.name, model.weights.display().to_string())).collect()
}
