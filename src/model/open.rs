//! A model: an experiment, its network with trained weights, and the names of its classes.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use tch::Device;

use super::checkpoint;
use super::classes;
use crate::experiment::{Change, Experiment, builtin};
use crate::imagenet;
use crate::memory;
use crate::nearest::did_you_mean;
use crate::network::Network;
use crate::network::classifier::class_parameters;
use crate::network::node::without_auxiliary;
use crate::network::parameter::parameters;
use crate::weights::fit::{fit, outputs};
use crate::weights::location::{Left, Loaded, Location};
use crate::weights::rename::Rename;
use crate::weights::{self, StoredTensor};

/// A model ready to be used.
#[derive(Debug)]
pub struct Model {
    /// The experiment that it was trained with.
    pub experiment: Experiment,
    /// The network, without what only training uses.
    pub network: Network,
    /// The names of the classes in the order of the outputs, if they are known.
    pub classes: Option<Vec<String>>,
    /// The file that the weights came from, with the key in it if there was one to choose.
    pub weights: PathBuf,
    /// Whether the classes are ImageNet's only because there are a thousand and the file does not name them.
    pub assumes_imagenet: bool,
}

impl Model {
    /// Opens a checkpoint.
    ///
    /// # Errors
    /// Returns an error if the file is not one, or its parts do not fit together.
    pub fn from_checkpoint(path: &Path, changes: &[Change], device: Device) -> Result<Self> {
        let (note, tensors) = checkpoint::open(path)?;
        let experiment = note.experiment(changes).with_context(|| format!("{}: invalid experiment", path.display()))?;
        ensure!(
            note.classes.len() as i64 == experiment.network().classes,
            "{}: contains {} class names, but the network has {} outputs; leave network.classes unchanged",
            path.display(),
            note.classes.len(),
            experiment.network().classes
        );
        Model::new(experiment, Some(note.classes), tensors, path, device)
    }

    /// Opens an experiment together with weights, renamed; also returns what else their file holds. `classes` are the names
    /// of the classes, if the weights have none.
    ///
    /// # Errors
    /// Returns an error if the file is corrupt or holds the weights of another network, a rename changes nothing, or the
    /// classes are not as many as the weights'.
    pub fn from_weights(
        mut experiment: Experiment,
        location: &Location,
        renames: &[Rename],
        classes: Option<&[String]>,
        device: Device,
    ) -> Result<(Self, Left)> {
        let Loaded { tensors, note, left } = location.read(&parameters(experiment.nodes()), renames)?;
        let outputs = outputs(&class_parameters(experiment.nodes()), &tensors);
        let classes = classes::of_weights(note.as_deref(), classes, outputs, location)?;
        if let Some(classes) = &classes {
            experiment.set_classes(classes)?;
        }
        // Published weights come without names; those for a thousand classes share ImageNet's.
        let assumes_imagenet = classes.is_none() && experiment.network().classes == imagenet::CLASSES as i64;
        let classes = classes.or_else(|| assumes_imagenet.then(imagenet::synsets));
        let model = Model::new(experiment, classes, tensors, &location.file, device)?;
        Ok((Model { assumes_imagenet, weights: location.path(), ..model }, left))
    }

    fn new(
        experiment: Experiment,
        classes: Option<Vec<String>>,
        stored: Vec<StoredTensor>,
        file: &Path,
        device: Device,
    ) -> Result<Self> {
        let fitted = fit(&parameters(experiment.nodes()), stored, &HashSet::new(), file)?;
        let tensors = fitted.into_tensors(device)?;
        memory::return_freed();
        let network = Network::new(without_auxiliary(experiment.nodes()), tensors, device)?;
        Ok(Model { experiment, network, classes, weights: file.to_path_buf(), assumes_imagenet: false })
    }
}

/// What a name on the command line refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A checkpoint file.
    Checkpoint(PathBuf),
    /// An experiment, which has no weights of its own: a JSON file, or a built-in one.
    Experiment(PathBuf),
}

/// Finds a checkpoint, the best checkpoint of a run folder, a JSON file or a built-in experiment.
///
/// # Errors
/// Returns an error if it is none of these, with the nearest built-in name.
pub fn find(name: &Path) -> Result<Found> {
    let text = name.to_string_lossy();
    if name.is_dir() && (checkpoint::of(name).is_ok() || builtin::experiment(&text).is_none()) {
        return checkpoint::of(name).map(Found::Checkpoint);
    }
    if name.is_file() {
        let found = if is_json(name)? { Found::Experiment } else { Found::Checkpoint };
        return Ok(found(name.to_path_buf()));
    }
    if builtin::experiment(&text).is_some() {
        return Ok(Found::Experiment(name.to_path_buf()));
    }
    let near = did_you_mean(&text, builtin::all());
    bail!("{text}: no such file or built-in experiment{near}; expected a checkpoint, a run folder, or an experiment")
}

/// Only the first bytes are read. A checkpoint is asked for first: the length of its header, which comes first, may look
/// like the beginning of JSON.
fn is_json(path: &Path) -> Result<bool> {
    let unreadable = || format!("cannot read {}", path.display());
    let mut first = Vec::new();
    File::open(path).with_context(unreadable)?.take(64).read_to_end(&mut first).with_context(unreadable)?;
    if path.extension().is_some_and(|extension| extension == "json") {
        return Ok(true);
    }
    if weights::recognises(&first) {
        return Ok(false);
    }
    let text = first.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&first);
    Ok(text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{'))
}
