//! A trained generator and its discriminator, opened from a run folder or a checkpoint.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use tch::{Device, Tensor};

use super::latent;
use super::make::{images, of_latents};
use crate::experiment::{Gan, gan};
use crate::model::checkpoint::{self, AVERAGE, BEST, DISCRIMINATOR, GENERATOR, LAST, Note};
use crate::network::node::Node;
use crate::network::parameter::parameters;
use crate::network::{Network, Tensors};
use crate::report::Report;
use crate::weights::StoredTensor;
use crate::weights::fit::fit;

/// A generator and a discriminator ready to be used.
#[derive(Debug)]
pub struct GanModel {
    /// The experiment that they were trained with.
    pub gan: Gan,
    /// Makes images; an average over many steps if the run keeps one.
    pub generator: Network,
    /// Judges them.
    pub discriminator: Network,
    /// The names of the classes of the training images.
    pub classes: Vec<String>,
    /// The steps that they were trained for.
    pub step: u64,
    /// The file that the weights came from.
    pub weights: PathBuf,
}

/// The checkpoint itself, or that of a run folder whose generator makes the best images: the best one as far as the run has
/// measured them, otherwise the average, if there is one.
///
/// # Errors
/// Returns an error if the folder does not contain one.
pub fn checkpoint_of(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_path_buf());
    }
    for name in [BEST, AVERAGE, LAST] {
        let inside = path.join(name);
        if inside.is_file() {
            return Ok(inside);
        }
    }
    bail!("{}: no {LAST} in this folder; expected a run folder of `topfive train`", path.display())
}

/// The tensors of a generator and those of a discriminator, on `device`.
///
/// # Errors
/// Returns an error if the tensors of `file` do not fit.
pub fn tensors_of(gan: &Gan, stored: &[StoredTensor], file: &Path, device: Device) -> Result<[Tensors; 2]> {
    let fitted = |part: &str, nodes: &[Node]| {
        let own = checkpoint::part_of(stored, part);
        fit(&parameters(nodes), own, &HashSet::new(), file)?.into_tensors(device).context(part.to_string())
    };
    Ok([fitted(GENERATOR, gan.generator())?, fitted(DISCRIMINATOR, gan.discriminator())?])
}

impl GanModel {
    /// Opens a run folder or a checkpoint.
    ///
    /// # Errors
    /// Returns an error if it is neither, holds a classifier, or its parts do not fit together.
    pub fn open(path: &Path, device: Device) -> Result<Self> {
        let weights = checkpoint_of(path)?;
        let (note, stored) = checkpoint::open(&weights)?;
        let at = weights.display().to_string();
        let Note { experiment, classes, step, .. } = note;
        ensure!(
            gan::is_one(&experiment),
            "{at}: contains a classifier, which makes no images; expected a generator and a discriminator"
        );
        let gan = Gan::from_value(experiment, &[]).with_context(|| format!("{at}: invalid experiment"))?;
        ensure!(
            !gan.conditional || classes.len() as i64 == gan.classes(),
            "{at}: contains {} class names, but its networks are given one of {} classes",
            classes.len(),
            gan.classes()
        );
        let [generator, discriminator] = tensors_of(&gan, &stored, &weights, device)?;
        Ok(GanModel {
            generator: Network::new(gan.generator().to_vec(), generator, device)?,
            discriminator: Network::new(gan.discriminator().to_vec(), discriminator, device)?,
            gan,
            classes,
            step,
            weights,
        })
    }

    /// Makes the images of these numbers under a seed: bytes, (images, channels, height, width). An image depends on its number
    /// and the seed alone. If the networks are given classes, all are of `class`, or of each class in turn.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn images(&self, seed: u64, numbers: Range<u64>, class: Option<usize>, report: Report) -> Result<Tensor> {
        images(seed, numbers, class, &self.gan, &self.generator, report)
    }

    /// Makes the images of walks between latent vectors, each of `steps` images from its first to its last: bytes, (walks *
    /// steps, channels, height, width). Each walk is of `class`, or of each class in turn.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn walks(&self, seed: u64, walks: u64, steps: u64, class: Option<usize>, report: Report) -> Result<Tensor> {
        let device = self.generator.device();
        let latents = latent::walks(self.gan.latent, seed, walks, steps, device)?;
        let classes = self.gan.classes().max(1) as u64;
        let label = |image: u64| class.map_or((image / steps % classes) as i64, |class| class as i64);
        let labels: Vec<i64> = (0..walks * steps).map(label).collect();
        of_latents(&latents, &labels, &self.gan, &self.generator, report)
    }
}
