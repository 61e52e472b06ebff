//! Models that classify together: their class probabilities are averaged. A single model is an ensemble of one.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use tch::Device;

use crate::config::Experiment;
use crate::evaluation::Member;
use crate::model::{Model, is_config};
use crate::nearest::nearest;
use crate::views::Views;

pub struct Ensemble {
    /// At least one.
    pub models: Vec<Model>,
    /// For each model, and each class of the first one, the model's own number of it; `None` where they are the same.
    orders: Vec<Option<Vec<usize>>>,
}

impl Ensemble {
    /// Opens models; each config among them takes the next of the weights files.
    ///
    /// # Errors
    /// Where one cannot be opened, configs and weights do not pair up, or the models know different classes.
    pub fn open(paths: &[PathBuf], weights: &[PathBuf], changes: &[String], device: Device) -> Result<Self> {
        let are_configs = paths.iter().map(|path| is_config(path)).collect::<Result<Vec<_>>>()?;
        let configs = are_configs.iter().filter(|&&is_config| is_config).count();
        if let Some(over) = weights.get(configs) {
            bail!(
                "--weights {} has no config to go with; checkpoints and run folders hold weights of their own",
                over.display()
            );
        }
        let mut weights = weights.iter();
        let open = |(path, is_config): (&PathBuf, bool)| {
            if !is_config {
                return Model::from_checkpoint(path, changes, device);
            }
            let weights = weights.next().with_context(|| {
                format!(
                    "{} describes a network but has no trained weights; add --weights FILE, or name a checkpoint",
                    path.display()
                )
            })?;
            Model::from_config(Experiment::load(path, changes)?, weights, device)
        };
        let models = paths.iter().zip(are_configs).map(open).collect::<Result<Vec<_>>>()?;
        let first = models.first().context("expected at least one model")?;
        let orders = models.iter().map(|model| order(first, model)).collect::<Result<_>>()?;
        Ok(Ensemble { models, orders })
    }

    pub fn first(&self) -> &Model {
        &self.models[0]
    }

    pub fn members(&self) -> Vec<Member<'_>> {
        let pairs = self.models.iter().zip(&self.orders);
        let members = pairs.map(|(model, order)| Member {
            network: &model.network,
            experiment: &model.experiment,
            order: order.as_deref(),
        });
        members.collect()
    }

    /// The views that the models' experiments name for evaluation.
    ///
    /// # Errors
    /// Where they differ.
    pub fn views(&self) -> Result<&Views> {
        let first = &self.first().experiment.evaluation.views;
        for Model { experiment, .. } in &self.models {
            let own = &experiment.evaluation.views;
            ensure!(
                own == first,
                "evaluation.views of {} is {own} and of {} {first}; name one for all: --views {first}",
                experiment.name,
                self.first().experiment.name
            );
        }
        Ok(first)
    }

    /// The names of the classes, where they are known.
    pub fn classes(&self) -> Option<&[String]> {
        self.first().classes.as_deref()
    }

    /// The name of a class, or its number where the names are not known.
    pub fn class(&self, index: usize) -> String {
        self.classes().map_or_else(|| format!("class {index}"), |classes| classes[index].clone())
    }

    /// The networks' names.
    pub fn name(&self) -> String {
        let names: Vec<&str> = self.models.iter().map(|model| model.experiment.name.as_str()).collect();
        names.join(" + ")
    }
}

/// Where `model` has each class of `first`: matched by name, by position only where neither knows names.
fn order(first: &Model, model: &Model) -> Result<Option<Vec<usize>>> {
    let (own, others) = (model.experiment.network.classes, first.experiment.network.classes);
    let [name, first_name] = [model, first].map(|model| model.weights.display());
    ensure!(own == others, "{name} knows {own} classes and {first_name} {others}; an ensemble needs the same classes");
    match (&first.classes, &model.classes) {
        (None, None) => Ok(None),
        (Some(classes), Some(known)) if classes == known => Ok(None),
        (Some(classes), Some(known)) => {
            let place = |class: &String| {
                known.iter().position(|other| other == class).with_context(|| {
                    let near = nearest(class, known.iter().map(String::as_str));
                    let near = near.map_or(String::new(), |near| format!(" (near: '{near}')"));
                    format!("{name} does not know the class '{class}' of {first_name}{near}; an ensemble needs the same classes")
                })
            };
            classes.iter().map(place).collect::<Result<_>>().map(Some)
        }
        _ => bail!(
            "of {name} and {first_name} only one holds the names of its classes; an ensemble needs both or neither"
        ),
    }
}
