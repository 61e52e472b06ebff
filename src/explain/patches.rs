//! The patches of a data set's images that excite a layer's channels most (Zeiler and Fergus, arXiv:1311.2901, figure 2).

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use image::{RgbImage, imageops};
use tch::{Tensor, no_grad};

use super::layers::find_map;
use super::receptive::{Field, fields, pixels};
use crate::geometry::{Rect, Size};
use crate::network::Network;

/// A patch of a crop, and how much it excites a channel.
#[derive(Clone, Debug)]
pub struct Patch {
    /// The index of the image.
    pub image: usize,
    /// The channel's value where it is greatest.
    pub activation: f32,
    /// The pixels of the crop that the place sees.
    pub rect: Rect,
    crop: Arc<RgbImage>,
}

impl Patch {
    /// Its pixels, in a square of this side.
    pub fn picture(&self, side: u32) -> RgbImage {
        let Rect { x, y, width, height } = self.rect;
        let cut = imageops::crop_imm(&*self.crop, x, y, width, height).to_image();
        imageops::resize(&cut, side, side, imageops::FilterType::Triangle)
    }
}

/// The best patches of each channel so far.
#[derive(Debug)]
pub struct Patches<'a> {
    network: &'a Network,
    layer: String,
    channels: Vec<i64>,
    fields: [Field; 2],
    keep: usize,
    best: Vec<Vec<Patch>>,
}

impl<'a> Patches<'a> {
    /// For some channels of a layer, `keep` patches each.
    ///
    /// # Errors
    /// Returns an error if the network has no such layer, or the layer no such channel.
    pub fn new(network: &'a Network, layer: &str, channels: &[u32], keep: usize) -> Result<Self> {
        let node = find_map(network.nodes(), layer)?;
        let count = node.output.channels();
        let channels: Vec<i64> = channels.iter().map(|&channel| channel.into()).collect();
        if let Some(channel) = channels.iter().find(|channel| **channel >= count) {
            anyhow::bail!("{layer}: has the channels 0 to {}, found {channel}", count - 1);
        }
        let fields = fields(network.nodes(), layer)
            .with_context(|| format!("{layer}: its places do not see pixels that could be cut out"))?;
        let best = vec![Vec::new(); channels.len()];
        Ok(Patches { network, layer: layer.to_string(), channels, fields, keep, best })
    }

    /// Looks at crops of the images from number `first` on, and at what the network takes for them, (crops, channels,
    /// height, width).
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn look(&mut self, first: usize, crops: Vec<RgbImage>, input: &Tensor) -> Result<()> {
        let (_, taps) = no_grad(|| self.network.forward_tapped(input, &[&self.layer]))?;
        let [count, _, _, columns] = taps[0].size()[..] else { anyhow::bail!("{}: expected a map", self.layer) };
        ensure!(count as usize == crops.len(), "expected a crop for each input");
        let crops: Vec<Arc<RgbImage>> = crops.into_iter().map(Arc::new).collect();
        for (best, &channel) in self.best.iter_mut().zip(&self.channels) {
            let (most, places) = no_grad(|| taps[0].f_select(1, channel)?.f_flatten(1, -1)?.f_max_dim(1, false))?;
            let (most, places) = (Vec::<f32>::try_from(&most)?, Vec::<i64>::try_from(&places)?);
            for (index, (activation, place)) in most.into_iter().zip(places).enumerate() {
                let size = Size::from(crops[index].dimensions());
                let rect = pixels(self.fields, place / columns, place % columns, size);
                best.push(Patch { image: first + index, activation, rect, crop: crops[index].clone() });
            }
            best.sort_by(|a, b| b.activation.total_cmp(&a.activation).then(a.image.cmp(&b.image)));
            best.truncate(self.keep);
        }
        Ok(())
    }

    /// The best patches of each channel, the most exciting first.
    pub fn best(&self) -> impl Iterator<Item = (i64, &[Patch])> {
        self.channels.iter().copied().zip(self.best.iter().map(Vec::as_slice))
    }
}
