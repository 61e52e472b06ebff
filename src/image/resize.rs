//! Antialiased bilinear resizing, bit for bit that of Pillow 13 (its `src/libImaging/Resample.c`).

use std::ops::Range;

use image::RgbImage;

use crate::geometry::Rect;

/// Fractional bits of a fixed-point weight. 8 of an `i32`'s bits hold a channel's value, and Pillow reserves 2 more for
/// filters with weights above 1 or below 0.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Added before the fractional bits are dropped, so that sums round to the nearest value.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// Cuts `crop` out of `image` and resizes it to `width` x `height` pixels (both at least 1), to the same bytes as
/// Pillow's `image.crop(...).resize((width, height), Image.BILINEAR)`.
///
/// The crop must contain at least one pixel and lie inside the image. Pixels outside it have no influence, as in
/// torchvision's `resized_crop`.
pub fn resize(image: &RgbImage, crop: Rect, width: u32, height: u32) -> RgbImage {
    debug_assert!(crop.width > 0 && crop.height > 0 && width > 0 && height > 0);
    debug_assert!(u64::from(crop.x) + u64::from(crop.width) <= u64::from(image.width()));
    debug_assert!(u64::from(crop.y) + u64::from(crop.height) <= u64::from(image.height()));
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the line above checked that this processor has AVX2.
        return unsafe { resize_avx2(image, crop, width, height) };
    }
    resize_in_passes(image, crop, width, height)
}

/// [`resize_in_passes`] compiled for AVX2, because x86-64's baseline cannot multiply vectors of `i32`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn resize_avx2(image: &RgbImage, crop: Rect, width: u32, height: u32) -> RgbImage {
    resize_in_passes(image, crop, width, height)
}

/// Resizes rows and columns in two passes, rounding to bytes in between.
#[inline(always)]
fn resize_in_passes(image: &RgbImage, crop: Rect, width: u32, height: u32) -> RgbImage {
    let source = Pixels::new(image, crop);
    // Since version 13, Pillow resizes columns first if its measure says that this is cheaper; before, rows always came
    // first. The order affects rounding: some bytes differ by one.
    let lost_columns = i64::from(crop.width) - i64::from(width);
    let lost_rows = i64::from(crop.height) - i64::from(height);
    if lost_rows > 0 && lost_rows > 2 * lost_columns {
        let short = resize_columns(source, height);
        resize_rows(Pixels::whole(&short), width)
    } else {
        let narrow = resize_rows(source, width);
        resize_columns(Pixels::whole(&narrow), height)
    }
}

/// The pixels of a crop, borrowed from its image.
#[derive(Clone, Copy)]
struct Pixels<'a> {
    /// The image's bytes, starting with the crop's first.
    bytes: &'a [u8],
    /// Bytes from one row of the image to the next.
    stride: usize,
    width: u32,
    height: u32,
}

impl<'a> Pixels<'a> {
    fn new(image: &'a RgbImage, crop: Rect) -> Self {
        let stride = 3 * image.width() as usize;
        Self {
            bytes: &image.as_raw()[crop.y as usize * stride + 3 * crop.x as usize..],
            stride,
            width: crop.width,
            height: crop.height,
        }
    }

    fn whole(image: &'a RgbImage) -> Self {
        let (width, height) = image.dimensions();
        Self::new(image, Rect { x: 0, y: 0, width, height })
    }

    /// The bytes of every row from row `first` on.
    fn rows(self, first: usize) -> impl Iterator<Item = &'a [u8]> {
        let length = 3 * self.width as usize;
        (first..self.height as usize).map(move |row| &self.bytes[row * self.stride..][..length])
    }

    fn copy(self) -> RgbImage {
        let mut copy = RgbImage::new(self.width, self.height);
        let rows = copy.chunks_exact_mut(3 * self.width as usize);
        rows.zip(self.rows(0)).for_each(|(to, from)| to.copy_from_slice(from));
        copy
    }
}

/// Resizes every row to `width` pixels.
#[inline(always)]
fn resize_rows(source: Pixels, width: u32) -> RgbImage {
    if width == source.width {
        return source.copy();
    }
    let filter = Filter::new(source.width, width);
    let mut resized = RgbImage::new(width, source.height);
    // Each pixel is computed as a vector of four bytes; the fourth is its neighbour's red, which the neighbour
    // overwrites, and an extra byte at the end of each buffer serves the last pixel. With three bytes the compiler
    // falls back to scalars and takes twice the time.
    let mut before = vec![0; 3 * source.width as usize + 1];
    let mut after = vec![0; 3 * width as usize + 1];
    for (to, from) in resized.chunks_exact_mut(3 * width as usize).zip(source.rows(0)) {
        before[..from.len()].copy_from_slice(from);
        for (x, (start, weights)) in filter.taps().enumerate() {
            let mut sums = [HALF; 4];
            for (values, &weight) in before[3 * start..].windows(4).step_by(3).zip(weights) {
                for (sum, &value) in sums.iter_mut().zip(values) {
                    *sum += weight * i32::from(value);
                }
            }
            after[3 * x..][..4].copy_from_slice(&sums.map(to_byte));
        }
        to.copy_from_slice(&after[..to.len()]);
    }
    resized
}

/// Resizes every column to `height` pixels.
#[inline(always)]
fn resize_columns(source: Pixels, height: u32) -> RgbImage {
    if height == source.height {
        return source.copy();
    }
    let filter = Filter::new(source.height, height);
    let mut resized = RgbImage::new(source.width, height);
    let stride = 3 * source.width as usize;
    let mut sums = vec![0; stride];
    for (to, (start, weights)) in resized.chunks_exact_mut(stride).zip(filter.taps()) {
        sums.fill(HALF);
        for (from, &weight) in source.rows(start).zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(from) {
                *sum += weight * i32::from(value);
            }
        }
        for (byte, &sum) in to.iter_mut().zip(&sums) {
            *byte = to_byte(sum);
        }
    }
    resized
}

/// Rounds a fixed-point sum to a byte; clamps it, because rounded weights may add up to slightly more than 1.
#[inline(always)]
fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).min(255) as u8
}

/// For each output position along one side, the input positions that contribute to it and their weights.
struct Filter {
    /// The first contributing input position of each output position.
    starts: Vec<usize>,
    /// `count` fixed-point weights for each output position.
    weights: Vec<i32>,
    count: usize,
}

impl Filter {
    /// A triangle around each output position's centre, reaching to the centres of the neighbouring output positions,
    /// or of the neighbouring input positions if the side grows.
    fn new(from: u32, to: u32) -> Self {
        let scale = f64::from(from) / f64::from(to);
        let support = scale.max(1.0);
        let from = from as usize;
        let centres = (0..to).map(|position| (f64::from(position) + 0.5) * scale);
        let spans = centres.clone().map(|centre| {
            // The cast clamps negative positions to 0.
            let start = (centre - support + 0.5) as usize;
            start..from.min((centre + support + 0.5) as usize)
        });
        // The same number of weights everywhere, padded with zeros, keeps the inner loops predictable.
        let count = spans.clone().map(|span| span.len()).max().unwrap_or(0);
        let mut weights = vec![0; count * to as usize];
        let mut starts = Vec::with_capacity(to as usize);
        for ((centre, span), weights) in centres.zip(spans).zip(weights.chunks_exact_mut(count)) {
            let start = span.start.min(from - count);
            triangle(centre, support, &span, &mut weights[span.start - start..]);
            starts.push(start);
        }
        Self { starts, weights, count }
    }

    /// For each output position, its first input position and the weights from there on.
    fn taps(&self) -> impl Iterator<Item = (usize, &[i32])> {
        let weights = self.weights.chunks_exact(self.count);
        self.starts.iter().copied().zip(weights)
    }
}

/// Writes the weights of the positions in `span`, which add up to 1 before they are rounded. The operations and their
/// order are Pillow's, because the last bit depends on them.
fn triangle(centre: f64, support: f64, span: &Range<usize>, weights: &mut [i32]) {
    let slope = 1.0 / support;
    let height = |position: usize| {
        let distance = (position as f64 - centre + 0.5) * slope;
        (1.0 - distance.abs()).max(0.0)
    };
    let total: f64 = span.clone().map(height).sum();
    for (weight, position) in weights.iter_mut().zip(span.clone()) {
        let share = height(position) / total;
        *weight = (0.5 + share * f64::from(1 << PRECISION_BITS)) as i32;
    }
}
