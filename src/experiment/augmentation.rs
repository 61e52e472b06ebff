//! `training.augment`: random changes to a cropped image, in the order in which they are applied.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::field;
use crate::geometry::Size;
use crate::image::edit::Interpolation;
use crate::range::{positive, within};

/// A random change to a cropped image. Parameters and distributions are torchvision's, except where it says otherwise.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, IntoStaticStr)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[strum(serialize_all = "snake_case")]
pub enum Augmentation {
    /// Random brightness, contrast, saturation and hue, in random order: `ColorJitter`.
    ColorJitter(ColorJitter),
    /// A random shift of all colours along the principal components of the data set's colours. Krizhevsky et al., NIPS
    /// 2012, section 4.1.
    Lighting(Lighting),
    /// A few operations drawn from 14, all at one magnitude: `RandAugment`. Cubuk et al., arXiv:1909.13719.
    RandAugment(RandAugment),
    /// One operation drawn from 14, at a random one of 31 magnitudes: `TrivialAugmentWide`. Müller and Hutter,
    /// arXiv:2103.10158.
    TrivialAugment {},
    /// Two operations drawn from the 25 pairs that were found for a data set: `AutoAugment`. Cubuk et al.,
    /// arXiv:1805.09501.
    AutoAugment(AutoAugmentPolicy),
    /// Overwrites a random rectangle: `RandomErasing`. Zhong et al., arXiv:1708.04896.
    RandomErasing(RandomErasing),
    /// A Gaussian blur with a random standard deviation: `GaussianBlur`.
    GaussianBlur(GaussianBlur),
    /// Grey with some probability: `RandomGrayscale`.
    Grayscale(Grayscale),
    /// A random rotation about the centre, with black corners: `RandomRotation`.
    Rotation(Rotation),
}

/// Each factor is uniform within 1 - x and 1 + x (from 0 at least), for hue within -x and x; 0 leaves it unchanged.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColorJitter {
    /// How far the brightness varies.
    pub brightness: f64,
    /// How far the contrast varies.
    pub contrast: f64,
    /// How far the saturation varies.
    pub saturation: f64,
    /// How far the hue varies, as a share of the full circle: at most 0.5.
    pub hue: f64,
    /// How often it happens: 0.8 in SimCLR.
    pub probability: f64,
}

impl Default for ColorJitter {
    fn default() -> Self {
        ColorJitter { brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0, probability: 1.0 }
    }
}

/// Adds, to each channel of all pixels, the sum over the components of a normal random number times the eigenvalue
/// times the channel's part in the eigenvector. The result is rounded to the nearest byte.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lighting {
    /// The standard deviation of the random numbers.
    pub deviation: f64,
    /// The eigenvalues, for colours from 0 to 1 [default: ImageNet's].
    pub eigenvalues: [f64; 3],
    /// One row per channel (red, green, blue), one column per eigenvalue [default: ImageNet's].
    pub eigenvectors: [[f64; 3]; 3],
}

impl Default for Lighting {
    /// Those of fb.resnet.torch (`datasets/imagenet.lua`), and the paper's deviation.
    fn default() -> Self {
        Lighting {
            deviation: 0.1,
            eigenvalues: [0.2175, 0.0188, 0.0045],
            eigenvectors: [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]],
        }
    }
}

/// The settings of RandAugment.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandAugment {
    /// Operations per image.
    pub operations: usize,
    /// Their magnitude, from 0 to `bins` - 1.
    pub magnitude: usize,
    /// The number of magnitudes.
    pub bins: usize,
}

impl Default for RandAugment {
    fn default() -> Self {
        RandAugment { operations: 2, magnitude: 9, bins: 31 }
    }
}

/// The data set that AutoAugment's pairs were found for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoAugmentPolicy {
    /// ImageNet: mostly colours.
    Imagenet,
    /// CIFAR-10.
    Cifar10,
}

/// The settings of random erasing. Unlike torchvision's, it works on bytes, before they are normalised.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomErasing {
    /// How often it happens.
    pub probability: f64,
    /// The rectangle's share of the image's area, least and most.
    pub area: [f64; 2],
    /// Its height over its width, least and most.
    pub aspect: [f64; 2],
    /// What it is filled with.
    pub fill: ErasedFill,
}

impl Default for RandomErasing {
    fn default() -> Self {
        RandomErasing { probability: 0.5, area: [0.02, 0.33], aspect: [0.3, 3.3], fill: ErasedFill::Mean }
    }
}

/// What an erased rectangle is filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErasedFill {
    /// The byte nearest to `preprocess.mean`, which becomes about 0 when it is normalised: torchvision's default.
    Mean,
    /// An independent random byte for each channel of each pixel, as in the paper.
    Noise,
    /// Red, green and blue bytes.
    Colour([u8; 3]),
}

/// The settings of a Gaussian blur.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianBlur {
    /// The side of the window in pixels, an odd number.
    pub kernel: u32,
    /// The standard deviation in pixels, least and most.
    #[serde(default = "GaussianBlur::sigma")]
    pub sigma: [f64; 2],
    /// How often it happens [default: 1].
    #[serde(default = "always")]
    pub probability: f64,
}

impl GaussianBlur {
    /// torchvision's default.
    fn sigma() -> [f64; 2] {
        [0.1, 2.0]
    }
}

/// The settings of random grey.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grayscale {
    /// How often it happens.
    pub probability: f64,
}

impl Default for Grayscale {
    fn default() -> Self {
        Grayscale { probability: 0.1 }
    }
}

/// The settings of a random rotation.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// The angle is uniform within minus and plus this.
    pub degrees: f64,
    /// How pixels are read between their positions [default: the nearest].
    #[serde(default)]
    pub interpolation: Interpolation,
    /// How often it happens [default: 1].
    #[serde(default = "always")]
    pub probability: f64,
}

fn always() -> f64 {
    1.0
}

/// Checks the numbers of a list of augmentations.
///
/// # Errors
/// Returns an error with the JSON path if a number is out of its range, or an augmentation could never change anything.
pub fn check(augment: &[Augmentation]) -> Result<()> {
    augment.iter().enumerate().try_for_each(|(index, augmentation)| {
        let kind: &'static str = augmentation.into();
        augmentation.check(&format!("augment[{index}].{kind}"))
    })
}

/// Checks that the windows of all augmentations fit in an input of this size.
///
/// # Errors
/// Returns an error with the JSON path of the first that does not.
pub fn check_input(augment: &[Augmentation], input: Size) -> Result<()> {
    let most = (2 * input.shorter_side()).saturating_sub(1);
    augment.iter().enumerate().try_for_each(|(index, augmentation)| match augmentation {
        Augmentation::GaussianBlur(blur) => {
            let fits = within(blur.kernel, 1, most).map_err(|reason| format!("{reason}, for an input of {input}"));
            field::at(&format!("augment[{index}].gaussian_blur.kernel"), fits)
        }
        _ => Ok(()),
    })
}

impl Augmentation {
    /// `place` is its path within `training`.
    fn check(&self, place: &str) -> Result<()> {
        let at = |field: &str, checked| field::at(&format!("{place}.{field}"), checked);
        let ordered = |field: &str, range, least, most| field::ordered(&format!("{place}.{field}"), range, least, most);
        // At 0 there would be nothing to do.
        let probability = |probability| at("probability", positive(probability, 1.0));
        match self {
            Augmentation::ColorJitter(jitter) => {
                at("brightness", within(jitter.brightness, 0.0, 10.0))?;
                at("contrast", within(jitter.contrast, 0.0, 10.0))?;
                at("saturation", within(jitter.saturation, 0.0, 10.0))?;
                at("hue", within(jitter.hue, 0.0, 0.5))?;
                let amounts = [jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue];
                ensure!(
                    amounts.iter().any(|&amount| amount != 0.0),
                    "training.{place}: expected brightness, contrast, saturation or hue above 0, found none; set one, or remove color_jitter from the list"
                );
                probability(jitter.probability)
            }
            Augmentation::Lighting(lighting) => {
                at("deviation", positive(lighting.deviation, 100.0))?;
                lighting.eigenvalues.iter().try_for_each(|&value| at("eigenvalues", within(value, 0.0, 100.0)))?;
                lighting.eigenvectors.iter().flatten().try_for_each(|&part| at("eigenvectors", within(part, -1.0, 1.0)))
            }
            Augmentation::RandAugment(rand_augment) => {
                at("operations", within(rand_augment.operations, 1, 14))?;
                at("bins", within(rand_augment.bins, 2, 1000))?;
                at("magnitude", within(rand_augment.magnitude, 0, rand_augment.bins - 1))
            }
            Augmentation::TrivialAugment {} | Augmentation::AutoAugment(_) => Ok(()),
            Augmentation::RandomErasing(erasing) => {
                probability(erasing.probability)?;
                ordered("area", erasing.area, 1e-4, 1.0)?;
                ordered("aspect", erasing.aspect, 0.01, 100.0)
            }
            Augmentation::GaussianBlur(blur) => {
                at("kernel", within(blur.kernel, 1, 1023))?;
                ensure!(
                    !blur.kernel.is_multiple_of(2),
                    "training.{place}.kernel: expected an odd number, found {}",
                    blur.kernel
                );
                ordered("sigma", blur.sigma, 0.01, 1000.0)?;
                probability(blur.probability)
            }
            Augmentation::Grayscale(grayscale) => probability(grayscale.probability),
            Augmentation::Rotation(rotation) => {
                at("degrees", positive(rotation.degrees, 180.0))?;
                probability(rotation.probability)
            }
        }
    }
}
