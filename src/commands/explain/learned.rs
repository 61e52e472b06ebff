//! What a network has learned, as pictures: the filters of its first convolution, the feature maps of an image, and the
//! patches that excite a layer's channels.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use image::{Rgb, RgbImage};
use tch::{Device, no_grad};

use super::picture;
use crate::data::dataset::Source;
use crate::explain::layers::{find_map, first_convolution, stages};
use crate::explain::patches::{Patch, Patches};
use crate::explain::tiles;
use crate::explain::view::Viewer;
use crate::model::Model;
use crate::report::Report;
use crate::views::Views;

/// Channels of a feature map that are drawn.
const MOST_CHANNELS: i64 = 64;
/// Patches for each channel.
const PATCHES: usize = 9;
/// The side of a patch in pixels, whatever the layer sees.
const PATCH_SIDE: u32 = 64;

/// Draws the filters of the first convolution as filters.png.
///
/// # Errors
/// Returns an error if there is none, or the file cannot be written.
pub fn filters(model: &Model, out: &Path) -> Result<()> {
    let node = first_convolution(model.network.nodes()).context("--filters: the network has no convolution")?;
    let weight = model.network.tensor(&format!("{}.weight", node.name))?.f_to_device(Device::Cpu)?;
    let tiles = no_grad(|| tiles::filters(&weight, model.experiment.preprocess.constants().bgr))?;
    picture(&out.join("filters.png"), &tiles::grid(&tiles, tiles::square(tiles.len())))
}

/// Draws feature maps of an image's central crop as NAME-LAYER.png: those of a layer, or of the last layer of each size.
///
/// # Errors
/// Returns an error if the image cannot be read, the network has no such layer, or a file cannot be written.
pub fn features(model: &Model, source: &Source, name: &str, layer: Option<&str>, out: &Path) -> Result<()> {
    let nodes = model.network.nodes();
    let layers: Vec<&str> = match layer {
        Some(layer) => vec![&find_map(nodes, layer)?.name],
        None => stages(nodes).into_iter().map(|node| node.name.as_str()).collect(),
    };
    let viewer = Viewer::new(&model.experiment, Views::center(), model.network.device())?;
    let (input, _) = viewer.view(&*source.image(model.experiment.preprocess.exif_orientation)?)?;
    no_grad(|| {
        let (_, taps) = model.network.forward_tapped(&input, &layers)?;
        for (layer, tap) in layers.iter().zip(taps) {
            let map = tap.f_to_device(Device::Cpu)?.f_select(0, 0)?;
            let tiles = tiles::channels(&map.f_narrow(0, 0, map.size()[0].min(MOST_CHANNELS))?)?;
            picture(&out.join(format!("{name}-{layer}.png")), &tiles::grid(&tiles, tiles::square(tiles.len())))?;
        }
        Ok(())
    })
}

/// Looks through images for the patches that excite channels of a layer most, and draws them as patches-LAYER.png, a
/// channel a row. Returns whether it was not interrupted.
///
/// # Errors
/// Returns an error if the network has no such layer or channel, no image can be read, or the file cannot be written.
pub fn patches(
    model: &Model,
    images: &[Source],
    layer: &str,
    channels: &[u32],
    out: &Path,
    (report, interrupted): (Report, &AtomicBool),
) -> Result<bool> {
    let viewer = Viewer::new(&model.experiment, Views::center(), model.network.device())?;
    let mut patches = Patches::new(&model.network, layer, channels, PATCHES)?;
    let mut bar = report.bar(images.len() as u64, "looking");
    for (number, source) in images.iter().enumerate() {
        bar.at(number as u64 + 1, "");
        match source.image(model.experiment.preprocess.exif_orientation) {
            Ok(image) => {
                let (crops, input) = viewer.crops(&image)?;
                patches.look(number, crops, &input)?;
            }
            Err(error) => bar.suspend(|| report.warn(format!("{}: {error:#}", source.name()))),
        }
        if interrupted.load(Ordering::Relaxed) {
            bar.clear();
            return Ok(false);
        }
    }
    bar.clear();
    let rows = patches.best().map(|(_, best)| row(best));
    let across = PATCHES as u32;
    let tiles: Vec<_> = rows.flatten().collect();
    picture(&out.join(format!("patches-{layer}.png")), &tiles::grid(&tiles, across))?;
    for (channel, best) in patches.best() {
        let named = best.iter().map(|patch| images[patch.image].name());
        report.note(format!("{layer}, channel {channel}: {}", named.collect::<Vec<_>>().join(", ")));
    }
    Ok(true)
}

/// The patches of a channel, and white tiles where there are too few.
fn row(best: &[Patch]) -> Vec<RgbImage> {
    let blank = RgbImage::from_pixel(PATCH_SIDE, PATCH_SIDE, Rgb([255; 3]));
    let mut tiles: Vec<_> = best.iter().map(|patch| patch.picture(PATCH_SIDE)).collect();
    tiles.resize(PATCHES, blank);
    tiles
}
