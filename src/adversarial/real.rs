//! Real images as the networks see them, to compare made ones with.

use std::sync::Arc;

use anyhow::Result;
use image::RgbImage;

use super::pixels::as_seen;
use crate::data::dataset::{Dataset, Sample};
use crate::data::loader::Loader;
use crate::evaluation::BadImage;
use crate::experiment::Gan;
use crate::image::crop::centered;
use crate::random;
use crate::report::Report;

/// Images of the data set in random order, `count` or as many as it has, each resized and cut to the size of made ones, and
/// grey if those are; and those that cannot be read.
///
/// # Errors
/// Returns an error if threads cannot be started.
pub fn images(
    dataset: &Dataset,
    count: usize,
    seed: u64,
    gan: &Gan,
    workers: usize,
    report: Report,
) -> Result<(Vec<RgbImage>, Vec<BadImage>)> {
    let count = count.min(dataset.samples.len());
    let samples: Arc<[Sample]> = dataset.samples.clone();
    let order = random::compared_order(seed, samples.len());
    let ([channels, ..], size, upright) = (gan.image(), gan.size(), gan.preprocess.exif_orientation);
    let images = Loader::start(count, workers, 2 * workers + 2, move |job| {
        let source = &samples[order[job] as usize].source;
        let image = source.open(upright).and_then(|image| centered(&image, image.size(), size));
        image
            .map(|image| as_seen(image, channels))
            .map_err(|error| BadImage { name: source.name(), reason: format!("{error:#}") })
    })?;
    let (mut real, mut bad) = (Vec::with_capacity(count), Vec::new());
    let mut bar = report.bar(count as u64, "real images");
    for image in images {
        match image? {
            Ok(image) => real.push(image),
            Err(image) => bad.push(image),
        }
        bar.at((real.len() + bad.len()) as u64, String::new());
    }
    bar.clear();
    Ok((real, bad))
}
