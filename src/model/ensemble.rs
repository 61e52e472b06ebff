//! Models that classify together: their class probabilities are averaged. A single model is an ensemble of one.

use anyhow::{Context, Result, bail, ensure};

use super::Model;
use crate::evaluation::Member;
use crate::nearest::did_you_mean;
use crate::views::Views;

/// At least one model, all of the same classes.
#[derive(Debug)]
pub struct Ensemble {
    models: Vec<Model>,
    /// For each model, and each class of the first one, the model's own index of it; `None` if they are the same.
    orders: Vec<Option<Vec<usize>>>,
}

impl Ensemble {
    /// # Errors
    /// Returns an error if there is no model, or the models have different classes.
    pub fn new(models: Vec<Model>) -> Result<Self> {
        let first = models.first().context("expected at least one model")?;
        let orders = models.iter().map(|model| order(first, model)).collect::<Result<_>>()?;
        Ok(Ensemble { models, orders })
    }

    /// The models.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// The first model, whose order of classes is the ensemble's.
    pub fn first(&self) -> &Model {
        &self.models[0]
    }

    /// The models as they take part in an evaluation.
    pub fn members(&self) -> Vec<Member<'_>> {
        let pairs = self.models.iter().zip(&self.orders);
        let members = pairs.map(|(model, order)| Member {
            network: &model.network,
            experiment: &model.experiment,
            order: order.as_deref(),
        });
        members.collect()
    }

    /// The views that the models' experiments use in their papers.
    ///
    /// # Errors
    /// Returns an error if they differ.
    pub fn paper_views(&self) -> Result<&Views> {
        let first = &self.first().experiment.evaluation.views;
        for Model { experiment, .. } in &self.models {
            let own = &experiment.evaluation.views;
            ensure!(
                own == first,
                "the models' evaluation.views differ: {} uses {own}, {} uses {first}; choose one protocol for all",
                experiment.name,
                self.first().experiment.name
            );
        }
        Ok(first)
    }

    /// The names of the classes, if they are known.
    pub fn classes(&self) -> Option<&[String]> {
        self.first().classes.as_deref()
    }

    /// The name of a class, or its number if names are not known.
    pub fn class(&self, index: usize) -> String {
        self.classes().map_or_else(|| format!("class {index}"), |classes| classes[index].clone())
    }

    /// The networks' names.
    pub fn name(&self) -> String {
        let names: Vec<&str> = self.models.iter().map(|model| model.experiment.name.as_str()).collect();
        names.join(" + ")
    }
}

/// For each class of `first`, its index in `model`: matched by name, or by position if neither has class names.
fn order(first: &Model, model: &Model) -> Result<Option<Vec<usize>>> {
    let (own, others) = (model.experiment.network().classes, first.experiment.network().classes);
    let [name, first_name] = [model, first].map(|model| model.weights.display());
    ensure!(own == others, "{name} has {own} classes and {first_name} {others}; an ensemble needs the same classes");
    match (&first.classes, &model.classes) {
        (None, None) => Ok(None),
        (Some(classes), Some(known)) if classes == known => Ok(None),
        (Some(classes), Some(known)) => {
            let position = |class: &String| {
                known.iter().position(|other| other == class).with_context(|| {
                    let near = did_you_mean(class, known.iter().map(String::as_str));
                    format!("{name}: the class \"{class}\" of {first_name} is missing{near}; an ensemble needs the same classes")
                })
            };
            classes.iter().map(position).collect::<Result<_>>().map(Some)
        }
        _ => bail!(
            "only one of {name} and {first_name} contains class names; an ensemble needs them in all models or in none"
        ),
    }
}
