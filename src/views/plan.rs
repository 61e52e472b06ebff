//! The views of one image: the planes that it is resized to, and the rectangles that are cut out of them.

use super::{Crop, Part};
use crate::data::resize::Rect;
use crate::data::transform::resized;

/// How one image is viewed: it is resized once a plane, whichever views are cut out of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Width and height of the image, in pixels.
    size: (u32, u32),
    /// A plane comes after the one that it is made of.
    pub planes: Vec<Plane>,
}

/// A rectangle of the image or of another plane, resized to `width` x `height` pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plane {
    /// The number of another plane; `None` for the image itself.
    pub of: Option<usize>,
    pub from: Rect,
    pub width: u32,
    pub height: u32,
}

/// A rectangle of a plane that goes through the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    pub plane: usize,
    pub crop: Rect,
    /// Flipped left to right.
    pub mirror: bool,
    /// The network runs over it as a convolution; else the crop has the input's size.
    pub dense: bool,
}

impl Plan {
    /// For an image of `size` (width, height); without any view yet.
    pub fn new(size: (u32, u32)) -> Self {
        Plan { size, planes: Vec::new() }
    }

    /// The views of `part` for a network's input of [height, width], mirrors last; planes are added where they are missing.
    /// A view that comes out more than once (squares of a square image) is listed as often.
    pub fn views(&mut self, part: &Part, input: [u32; 2]) -> Vec<View> {
        let mut views = Vec::new();
        for &side in &part.scales {
            let (width, height) = resized(self.size, side, input);
            let from = Rect { x: 0, y: 0, width: self.size.0, height: self.size.1 };
            let plane = self.plane(Plane { of: None, from, width, height });
            let regions =
                if part.squares { squares(width, height, input) } else { vec![Rect { x: 0, y: 0, width, height }] };
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

    /// Adds what `crop` cuts out of `region` of a plane.
    fn cut(&mut self, crop: Crop, plane: usize, region: Rect, input: [u32; 2], views: &mut Vec<View>) {
        let [height, width] = input;
        let (right, bottom) = (region.width - width, region.height - height);
        let at = |x: u32, y: u32| Rect { x: region.x + x, y: region.y + y, width, height };
        let mut add = |plane, crop, dense| views.push(View { plane, crop, mirror: false, dense });
        match crop {
            Crop::Center => add(plane, at(half(right), half(bottom)), false),
            Crop::Corners => {
                let corners = [(0, 0), (right, 0), (0, bottom), (right, bottom)];
                corners.into_iter().for_each(|(x, y)| add(plane, at(x, y), false));
            }
            Crop::Grid(count) => {
                for row in 0..count {
                    for column in 0..count {
                        add(plane, at(place(right, column, count), place(bottom, row, count)), false);
                    }
                }
            }
            Crop::Whole => {
                let whole = self.plane(Plane { of: Some(plane), from: region, width, height });
                add(whole, Rect { x: 0, y: 0, width, height }, false);
            }
            Crop::Dense => add(plane, region, true),
        }
    }

    /// The number of this plane, which is added unless it is there.
    fn plane(&mut self, plane: Plane) -> usize {
        self.planes.iter().position(|known| *known == plane).unwrap_or_else(|| {
            self.planes.push(plane);
            self.planes.len() - 1
        })
    }
}

/// The left, central and right squares, or of a portrait the top, central and bottom ones. Where the network's input is not
/// square, a square of the shorter side may be too small for it; the rectangles are then as large as the input.
fn squares(width: u32, height: u32, input: [u32; 2]) -> Vec<Rect> {
    let side = width.min(height);
    let (w, h) = (side.max(input[1]), side.max(input[0]));
    let (right, bottom) = (width - w, height - h);
    [(0, 0), (half(right), half(bottom)), (right, bottom)].map(|(x, y)| Rect { x, y, width: w, height: h }).to_vec()
}

/// Half of `room`; a half pixel goes to the even neighbour, as in torchvision's `CenterCrop` (Python's `round`).
fn half(room: u32) -> u32 {
    (f64::from(room) / 2.0).round_ties_even() as u32
}

/// Place `index` of `count` evenly spread over 0..=room, to the nearest pixel, in the middle where it is the only one.
fn place(room: u32, index: u32, count: u32) -> u32 {
    let share = if count == 1 { 0.5 } else { f64::from(index) / f64::from(count - 1) };
    (f64::from(room) * share).round_ties_even() as u32
}
