//! A model ready to be used: an experiment, its network with trained weights, and the names of its classes.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use tch::Device;

use crate::config::Experiment;
use crate::imagenet;
use crate::network::Network;
use crate::training::checkpoint::{self, Note};
use crate::weights::{self, Classifier};

pub struct Model {
    pub experiment: Experiment,
    pub network: Network,
    /// The names of the classes in the order of the outputs, where they are known.
    pub classes: Option<Vec<String>>,
    /// The file that the weights came from.
    pub weights: PathBuf,
}

impl Model {
    /// Opens a checkpoint, or the best one of a run folder.
    ///
    /// # Errors
    /// Where it is neither, or its parts do not fit together; the message says what was found and the way out.
    pub fn from_checkpoint(path: &Path, changes: &[String], device: Device) -> Result<Self> {
        let path = checkpoint_of(path)?;
        let (note, tensors) = checkpoint::read(&path)?;
        let experiment = Experiment::parse(&serde_json::to_string(&note.experiment)?, changes)
            .with_context(|| format!("the experiment of {} does not work", path.display()))?;
        ensure!(
            note.classes.len() as i64 == experiment.network.classes,
            "{} names {} classes, and its network gives {}; leave network.classes as it was trained",
            path.display(),
            note.classes.len(),
            experiment.network.classes
        );
        let network = Network::new(&experiment.network, device, 0)?;
        weights::load(&network, &tensors, &path, Classifier::MustFit)?;
        Ok(Model { experiment, network, classes: Some(note.classes), weights: path })
    }

    /// Opens a config together with the weights in the file `path`.
    ///
    /// # Errors
    /// Where the file is damaged or holds the weights of another network.
    pub fn from_config(mut experiment: Experiment, path: &Path, device: Device) -> Result<Self> {
        let contents = weights::read(path)?;
        // A checkpoint of ours knows its classes, whichever config is put before it.
        let note: Option<Note> = contents.note.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let classes = note.map(|note| note.classes);
        if let Some(classes) = &classes {
            experiment.set_classes(classes.len());
        }
        // Published weights come without names; those for a thousand classes share ImageNet's.
        let are_imagenets = experiment.network.classes == imagenet::CLASSES as i64;
        let classes = classes.or_else(|| are_imagenets.then(imagenet::synsets));
        let network = Network::new(&experiment.network, device, 0)?;
        weights::load(&network, &contents.tensors, path, Classifier::MustFit)?;
        Ok(Model { experiment, network, classes, weights: path.to_path_buf() })
    }
}

/// Whether the file is a config: JSON text. Only its first bytes are read.
///
/// # Errors
/// Where it cannot be read.
pub fn is_config(path: &Path) -> Result<bool> {
    ensure!(
        path.exists(),
        "there is no {}; expected a checkpoint, a run folder, or a config with --weights FILE",
        path.display()
    );
    if path.is_dir() {
        return Ok(false);
    }
    let mut first = Vec::new();
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    file.take(64).read_to_end(&mut first).with_context(|| format!("cannot read {}", path.display()))?;
    let named = path.extension().is_some_and(|extension| extension == "json");
    Ok(named || first.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{'))
}

/// The checkpoint itself, or the best one of a run folder.
pub fn checkpoint_of(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_path_buf());
    }
    for name in ["best.safetensors", "last.safetensors"] {
        let inside = path.join(name);
        if inside.is_file() {
            return Ok(inside);
        }
    }
    bail!("the folder {} holds no best.safetensors; expected the folder of a run of `topfive train`", path.display())
}
