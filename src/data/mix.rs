//! Mixing the images of a batch in pairs, with soft labels: mixup and cutmix, as torchvision's `transforms.v2` has them.

use rand::{Rng, RngExt};
use rand_distr::Beta;
use tch::{TchError, Tensor};

use crate::experiment::Mix;
use crate::geometry::{Rect, Size};

/// How the images of one batch are mixed, each with the one before it (the first with the last).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mixing {
    /// Each image is this share of itself, the rest is the other one.
    Blend {
        /// The image's own share, from 0 to 1.
        share: f64,
    },
    /// Each image shows the other one in this rectangle, which may be empty.
    Paste {
        /// The rectangle.
        area: Rect,
        /// The share of the image that remains, from 0 to 1.
        share: f64,
    },
}

/// Chooses how a batch of `images` images of this size is mixed; a single image cannot be.
pub fn choose(mix: &Mix, images: usize, size: Size, random: &mut impl Rng) -> Option<Mixing> {
    if images < 2 {
        return None;
    }
    match *mix {
        Mix::Mixup { alpha } => blend(alpha, random),
        Mix::Cutmix { alpha } => paste(alpha, size, random),
        Mix::Either { mixup, cutmix } => {
            if random.random_bool(0.5) {
                blend(mixup, random)
            } else {
                paste(cutmix, size, random)
            }
        }
    }
}

fn blend(alpha: f64, random: &mut impl Rng) -> Option<Mixing> {
    Some(Mixing::Blend { share: random.sample(Beta::new(alpha, alpha).ok()?) })
}

/// A rectangle of the image's proportions around a random pixel, cut off at the image's edges.
fn paste(alpha: f64, size: Size, random: &mut impl Rng) -> Option<Mixing> {
    let share: f64 = random.sample(Beta::new(alpha, alpha).ok()?);
    let half = 0.5 * (1.0 - share).sqrt();
    let mut side = |length: u32| {
        let middle = random.random_range(0..length);
        let reach = (half * f64::from(length)) as u32;
        (middle.saturating_sub(reach), (middle + reach).min(length))
    };
    let ((left, right), (top, bottom)) = (side(size.width), side(size.height));
    let area = Rect { x: left, y: top, width: right - left, height: bottom - top };
    let share = 1.0 - area.size().area() as f64 / size.area() as f64;
    Some(Mixing::Paste { area, share })
}

impl Mixing {
    /// The mixed inputs: (images, channels, height, width), as `inputs`.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn inputs(&self, inputs: &Tensor) -> Result<Tensor, TchError> {
        let others = inputs.f_roll([1], [0])?;
        match *self {
            Mixing::Blend { share } => mixed(inputs, others, share),
            Mixing::Paste { area, .. } => {
                let [x, y, width, height] = [area.x, area.y, area.width, area.height].map(i64::from);
                let window = |images: &Tensor| images.f_narrow(2, y, height)?.f_narrow(3, x, width);
                let pasted = inputs.f_detach_copy()?;
                window(&pasted)?.f_copy_(&window(&others)?)?;
                Ok(pasted)
            }
        }
    }

    /// The probability of each class, (images, classes), for labels of shape (images).
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn targets(&self, labels: &Tensor, classes: i64) -> Result<Tensor, TchError> {
        let (Mixing::Blend { share } | Mixing::Paste { share, .. }) = *self;
        let own = labels.f_one_hot(classes)?.f_to_kind(tch::Kind::Float)?;
        let others = own.f_roll([1], [0])?;
        mixed(&own, others, share)
    }
}

/// share * own + (1 - share) * others
fn mixed(own: &Tensor, mut others: Tensor, share: f64) -> Result<Tensor, TchError> {
    let own = own.f_multiply_scalar(share)?;
    others.f_multiply_scalar_(1.0 - share)?.f_add_(&own)
}
