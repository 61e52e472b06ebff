//! Random changes to training images. Choosing is separate from applying, so that choices can be printed, tested and
//! repeated: `crop` chooses where an image is cut, this module how the crop is then edited (`image::edit`).

pub mod crop;
mod policies;

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

use crate::experiment::{Augmentation, ColorJitter, ErasedFill, Lighting, RandomErasing};
use crate::geometry::{Rect, Size};
use crate::image::edit::{Edit, Fill};

/// Chooses the edits of a crop of size `size`, in the order in which they are to be applied. `mean` is the data set's
/// mean colour as red, green and blue bytes.
pub fn choose(augment: &[Augmentation], size: Size, mean: [u8; 3], random: &mut impl Rng) -> Vec<Edit> {
    let mut edits = Vec::new();
    for augmentation in augment {
        match augmentation {
            Augmentation::ColorJitter(jitter) if happens(random, jitter.probability) => {
                edits.extend(color_jitter(jitter, random));
            }
            Augmentation::Lighting(lighting) => edits.push(Edit::Shift(colour_shift(lighting, random))),
            Augmentation::RandAugment(rand_augment) => edits.extend(policies::rand_augment(rand_augment, size, random)),
            Augmentation::TrivialAugment {} => edits.extend(policies::trivial_augment(random)),
            Augmentation::AutoAugment(policy) => edits.extend(policies::auto_augment(*policy, size, random)),
            Augmentation::RandomErasing(erasing) if happens(random, erasing.probability) => {
                edits.extend(erased(erasing, size, mean, random));
            }
            Augmentation::GaussianBlur(blur) if happens(random, blur.probability) => {
                let sigma = random_in(random, blur.sigma);
                edits.push(Edit::Blur { kernel: blur.kernel, sigma });
            }
            Augmentation::Grayscale(grayscale) if happens(random, grayscale.probability) => edits.push(Edit::Grayscale),
            Augmentation::Rotation(rotation) if happens(random, rotation.probability) => {
                let degrees = random_in(random, [-rotation.degrees, rotation.degrees]);
                edits.push(Edit::Rotate { degrees, interpolation: rotation.interpolation });
            }
            Augmentation::ColorJitter(_)
            | Augmentation::RandomErasing(_)
            | Augmentation::GaussianBlur(_)
            | Augmentation::Grayscale(_)
            | Augmentation::Rotation(_) => {}
        }
    }
    edits
}

/// The edits that vary, in random order. torchvision's `ColorJitter.get_params`.
fn color_jitter(jitter: &ColorJitter, random: &mut impl Rng) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut factor = |amount: f64, edit: fn(f64) -> Edit| {
        if amount > 0.0 {
            edits.push(edit(random_in(random, [(1.0 - amount).max(0.0), 1.0 + amount])));
        }
    };
    factor(jitter.brightness, Edit::Brightness);
    factor(jitter.contrast, Edit::Contrast);
    factor(jitter.saturation, Edit::Saturation);
    if jitter.hue > 0.0 {
        edits.push(Edit::Hue(random_in(random, [-jitter.hue, jitter.hue])));
    }
    edits.shuffle(random);
    edits
}

/// The shift of each channel, in units of a byte.
fn colour_shift(lighting: &Lighting, random: &mut impl Rng) -> [f64; 3] {
    let weights = lighting.eigenvalues.map(|eigenvalue| {
        let normal: f64 = random.sample(StandardNormal);
        normal * lighting.deviation * eigenvalue
    });
    lighting.eigenvectors.map(|row| 255.0 * row.iter().zip(&weights).map(|(part, weight)| part * weight).sum::<f64>())
}

/// A rectangle smaller than the image in both directions; none if ten tries do not fit. torchvision's
/// `RandomErasing.get_params`.
fn erased(erasing: &RandomErasing, size: Size, mean: [u8; 3], random: &mut impl Rng) -> Option<Edit> {
    for _ in 0..10 {
        let area = size.area() as f64 * random_in(random, erasing.area);
        let aspect = random_in(random, erasing.aspect.map(f64::ln)).exp();
        let height = (area * aspect).sqrt().round_ties_even() as u32;
        let width = (area / aspect).sqrt().round_ties_even() as u32;
        if height < size.height && width < size.width {
            let x = random.random_range(0..=size.width - width);
            let y = random.random_range(0..=size.height - height);
            let fill = match erasing.fill {
                ErasedFill::Mean => Fill::Colour(mean),
                ErasedFill::Noise => Fill::Noise(random.random()),
                ErasedFill::Colour(colour) => Fill::Colour(colour),
            };
            return Some(Edit::Erase { area: Rect { x, y, width, height }, fill });
        }
    }
    None
}

fn happens(random: &mut impl Rng, probability: f64) -> bool {
    random.random_bool(probability)
}

/// Uniform between two numbers.
fn random_in(random: &mut impl Rng, [low, high]: [f64; 2]) -> f64 {
    low + (high - low) * random.random::<f64>()
}
