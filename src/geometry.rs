//! Rectangles, the sizes that images are resized to, and the positions of crops: pure arithmetic, shared by training
//! and evaluation.

/// A width and a height in whole pixels, each from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// The number of columns.
    pub width: u32,
    /// The number of rows.
    pub height: u32,
}

impl Size {
    /// The shorter of the two sides, in pixels.
    pub fn shorter_side(self) -> u32 {
        self.width.min(self.height)
    }

    /// The number of pixels.
    pub fn area(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// The rectangle that covers all of it.
    pub fn whole(self) -> Rect {
        self.at(0, 0)
    }

    /// A rectangle of this size whose top left corner is at (x, y).
    pub fn at(self, x: u32, y: u32) -> Rect {
        Rect { x, y, width: self.width, height: self.height }
    }

    /// The size at which the shorter side is `side` pixels and the longer one is rounded down, as in torchvision's
    /// `Resize`; larger if a crop of the size `input` would not fit otherwise, which only happens if that is not
    /// square.
    pub fn with_shorter_side(self, side: u32, input: Size) -> Size {
        let longer = |side: u32| {
            let longer_side = u64::from(self.width.max(self.height));
            u32::try_from(u64::from(side) * longer_side / u64::from(self.shorter_side())).unwrap_or(u32::MAX)
        };
        let sized = |side: u32| {
            if self.width < self.height {
                Size { width: side, height: longer(side) }
            } else {
                Size { width: longer(side), height: side }
            }
        };
        let mut side = side.max(1);
        while sized(side).width < input.width || sized(side).height < input.height {
            side += 1;
        }
        sized(side)
    }

    /// The left, central and right squares; the top, central and bottom ones of a portrait. If `input` is not square, a
    /// square of the shorter side may be too small for it: the rectangles are then as large as the input.
    pub fn squares(self, input: Size) -> [Rect; 3] {
        let side = self.shorter_side();
        let square = Size { width: side.max(input.width), height: side.max(input.height) };
        let (right, bottom) = (self.width - square.width, self.height - square.height);
        [square.at(0, 0), square.at(half(right), half(bottom)), square.at(right, bottom)]
    }
}

impl From<(u32, u32)> for Size {
    /// From (width, height), as the `image` crate gives dimensions.
    fn from((width, height): (u32, u32)) -> Self {
        Size { width, height }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A rectangle of whole pixels inside an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rect {
    /// The leftmost column, counted from 0.
    pub x: u32,
    /// The topmost row, counted from 0.
    pub y: u32,
    /// The number of columns, from 1.
    pub width: u32,
    /// The number of rows, from 1.
    pub height: u32,
}

impl Rect {
    /// Its width and height.
    pub fn size(self) -> Size {
        Size { width: self.width, height: self.height }
    }

    /// The smallest rectangle around this one and `other`.
    pub fn around(self, other: Rect) -> Rect {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let right = (self.x + self.width).max(other.x + other.width);
        let bottom = (self.y + self.height).max(other.y + other.height);
        Rect { x, y, width: right - x, height: bottom - y }
    }

    /// The central crop of the size `input`, which fits inside.
    pub fn center(self, input: Size) -> Rect {
        let (right, bottom) = self.room(input);
        self.inside(input, half(right), half(bottom))
    }

    /// The four crops of the size `input` at the corners, row by row.
    pub fn corners(self, input: Size) -> [Rect; 4] {
        let (right, bottom) = self.room(input);
        [(0, 0), (right, 0), (0, bottom), (right, bottom)].map(|(x, y)| self.inside(input, x, y))
    }

    /// `count` x `count` crops of the size `input`, evenly spread from corner to corner, row by row.
    pub fn grid(self, input: Size, count: u32) -> Vec<Rect> {
        let (right, bottom) = self.room(input);
        let places = (0..count).flat_map(|row| (0..count).map(move |column| (column, row)));
        places.map(|(x, y)| self.inside(input, spread(right, x, count), spread(bottom, y, count))).collect()
    }

    /// How far a crop of the size `input` can move to the right and down.
    fn room(self, input: Size) -> (u32, u32) {
        (self.width - input.width, self.height - input.height)
    }

    fn inside(self, size: Size, x: u32, y: u32) -> Rect {
        size.at(self.x + x, self.y + y)
    }
}

/// A resize: a rectangle of an image becomes a whole image of another size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resize {
    /// The rectangle of the source that is resized; pixels outside it have no influence.
    pub from: Rect,
    /// The size of the result.
    pub to: Size,
}

/// How a crop is made from an image: resize, add a black margin, cut a rectangle, and optionally mirror it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The resize that comes first.
    pub resize: Resize,
    /// The width in pixels of the black margin around the resized image.
    pub margin: u32,
    /// The crop, in coordinates of the resized image with its margin.
    pub crop: Rect,
    /// Whether the crop is flipped left to right.
    pub mirror: bool,
}

/// Half of `room`; half a pixel goes to the even neighbour, as in torchvision's `CenterCrop` (Python's `round`).
fn half(room: u32) -> u32 {
    (f64::from(room) / 2.0).round_ties_even() as u32
}

/// Position `index` of `count` evenly spread over 0..=room, to the nearest pixel; the middle if there is only one.
fn spread(room: u32, index: u32, count: u32) -> u32 {
    let share = if count == 1 { 0.5 } else { f64::from(index) / f64::from(count - 1) };
    (f64::from(room) * share).round_ties_even() as u32
}
