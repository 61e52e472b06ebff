//! The training image that is nearest to each made one, so that a generator that copies is found out.

use anyhow::Result;
use image::RgbImage;
use tch::{Kind, TchError, Tensor, no_grad};

use super::pixels::{Pixels, as_seen};
use crate::data::dataset::Dataset;
use crate::data::example::Examples;
use crate::device;
use crate::experiment::{Gan, Preprocess};
use crate::image::batch::Batch;
use crate::report::Report;

/// Training images that are compared at once.
const BATCH: usize = 256;

/// A training image.
#[derive(Clone, Debug)]
pub struct Nearest {
    /// Its index in the data set.
    pub sample: usize,
    /// The root of the mean square of the differences between the pixels, as a share of the range from black to white.
    pub distance: f64,
    /// Its pixels, as training cuts them and the discriminator sees them.
    pub picture: RgbImage,
}

/// The nearest of a data set's images to each of these, (images, channels, height, width) bytes. Images that cannot be read
/// are left out.
///
/// # Errors
/// Returns an error if none can be read, or memory does not suffice.
pub fn nearest(made: &Tensor, gan: &Gan, dataset: &Dataset, workers: usize, report: Report) -> Result<Vec<Nearest>> {
    let pixels = Pixels::of(gan, made.device());
    let made = no_grad(|| pixels.values(&as_batch(made)?))?.f_flatten(1, -1)?;
    let preprocess = Preprocess { exif_orientation: gan.preprocess.exif_orientation, ..Preprocess::default() };
    let examples = Examples::of(dataset, gan.shared(), &preprocess, gan.size());
    let visits = examples.order(0);
    let mut loaded = examples.load(&visits, 0, workers, 2 * BATCH)?;
    let mut best: Vec<Option<Nearest>> = vec![None; made.size()[0] as usize];
    let mut bar = report.bar(visits.len() as u64, "comparing");
    let mut done = 0;
    while done < visits.len() {
        let (mut samples, mut pictures) = (Vec::new(), Vec::new());
        for example in loaded.by_ref().take(BATCH) {
            done += 1;
            let (sample, picture) = example?;
            match picture {
                Ok(picture) => {
                    samples.push(sample);
                    pictures.push(as_seen(picture, gan.image()[0]));
                }
                Err(reason) => report.warn(format!("{}: {reason}; skipped", dataset.samples[sample].source.name())),
            }
        }
        if !pictures.is_empty() {
            let [distances, places] = compared(&made, &pictures, pixels)
                .map_err(|error| device::explain(error, pictures.len(), made.device()))?;
            for (index, best) in best.iter_mut().enumerate() {
                let (distance, place) =
                    (distances.f_double_value(&[index as i64])?, places.f_int64_value(&[index as i64])?);
                let distance = distance / gan.span() / (made.size()[1] as f64).sqrt();
                if best.as_ref().is_none_or(|best| distance < best.distance) {
                    let picture = pictures[place as usize].clone();
                    *best = Some(Nearest { sample: samples[place as usize], distance, picture });
                }
            }
        }
        bar.at(done as u64, "");
    }
    bar.clear();
    best.into_iter()
        .map(|best| best.ok_or_else(|| anyhow::anyhow!("{}: none of the images can be read", dataset.root.display())))
        .collect()
}

/// The least distance of each made image to one of the pictures, and which that is.
fn compared(made: &Tensor, pictures: &[RgbImage], pixels: Pixels) -> Result<[Tensor; 2], TchError> {
    let bytes =
        Batch::of(pictures).and_then(|batch| batch.tensor()).map_err(|error| TchError::Shape(error.to_string()))?;
    let values = no_grad(|| pixels.values(&bytes))?.f_flatten(1, -1)?;
    let (distances, places) = Tensor::f_cdist(made, &values, 2.0, None::<i64>)?.f_min_dim(1, false)?;
    Ok([distances.f_to_kind(Kind::Double)?, places])
}

/// (images, channels, height, width) bytes as a batch, (images, height, width, 3).
fn as_batch(made: &Tensor) -> Result<Tensor, TchError> {
    let (images, _, height, width) = made.size4()?;
    made.f_permute([0, 2, 3, 1])?.f_expand([images, height, width, 3], false)
}
