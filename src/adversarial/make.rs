//! Images made by a generator.

use std::ops::Range;

use anyhow::{Result, anyhow};
use image::{GrayImage, RgbImage};
use tch::{Tensor, no_grad};

use super::latent::{of_numbers, with_classes};
use super::pixels::Pixels;
use crate::device;
use crate::experiment::Gan;
use crate::network::{Mode, Network};
use crate::report::Report;

/// Images that are made at once.
const BATCH: i64 = 64;

/// The images that the generator makes of the latent vectors of these numbers under a seed, of one class or of all in turn
/// if it is given classes: bytes, (images, channels, height, width).
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn images(
    seed: u64,
    numbers: Range<u64>,
    class: Option<usize>,
    gan: &Gan,
    generator: &Network,
    report: Report,
) -> Result<Tensor> {
    let latents = of_numbers(gan.latent, seed, numbers.clone(), generator.device())?;
    let classes = gan.classes().max(1) as u64;
    let labels: Vec<i64> =
        numbers.map(|number| class.map_or((number % classes) as i64, |class| class as i64)).collect();
    of_latents(&latents, &labels, gan, generator, report)
}

/// The images that the generator makes of latent vectors, (images, size, 1, 1), each of its class: bytes, (images, channels,
/// height, width).
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn of_latents(latents: &Tensor, labels: &[i64], gan: &Gan, generator: &Network, report: Report) -> Result<Tensor> {
    let mut bar = report.bar(labels.len() as u64, "made images");
    let pixels = Pixels::of(gan, generator.device());
    let labels = device::send(&Tensor::f_from_slice(labels)?, generator.device())?;
    let make = |start: i64| {
        bar.at(start as u64, "");
        let count = BATCH.min(labels.size()[0] - start);
        let given =
            with_classes(&latents.f_narrow(0, start, count)?, &labels.f_narrow(0, start, count)?, gan.classes())?;
        pixels.bytes(&generator.forward(&given, Mode::Evaluation)?.values)
    };
    let batches = || (0..labels.size()[0]).step_by(BATCH as usize).map(make).collect::<Result<Vec<Tensor>, _>>();
    let batches = no_grad(batches).map_err(|error| device::explain(error, BATCH as usize, generator.device()))?;
    bar.clear();
    Ok(Tensor::f_cat(&batches, 0)?)
}

/// Bytes, (images, channels, height, width), as pictures; grey ones have three equal channels.
///
/// # Errors
/// Returns an error if there are not one or three channels.
pub fn pictures(bytes: &Tensor) -> Result<Vec<RgbImage>> {
    let (images, channels, height, width) = bytes.size4()?;
    let rows = bytes.f_permute([0, 2, 3, 1])?.f_expand([images, height, width, 3], false);
    let rows =
        rows.map_err(|_| anyhow!("expected images of one or three channels, found {channels}"))?.f_contiguous()?;
    let mut values = vec![0; rows.numel()];
    rows.f_copy_data(&mut values, rows.numel())?;
    let size = (3 * height * width) as usize;
    let picture = |values: &[u8]| RgbImage::from_raw(width as u32, height as u32, values.to_vec()).unwrap_or_default();
    Ok(values.chunks_exact(size).map(picture).collect())
}

/// The same picture without its colours, which it does not have.
pub fn grey(picture: &RgbImage) -> GrayImage {
    let values = picture.pixels().map(|pixel| pixel.0[0]).collect();
    GrayImage::from_raw(picture.width(), picture.height(), values).unwrap_or_default()
}

/// How much made images differ from one another: the mean, over pixels, of the standard deviation over the images, as a
/// share of the range from black to white.
///
/// # Errors
/// Returns libtorch's error; none is known.
pub fn variety(bytes: &Tensor) -> Result<f64> {
    let shares = bytes.f_to_kind(tch::Kind::Float)?.f_divide_scalar(255.0)?;
    let deviation = shares.f_var_dim([0i64].as_slice(), false, false)?.f_sqrt()?;
    Ok(deviation.f_mean(tch::Kind::Float)?.f_double_value(&[])?)
}
