//! The views of one image: the planes that it is resized to, and the rectangles that are cut out of them.

use super::{Crop, Part};
use crate::geometry::{Rect, Resize, Size};

/// How one image is viewed. It is resized once per plane, however many views are cut out of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    size: Size,
    planes: Vec<Plane>,
}

/// The image, or a part of it, resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plane {
    /// The index of the plane that this one is resized from; `None` for the image itself.
    pub of: Option<usize>,
    /// What is resized, and to which size.
    pub resize: Resize,
}

/// A rectangle of a plane that goes through the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// The index of the plane.
    pub plane: usize,
    /// The rectangle of the plane.
    pub crop: Rect,
    /// Whether it is flipped left to right.
    pub mirror: bool,
    /// Whether the network runs over it as a convolution; if not, the crop has the input's size.
    pub dense: bool,
}

/// A rectangle of an image whose borders may lie within pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// The distance from the image's left border.
    pub x: f64,
    /// The distance from its top.
    pub y: f64,
    /// The number of pixels across.
    pub width: f64,
    /// The number of pixels down.
    pub height: f64,
}

impl Region {
    /// The same part of the image when its columns are resized by the factor `across`, and its rows by `down`.
    pub fn scaled(self, across: f64, down: f64) -> Self {
        let Region { x, y, width, height } = self;
        Region { x: x * across, y: y * down, width: width * across, height: height * down }
    }
}

impl Plan {
    /// A plan without any view yet, for an image of this size.
    pub fn new(size: Size) -> Self {
        Plan { size, planes: Vec::new() }
    }

    /// The image's size.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The planes that the views need, each after the one that it is resized from.
    pub fn planes(&self) -> &[Plane] {
        &self.planes
    }

    /// The views of `part` for a network's input, mirrors last; planes are added as they are needed. A view that comes
    /// out more than once (the squares of a square image) is listed as often.
    pub fn views(&mut self, part: &Part, input: Size) -> Vec<View> {
        let mut views = Vec::new();
        for &side in &part.scales {
            let size = self.size.with_shorter_side(side, input);
            let plane = self.plane(Plane { of: None, resize: Resize { from: self.size.whole(), to: size } });
            let regions = if part.squares { size.squares(input).to_vec() } else { vec![size.whole()] };
            for region in regions {
                for &crop in &part.crops {
                    self.cut(crop, plane, region, input, &mut views);
                }
            }
        }
        if part.mirrors {
            views.extend(views.clone().into_iter().map(|view| View { mirror: true, ..view }));
        }
        views
    }

    /// What a view shows, in pixels of the image itself.
    pub fn region(&self, view: &View) -> Region {
        let Rect { x, y, width, height } = view.crop;
        let mut region = Region { x: x.into(), y: y.into(), width: width.into(), height: height.into() };
        let mut next = Some(view.plane);
        while let Some(index) = next {
            let Plane { of, resize: Resize { from, to } } = self.planes[index];
            let across = f64::from(from.width) / f64::from(to.width);
            let down = f64::from(from.height) / f64::from(to.height);
            region = Region {
                x: f64::from(from.x) + region.x * across,
                y: f64::from(from.y) + region.y * down,
                width: region.width * across,
                height: region.height * down,
            };
            next = of;
        }
        region
    }

    /// Adds what `crop` cuts out of `region` of a plane.
    fn cut(&mut self, crop: Crop, plane: usize, region: Rect, input: Size, views: &mut Vec<View>) {
        let mut add = |plane, crop, dense| views.push(View { plane, crop, mirror: false, dense });
        match crop {
            Crop::Center => add(plane, region.center(input), false),
            Crop::Corners => region.corners(input).into_iter().for_each(|corner| add(plane, corner, false)),
            Crop::Grid(count) => region.grid(input, count).into_iter().for_each(|cell| add(plane, cell, false)),
            Crop::Whole => {
                let whole = self.plane(Plane { of: Some(plane), resize: Resize { from: region, to: input } });
                add(whole, input.whole(), false);
            }
            Crop::Dense => add(plane, region, true),
        }
    }

    /// The index of this plane, which is added if it is missing.
    fn plane(&mut self, plane: Plane) -> usize {
        self.planes.iter().position(|known| *known == plane).unwrap_or_else(|| {
            self.planes.push(plane);
            self.planes.len() - 1
        })
    }
}
