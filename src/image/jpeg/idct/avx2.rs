//! The transform with AVX2, two blocks at a time, one in each half of the vectors, in 16-bit multiply-adds as in
//! libjpeg-turbo. No plain loop compiles to these instructions, which take a quarter of the time.

use std::arch::x86_64::{
    __m256i, _mm_storeu_si128, _mm256_add_epi8, _mm256_add_epi16, _mm256_add_epi32, _mm256_adds_epi16,
    _mm256_and_si256, _mm256_blendv_epi8, _mm256_castsi256_si128, _mm256_cmpeq_epi64, _mm256_extracti128_si256,
    _mm256_loadu2_m128i, _mm256_madd_epi16, _mm256_mullo_epi16, _mm256_or_si256, _mm256_packs_epi16,
    _mm256_packs_epi32, _mm256_permute4x64_epi64, _mm256_set_epi64x, _mm256_set1_epi8, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_shuffle_epi32, _mm256_slli_epi16,
    _mm256_srai_epi16, _mm256_srai_epi32, _mm256_sub_epi16, _mm256_sub_epi32, _mm256_testz_si256, _mm256_unpackhi_epi8,
    _mm256_unpackhi_epi16, _mm256_unpacklo_epi8, _mm256_unpacklo_epi16,
};

use super::factors::{
    CONSTANT_BITS, F_0_298631336, F_0_390180644, F_0_541196100, F_0_765366865, F_0_899976223, F_1_175875602,
    F_1_501321110, F_1_847759065, F_1_961570560, F_2_053119869, F_2_562915447, F_3_072711026, PASS_BITS,
};

/// The rows of two blocks.
type Rows = [__m256i; 8];

/// See [`super::inverse`].
#[target_feature(enable = "avx2")]
pub fn inverse(blocks: &[[i16; 64]], quantization: &[u16; 64], lines: &mut [u8]) {
    let length = lines.len() / 8;
    let factors = quantization.map(|factor| factor as i16);
    let factors = rows(&factors, &factors);
    for (pair, blocks) in blocks.chunks(2).enumerate() {
        let coefficients = rows(&blocks[0], blocks.last().unwrap_or(&blocks[0]));
        let mut lines = lines.chunks_exact_mut(length).filter_map(|line| line[16 * pair..].first_chunk_mut());
        for two in samples(coefficients, &factors) {
            // From one block's two lines before the other's to one line of both before the other.
            let two = _mm256_permute4x64_epi64::<0b11_01_10_00>(two);
            for line in [_mm256_castsi256_si128(two), _mm256_extracti128_si256::<1>(two)] {
                if let Some(to) = lines.next() {
                    let to: &mut [u8; 16] = to;
                    // SAFETY: the store needs 16 bytes, without alignment.
                    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), line) };
                }
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn rows(first: &[i16; 64], second: &[i16; 64]) -> Rows {
    let mut rows = [_mm256_setzero_si256(); 8];
    let halves = first.as_chunks::<8>().0.iter().zip(second.as_chunks::<8>().0);
    for (row, (low, high)) in rows.iter_mut().zip(halves) {
        // SAFETY: the load needs 16 bytes at each place, without alignment.
        *row = unsafe { _mm256_loadu2_m128i(high.as_ptr().cast(), low.as_ptr().cast()) };
    }
    rows
}

/// The samples of two blocks: in each half, eight lines of eight bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn samples(coefficients: Rows, factors: &Rows) -> [__m256i; 4] {
    let mut block = coefficients;
    for (row, &factor) in block.iter_mut().zip(factors) {
        *row = _mm256_mullo_epi16(*row, factor);
    }
    let [_, a, b, c, d, e, f, g] = coefficients;
    let below = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
    let below = _mm256_or_si256(below, _mm256_or_si256(_mm256_or_si256(e, f), g));
    // Where a block has no coefficient below its first row, the column pass reduces to a shift, whose result is not
    // saturated as the pass's results are.
    let shifted = _mm256_slli_epi16::<{ PASS_BITS as i32 }>(block[0]);
    let passed = if _mm256_testz_si256(below, below) == 1 {
        let but_first = _mm256_set_epi64x(-1, !0xFFFF, -1, !0xFFFF);
        if _mm256_testz_si256(coefficients[0], but_first) == 1 {
            return flat(shifted);
        }
        [shifted; 8]
    } else {
        with_shifted(columns::<{ (CONSTANT_BITS - PASS_BITS) as i32 }>(block), shifted, below)
    };
    let turned = interleaved(interleaved(interleaved(passed)));
    let [a, b, c, d, e, f, g, h] = columns::<{ (CONSTANT_BITS + PASS_BITS + 3) as i32 }>(turned);
    let pairs =
        [_mm256_packs_epi16(a, b), _mm256_packs_epi16(c, d), _mm256_packs_epi16(e, f), _mm256_packs_epi16(g, h)];
    let [a, b, c, d] = interleaved_bytes(interleaved_bytes(interleaved_bytes(pairs)));
    [unsigned(a), unsigned(b), unsigned(c), unsigned(d)]
}

/// The samples of two blocks with nothing but their first coefficients: both passes reduce to this.
#[inline]
#[target_feature(enable = "avx2")]
fn flat(shifted: __m256i) -> [__m256i; 4] {
    const BITS: i32 = PASS_BITS as i32 + 3;
    let values = _mm256_srai_epi16::<BITS>(_mm256_adds_epi16(shifted, _mm256_set1_epi16(1 << (BITS - 1))));
    let first = _mm256_shuffle_epi8(_mm256_packs_epi16(values, values), _mm256_setzero_si256());
    [unsigned(first); 4]
}

/// `passed`, but `shifted` in each half in which `below` has only zeros.
#[inline]
#[target_feature(enable = "avx2")]
fn with_shifted(mut passed: Rows, shifted: __m256i, below: __m256i) -> Rows {
    let is_zero = _mm256_cmpeq_epi64(below, _mm256_setzero_si256());
    let is_zero = _mm256_and_si256(is_zero, _mm256_shuffle_epi32::<0b01_00_11_10>(is_zero));
    if _mm256_testz_si256(is_zero, is_zero) == 0 {
        for row in &mut passed {
            *row = _mm256_blendv_epi8(*row, shifted, is_zero);
        }
    }
    passed
}

/// Samples from 0 to 255, from ones around 0.
#[inline]
#[target_feature(enable = "avx2")]
fn unsigned(samples: __m256i) -> __m256i {
    _mm256_add_epi8(samples, _mm256_set1_epi8(-128))
}

/// Transforms all columns; as [`super::plain`] does.
#[inline]
#[target_feature(enable = "avx2")]
fn columns<const SHIFT: i32>(rows: Rows) -> Rows {
    let [in0, in1, in2, in3, in4, in5, in6, in7] = rows;
    let even2 = products([in2, in6], [F_0_541196100, F_0_541196100 - F_1_847759065]);
    let even3 = products([in2, in6], [F_0_541196100 + F_0_765366865, F_0_541196100]);
    let even0 = scaled::<SHIFT>(_mm256_add_epi16(in0, in4));
    let even1 = scaled::<SHIFT>(_mm256_sub_epi16(in0, in4));

    let sums = [_mm256_add_epi16(in7, in3), _mm256_add_epi16(in5, in1)];
    let z3 = products(sums, [F_1_175875602 - F_1_961570560, F_1_175875602]);
    let z4 = products(sums, [F_1_175875602, F_1_175875602 - F_0_390180644]);
    let odd0 = add(products([in7, in1], [F_0_298631336 - F_0_899976223, -F_0_899976223]), z3);
    let odd1 = add(products([in5, in3], [F_2_053119869 - F_2_562915447, -F_2_562915447]), z4);
    let odd2 = add(products([in5, in3], [-F_2_562915447, F_3_072711026 - F_2_562915447]), z3);
    let odd3 = add(products([in7, in1], [-F_0_899976223, F_1_501321110 - F_0_899976223]), z4);

    let [out0, out7] = sum_and_difference::<SHIFT>(add(even0, even3), odd3);
    let [out1, out6] = sum_and_difference::<SHIFT>(add(even1, even2), odd2);
    let [out2, out5] = sum_and_difference::<SHIFT>(sub(even1, even2), odd1);
    let [out3, out4] = sum_and_difference::<SHIFT>(sub(even0, even3), odd0);
    [out0, out1, out2, out3, out4, out5, out6, out7]
}

/// 32-bit values: those of each block's first four columns, and of its last four.
type Halves = [__m256i; 2];

/// Two rows, each times its factor, added up.
#[inline]
#[target_feature(enable = "avx2")]
fn products([a, b]: [__m256i; 2], [first, second]: [i32; 2]) -> Halves {
    let factors = _mm256_set1_epi32((first & 0xFFFF) | (second << 16));
    [_mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), factors), _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), factors)]
}

/// Values with the fractional bits of the constants, and what rounds when `SHIFT` bits are dropped.
#[inline]
#[target_feature(enable = "avx2")]
fn scaled<const SHIFT: i32>(values: __m256i) -> Halves {
    const DOWN: i32 = 16 - CONSTANT_BITS as i32;
    let (zero, half) = (_mm256_setzero_si256(), _mm256_set1_epi32(1 << (SHIFT - 1)));
    let [low, high] = [_mm256_unpacklo_epi16(zero, values), _mm256_unpackhi_epi16(zero, values)];
    add([_mm256_srai_epi32::<DOWN>(low), _mm256_srai_epi32::<DOWN>(high)], [half; 2])
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(a: Halves, b: Halves) -> Halves {
    [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])]
}

#[inline]
#[target_feature(enable = "avx2")]
fn sub(a: Halves, b: Halves) -> Halves {
    [_mm256_sub_epi32(a[0], b[0]), _mm256_sub_epi32(a[1], b[1])]
}

/// Rows of 16-bit values: the sum and the difference without their lowest `SHIFT` bits.
#[inline]
#[target_feature(enable = "avx2")]
fn sum_and_difference<const SHIFT: i32>(even: Halves, odd: Halves) -> [__m256i; 2] {
    let (sum, difference) = (add(even, odd), sub(even, odd));
    [
        _mm256_packs_epi32(_mm256_srai_epi32::<SHIFT>(sum[0]), _mm256_srai_epi32::<SHIFT>(sum[1])),
        _mm256_packs_epi32(_mm256_srai_epi32::<SHIFT>(difference[0]), _mm256_srai_epi32::<SHIFT>(difference[1])),
    ]
}

/// Interleaves each row with the fourth after it. A value's row and column, six bits, are thus rotated by one bit:
/// three times make columns of rows.
#[inline]
#[target_feature(enable = "avx2")]
fn interleaved([a, b, c, d, e, f, g, h]: Rows) -> Rows {
    [
        _mm256_unpacklo_epi16(a, e),
        _mm256_unpackhi_epi16(a, e),
        _mm256_unpacklo_epi16(b, f),
        _mm256_unpackhi_epi16(b, f),
        _mm256_unpacklo_epi16(c, g),
        _mm256_unpackhi_epi16(c, g),
        _mm256_unpacklo_epi16(d, h),
        _mm256_unpackhi_epi16(d, h),
    ]
}

/// The same for bytes, two rows of which lie side by side.
#[inline]
#[target_feature(enable = "avx2")]
fn interleaved_bytes([a, b, c, d]: [__m256i; 4]) -> [__m256i; 4] {
    [_mm256_unpacklo_epi8(a, c), _mm256_unpackhi_epi8(a, c), _mm256_unpacklo_epi8(b, d), _mm256_unpackhi_epi8(b, d)]
}
