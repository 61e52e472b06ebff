//! What a network has learned, as pictures: the filters of its first convolution, the feature maps of an image, and the
//! patches that excite a layer's channels.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use image::{Rgb, RgbImage};
use tch::{Device, no_grad};

use crate::data::dataset::Source;
use crate::data::{listing, split};
use crate::evaluation::BadImage;
use crate::explain::layers::{find_map, first_convolution, stages};
use crate::explain::patches::{Patch, Patches};
use crate::explain::tiles;
use crate::explain::view::Viewer;
use crate::image::grid::{grid, square};
use crate::image::png;
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
    png::write(&out.join("filters.png"), &grid(&tiles, square(tiles.len())))
}

/// Draws feature maps of an image's central crop as NAME/LAYER.png: those of a layer, or of the last layer of each size.
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
    let folder = out.join(name);
    fs::create_dir(&folder).with_context(|| format!("{}: cannot be created", folder.display()))?;
    let (input, _) = viewer.view(&*source.image(model.experiment.preprocess.exif_orientation)?)?;
    no_grad(|| {
        let (_, taps) = model.network.forward_tapped(&input, &layers)?;
        for (layer, tap) in layers.iter().zip(taps) {
            let map = tap.f_to_device(Device::Cpu)?.f_select(0, 0)?;
            let tiles = tiles::channels(&map.f_narrow(0, 0, map.size()[0].min(MOST_CHANNELS))?)?;
            png::write(&folder.join(format!("{layer}.png")), &grid(&tiles, square(tiles.len())))?;
        }
        Ok(())
    })
}

/// The images of a data set in which the patches that excite a layer's channels most are looked for.
#[derive(Debug)]
pub struct Search<'a> {
    model: &'a Model,
    images: Vec<Source>,
    layer: &'a str,
    patches: Patches<'a>,
}

impl<'a> Search<'a> {
    /// # Errors
    /// Returns an error if there are no images, or the network has no such layer or channel.
    pub fn new(model: &'a Model, data: &Path, layer: &'a str, channels: &[u32], report: Report) -> Result<Self> {
        let folder = split::validation_dir(data);
        let listing = listing::list(&folder, &[])?;
        ensure!(!listing.images.is_empty(), "--patches {}: no images in this folder", folder.display());
        if folder != data {
            report.note(format!("--patches: {} images of {}", listing.images.len(), folder.display()));
        }
        Ok(Search {
            model,
            images: listing.images.into_iter().map(Source::file).collect(),
            layer,
            patches: Patches::new(&model.network, layer, channels, PATCHES)?,
        })
    }

    /// The name of the picture, without its ending.
    pub fn name(&self) -> String {
        format!("patches-{}", self.layer)
    }
}

/// Looks through the images, and draws the patches as patches-LAYER.png, one row per channel. Returns the images that
/// cannot be read, or `None` if it was interrupted.
///
/// # Errors
/// Returns an error if no image can be read, or the file cannot be written.
pub fn patches(
    mut search: Search,
    out: &Path,
    (report, interrupted): (Report, &AtomicBool),
) -> Result<Option<Vec<BadImage>>> {
    let path = out.join(format!("{}.png", search.name()));
    let Search { model, images, layer, patches } = &mut search;
    let viewer = Viewer::new(&model.experiment, Views::center(), model.network.device())?;
    let mut bad = Vec::new();
    let mut bar = report.bar(images.len() as u64, "looking");
    for (number, source) in images.iter().enumerate() {
        bar.at(number as u64 + 1, "");
        match source.image(model.experiment.preprocess.exif_orientation) {
            Ok(image) => {
                let (crops, input) = viewer.crops(&image)?;
                patches.look(number, crops, &input)?;
            }
            Err(error) => {
                let image = BadImage { name: source.name(), reason: format!("{error:#}") };
                bar.suspend(|| report.warn(format!("{}: {}", image.name, image.reason)));
                bad.push(image);
            }
        }
        if interrupted.load(Ordering::Relaxed) {
            bar.clear();
            return Ok(None);
        }
    }
    bar.clear();
    ensure!(bad.len() < images.len(), "--patches: none of the {} images could be read", images.len());
    let rows = patches.best().map(|(_, best)| row(best));
    let across = PATCHES as u32;
    let tiles: Vec<_> = rows.flatten().collect();
    png::write(&path, &grid(&tiles, across))?;
    for (channel, best) in patches.best() {
        let named = best.iter().map(|patch| images[patch.image].name());
        report.note(format!("{layer}, channel {channel}: {}", named.collect::<Vec<_>>().join(", ")));
    }
    Ok(Some(bad))
}

/// The patches of a channel, and white tiles where there are too few.
fn row(best: &[Patch]) -> Vec<RgbImage> {
    let blank = RgbImage::from_pixel(PATCH_SIDE, PATCH_SIDE, Rgb([255; 3]));
    let mut tiles: Vec<_> = best.iter().map(|patch| patch.picture(PATCH_SIDE)).collect();
    tiles.resize(PATCHES, blank);
    tiles
}
