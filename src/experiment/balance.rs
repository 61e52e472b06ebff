//! What the `training` section does about classes with different numbers of images.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// How much an image's loss counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeights {
    /// As much as any other's.
    #[default]
    None,
    /// Inversely to the size of its class, so that all classes count equally: images / (classes * images of the class),
    /// as in scikit-learn. A batch's loss is divided by the sum of its images' weights, or, if
    /// they are mixed, by their number, as in PyTorch.
    Balanced,
}

/// Which images an epoch visits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// Each once.
    #[default]
    Uniform,
    /// As many as there are, drawn with replacement: all classes are equally likely, and all images of a class.
    Balanced,
}

impl ClassWeights {
    /// # Errors
    /// Returns an error if other fields contradict these weights.
    pub fn check(self, sampler: Sampler, accumulate: u64) -> Result<()> {
        let is_free = self == ClassWeights::None;
        ensure!(
            is_free || sampler == Sampler::Uniform,
            "training.class_weights: \"balanced\" would even out classes that training.sampler already draws equally often; set one of the two to its default (\"none\", \"uniform\")"
        );
        ensure!(
            is_free || accumulate == 1,
            "training.class_weights: the batches of an update (training.accumulate) are averaged by their numbers of images, which \"balanced\" weights contradict; use training.sampler \"balanced\" instead"
        );
        Ok(())
    }

    /// The weight of each class, for the number of training images in each.
    ///
    /// # Errors
    /// Returns an error if all classes have the same number of images, so that weights would change nothing.
    pub fn of(self, sizes: &[usize]) -> Result<Option<Vec<f64>>> {
        if self == ClassWeights::None {
            return Ok(None);
        }
        ensure!(
            sizes.iter().any(|&size| size != sizes[0]),
            "training.class_weights: all classes have {} images, so \"balanced\" changes nothing; set it to \"none\"",
            sizes.first().copied().unwrap_or_default()
        );
        let images: usize = sizes.iter().sum();
        Ok(Some(sizes.iter().map(|&size| images as f64 / (sizes.len() * size) as f64).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // sklearn.utils.class_weight.compute_class_weight("balanced", classes=[0, 1, 2], y=[0]*6 + [1]*3 + [2])
    #[test]
    fn balanced_weights_are_those_of_scikit_learn() {
        let weights = ClassWeights::Balanced.of(&[6, 3, 1]).expect("weights").expect("some");
        let expected = [0.555_555_555_555_555_6, 1.111_111_111_111_111_2, 3.333_333_333_333_333_5];
        assert!(weights.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-12), "{weights:?}");
        assert!(ClassWeights::Balanced.of(&[4, 4]).is_err());
        assert_eq!(ClassWeights::None.of(&[4, 1]).expect("none"), None);
    }
}
