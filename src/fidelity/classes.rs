//! What a classifier takes images for: how many it is sure of, and how evenly they fall on its classes.

use crate::metrics::top;

/// A classifier is sure of an image if its most probable class is at least this probable.
pub const SURE: f32 = 0.95;

/// How images fall on the classes of a classifier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// The number of images.
    pub images: u64,
    /// Those that the classifier is sure of.
    pub sure: u64,
    /// For each class, the images whose most probable class it is.
    pub classes: Vec<u64>,
}

impl Spread {
    /// The spread of images with these class probabilities.
    pub fn of(probabilities: &[Vec<f32>]) -> Self {
        let classes = vec![0; probabilities.first().map_or(0, Vec::len)];
        let mut spread = Spread { images: probabilities.len() as u64, sure: 0, classes };
        for image in probabilities {
            for class in top(image, 1) {
                spread.classes[class] += 1;
                spread.sure += u64::from(image[class] >= SURE);
            }
        }
        spread
    }

    /// The share of some of the images, from 0 to 1.
    pub fn share(&self, images: u64) -> f64 {
        images as f64 / self.images as f64
    }

    /// The classes with the fewest and the most images.
    pub fn extremes(&self) -> Option<[usize; 2]> {
        let by_images = |class: &usize| self.classes[*class];
        let classes = 0..self.classes.len();
        Some([classes.clone().min_by_key(by_images)?, classes.rev().max_by_key(by_images)?])
    }

    /// The entropy of the classes' shares in bits: 0 if all images are of one class, log2(classes) if they fall evenly.
    pub fn entropy(&self) -> f64 {
        let shares = self.classes.iter().filter(|images| **images > 0).map(|&images| self.share(images));
        shares.fold(0.0, |sum, share| sum + share * (1.0 / share).log2())
    }
}
