//! Colour spaces, converted to RGB bit for bit as in libjpeg-turbo (`jdcolor.c`), and CMYK as in Pillow.

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

    /// Writes a row of pixels; `rows` has the values of each component. `planes` are rows to work in, of the same length.
    #[inline(always)]
    pub fn convert(self, rows: &[&[u8]], planes: &mut [Vec<u8>; 3], pixels: &mut [u8]) {
        match (self, rows) {
            (Colours::Rgb, &[red, green, blue]) => interleave([red, green, blue], pixels),
            (Colours::YCbCr, &[y, cb, cr]) => {
                from_ycbcr([y, cb, cr], planes);
                interleave(planes.each_ref().map(Vec::as_slice), pixels);
            }
            (Colours::Cmyk, &[c, m, y, k]) => {
                planes.iter_mut().zip([c, m, y]).for_each(|(plane, row)| plane.copy_from_slice(row));
                planes.iter_mut().for_each(|plane| darken(plane, k));
                interleave(planes.each_ref().map(Vec::as_slice), pixels);
            }
            (Colours::Ycck, &[y, cb, cr, k]) => {
                from_ycbcr([y, cb, cr], planes);
                planes.iter_mut().flatten().for_each(|value| *value = 255 - *value);
                planes.iter_mut().for_each(|plane| darken(plane, k));
                interleave(planes.each_ref().map(Vec::as_slice), pixels);
            }
            (_, rows) => rows.iter().take(1).for_each(|&grey| interleave([grey; 3], pixels)),
        }
    }
}

/// The coefficients 1.402, 0.34414, 0.71414 and 1.772 (JFIF 1.02) with 16 fractional bits, rounded where libjpeg's
/// tables are. What exceeds 16 bits is taken out of the products: 1.402 is 1 and 26345 / 65536.
#[inline(always)]
fn from_ycbcr([y, cb, cr]: [&[u8]; 3], [red, green, blue]: &mut [Vec<u8>; 3]) {
    // A product divided by 65536 and rounded, of two operations that processors have for vectors of 16-bit numbers.
    let times = |value: i16, factor: i16| (((i32::from(2 * value) * i32::from(factor)) >> 16) as i16 + 1) >> 1;
    let byte = |value: i16| value.clamp(0, 255) as u8;
    let rgb = red.iter_mut().zip(green).zip(blue);
    for ((&y, (&cb, &cr)), ((red, green), blue)) in y.iter().zip(cb.iter().zip(cr)).zip(rgb) {
        let [y, cb, cr] = [i16::from(y), i16::from(cb) - 128, i16::from(cr) - 128];
        let mixed = (-22554 * i32::from(cb) + 18734 * i32::from(cr) + (1 << 15)) >> 16;
        *red = byte(y + cr + times(cr, 26345));
        *green = byte(y - cr + mixed as i16);
        *blue = byte(y + 2 * cb + times(cb, -14942));
    }
}

/// Writes pixels of three values each. By indices, because the compiler then finds the instructions that shuffle bytes;
/// iterators over pixels take several times as long.
#[inline(always)]
fn interleave([first, second, third]: [&[u8]; 3], pixels: &mut [u8]) {
    let count = first.len().min(second.len()).min(third.len()).min(pixels.len() / 3);
    let (first, second, third) = (&first[..count], &second[..count], &third[..count]);
    let pixels = &mut pixels[..3 * count];
    for index in 0..count {
        pixels[3 * index] = first[index];
        pixels[3 * index + 1] = second[index];
        pixels[3 * index + 2] = third[index];
    }
}

/// Applies the fourth channel, inverted black, as Pillow converts CMYK to RGB; divides by 255 as its `MULDIV255` does.
#[inline(always)]
fn darken(values: &mut [u8], blacks: &[u8]) {
    for (value, &light) in values.iter_mut().zip(blacks) {
        let product = u32::from(255 - *value) * u32::from(light) + 128;
        *value = light.saturating_sub((((product >> 8) + product) >> 8) as u8);
    }
}
