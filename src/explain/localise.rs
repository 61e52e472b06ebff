//! Localisation, ILSVRC's second task: boxes around what a network sees of each of its guesses.

use anyhow::Result;
use tch::Device;

use super::evidence::{Evidence, Method};
use super::heat::Heat;
use super::region::bounding_box;
use super::view::Viewer;
use crate::data::dataset::Source;
use crate::experiment::Experiment;
use crate::geometry::{Rect, Size};
use crate::network::Network;
use crate::views::Views;

/// Finds boxes from maps of evidence, put together over the crops of a protocol.
#[derive(Debug)]
pub struct Localiser<'a> {
    viewer: Viewer<'a>,
    evidence: Evidence<'a>,
    upright: bool,
}

impl<'a> Localiser<'a> {
    /// # Errors
    /// Returns an error if the experiment does not support the views, or the network does not allow the method.
    pub fn new(network: &'a Network, experiment: &'a Experiment, views: Views, method: Option<Method>) -> Result<Self> {
        let device: Device = network.device();
        Ok(Localiser {
            viewer: Viewer::new(experiment, views, device)?,
            evidence: Evidence::new(network, method, None)?,
            upright: experiment.preprocess.exif_orientation,
        })
    }

    /// How the evidence is found.
    pub fn method(&self) -> String {
        self.evidence.to_string()
    }

    /// The box of each class in an image, in pixels of the image.
    ///
    /// # Errors
    /// Returns an error if the image cannot be read, or the device is out of memory.
    pub fn boxes(&self, source: &Source, classes: &[usize]) -> Result<Vec<Rect>> {
        let image = source.image(self.upright)?;
        let (input, seen) = self.viewer.view(&image)?;
        let mut boxes = Vec::with_capacity(classes.len());
        for maps in self.evidence.maps(&input, classes)? {
            let mut heat = Heat::new(Size::from(image.dimensions()));
            heat.add(&maps, &seen)?;
            boxes.push(bounding_box(&heat));
        }
        Ok(boxes)
    }
}
