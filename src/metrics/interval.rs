//! How sure an error is: its interval of confidence, from the number of images that it was counted on.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

/// The 97.5th percentile of the standard normal distribution: 2.5 % lie beyond it on either side.
const QUANTILE: f64 = 1.959_963_984_540_054;

/// The limits of an error, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The lower limit.
    pub low: f64,
    /// The upper limit.
    pub high: f64,
}

impl Interval {
    /// The 95 % interval of the error in `wrong` of `images` images, which are a sample of all that a model may meet:
    /// Wilson's, after equation 3 of Newcombe (Statistics in Medicine 17, 1998). It lies within 0 to 100 even for few
    /// images; for none, it is all of that.
    pub fn wilson(wrong: u64, images: u64) -> Self {
        if images == 0 {
            return Interval { low: 0.0, high: 100.0 };
        }
        let (wrong, images, square) = (wrong as f64, images as f64, QUANTILE * QUANTILE);
        let center = 2.0 * wrong + square;
        let spread = QUANTILE * (square + 4.0 * wrong * (1.0 - wrong / images)).sqrt();
        let limit = |distance: f64| (100.0 * (center + distance) / (2.0 * (images + square))).clamp(0.0, 100.0);
        Interval { low: limit(-spread), high: limit(spread) }
    }
}

/// `23.85 to 24.61 %`
impl Display for Interval {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.2} to {:.2} %", self.low, self.high)
    }
}
