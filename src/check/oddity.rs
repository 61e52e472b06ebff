//! What may be odd about an image that can be read. None of it keeps an image from being trained on.

use strum::IntoStaticStr;

use super::header::Header;

/// One kind of oddity, in the order in which they are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Oddity {
    /// The ending of its name is that of another format.
    WrongEnding,
    /// More than one picture; the first is read.
    Animated,
    /// Grey, with or without transparency.
    Grey,
    /// Colours from a palette.
    Palette,
    /// More than 8 bits per channel.
    SixteenBit,
    /// Transparency, which is dropped.
    Alpha,
    /// Cyan, magenta, yellow and black.
    Cmyk,
    /// Turned upright by its EXIF orientation.
    Turned,
    /// Its shorter side has fewer than 32 pixels.
    Small,
    /// More than 40 million pixels.
    Large,
    /// More than four times as long as wide, or the reverse.
    Elongated,
}

/// The shorter side of an image that is not small, in pixels.
const SMALL: u32 = 32;
/// The most pixels of an image that is not large.
const LARGE: u64 = 40_000_000;
/// The longer side over the shorter one of an image that is not elongated.
const ELONGATED: u32 = 4;

impl Oddity {
    /// What the images are, in words.
    pub fn text(self) -> &'static str {
        match self {
            Oddity::WrongEnding => "the ending of another format (read by content)",
            Oddity::Animated => "animated (the first picture is read)",
            Oddity::Grey => "grey",
            Oddity::Palette => "palette",
            Oddity::SixteenBit => "more than 8 bits per channel",
            Oddity::Alpha => "transparency (dropped)",
            Oddity::Cmyk => "CMYK",
            Oddity::Turned => "turned upright by EXIF",
            Oddity::Small => "a side below 32 pixels",
            Oddity::Large => "more than 40 million pixels",
            Oddity::Elongated => "more than four times as long as wide",
        }
    }

    /// All that is odd about an image with this header, `size` pixels wide and high.
    pub fn all(header: &Header, (width, height): (u32, u32)) -> Vec<Oddity> {
        let (shorter, longer) = (width.min(height), width.max(height));
        let tested = [
            (Oddity::WrongEnding, header.wrong_ending),
            (Oddity::Animated, header.animated),
            (Oddity::Grey, header.grey),
            (Oddity::Palette, header.palette),
            (Oddity::SixteenBit, header.deep),
            (Oddity::Alpha, header.alpha),
            (Oddity::Cmyk, header.cmyk),
            (Oddity::Turned, header.turned),
            (Oddity::Small, shorter < SMALL),
            (Oddity::Large, u64::from(width) * u64::from(height) > LARGE),
            (Oddity::Elongated, longer > ELONGATED.saturating_mul(shorter)),
        ];
        tested.into_iter().filter(|(_, is_so)| *is_so).map(|(oddity, _)| oddity).collect()
    }
}
