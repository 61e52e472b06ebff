//! Class probabilities of images under a protocol: every image's views, through the network, averaged.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use image::RgbImage;
use tch::{Kind, Tensor, no_grad};

use crate::config::Experiment;
use crate::data::batch;
use crate::data::decode::decode;
use crate::data::folder::Folder;
use crate::data::loader::Loader;
use crate::data::resize::resize;
use crate::data::transform::{Normalisation, fits};
use crate::device;
use crate::metrics::Tally;
use crate::model;
use crate::network::Network;
use crate::views::{self, Protocol, View};

/// How images go through the network; none of it changes a result.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Crops that share a forward pass.
    pub batch_size: usize,
    /// Threads that decode and resize.
    pub workers: usize,
}

/// A file that could not be used, and why.
#[derive(Clone, Debug)]
pub struct BadImage {
    pub path: PathBuf,
    pub reason: String,
}

/// Counts the errors on a folder's images, each image once; those that cannot be read are left out and returned. `seen` is
/// called after each image and may break off, which gives `None`.
///
/// # Errors
/// Where the memory does not suffice, the network gives no numbers, or no image at all could be read.
pub fn evaluate(
    network: &Network,
    experiment: &Experiment,
    folder: &Folder,
    protocol: Protocol,
    pace: Pace,
    mut seen: impl FnMut(&Tally) -> ControlFlow<()>,
) -> Result<Option<(Tally, Vec<BadImage>)>> {
    let (mut tally, mut bad) = (Tally::default(), Vec::new());
    let flow = classify(network, experiment, folder.samples.clone(), protocol, pace, |index, result| {
        match result {
            Ok(probabilities) => tally.count(&probabilities, folder.samples[index].label),
            Err(image) => bad.push(image),
        }
        Ok(seen(&tally))
    })?;
    if flow.is_break() {
        return Ok(None);
    }
    if let Some(first) = bad.first() {
        ensure!(
            tally.images > 0,
            "none of the {} images could be read; the first, {}: {}",
            bad.len(),
            first.path.display(),
            first.reason
        );
    }
    Ok(Some((tally, bad)))
}

/// Hands the class probabilities of each of `files`, averaged over its views, to `each`, in their order; or why an image
/// could not be read. `each` may break off.
///
/// # Errors
/// Where the memory does not suffice, the network gives no numbers, or `each` fails.
pub fn classify<File: AsRef<Path> + Send + Sync + 'static>(
    network: &Network,
    experiment: &Experiment,
    files: Arc<[File]>,
    protocol: Protocol,
    pace: Pace,
    mut each: impl FnMut(usize, Result<Vec<f32>, BadImage>) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    let device = network.device();
    let normalisation = Normalisation::new(&experiment.preprocess, device)?;
    let viewer = Viewer { experiment: experiment.clone(), protocol };
    let ahead = 2 * pace.workers + 2;
    let images = Loader::start(files.len(), pace.workers, ahead, move |index| viewer.look(files[index].as_ref()))?;
    let mut forward = Forward { network, normalisation, crops: Vec::new(), owners: Vec::new() };
    // Images whose views are not all through yet, the oldest first.
    let mut open: VecDeque<Open> = VecDeque::new();
    let mut first_open = 0;
    for (index, result) in images.enumerate() {
        match result? {
            Err(bad) => open.push_back(Open::Bad(bad)),
            Ok(viewed) => {
                open.push_back(Open::Good {
                    sum: vec![0.0; experiment.network.classes as usize],
                    left: viewed.views.len(),
                    views: viewed.views.len(),
                });
                let planes = viewed
                    .planes
                    .iter()
                    .map(|plane| batch::stack(std::slice::from_ref(plane)))
                    .collect::<Result<Vec<_>>>()?;
                for view in &viewed.views {
                    forward.crops.push(cut(&planes[view.plane], view, viewed.input)?);
                    forward.owners.push(index);
                    if forward.crops.len() == pace.batch_size {
                        forward.run(first_open, &mut open)?;
                    }
                }
            }
        }
        if hand_over(&mut open, &mut first_open, &mut each)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    if !forward.crops.is_empty() {
        forward.run(first_open, &mut open)?;
    }
    hand_over(&mut open, &mut first_open, &mut each)
}

/// What workers do with a file: decode it and resize it once a plane.
struct Viewer {
    experiment: Experiment,
    protocol: Protocol,
}

struct Viewed {
    planes: Vec<RgbImage>,
    views: Vec<View>,
    input: [u32; 2],
}

impl Viewer {
    fn look(&self, path: &Path) -> Result<Viewed, BadImage> {
        let preprocess = &self.experiment.preprocess;
        let image = decode(path, preprocess.exif_orientation)
            .map_err(|error| BadImage { path: path.to_path_buf(), reason: format!("{error:#}") })?;
        let input = model::input(&self.experiment);
        let plan = views::plan(self.protocol, image.dimensions(), input, preprocess.crop_fraction);
        for plane in &plan.planes {
            fits(image.dimensions(), plane.width, plane.height)
                .map_err(|error| BadImage { path: path.to_path_buf(), reason: format!("{error:#}") })?;
        }
        let planes = plan.planes.iter().map(|plane| resize(&image, plane.from, plane.width, plane.height)).collect();
        Ok(Viewed { planes, views: plan.views, input })
    }
}

/// A view as a part of its plane, (1, height, width, 3) bytes; only mirrors are copied.
fn cut(plane: &Tensor, view: &View, [height, width]: [u32; 2]) -> Result<Tensor> {
    let crop = plane.f_narrow(1, view.y.into(), height.into())?.f_narrow(2, view.x.into(), width.into())?;
    Ok(if view.mirror { crop.f_flip([2])? } else { crop })
}

enum Open {
    Bad(BadImage),
    /// The sum of the views' probabilities so far; how many views are still to come; how many there are.
    Good {
        sum: Vec<f64>,
        left: usize,
        views: usize,
    },
}

/// Crops that wait for a full batch, and the images that they belong to.
struct Forward<'a> {
    network: &'a Network,
    normalisation: Normalisation,
    crops: Vec<Tensor>,
    owners: Vec<usize>,
}

impl Forward<'_> {
    /// Runs the crops that wait; `open` begins with image `first`.
    fn run(&mut self, first: usize, open: &mut VecDeque<Open>) -> Result<()> {
        let probabilities = no_grad(|| {
            let input = self.normalisation.apply(&Tensor::f_cat(&self.crops, 0)?)?;
            let logits = self.network.forward(&input, false)?.logits;
            logits.f_softmax(-1, Kind::Float)?.f_to_device(tch::Device::Cpu)
        })
        .map_err(|error| device::explain(error, self.crops.len(), self.network.device()))?;
        let rows = Vec::<Vec<f32>>::try_from(&probabilities).context("the network gave no table of probabilities")?;
        ensure!(
            rows.iter().flatten().all(|probability| probability.is_finite()),
            "the network gives values that are no numbers: its weights are those of a training that diverged, or damaged"
        );
        for (owner, row) in self.owners.iter().zip(rows) {
            if let Some(Open::Good { sum, left, .. }) = open.get_mut(owner - first) {
                sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(value));
                *left -= 1;
            }
        }
        self.crops.clear();
        self.owners.clear();
        Ok(())
    }
}

/// Hands over the images that are complete, up to the first that is not.
fn hand_over(
    open: &mut VecDeque<Open>,
    first_open: &mut usize,
    each: &mut impl FnMut(usize, Result<Vec<f32>, BadImage>) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    while !matches!(open.front(), None | Some(Open::Good { left: 1.., .. })) {
        let flow = match open.pop_front() {
            Some(Open::Bad(bad)) => each(*first_open, Err(bad))?,
            Some(Open::Good { sum, views, .. }) => {
                let mean = sum.iter().map(|sum| (sum / views as f64) as f32).collect();
                each(*first_open, Ok(mean))?
            }
            None => break,
        };
        *first_open += 1;
        if flow.is_break() {
            return Ok(flow);
        }
    }
    Ok(ControlFlow::Continue(()))
}
