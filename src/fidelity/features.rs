//! What a trained classifier sees in images: its features, which are the input of its last linear layer, and what it takes
//! the images for.

use anyhow::{Context, Result, ensure};
use image::RgbImage;
use tch::{Device, Kind, TchError, Tensor, no_grad};

use crate::device;
use crate::explain::layers::chain;
use crate::explain::view::Viewer;
use crate::model::Model;
use crate::network::Network;
use crate::network::node::{Node, Op};
use crate::report::Report;
use crate::views::Views;

/// A classifier that looks at images, each through the central crop of its own preprocessing.
#[derive(Debug)]
pub struct Observer<'a> {
    network: &'a Network,
    viewer: Viewer<'a>,
    /// The last linear layer, and the layer before it, whose output is its input.
    last: &'a str,
    before: &'a str,
    batch_size: usize,
}

/// What a classifier sees in some images.
#[derive(Debug)]
pub struct Seen {
    /// (images, features) on the CPU.
    pub features: Tensor,
    /// For each image the probability of each class.
    pub probabilities: Vec<Vec<f32>>,
}

impl<'a> Observer<'a> {
    /// A classifier that looks at `batch_size` images at a time.
    ///
    /// # Errors
    /// Returns an error if the network has no features: it does not end in a linear layer that comes after another layer.
    pub fn new(model: &'a Model, batch_size: usize) -> Result<Self> {
        let [before, last] = end(model.network.nodes()).with_context(|| {
            format!(
                "{}: expected a network that ends in a linear layer, whose input are the features, found none",
                model.experiment.name
            )
        })?;
        let viewer = Viewer::new(&model.experiment, Views::center(), model.network.device())?;
        Ok(Observer { network: &model.network, viewer, last, before, batch_size })
    }

    /// The linear layer whose input the features are.
    pub fn layer(&self) -> &str {
        self.last
    }

    /// Looks at images.
    ///
    /// # Errors
    /// Returns an error if there are none, an image is too thin to be resized, the device is out of memory, or the network
    /// outputs NaN or infinity.
    pub fn see(&self, images: &[RgbImage], report: Report) -> Result<Seen> {
        let mut bar = report.bar(images.len() as u64, "features");
        let (mut features, mut probabilities) = (Vec::new(), Vec::new());
        for batch in images.chunks(self.batch_size) {
            let views = batch.iter().map(|image| Ok(self.viewer.view(image)?.0)).collect::<Result<Vec<_>>>()?;
            let [more, odds] = no_grad(|| self.look(&views))
                .map_err(|error| device::explain(error, batch.len(), self.network.device()))?;
            ensure!(
                odds.f_isfinite()?.f_all()?.f_int64_value(&[])? == 1,
                "the classifier outputs NaN or infinity: its training diverged, or its weights are corrupt"
            );
            features.push(more);
            probabilities.extend(Vec::<Vec<f32>>::try_from(&odds)?);
            bar.at(probabilities.len() as u64, String::new());
        }
        bar.clear();
        ensure!(!features.is_empty(), "there are no images");
        Ok(Seen { features: Tensor::f_cat(&features, 0)?, probabilities })
    }

    /// The features, (views, features), and the class probabilities, (views, classes), of views of shape (1, channels,
    /// height, width).
    fn look(&self, views: &[Tensor]) -> Result<[Tensor; 2], TchError> {
        let (logits, taps) = self.network.forward_tapped(&Tensor::f_cat(views, 0)?, &[self.before])?;
        let features = taps[0].f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?;
        Ok([features, logits.f_softmax(1, Kind::Float)?.f_to_device(Device::Cpu)?])
    }
}

/// The last two layers, if the last one is linear.
fn end(nodes: &[Node]) -> Option<[&str; 2]> {
    let [.., before, last] = chain(nodes)[..] else { return None };
    matches!(last.op, Op::Linear { .. }).then_some([before.name.as_str(), last.name.as_str()])
}
