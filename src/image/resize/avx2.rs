//! Rows resized with AVX2: four input pixels at a time, in 16-bit multiply-adds. A weight has more than 16 bits, so its
//! upper and its lower bits are multiplied apart, and added up at the end. Multiplying 32 bits takes twice as long.

use std::arch::x86_64::{
    __m256i, _mm_cvtsi128_si32, _mm_loadu_si128, _mm_packus_epi16, _mm_packus_epi32, _mm256_add_epi32,
    _mm256_broadcastsi128_si256, _mm256_castsi256_si128, _mm256_madd_epi16, _mm256_permutevar8x32_epi32,
    _mm256_set1_epi64x, _mm256_setr_epi8, _mm256_setr_epi32, _mm256_setzero_si256, _mm256_shuffle_epi8,
    _mm256_shuffle_epi32, _mm256_slli_epi32, _mm256_srai_epi32,
};

use super::filter::{Filter, HALF, PRECISION_BITS};

/// How many of a weight's bits are the lower ones.
const LOWER_BITS: u32 = 11;

/// The weights of a filter in fours.
pub struct Fours<'a> {
    starts: &'a [usize],
    /// How many fours an output pixel has.
    count: usize,
    /// The upper and the lower bits of four weights, 16 bits each.
    fours: Vec<[i64; 2]>,
}

impl<'a> Fours<'a> {
    /// The weights of `filter`.
    pub fn new(filter: &'a Filter) -> Self {
        let count = filter.count.div_ceil(4);
        let mut fours = vec![[0; 2]; count * filter.starts.len()];
        let weights = filter.weights.chunks_exact(filter.count);
        for (fours, weights) in fours.chunks_exact_mut(count).zip(weights) {
            for ([upper, lower], weights) in fours.iter_mut().zip(weights.chunks(4)) {
                for (place, &weight) in weights.iter().enumerate() {
                    *upper |= i64::from(weight >> LOWER_BITS) << (16 * place);
                    *lower |= i64::from(weight & ((1 << LOWER_BITS) - 1)) << (16 * place);
                }
            }
        }
        Fours { starts: &filter.starts, count, fours }
    }

    /// Resizes a row. Both rows have more bytes at the end: 16 that are read, one that is written.
    #[target_feature(enable = "avx2")]
    pub fn resize(&self, from: &[u8], to: &mut [u8]) {
        // Every other sum of 32 bits begins with this, because pairs of them are added up.
        let half = _mm256_setr_epi32(HALF, 0, HALF, 0, HALF, 0, 0, 0);
        for (x, (&start, fours)) in self.starts.iter().zip(self.fours.chunks_exact(self.count)).enumerate() {
            let (mut upper_sums, mut lower_sums) = (_mm256_setzero_si256(), half);
            let pixels = from[3 * start..].windows(16).step_by(12);
            for (&[upper, lower], pixels) in fours.iter().zip(pixels) {
                let values = by_channel(pixels);
                let [upper, lower] = [_mm256_set1_epi64x(upper), _mm256_set1_epi64x(lower)];
                upper_sums = _mm256_add_epi32(upper_sums, _mm256_madd_epi16(values, upper));
                lower_sums = _mm256_add_epi32(lower_sums, _mm256_madd_epi16(values, lower));
            }
            let sums = _mm256_add_epi32(_mm256_slli_epi32::<{ LOWER_BITS as i32 }>(upper_sums), lower_sums);
            to[3 * x..3 * x + 4].copy_from_slice(&bytes(sums).to_le_bytes());
        }
    }
}

/// The first four pixels of 16 bytes as numbers of 16 bits: the reds, the greens, the blues.
#[inline]
#[target_feature(enable = "avx2")]
fn by_channel(pixels: &[u8]) -> __m256i {
    debug_assert!(pixels.len() >= 16);
    // SAFETY: the load needs 16 bytes, without alignment.
    let pixels = unsafe { _mm_loadu_si128(pixels.as_ptr().cast()) };
    // An index below 0 yields a zero.
    let places = _mm256_setr_epi8(
        0, -1, 3, -1, 6, -1, 9, -1, 1, -1, 4, -1, 7, -1, 10, -1, //
        2, -1, 5, -1, 8, -1, 11, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    );
    _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(pixels), places)
}

/// Red, green and blue, of which each is the sum of two; rounded and clamped.
#[inline]
#[target_feature(enable = "avx2")]
fn bytes(sums: __m256i) -> i32 {
    let sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32::<0b10_11_00_01>(sums));
    let values = _mm256_srai_epi32::<{ PRECISION_BITS as i32 }>(sums);
    let values = _mm256_permutevar8x32_epi32(values, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
    let values = _mm256_castsi256_si128(values);
    let values = _mm_packus_epi32(values, values);
    _mm_cvtsi128_si32(_mm_packus_epi16(values, values))
}
