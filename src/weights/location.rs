//! Where weights are: a file, and if it holds several dictionaries of tensors, the key of one of them.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::naming::{name, score};
use super::rename::Rename;
use super::torch::TorchFile;
use super::wrapper::Own;
use super::{Contents, Format, StoredTensor, safetensors};
use crate::network::parameter::Parameter;

/// FILE, or FILE:KEY for a dictionary in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub file: PathBuf,
    /// The dictionary in it; `None` for the one that fits.
    key: Option<String>,
}

/// Weights that were read for a network.
#[derive(Debug)]
pub struct Loaded {
    /// The tensors, under the names that the network's parameters may have.
    pub tensors: Vec<StoredTensor>,
    /// topfive's metadata; `None` in files of other programs.
    pub note: Option<String>,
    /// What was left.
    pub left: Left,
}

/// What else there was in a file of weights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// The key of the dictionary that was read; empty if it is the outermost one.
    pub chosen: String,
    /// The keys of others that fit, which it was preferred to.
    pub others: Vec<String>,
    /// The names of tensors in it that belong to something else than the network.
    pub foreign: Vec<String>,
}

impl Location {
    /// The file at `path`.
    pub fn of(file: PathBuf) -> Self {
        Location { file, key: None }
    }

    /// What `text` names: a file if there is one of this name, or else what stands before a colon, and a key after it.
    pub fn named(text: &Path) -> Self {
        let split = || {
            let name = text.to_str().filter(|_| !text.exists())?;
            let mut splits = name.rmatch_indices(':').map(|(colon, _)| (Path::new(&name[..colon]), &name[colon + 1..]));
            splits.find(|(file, _)| file.is_file())
        };
        match split() {
            Some((file, key)) => Location { file: file.to_path_buf(), key: Some(key.to_string()) },
            None => Location::of(text.to_path_buf()),
        }
    }

    /// As it was named.
    pub fn path(&self) -> PathBuf {
        if self.key.is_some() { self.to_string().into() } else { self.file.clone() }
    }

    /// Reads the tensors for a network with these parameters, renamed.
    ///
    /// # Errors
    /// Returns an error if the file is corrupt or of an unknown format, has no such key, or cannot be renamed.
    pub fn read(&self, parameters: &[Parameter], renames: &[Rename]) -> Result<Loaded> {
        let mut loaded = match Format::of(&self.file)? {
            Format::Safetensors => self.safetensors()?,
            Format::Torch => {
                let file = TorchFile::open(&self.file)?;
                let own = Own::of(parameters);
                let choice = file.choose(self.key.as_deref(), |tensors| score(&own, tensors, renames))?;
                let tensors = file.read(&choice)?;
                let left = Left { chosen: choice.key, others: choice.others, foreign: Vec::new() };
                Loaded { tensors, note: None, left }
            }
        };
        loaded.left.foreign = name(parameters, &mut loaded.tensors, renames, &self.file)?;
        Ok(loaded)
    }

    fn safetensors(&self) -> Result<Loaded> {
        if let Some(key) = &self.key {
            ensure!(
                key.is_empty(),
                "{}: no tensors under the key \"{key}\"; a safetensors file has no keys, so leave out \":{key}\"",
                self.file.display()
            );
        }
        let Contents { tensors, note } = safetensors::read(&self.file)?;
        Ok(Loaded { tensors, note, left: Left::default() })
    }
}

impl Display for Location {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let file = self.file.display();
        match &self.key {
            Some(key) => write!(f, "{file}:{key}"),
            None => write!(f, "{file}"),
        }
    }
}
