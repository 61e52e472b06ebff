//! The policies that draw edits from a table: RandAugment, TrivialAugment and AutoAugment, as in torchvision's
//! `transforms/autoaugment.py`.

use rand::{Rng, RngExt};

use Operation::{
    AutoContrast, Brightness, Contrast, Equalize, Invert, Posterize, Rotate, Saturation, Sharpness, ShearX, ShearY,
    Solarize, TranslateX, TranslateY,
};

use crate::experiment::{AutoAugmentPolicy, RandAugment};
use crate::geometry::Size;
use crate::image::edit::{Edit, Interpolation};

/// An operation whose magnitude is still open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Saturation,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
    Invert,
}

/// What RandAugment and TrivialAugment draw from, besides leaving the image as it is.
const DRAWN: [Operation; 13] = [
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Saturation,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
];

/// The greatest magnitudes; the least ones leave the image as it is.
struct Magnitudes {
    shear: f32,
    /// In pixels.
    translation: [f32; 2],
    degrees: f32,
    /// The greatest distance of a factor from 1.
    factor: f32,
    /// The most bits that are dropped.
    bits: f32,
    /// The number of magnitudes from the least to the greatest.
    bins: usize,
}

impl Magnitudes {
    /// Those of RandAugment and AutoAugment.
    fn moderate(size: Size, bins: usize) -> Self {
        let translation = [size.width, size.height].map(|side| (150.0 / 331.0 * f64::from(side)) as f32);
        Magnitudes { shear: 0.3, translation, degrees: 30.0, factor: 0.9, bits: 4.0, bins }
    }

    /// Those of TrivialAugment.
    fn wide() -> Self {
        Magnitudes { shear: 0.99, translation: [32.0; 2], degrees: 135.0, factor: 0.99, bits: 6.0, bins: 31 }
    }

    /// The operation at one of the magnitudes, from 0 to `bins` - 1; half of the shears, translations, rotations and
    /// factors go the other way.
    fn edit(&self, operation: Operation, bin: usize, random: &mut impl Rng) -> Edit {
        let mut signed = |most: f32| {
            let magnitude = f64::from(self.evenly(0.0, most, bin));
            if random.random_bool(0.5) { -magnitude } else { magnitude }
        };
        match operation {
            ShearX => Edit::ShearX(signed(self.shear)),
            ShearY => Edit::ShearY(signed(self.shear)),
            TranslateX => Edit::Translate([signed(self.translation[0]) as i32, 0]),
            TranslateY => Edit::Translate([0, signed(self.translation[1]) as i32]),
            Rotate => Edit::Rotate { degrees: signed(self.degrees), interpolation: Interpolation::Nearest },
            Brightness => Edit::Brightness(1.0 + signed(self.factor)),
            Saturation => Edit::Saturation(1.0 + signed(self.factor)),
            Contrast => Edit::Contrast(1.0 + signed(self.factor)),
            Sharpness => Edit::Sharpness(1.0 + signed(self.factor)),
            Posterize => {
                let dropped = bin as f32 / ((self.bins - 1) as f32 / self.bits);
                Edit::Posterize(8 - dropped.round_ties_even() as u32)
            }
            Solarize => Edit::Solarize(f64::from(self.evenly(255.0, 0.0, bin))),
            AutoContrast => Edit::AutoContrast,
            Equalize => Edit::Equalize,
            Invert => Edit::Invert,
        }
    }

    /// The `bin`-th of `bins` numbers, evenly spaced from `first` to `last`: torch's `linspace`, which counts from the
    /// nearer end.
    fn evenly(&self, first: f32, last: f32, bin: usize) -> f32 {
        let step = (last - first) / (self.bins - 1) as f32;
        if bin < self.bins / 2 { first + step * bin as f32 } else { last - step * (self.bins - 1 - bin) as f32 }
    }
}

/// Several operations, all at one magnitude.
pub fn rand_augment(settings: &RandAugment, size: Size, random: &mut impl Rng) -> Vec<Edit> {
    let magnitudes = Magnitudes::moderate(size, settings.bins);
    let drawn = (0..settings.operations).filter_map(|_| {
        let operation = *DRAWN.get(random.random_range(0..=DRAWN.len()))?;
        Some(magnitudes.edit(operation, settings.magnitude, random))
    });
    drawn.collect()
}

/// One operation at a random magnitude.
pub fn trivial_augment(random: &mut impl Rng) -> Option<Edit> {
    let magnitudes = Magnitudes::wide();
    let operation = *DRAWN.get(random.random_range(0..=DRAWN.len()))?;
    let bin = random.random_range(0..magnitudes.bins);
    Some(magnitudes.edit(operation, bin, random))
}

/// One of the policy's pairs; each of its two operations has its own probability.
pub fn auto_augment(policy: AutoAugmentPolicy, size: Size, random: &mut impl Rng) -> Vec<Edit> {
    let pairs = match policy {
        AutoAugmentPolicy::Imagenet => &IMAGENET,
        AutoAugmentPolicy::Cifar10 => &CIFAR10,
    };
    let magnitudes = Magnitudes::moderate(size, 10);
    let pair = pairs[random.random_range(0..pairs.len())];
    let mut edits = Vec::new();
    for (operation, probability, bin) in pair {
        if random.random_bool(probability) {
            edits.push(magnitudes.edit(operation, bin, random));
        }
    }
    edits
}

/// Two operations, each with its probability and its magnitude of ten (0 where it has none).
type Pair = [(Operation, f64, usize); 2];

/// arXiv:1805.09501, appendix.
const IMAGENET: [Pair; 25] = [
    [(Posterize, 0.4, 8), (Rotate, 0.6, 9)],
    [(Solarize, 0.6, 5), (AutoContrast, 0.6, 0)],
    [(Equalize, 0.8, 0), (Equalize, 0.6, 0)],
    [(Posterize, 0.6, 7), (Posterize, 0.6, 6)],
    [(Equalize, 0.4, 0), (Solarize, 0.2, 4)],
    [(Equalize, 0.4, 0), (Rotate, 0.8, 8)],
    [(Solarize, 0.6, 3), (Equalize, 0.6, 0)],
    [(Posterize, 0.8, 5), (Equalize, 1.0, 0)],
    [(Rotate, 0.2, 3), (Solarize, 0.6, 8)],
    [(Equalize, 0.6, 0), (Posterize, 0.4, 6)],
    [(Rotate, 0.8, 8), (Saturation, 0.4, 0)],
    [(Rotate, 0.4, 9), (Equalize, 0.6, 0)],
    [(Equalize, 0.0, 0), (Equalize, 0.8, 0)],
    [(Invert, 0.6, 0), (Equalize, 1.0, 0)],
    [(Saturation, 0.6, 4), (Contrast, 1.0, 8)],
    [(Rotate, 0.8, 8), (Saturation, 1.0, 2)],
    [(Saturation, 0.8, 8), (Solarize, 0.8, 7)],
    [(Sharpness, 0.4, 7), (Invert, 0.6, 0)],
    [(ShearX, 0.6, 5), (Equalize, 1.0, 0)],
    [(Saturation, 0.4, 0), (Equalize, 0.6, 0)],
    [(Equalize, 0.4, 0), (Solarize, 0.2, 4)],
    [(Solarize, 0.6, 5), (AutoContrast, 0.6, 0)],
    [(Invert, 0.6, 0), (Equalize, 1.0, 0)],
    [(Saturation, 0.6, 4), (Contrast, 1.0, 8)],
    [(Equalize, 0.8, 0), (Equalize, 0.6, 0)],
];

/// arXiv:1805.09501, appendix.
const CIFAR10: [Pair; 25] = [
    [(Invert, 0.1, 0), (Contrast, 0.2, 6)],
    [(Rotate, 0.7, 2), (TranslateX, 0.3, 9)],
    [(Sharpness, 0.8, 1), (Sharpness, 0.9, 3)],
    [(ShearY, 0.5, 8), (TranslateY, 0.7, 9)],
    [(AutoContrast, 0.5, 0), (Equalize, 0.9, 0)],
    [(ShearY, 0.2, 7), (Posterize, 0.3, 7)],
    [(Saturation, 0.4, 3), (Brightness, 0.6, 7)],
    [(Sharpness, 0.3, 9), (Brightness, 0.7, 9)],
    [(Equalize, 0.6, 0), (Equalize, 0.5, 0)],
    [(Contrast, 0.6, 7), (Sharpness, 0.6, 5)],
    [(Saturation, 0.7, 7), (TranslateX, 0.5, 8)],
    [(Equalize, 0.3, 0), (AutoContrast, 0.4, 0)],
    [(TranslateY, 0.4, 3), (Sharpness, 0.2, 6)],
    [(Brightness, 0.9, 6), (Saturation, 0.2, 8)],
    [(Solarize, 0.5, 2), (Invert, 0.0, 0)],
    [(Equalize, 0.2, 0), (AutoContrast, 0.6, 0)],
    [(Equalize, 0.2, 0), (Equalize, 0.6, 0)],
    [(Saturation, 0.9, 9), (Equalize, 0.6, 0)],
    [(AutoContrast, 0.8, 0), (Solarize, 0.2, 8)],
    [(Brightness, 0.1, 3), (Saturation, 0.7, 0)],
    [(Solarize, 0.4, 5), (AutoContrast, 0.9, 0)],
    [(TranslateY, 0.9, 9), (TranslateY, 0.7, 9)],
    [(AutoContrast, 0.9, 0), (Solarize, 0.8, 3)],
    [(Equalize, 0.8, 0), (Invert, 0.1, 0)],
    [(TranslateY, 0.7, 9), (AutoContrast, 0.9, 0)],
];
