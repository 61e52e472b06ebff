//! The views of an image under a test protocol: which crops at which scales, mirrored or not. Pure geometry.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::data::resize::Rect;
use crate::data::transform::resized;

/// A test protocol of a paper. The softmax outputs of its views are averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// The central crop of the image resized so that the crop is `crop_fraction` of its shorter side.
    Center,
    /// The crops at the four corners and the center, and their mirrors. AlexNet, section 4.1.
    TenCrop,
}

impl Protocol {
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Center => "center",
            Protocol::TenCrop => "ten-crop",
        }
    }
}

/// How to view one image: it is resized once a plane, and the views are cut out of the planes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub planes: Vec<Plane>,
    pub views: Vec<View>,
}

/// A rectangle of the image, resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plane {
    pub from: Rect,
    pub width: u32,
    pub height: u32,
}

/// A crop of the network's input size, with its upper left corner at (x, y) of a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    pub plane: usize,
    pub x: u32,
    pub y: u32,
    pub mirror: bool,
}

/// The views of an image of `size` (width, height) for an `input` of [height, width].
pub fn plan(protocol: Protocol, size: (u32, u32), input: [u32; 2], crop_fraction: f64) -> Plan {
    let side = (f64::from(input[0].min(input[1])) / crop_fraction).round() as u32;
    let (width, height) = resized(size, side, input);
    let plane = Plane { from: Rect { x: 0, y: 0, width: size.0, height: size.1 }, width, height };
    let (right, bottom) = (width - input[1], height - input[0]);
    let center = (half(right), half(bottom));
    let (corners, mirrors): (&[(u32, u32)], &[bool]) = match protocol {
        Protocol::Center => (&[], &[false]),
        Protocol::TenCrop => (&[(0, 0), (right, 0), (0, bottom), (right, bottom)], &[false, true]),
    };
    let places: Vec<(u32, u32)> = corners.iter().copied().chain([center]).collect();
    let views = mirrors.iter().flat_map(|&mirror| places.iter().map(move |&(x, y)| View { plane: 0, x, y, mirror }));
    Plan { planes: vec![plane], views: views.collect() }
}

/// Half of `room`; a half pixel goes to the even neighbour, as in torchvision's `CenterCrop` (Python's `round`).
fn half(room: u32) -> u32 {
    (f64::from(room) / 2.0).round_ties_even() as u32
}
