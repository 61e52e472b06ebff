//! The RGB pixels of a finished frame, bit for bit those of libjpeg-turbo: subsampled components are enlarged as its
//! "fancy upsampling" does (`jdsample.c`), then colours are converted as in its `jdcolor.c`.

use image::RgbImage;

use super::component::{Component, Factors};
use super::frame::Frame;

/// The colour space of the components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// Luminance alone.
    Grey,
    /// Luminance and two colour differences (JFIF 1.02).
    YCbCr,
    /// Red, green and blue.
    Rgb,
    /// Inverted CMYK, as Adobe's programs write it; Pillow assumes that all CMYK is inverted.
    Cmyk,
    /// CMYK whose inverted CMY is stored as YCbCr.
    Ycck,
}

impl Colours {
    /// The colour space that libjpeg assumes for components with these identifiers; `adobe_transform` is the colour
    /// transform that an Adobe segment names.
    pub fn of(identifiers: &[u8], has_jfif: bool, adobe_transform: Option<u8>) -> Self {
        match (identifiers.len(), adobe_transform) {
            (1, _) => Colours::Grey,
            (3, _) if has_jfif => Colours::YCbCr,
            (3, Some(0)) => Colours::Rgb,
            (3, None) if identifiers == b"RGB" => Colours::Rgb,
            (3, _) => Colours::YCbCr,
            (4, None | Some(0)) => Colours::Cmyk,
            _ => Colours::Ycck,
        }
    }
}

/// The image of a finished frame.
pub fn rgb(frame: &Frame, colours: Colours) -> RgbImage {
    let mut image = RgbImage::new(frame.width as u32, frame.height as u32);
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the line above checked that this processor has AVX2.
        unsafe { fill_avx2(frame, colours, &mut image) };
        return image;
    }
    fill(frame, colours, &mut image);
    image
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn fill_avx2(frame: &Frame, colours: Colours, image: &mut RgbImage) {
    fill(frame, colours, image);
}

#[inline(always)]
fn fill(frame: &Frame, colours: Colours, image: &mut RgbImage) {
    let mut rows: Vec<Row> = frame.components.iter().map(|component| Row::new(frame, component)).collect();
    for (y, pixels) in image.chunks_exact_mut(3 * frame.width).enumerate() {
        rows.iter_mut().for_each(|row| row.fill(y));
        let row = |channel: usize| &rows[channel].values[..frame.width];
        let pixels = pixels.as_chunks_mut::<3>().0;
        match colours {
            Colours::Grey => pixels.iter_mut().zip(row(0)).for_each(|(pixel, &grey)| *pixel = [grey; 3]),
            Colours::Rgb => each(pixels, [row(0), row(1), row(2)], |rgb| rgb),
            Colours::YCbCr => each(pixels, [row(0), row(1), row(2)], from_ycbcr),
            Colours::Cmyk => {
                each(pixels, [row(0), row(1), row(2)], |inverted| inverted);
                darken(pixels, row(3));
            }
            Colours::Ycck => {
                each(pixels, [row(0), row(1), row(2)], from_ycbcr);
                pixels.iter_mut().for_each(|pixel| *pixel = pixel.map(|value| 255 - value));
                darken(pixels, row(3));
            }
        }
    }
}

#[inline(always)]
fn each(pixels: &mut [[u8; 3]], [first, second, third]: [&[u8]; 3], convert: impl Fn([u8; 3]) -> [u8; 3]) {
    for (pixel, ((&a, &b), &c)) in pixels.iter_mut().zip(first.iter().zip(second).zip(third)) {
        *pixel = convert([a, b, c]);
    }
}

/// The coefficients 1.402, 0.34414, 0.71414 and 1.772 (JFIF 1.02) with 16 fractional bits, rounded where libjpeg's
/// tables are.
#[inline(always)]
fn from_ycbcr([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((91881 * cr + HALF) >> 16);
    let green = y + ((-22554 * cb - 46802 * cr + HALF) >> 16);
    let blue = y + ((116130 * cb + HALF) >> 16);
    [red, green, blue].map(|value| value.clamp(0, 255) as u8)
}

/// Applies the fourth channel, inverted black, as Pillow converts CMYK to RGB; divides by 255 as its `MULDIV255` does.
#[inline(always)]
fn darken(pixels: &mut [[u8; 3]], blacks: &[u8]) {
    for (pixel, &light) in pixels.iter_mut().zip(blacks) {
        *pixel = pixel.map(|value| {
            let product = u32::from(255 - value) * u32::from(light) + 128;
            light.saturating_sub((((product >> 8) + product) >> 8) as u8)
        });
    }
}

/// How a component's rows become as wide as the image.
#[derive(Clone, Copy)]
enum Upsampling {
    None,
    /// Two pixels per sample, each mixed from three quarters of it and one quarter of the nearer neighbour.
    Double,
    /// Each sample repeated for this many pixels.
    Repeat(usize),
}

/// One component's values for one row of the image.
struct Row<'a> {
    component: &'a Component,
    across: Upsampling,
    /// Rows of the image per row of the component.
    down: usize,
    /// Whether each row is mixed with its nearer neighbour too.
    mixes_rows: bool,
    /// If rows are mixed, three times the row plus its nearer neighbour.
    mixed: Vec<u16>,
    values: Vec<u8>,
}

impl<'a> Row<'a> {
    fn new(frame: &Frame, component: &'a Component) -> Self {
        let Factors { across, down } = Factors {
            across: frame.max_sampling.across / component.sampling.across,
            down: frame.max_sampling.down / component.sampling.down,
        };
        // libjpeg repeats samples in components too narrow for a neighbour on each side.
        let is_smooth = across == 2 && down <= 2 && component.width > 2;
        Row {
            component,
            across: match across {
                1 => Upsampling::None,
                2 if is_smooth => Upsampling::Double,
                _ => Upsampling::Repeat(across),
            },
            down,
            mixes_rows: down == 2 && (across == 1 || is_smooth),
            mixed: vec![0; component.width],
            values: vec![0; frame.width + across],
        }
    }

    /// Computes the values for row `y` of the image.
    #[inline(always)]
    fn fill(&mut self, y: usize) {
        let width = self.component.width;
        let samples = |row: usize| &self.component.samples[row * 8 * self.component.blocks_across..][..width];
        let near = samples(y / self.down);
        if !self.mixes_rows {
            match self.across {
                Upsampling::None => self.values[..width].copy_from_slice(near),
                Upsampling::Double => double(near, [1, 2], 2, &mut self.values),
                Upsampling::Repeat(times) => {
                    self.values.chunks_mut(times).zip(near).for_each(|(values, &sample)| values.fill(sample));
                }
            }
            return;
        }
        let (last, row) = (self.component.height - 1, y / 2);
        let far = samples(if y.is_multiple_of(2) { row.saturating_sub(1) } else { last.min(row + 1) });
        for (mixed, (&near, &far)) in self.mixed.iter_mut().zip(near.iter().zip(far)) {
            *mixed = 3 * u16::from(near) + u16::from(far);
        }
        if matches!(self.across, Upsampling::None) {
            let rounding = if y.is_multiple_of(2) { 1 } else { 2 };
            let mixed = self.values.iter_mut().zip(&self.mixed);
            mixed.for_each(|(value, &mixed)| *value = ((mixed + rounding) >> 2) as u8);
        } else {
            double(&self.mixed, [8, 7], 4, &mut self.values);
        }
    }
}

/// Writes two values per sample, each three parts of it and one part of its neighbour on that side (four parts of it at
/// the ends), plus the rounding constant of that side, shifted right by `shift`.
#[inline(always)]
fn double<T: Copy + Into<u16>>(samples: &[T], [left, right]: [u16; 2], shift: u32, values: &mut [u8]) {
    let value = |sum: u16| (sum >> shift) as u8;
    let (first, last) = (samples[0].into(), samples[samples.len() - 1].into());
    let pairs = values[1..].as_chunks_mut::<2>().0;
    for (pair, two) in pairs.iter_mut().zip(samples.windows(2)) {
        let (before, after) = (two[0].into(), two[1].into());
        *pair = [value(3 * before + after + right), value(3 * after + before + left)];
    }
    values[0] = value(4 * first + left);
    values[2 * samples.len() - 1] = value(4 * last + right);
}
