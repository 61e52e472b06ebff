//! The views that the models need of every image, and how a worker prepares them: decode once, resize once per scale,
//! list the views.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Error, Result, ensure};
use image::RgbImage;

use super::Member;
use crate::data::dataset::Source;
use crate::geometry::Size;
use crate::image::crop::check_size;
use crate::image::resize::resize;
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
    /// The resized images that views are cut out of.
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
        let image = source.image(self.upright)?;
        let size: Size = image.dimensions().into();
        let mut plan = Plan::new(size);
        let views: Vec<_> = self.members.iter().map(|request| request.views(&mut plan)).collect();
        for CountedView { view: View { crop, dense, .. }, .. } in views.iter().flatten() {
            ensure!(
                !dense || crop.size().area() <= MOST_DENSE_PIXELS,
                "the image is {size}, and a dense view of it has {} pixels, more than {MOST_DENSE_PIXELS}; crop it first, or use a smaller side or a protocol of crops",
                crop.size()
            );
        }
        let planes = planes(&image, &plan)?;
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

/// The planes of a plan, resized out of an image.
///
/// # Errors
/// Returns an error if one of them would not fit in memory.
pub fn planes(image: &RgbImage, plan: &Plan) -> Result<Vec<RgbImage>> {
    for plane in plan.planes() {
        check_size(image.dimensions().into(), plane.resize.to)?;
    }
    let mut planes: Vec<RgbImage> = Vec::with_capacity(plan.planes().len());
    for plane in plan.planes() {
        let source = plane.of.map_or(image, |index| &planes[index]);
        let Size { width, height } = plane.resize.to;
        planes.push(resize(source, plane.resize.from, width, height));
    }
    Ok(planes)
}
