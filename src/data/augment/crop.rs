//! Random crops and mirroring for training: where an image is cut (`image::crop` cuts it).

use rand::{Rng, RngExt};

use crate::experiment::{Training, TrainingCrop};
use crate::geometry::{Placement, Rect, Resize, Size};

/// Chooses a random crop of size `input` from an image of size `image`, and whether it is mirrored.
pub fn choose(training: &Training, image: Size, input: Size, random: &mut impl Rng) -> Placement {
    let placement = match training.crop {
        TrainingCrop::Random { crop_fraction: [least, most] } => {
            let shortest = f64::from(input.shorter_side());
            // Uniform in the side that the image is resized to, as the VGG and ResNet papers sample it.
            let side = uniform(random, shortest / most, shortest / least);
            let to = image.with_shorter_side(side.round() as u32, input);
            let x = random.random_range(0..=to.width - input.width);
            let y = random.random_range(0..=to.height - input.height);
            let resize = Resize { from: image.whole(), to };
            Placement { resize, margin: 0, crop: input.at(x, y), mirror: false }
        }
        TrainingCrop::RandomResized { area, aspect } => {
            let resize = Resize { from: random_rectangle(image, area, aspect, random), to: input };
            Placement { resize, margin: 0, crop: input.whole(), mirror: false }
        }
        TrainingCrop::Padded { pixels: margin } => {
            let [x, y] = [(); 2].map(|()| random.random_range(0..=2 * margin));
            let resize = Resize { from: image.whole(), to: input };
            Placement { resize, margin, crop: input.at(x, y), mirror: false }
        }
    };
    Placement { mirror: training.mirror && random.random_bool(0.5), ..placement }
}

/// A rectangle with a random fraction of the image's area and a random aspect ratio (log-uniform). If ten tries do not
/// fit, the largest central rectangle with a permitted ratio. torchvision's `RandomResizedCrop.get_params`.
fn random_rectangle(image: Size, area: [f64; 2], aspect: [f64; 2], random: &mut impl Rng) -> Rect {
    let Size { width, height } = image;
    for _ in 0..10 {
        let share = image.area() as f64 * uniform(random, area[0], area[1]);
        let ratio = uniform(random, aspect[0].ln(), aspect[1].ln()).exp();
        let (w, h) = ((share * ratio).sqrt().round() as u32, (share / ratio).sqrt().round() as u32);
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let x = random.random_range(0..=width - w);
            let y = random.random_range(0..=height - h);
            return Rect { x, y, width: w, height: h };
        }
    }
    let ratio = f64::from(width) / f64::from(height);
    let w = if ratio > aspect[1] { (f64::from(height) * aspect[1]).round() as u32 } else { width };
    let h = if ratio < aspect[0] { (f64::from(width) / aspect[0]).round() as u32 } else { height };
    let (w, h) = (w.clamp(1, width), h.clamp(1, height));
    Rect { x: (width - w) / 2, y: (height - h) / 2, width: w, height: h }
}

fn uniform(random: &mut impl Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * random.random::<f64>()
}
