//! `training.mix`: the images of a batch and their labels are mixed in pairs.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::field;
use crate::range::within;

/// How the images of a batch are mixed, each with the one before it. The loss is then that of the mixed labels, with
/// label smoothing on top; so it is also in the log, and higher than that of unmixed images.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Mix {
    /// Blends both images. Zhang et al., arXiv:1710.09412.
    Mixup {
        /// The images' share is drawn from the Beta distribution with both parameters equal to this.
        #[serde(default = "Mix::mixup")]
        alpha: f64,
    },
    /// Pastes a rectangle of the other image. Yun et al., arXiv:1905.04899.
    Cutmix {
        /// The images' share of the area is drawn from the Beta distribution with both parameters equal to this.
        #[serde(default = "Mix::cutmix")]
        alpha: f64,
    },
    /// One of the two for each batch, each in half of the cases.
    Either {
        /// Mixup's alpha.
        #[serde(default = "Mix::mixup")]
        mixup: f64,
        /// Cutmix's alpha.
        #[serde(default = "Mix::cutmix")]
        cutmix: f64,
    },
}

/// The defaults are those of torchvision's training reference.
impl Mix {
    fn mixup() -> f64 {
        0.2
    }

    fn cutmix() -> f64 {
        1.0
    }

    /// # Errors
    /// Returns an error with the JSON path if a number is out of its range, or if batches have a single image.
    pub fn check(&self, batch_size: usize) -> Result<()> {
        let at = |field: &str, alpha: f64| field::at(&format!("mix.{field}"), within(alpha, 0.01, 100.0));
        match *self {
            Mix::Mixup { alpha } => at("mixup.alpha", alpha)?,
            Mix::Cutmix { alpha } => at("cutmix.alpha", alpha)?,
            Mix::Either { mixup, cutmix } => {
                at("either.mixup", mixup)?;
                at("either.cutmix", cutmix)?;
            }
        }
        ensure!(
            batch_size > 1,
            "training.mix: expected a batch of at least two images, found training.batch_size {batch_size}; raise it or set training.mix to null"
        );
        Ok(())
    }
}
