//! Antialiased bilinear resizing, bit for bit that of Pillow 13 (its `src/libImaging/Resample.c`).

#[cfg(target_arch = "x86_64")]
mod avx2;
mod filter;
mod rows;

use image::RgbImage;

use filter::{HALF, Side, to_bytes};
use rows::Rows;

use super::twice::compiled_twice;
use crate::geometry::{Rect, Resize, Size};

/// Cuts `crop` out of `image` and resizes it to `width` x `height` pixels (both at least 1), to the same bytes as
/// Pillow's `image.crop(...).resize((width, height), Image.BILINEAR)`.
///
/// The crop must contain at least one pixel and lie inside the image. Pixels outside it have no influence, as in
/// torchvision's `resized_crop`.
pub fn resize(image: &RgbImage, crop: Rect, width: u32, height: u32) -> RgbImage {
    let to = Size { width, height };
    let resizing = Resizing::new(Resize { from: crop, to }, to.whole());
    resizing.apply(image, crop)
}

/// A window of an image that is resized.
pub struct Resizing {
    /// What of the image the window is made of.
    source: Rect,
    across: Side,
    down: Side,
    columns_first: bool,
}

impl Resizing {
    /// The pixels of `window`, which lies within the size that is resized to.
    pub fn new(resize: Resize, window: Rect) -> Self {
        let Resize { from, to } = resize;
        debug_assert!(from.width > 0 && from.height > 0 && to.width > 0 && to.height > 0);
        let across = Side::new(from.width, to.width, window.x..window.x + window.width);
        let down = Side::new(from.height, to.height, window.y..window.y + window.height);
        let source = Size { width: across.read.len() as u32, height: down.read.len() as u32 };
        // Since version 13, Pillow resizes columns first if its measure says that this is cheaper; before, rows always
        // came first. The order affects rounding: some bytes differ by one.
        let lost_columns = i64::from(from.width) - i64::from(to.width);
        let lost_rows = i64::from(from.height) - i64::from(to.height);
        Resizing {
            source: source.at(from.x + across.read.start as u32, from.y + down.read.start as u32),
            across,
            down,
            columns_first: lost_rows > 0 && lost_rows > 2 * lost_columns,
        }
    }

    /// What of the image the window is made of.
    pub fn source(&self) -> Rect {
        self.source
    }

    /// The window, made of the source, which lies at `place` in `image`.
    pub fn apply(&self, image: &RgbImage, place: Rect) -> RgbImage {
        debug_assert_eq!(place.size(), self.source.size());
        in_passes(self, Pixels::new(image, place))
    }
}

compiled_twice! {
    /// Resizes rows and columns in two passes, rounding to bytes in between.
    fn in_passes(resizing: &Resizing, source: Pixels<'_>) -> RgbImage {
        let Resizing { across, down, columns_first, .. } = resizing;
        if *columns_first {
            let short = resize_columns(source, down);
            resize_rows(Pixels::whole(&short), across)
        } else {
            let narrow = resize_rows(source, across);
            resize_columns(Pixels::whole(&narrow), down)
        }
    }
}

/// The pixels of a crop, borrowed from its image.
#[derive(Clone, Copy)]
struct Pixels<'a> {
    /// The image's bytes, starting with the crop's first.
    bytes: &'a [u8],
    /// Bytes from one row of the image to the next.
    stride: usize,
    width: usize,
    height: usize,
}

impl<'a> Pixels<'a> {
    fn new(image: &'a RgbImage, crop: Rect) -> Self {
        let stride = 3 * image.width() as usize;
        Self {
            bytes: &image.as_raw()[crop.y as usize * stride + 3 * crop.x as usize..],
            stride,
            width: crop.width as usize,
            height: crop.height as usize,
        }
    }

    fn whole(image: &'a RgbImage) -> Self {
        Self::new(image, Size::from(image.dimensions()).whole())
    }

    /// The bytes of every row from row `first` on.
    fn rows(self, first: usize) -> impl Iterator<Item = &'a [u8]> {
        (first..self.height).map(move |row| &self.bytes[row * self.stride..][..3 * self.width])
    }

    fn copy(self) -> RgbImage {
        let mut copy = RgbImage::new(self.width as u32, self.height as u32);
        let rows = copy.chunks_exact_mut(3 * self.width);
        rows.zip(self.rows(0)).for_each(|(to, from)| to.copy_from_slice(from));
        copy
    }
}

/// Resizes every row.
#[inline(always)]
fn resize_rows(source: Pixels, side: &Side) -> RgbImage {
    let Some(filter) = &side.filter else { return source.copy() };
    let width = filter.starts.len();
    let mut resized = RgbImage::new(width as u32, source.height as u32);
    let rows = Rows::new(filter);
    let mut before = vec![0; 3 * source.width + rows::MORE_BEFORE];
    let mut after = vec![0; 3 * width + rows::MORE_AFTER];
    for (to, from) in resized.chunks_exact_mut(3 * width).zip(source.rows(0)) {
        before[..from.len()].copy_from_slice(from);
        rows.resize(&before, &mut after);
        to.copy_from_slice(&after[..to.len()]);
    }
    resized
}

/// Resizes every column.
#[inline(always)]
fn resize_columns(source: Pixels, side: &Side) -> RgbImage {
    let Some(filter) = &side.filter else { return source.copy() };
    let mut resized = RgbImage::new(source.width as u32, filter.starts.len() as u32);
    for (to, (start, weights)) in resized.chunks_exact_mut(3 * source.width).zip(filter.taps()) {
        let (many, rest) = to.as_chunks_mut::<32>();
        let first_of_rest = 32 * many.len();
        for (index, bytes) in many.iter_mut().enumerate() {
            *bytes = column_sums(source.rows(start), weights, 32 * index);
        }
        for (index, byte) in rest.iter_mut().enumerate() {
            [*byte] = column_sums(source.rows(start), weights, first_of_rest + index);
        }
    }
    resized
}

/// The weighted sums of so many neighbouring bytes, from byte `first` of each row on.
#[inline(always)]
fn column_sums<'a, const COUNT: usize>(
    rows: impl Iterator<Item = &'a [u8]>,
    weights: &[i32],
    first: usize,
) -> [u8; COUNT] {
    let mut sums = [HALF; COUNT];
    for (row, &weight) in rows.zip(weights) {
        for (sum, &value) in sums.iter_mut().zip(&row[first..first + COUNT]) {
            *sum += weight * i32::from(value);
        }
    }
    to_bytes(sums)
}
