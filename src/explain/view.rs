//! An image as a network sees it: its crops as one batch, and where in the image each of them lies.

use anyhow::{Result, ensure};
use image::{RgbImage, imageops};
use tch::{Device, Tensor};

use crate::evaluation::request::planes;
use crate::experiment::Experiment;
use crate::geometry::{Rect, Size};
use crate::image::batch::Batch;
use crate::image::normalise::Normalisation;
use crate::views::Views;
use crate::views::plan::{Plan, Region, View};

/// A part of an image that a network sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Where it lies, in pixels of the image.
    pub region: Region,
    /// Whether it is flipped left to right.
    pub mirror: bool,
}

/// Cuts the views of a protocol out of images.
#[derive(Debug)]
pub struct Viewer<'a> {
    experiment: &'a Experiment,
    views: Views,
    normalisation: Normalisation,
}

impl<'a> Viewer<'a> {
    /// # Errors
    /// Returns an error if the experiment does not support the views, or they are dense.
    pub fn new(experiment: &'a Experiment, views: Views, device: Device) -> Result<Self> {
        ensure!(
            experiment.parts(&views)?.iter().all(|part| !part.is_dense()),
            "the views {views} run the network as a convolution; maps of evidence need a protocol of crops, for example center or ten-crop"
        );
        let normalisation = Normalisation::new(&experiment.preprocess.constants(), device)?;
        Ok(Viewer { experiment, views, normalisation })
    }

    /// The views of an image: (views, channels, height, width), and what each of them shows.
    ///
    /// # Errors
    /// Returns an error if the image is too elongated, or there is no memory for the batch.
    pub fn view(&self, image: &RgbImage) -> Result<(Tensor, Vec<Seen>)> {
        let Cut { planes, views, seen } = self.cut(image)?;
        let mut batch = Batch::with_capacity(self.experiment.input(), views.len())?;
        views.iter().for_each(|view| batch.push(&planes[view.plane], view.crop, view.mirror));
        Ok((self.normalisation.apply(&batch.tensor()?)?, seen))
    }

    /// The views of an image as pixels, and as [`Viewer::view`] returns them.
    ///
    /// # Errors
    /// See [`Viewer::view`].
    pub fn crops(&self, image: &RgbImage) -> Result<(Vec<RgbImage>, Tensor)> {
        let Cut { planes, views, .. } = self.cut(image)?;
        let crop = |View { plane, crop: Rect { x, y, width, height }, mirror, .. }: &View| {
            let crop = imageops::crop_imm(&planes[*plane], *x, *y, *width, *height).to_image();
            if *mirror { imageops::flip_horizontal(&crop) } else { crop }
        };
        let crops: Vec<RgbImage> = views.iter().map(crop).collect();
        let input = self.normalisation.apply(&Batch::of(&crops)?.tensor()?)?;
        Ok((crops, input))
    }

    fn cut(&self, image: &RgbImage) -> Result<Cut> {
        let mut plan = Plan::new(Size::from(image.dimensions()));
        let parts = self.experiment.parts(&self.views)?;
        let mut views: Vec<View> = parts.iter().flat_map(|part| plan.views(part, self.experiment.input())).collect();
        let seen = views.iter().map(|view| Seen { region: plan.region(view), mirror: view.mirror }).collect();
        let planes = planes(image, &plan, views.iter_mut().collect())?;
        Ok(Cut { planes, views, seen })
    }
}

/// What the views show of the resized images, the views within that, and where they lie in the image itself.
struct Cut {
    planes: Vec<RgbImage>,
    views: Vec<View>,
    seen: Vec<Seen>,
}
