//! The views that the models need of every image, and how a worker prepares them: decode once, resize once per scale,
//! list the views.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Error, Result, ensure};
use image::RgbImage;

use super::Member;
use crate::data::dataset::Source;
use crate::geometry::{Rect, Size};
use crate::image::crop::{check_size, resized};
use crate::image::decode::Regions;
use crate::image::resize::Resizing;
use crate::remedy::Remedy;
use crate::views::plan::{Plan, View};
use crate::views::{Average, MOST_DENSE_PIXELS, Part, Views};

/// The views that all models need.
#[derive(Clone, Debug)]
pub struct Request {
    /// One request per model.
    pub members: Vec<MemberRequest>,
    /// The number of protocols.
    pub protocols: usize,
    /// Whether the EXIF orientation is applied.
    upright: bool,
}

/// The views that one model needs: the parts of all protocols.
#[derive(Clone, Debug)]
pub struct MemberRequest {
    /// The size of the network's input.
    pub input: Size,
    /// The parts, those of a protocol one after another.
    pub slots: Vec<Slot>,
}

/// One part of one protocol: the scores of its views are summed together.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The index of the protocol.
    pub protocol: usize,
    /// What is averaged over the views.
    pub average: Average,
    part: Part,
}

/// A resized image with its views.
#[derive(Debug)]
pub struct Viewed {
    /// What the views show of each resized image.
    pub planes: Vec<Arc<RgbImage>>,
    /// For each model its views, each once.
    pub views: Vec<Vec<CountedView>>,
}

/// A view, and how often each slot counts it.
#[derive(Debug)]
pub struct CountedView {
    /// The view.
    pub view: View,
    /// One count per slot.
    pub counts: Vec<u32>,
}

impl Request {
    /// # Errors
    /// Returns an error if a protocol cannot work with a model's input, or the models disagree on EXIF orientation.
    pub fn new(members: &[Member], protocols: &[Views]) -> Result<Self> {
        let requests = members.iter().map(|member| MemberRequest::new(member, protocols));
        let mut upright = members.iter().map(|member| member.experiment.preprocess.exif_orientation);
        let first = upright.next().context("expected at least one model")?;
        ensure!(upright.all(|other| other == first), disagreement());
        Ok(Request { members: requests.collect::<Result<_>>()?, protocols: protocols.len(), upright: first })
    }

    /// Decodes and resizes an image, and lists its views.
    ///
    /// # Errors
    /// Returns the reason if the image cannot be decoded, or is so elongated that its views would not fit in memory.
    pub fn view(&self, source: &Source) -> Result<Viewed> {
        let image = source.open(self.upright)?;
        let size = image.size();
        let mut plan = Plan::new(size);
        let mut views: Vec<_> = self.members.iter().map(|request| request.views(&mut plan)).collect();
        for CountedView { view: View { crop, dense, .. }, .. } in views.iter().flatten() {
            ensure!(
                !dense || crop.size().area() <= MOST_DENSE_PIXELS,
                "the image is {size}, and a dense view of it has {} pixels, more than {MOST_DENSE_PIXELS}; crop it first, or use a smaller side or a protocol of crops",
                crop.size()
            );
        }
        let shown = views.iter_mut().flatten().map(|counted| &mut counted.view);
        let planes = planes(&image, &plan, shown.collect())?;
        Ok(Viewed { planes: planes.into_iter().map(Arc::new).collect(), views })
    }
}

fn disagreement() -> Error {
    let problem =
        "the models differ in preprocess.exif_orientation, but each image is decoded once for all".to_string();
    Error::new(Remedy { problem, changes: vec![("preprocess.exif_orientation", "true".to_string())] })
}

impl MemberRequest {
    fn new(member: &Member, protocols: &[Views]) -> Result<Self> {
        let mut slots = Vec::new();
        for (protocol, views) in protocols.iter().enumerate() {
            let parts = member.experiment.parts(views);
            let parts = parts.with_context(|| format!("{} does not support these views", member.experiment.name))?;
            slots.extend(parts.into_iter().map(|part| Slot { protocol, average: part.average, part }));
        }
        Ok(MemberRequest { input: member.experiment.input(), slots })
    }

    /// Whether a view needs the network as it is, for crops of its input's size.
    pub fn has_crops(&self) -> bool {
        self.slots.iter().any(|slot| !slot.part.is_dense())
    }

    /// Whether a view needs the network as a convolution.
    pub fn is_dense(&self) -> bool {
        self.slots.iter().any(|slot| slot.part.is_dense())
    }

    fn views(&self, plan: &mut Plan) -> Vec<CountedView> {
        let mut all: Vec<CountedView> = Vec::new();
        let mut known: HashMap<View, usize> = HashMap::new();
        for (slot, Slot { part, .. }) in self.slots.iter().enumerate() {
            for view in plan.views(part, self.input) {
                let index = *known.entry(view).or_insert(all.len());
                if index == all.len() {
                    all.push(CountedView { view, counts: vec![0; self.slots.len()] });
                }
                all[index].counts[slot] += 1;
            }
        }
        all
    }
}

/// What `views` show of the planes of a plan, resized out of an image; the views' crops are moved there.
///
/// # Errors
/// Returns an error if one of the planes is too large.
pub fn planes(image: &impl Regions, plan: &Plan, views: Vec<&mut View>) -> Result<Vec<RgbImage>> {
    for plane in plan.planes() {
        check_size(plan.size(), plane.resize.to)?;
    }
    let windows = windows(plan, &views);
    // The image is decoded once for all planes.
    let all = plan.planes().iter().zip(&windows);
    let of_image = all.clone().filter(|(plane, _)| plane.of.is_none());
    let read = of_image.map(|(plane, &window)| Resizing::new(plane.resize, window).source()).reduce(Rect::around);
    let read = read.unwrap_or(plan.size().whole());
    let (pixels, place) = image.region(read);
    let image = Shown { pixels: &pixels, x: read.x - place.x, y: read.y - place.y };
    let mut planes: Vec<RgbImage> = Vec::with_capacity(windows.len());
    for (plane, &window) in all {
        let source = plane.of.map_or(image, |parent| Shown {
            pixels: &planes[parent],
            x: windows[parent].x,
            y: windows[parent].y,
        });
        planes.push(resized(&source, plane.resize, window));
    }
    for view in views {
        let window = windows[view.plane];
        (view.crop.x, view.crop.y) = (view.crop.x - window.x, view.crop.y - window.y);
    }
    Ok(planes)
}

/// The part of each plane that views show or that other planes are made of.
fn windows(plan: &Plan, views: &[&mut View]) -> Vec<Rect> {
    let mut windows: Vec<Option<Rect>> = vec![None; plan.planes().len()];
    let add = |window: &mut Option<Rect>, part: Rect| *window = Some(window.map_or(part, |window| window.around(part)));
    views.iter().for_each(|view| add(&mut windows[view.plane], view.crop));
    // A plane comes after the one that it is made of.
    for (index, plane) in plan.planes().iter().enumerate().rev() {
        if let (Some(parent), Some(window)) = (plane.of, windows[index]) {
            add(&mut windows[parent], Resizing::new(plane.resize, window).source());
        }
    }
    windows.into_iter().zip(plan.planes()).map(|(window, plane)| window.unwrap_or(plane.resize.to.whole())).collect()
}

/// A part of a larger image, and the place of its upper left corner there.
#[derive(Clone, Copy)]
struct Shown<'a> {
    pixels: &'a RgbImage,
    x: u32,
    y: u32,
}

impl Regions for Shown<'_> {
    fn region(&self, region: Rect) -> (Cow<'_, RgbImage>, Rect) {
        (Cow::Borrowed(self.pixels), region.size().at(region.x - self.x, region.y - self.y))
    }
}
