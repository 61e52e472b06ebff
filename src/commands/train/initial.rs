//! The weights that a run begins with: those of `--weights`, and freshly drawn ones for the rest.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tch::Device;

use crate::cli::Train;
use crate::commands::models::{describe, located};
use crate::experiment::Experiment;
use crate::imagenet;
use crate::model::classes;
use crate::network::classifier::class_parameters;
use crate::network::parameter::{Parameter, parameters};
use crate::network::{Tensors, init};
use crate::report::Report;
use crate::weights::StoredTensor;
use crate::weights::fit::{fit, fit_partly, outputs};
use crate::weights::location::Loaded;

/// A file of weights, read, with the tensors under the names that `--rename` gives them.
#[derive(Debug)]
pub struct Initial {
    file: PathBuf,
    tensors: Vec<StoredTensor>,
    /// The parameters of the experiment's auxiliary classifiers.
    auxiliary: Vec<Parameter>,
    classes: Classes,
    partial: bool,
}

/// The classes that weights are for.
#[derive(Debug)]
enum Classes {
    /// Those that a checkpoint of topfive lists.
    Listed(Vec<String>),
    /// ImageNet's: there are a thousand, and the file names none.
    ImageNets(Vec<String>),
    /// The file names none.
    Unknown,
}

impl Initial {
    /// Reads the weights that `--weights` names.
    ///
    /// # Errors
    /// Returns an error if they cannot be read or renamed.
    pub fn read(args: &Train, experiment: &Experiment, report: Report) -> Result<Option<Self>> {
        let Some(weights) = args.weights.as_deref() else { return Ok(None) };
        let location = located(Some(weights), experiment, &args.experiment, report)?;
        let Loaded { tensors, note, left } = location.read(&parameters(experiment.nodes()), &args.renames)?;
        describe(&left, &location, report);
        let outputs = outputs(&class_parameters(experiment.nodes()), &tensors);
        let list = args.classes.as_deref().map(classes::read).transpose().context("--classes")?;
        let classes = match classes::of_weights(note.as_deref(), list.as_deref(), outputs, &location)? {
            Some(names) => Classes::Listed(names),
            None if outputs == Some(imagenet::CLASSES) => Classes::ImageNets(imagenet::synsets()),
            None => Classes::Unknown,
        };
        let auxiliary = parameters(experiment.nodes()).into_iter().filter(|parameter| parameter.auxiliary).collect();
        Ok(Some(Initial { file: location.path(), tensors, auxiliary, classes, partial: args.partial }))
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Moves the classifiers' outputs into the order of these classes, if the weights are for them in another; returns whether
    /// they were.
    pub fn put_in_order(&mut self, classes: &[String], experiment: &Experiment) -> bool {
        let (Classes::Listed(known) | Classes::ImageNets(known)) = &self.classes else { return false };
        if known == classes || known.len() != classes.len() {
            return false;
        }
        let places: HashMap<&String, usize> = known.iter().zip(0..).collect();
        let Some(order) = classes.iter().map(|class| places.get(class).copied()).collect::<Option<Vec<usize>>>() else {
            return false;
        };
        let outputs = class_parameters(experiment.nodes());
        let moved =
            |tensor: &&mut StoredTensor| outputs.contains(&tensor.name) && tensor.shape.first() == Some(&order.len());
        self.tensors.iter_mut().filter(moved).for_each(|tensor| tensor.reorder(&order));
        self.classes = Classes::Listed(classes.to_vec());
        true
    }

    /// Whether the weights are for these classes, in this order.
    pub fn is_for(&self, classes: &[String]) -> bool {
        matches!(&self.classes, Classes::Listed(known) | Classes::ImageNets(known) if known == classes)
    }

    /// Whether only some of the tensors are to be taken.
    pub fn is_partial(&self) -> bool {
        self.partial
    }

    /// Whether there are weights for every layer of the auxiliary classifiers but their last.
    pub fn has_auxiliary(&self, experiment: &Experiment) -> bool {
        let (names, last) = (self.names(), class_parameters(experiment.nodes()));
        let needed = |parameter: &Parameter| parameter.auxiliary && !last.contains(&parameter.name);
        let mut needed = parameters(experiment.nodes()).into_iter().filter(needed).peekable();
        needed.peek().is_some() && needed.all(|parameter| names.contains(parameter.name.as_str()))
    }

    fn names(&self) -> HashSet<&str> {
        self.tensors.iter().map(|tensor| tensor.name.as_str()).collect()
    }

    /// The tensors that fit, on `device`. The classifier is among them only if the weights are for `classes`.
    ///
    /// # Errors
    /// Returns an error if the weights are those of another network.
    fn into_tensors(
        self,
        experiment: &Experiment,
        classes: &[String],
        device: Device,
        report: Report,
    ) -> Result<Tensors> {
        let fresh = if self.is_for(classes) { HashSet::new() } else { class_parameters(experiment.nodes()) };
        let (own, file) = (parameters(experiment.nodes()), self.file);
        let fit = if self.partial { fit_partly } else { fit };
        let mut tensors = self.tensors;
        // Fine-tuning may have left out the auxiliary classifiers that the file still has, perhaps under other names.
        let is_own = |name: &str| own.iter().any(|parameter| parameter.name == name);
        let left_out: Vec<Parameter> = self.auxiliary.into_iter().filter(|it| !is_own(&it.name)).collect();
        tensors.retain(|tensor| left_out.iter().all(|parameter| parameter.name != tensor.name));
        let all: Vec<Parameter> = own.iter().cloned().chain(left_out).collect();
        let mut fitted = fit(&all, tensors, &fresh, &file)?;
        fitted.missing.retain(|name| is_own(name));
        report.note(format!("starting from the weights of {}", file.display()));
        if self.partial {
            let taken = own.iter().map(|parameter| &parameter.name).filter(|name| !fitted.missing.contains(name));
            report.note(format!("taken: {}", layers(taken)));
            let (for_others, unknown): (Vec<_>, Vec<_>) = fitted.unused.iter().partition(|name| fresh.contains(*name));
            for (reason, unused) in [("are for other classes", for_others), ("have another name or shape", unknown)] {
                if !unused.is_empty() {
                    report.note(format!("not taken, as they {reason}: {}", layers(unused)));
                }
            }
        }
        let is_frozen =
            |name: &&String| own.iter().any(|it| it.name == **name && experiment.training.is_frozen(it.layer()));
        if let Some(random) = fitted.missing.iter().find(is_frozen) {
            bail!(
                "training.freeze: {random} would stay at its random initial values, as {} has no weights for it here; leave its layer out of training.freeze, or give weights that have it",
                file.display()
            );
        }
        if !fitted.missing.is_empty() {
            let reason = if self.partial { "" } else { " (not in the file, or for other classes)" };
            report.note(format!("newly initialised{reason}: {}", fitted.missing.join(", ")));
        }
        fitted.into_tensors(device)
    }
}

impl fmt::Display for Initial {
    /// What the weights are for: a part of a sentence.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let file = self.file.display();
        match &self.classes {
            Classes::Listed(known) => write!(f, "the {} classes of {file}", known.len()),
            Classes::ImageNets(_) => write!(
                f,
                "ImageNet's, which the thousand outputs of {file} are assumed to be (--classes FILE names others)"
            ),
            Classes::Unknown => write!(
                f,
                "known to be those of {file}, which names none (if they are, --classes FILE keeps its classifier)"
            ),
        }
    }
}

/// The layers of these parameters, each once.
fn layers<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let mut layers: Vec<&str> = Vec::new();
    for name in names {
        let layer = name.rsplit_once('.').map_or(name.as_str(), |(layer, _)| layer);
        if !layers.contains(&layer) {
            layers.push(layer);
        }
    }
    layers.join(", ")
}

/// The tensors that a run begins with: drawn, and replaced by those of `initial` as far as it has them.
///
/// # Errors
/// Returns an error if the weights are those of another network, or the device is out of memory.
pub fn tensors(
    initial: Option<Initial>,
    experiment: &Experiment,
    classes: &[String],
    device: Device,
    report: Report,
) -> Result<Tensors> {
    let seed = experiment.training.seed;
    let mut tensors = init::tensors(experiment.nodes(), &experiment.network().start, seed, device)?;
    if let Some(initial) = initial {
        tensors.extend(initial.into_tensors(experiment, classes, device, report)?);
    }
    Ok(tensors)
}
