//! Rows of pixels, resized one after the other.

#[cfg(target_arch = "x86_64")]
use super::avx2::Fours;
use super::filter::{Filter, HALF, to_bytes};

/// How many bytes are read, but of no influence, after a row's own.
pub const MORE_BEFORE: usize = 16;
/// How many bytes are written after a row's own.
pub const MORE_AFTER: usize = 1;

/// The filter of rows, in the form that this processor takes.
pub enum Rows<'a> {
    /// For any processor.
    Plain(&'a Filter),
    /// For one that has AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2(Fours<'a>),
}

impl<'a> Rows<'a> {
    /// In the fastest form.
    pub fn new(filter: &'a Filter) -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            return Rows::Avx2(Fours::new(filter));
        }
        Rows::Plain(filter)
    }

    /// Resizes a row; both have more bytes at the end.
    pub fn resize(&self, from: &[u8], to: &mut [u8]) {
        match self {
            Rows::Plain(filter) => plain(filter, from, to),
            // SAFETY: this form was made because the processor has AVX2.
            #[cfg(target_arch = "x86_64")]
            Rows::Avx2(fours) => unsafe { fours.resize(from, to) },
        }
    }
}

/// Computes each pixel as four bytes; the fourth is its neighbour's red, which the neighbour overwrites. With three bytes,
/// the compiler falls back to scalars and takes twice the time.
fn plain(filter: &Filter, from: &[u8], to: &mut [u8]) {
    for (x, (start, weights)) in filter.taps().enumerate() {
        let mut sums = [HALF; 4];
        for (values, &weight) in from[3 * start..].windows(4).step_by(3).zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(values) {
                *sum += weight * i32::from(value);
            }
        }
        to[3 * x..3 * x + 4].copy_from_slice(&to_bytes(sums));
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::super::filter::Side;
    use super::*;

    #[test]
    fn both_forms_yield_the_same_bytes() {
        for (from, to) in [(500, 224), (224, 500), (3, 2), (1, 7), (5000, 3), (300, 299), (60, 7)] {
            let side = Side::new(from, to, 0..to);
            let Some(filter) = &side.filter else { continue };
            // Extremes and what lies between.
            let row: Vec<u8> = (0..3 * from as usize + MORE_BEFORE)
                .map(|index| if index % 5 == 0 { 255 } else { (37 * index * index) as u8 })
                .collect();
            let [mut expected, mut found] = [(); 2].map(|()| vec![0; 3 * to as usize + MORE_AFTER]);
            Rows::Plain(filter).resize(&row, &mut expected);
            Rows::new(filter).resize(&row, &mut found);
            assert_eq!(expected[..3 * to as usize], found[..3 * to as usize], "{from} to {to}");
        }
    }
}
