//! The evidence for classes in whole images, put together over the crops of a protocol.

use std::fmt;

use anyhow::{Context, Result};
use image::RgbImage;

use super::evidence::{Evidence, Method};
use super::heat::Heat;
use super::overlay::overlay;
use super::thumbnail::thumbnail;
use super::view::{Seen, Viewer};
use crate::data::dataset::Source;
use crate::experiment::Experiment;
use crate::geometry::Size;
use crate::image::decode::Decoded;
use crate::network::Network;
use crate::views::Views;

/// Finds evidence in images.
#[derive(Debug)]
pub struct Finder<'a> {
    viewer: Viewer<'a>,
    evidence: Evidence<'a>,
    upright: bool,
}

impl<'a> Finder<'a> {
    /// For a network and its experiment; see [`Evidence::new`] for the method and the layer.
    ///
    /// # Errors
    /// Returns an error if the experiment does not support the views, or the network does not allow the method.
    pub fn new(
        network: &'a Network,
        experiment: &'a Experiment,
        views: Views,
        method: Option<Method>,
        layer: Option<&str>,
    ) -> Result<Self> {
        Ok(Finder {
            viewer: Viewer::new(experiment, views, network.device())?,
            evidence: Evidence::new(network, method, layer)?,
            upright: experiment.preprocess.exif_orientation,
        })
    }

    /// An image, and one after another the evidence for each of the classes in it.
    ///
    /// # Errors
    /// Returns an error if the image cannot be read, or the device is out of memory.
    pub fn find(
        &self,
        source: &Source,
        classes: &[usize],
    ) -> Result<(Decoded, impl Iterator<Item = Result<Heat>> + use<'a>)> {
        let image = source.image(self.upright)?;
        let size = Size::from(image.dimensions());
        let (input, seen) = self.viewer.view(&image)?;
        let heats = self.evidence.maps(&input, classes)?.into_iter().map(move |maps| {
            let mut heat = Heat::new(size);
            heat.add(&maps, &seen)?;
            Ok(heat)
        });
        Ok((image, heats))
    }

    /// A small picture of an image, whose longer side is `side` pixels, and the evidence for a class drawn over it.
    ///
    /// # Errors
    /// Returns an error if the image cannot be read, or the device is out of memory.
    pub fn thumbnails(&self, source: &Source, class: usize, side: u32) -> Result<[RgbImage; 2]> {
        let image = source.image(self.upright)?;
        let (input, seen) = self.viewer.view(&image)?;
        let small = thumbnail(&image, side);
        let [across, down] = [(small.width(), image.width()), (small.height(), image.height())]
            .map(|(small, whole)| f64::from(small) / f64::from(whole));
        let seen: Vec<Seen> =
            seen.iter().map(|it| Seen { region: it.region.scaled(across, down), mirror: it.mirror }).collect();
        let maps = self.evidence.maps(&input, &[class])?;
        let mut heat = Heat::new(Size::from(small.dimensions()));
        heat.add(maps.first().context("expected a map for the class")?, &seen)?;
        let drawn = overlay(&small, &heat);
        Ok([small, drawn])
    }
}

impl fmt::Display for Finder<'_> {
    /// How the evidence is found.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.evidence.fmt(f)
    }
}
