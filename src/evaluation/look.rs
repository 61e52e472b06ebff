//! What a worker does with an image file: decode it once, resize it once a scale, and list the views that are asked for.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, ensure};
use image::RgbImage;

use super::BadImage;
use crate::data::decode::{self, decode};
use crate::data::resize::resize;
use crate::data::transform::fits;
use crate::views::plan::{Plan, View};
use crate::views::{Average, MOST_DENSE_PIXELS, Part};

/// What one network is asked of each image: the parts of all protocols.
pub struct Question {
    /// Height and width of the network's input.
    pub input: [u32; 2],
    pub slots: Vec<Slot>,
    pub protocols: usize,
}

/// Where the scores of a part's views are summed up.
pub struct Slot {
    pub protocol: usize,
    pub average: Average,
    part: Part,
}

impl Question {
    /// `parts` are those of each protocol.
    pub fn new(input: [u32; 2], parts: &[Vec<Part>]) -> Self {
        let slots = parts.iter().enumerate().flat_map(|(protocol, parts)| {
            parts.iter().map(move |part| Slot { protocol, average: part.average, part: part.clone() })
        });
        Question { input, slots: slots.collect(), protocols: parts.len() }
    }

    /// Whether a part has a view for which the network must be a convolution.
    pub fn is_dense(&self) -> bool {
        self.slots.iter().any(|slot| slot.part.is_dense())
    }
}

/// An image with all that is asked of it.
pub struct Looked {
    pub planes: Vec<RgbImage>,
    /// For each network its views, each once.
    pub views: Vec<Vec<Wanted>>,
}

/// A view, and how often each slot counts it.
pub struct Wanted {
    pub view: View,
    pub counts: Vec<u32>,
}

pub struct Looker {
    pub upright: bool,
    pub questions: Arc<[Question]>,
}

impl Looker {
    /// # Errors
    /// Where the file cannot be decoded, or the image is so long and thin that its views would take all memory.
    pub fn look(&self, path: &Path) -> Result<Looked, BadImage> {
        let looked = decode::read(path)
            .and_then(|bytes| decode(&bytes, path, self.upright))
            .and_then(|image| self.views_of(&image));
        looked.map_err(|error| BadImage { path: path.to_path_buf(), reason: format!("{error:#}") })
    }

    fn views_of(&self, image: &RgbImage) -> Result<Looked> {
        let mut plan = Plan::new(image.dimensions());
        let views: Vec<_> = self.questions.iter().map(|question| wanted(question, &mut plan)).collect();
        for plane in &plan.planes {
            fits(image.dimensions(), plane.width, plane.height)?;
        }
        for Wanted { view: View { crop, dense, .. }, .. } in views.iter().flatten() {
            let (width, height) = image.dimensions();
            ensure!(
                !dense || u64::from(crop.width) * u64::from(crop.height) <= MOST_DENSE_PIXELS,
                "the image is {width}x{height}, and a dense view of it has {}x{} pixels, more than {MOST_DENSE_PIXELS}; cut it first, or use a smaller side or a protocol of crops",
                crop.width,
                crop.height
            );
        }
        let mut planes: Vec<RgbImage> = Vec::with_capacity(plan.planes.len());
        for plane in &plan.planes {
            let source = plane.of.map_or(image, |index| &planes[index]);
            planes.push(resize(source, plane.from, plane.width, plane.height));
        }
        Ok(Looked { planes, views })
    }
}

/// The views that a question has of an image, each once.
fn wanted(question: &Question, plan: &mut Plan) -> Vec<Wanted> {
    let mut all: Vec<Wanted> = Vec::new();
    let mut known: HashMap<View, usize> = HashMap::new();
    for (slot, Slot { part, .. }) in question.slots.iter().enumerate() {
        for view in plan.views(part, question.input) {
            let index = *known.entry(view).or_insert(all.len());
            if index == all.len() {
                all.push(Wanted { view, counts: vec![0; question.slots.len()] });
            }
            all[index].counts[slot] += 1;
        }
    }
    all
}
