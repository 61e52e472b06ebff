//! The inverse cosine transform, bit for bit that of libjpeg's `jidctint.c`: Loeffler, Ligtenberg, Moschytz, "Practical
//! Fast 1-D DCT Algorithms with 11 Multiplications" (ICASSP 1989), in fixed point. Coefficients that no encoder writes
//! overflow as in libjpeg-turbo's vector code (`jidctint-avx2.asm`), which computes partly with 16 bits.

/// Fractional bits of the constants below.
const CONSTANT_BITS: u32 = 13;
/// Fractional bits that the column pass keeps for the row pass.
const PASS_BITS: u32 = 2;

const F_0_298631336: i32 = 2446;
const F_0_390180644: i32 = 3196;
const F_0_541196100: i32 = 4433;
const F_0_765366865: i32 = 6270;
const F_0_899976223: i32 = 7373;
const F_1_175875602: i32 = 9633;
const F_1_501321110: i32 = 12299;
const F_1_847759065: i32 = 15137;
const F_1_961570560: i32 = 16069;
const F_2_053119869: i32 = 16819;
const F_2_562915447: i32 = 20995;
const F_3_072711026: i32 = 25172;

type Block = [[i32; 8]; 8];

/// The samples of `blocks`, which lie in rows of `across`; the samples lie in rows of `8 * across`.
pub fn inverse(blocks: &[[i16; 64]], quantization: &[u16; 64], across: usize) -> Vec<u8> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the line above checked that this processor has AVX2.
        return unsafe { inverse_avx2(blocks, quantization, across) };
    }
    inverse_plain(blocks, quantization, across)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn inverse_avx2(blocks: &[[i16; 64]], quantization: &[u16; 64], across: usize) -> Vec<u8> {
    inverse_plain(blocks, quantization, across)
}

#[inline(always)]
fn inverse_plain(blocks: &[[i16; 64]], quantization: &[u16; 64], across: usize) -> Vec<u8> {
    let stride = 8 * across;
    let mut samples = vec![0; 64 * blocks.len()];
    for (row, blocks) in samples.chunks_exact_mut(8 * stride).zip(blocks.chunks_exact(across)) {
        for (column, block) in blocks.iter().enumerate() {
            let lines = row.chunks_exact_mut(stride).map(|line| &mut line[8 * column..8 * column + 8]);
            if block[1..].iter().all(|&value| value == 0) {
                // Both passes reduce to this if all but the first coefficient are zero.
                let value = wrapped(dequantized(block[0], quantization[0]) << PASS_BITS);
                lines.for_each(|line| line.fill(to_byte((value + 16) >> 5)));
                continue;
            }
            let transformed = transform(block, quantization);
            lines.zip(transformed).for_each(|(line, values)| line.copy_from_slice(&values.map(to_byte)));
        }
    }
    samples
}

#[inline(always)]
fn to_byte(value: i32) -> u8 {
    (value + 128).clamp(0, 255) as u8
}

/// A 32-bit sum or product as 16 bits hold it.
#[inline(always)]
fn wrapped(value: i32) -> i32 {
    i32::from(value as i16)
}

#[inline(always)]
fn dequantized(coefficient: i16, quantization: u16) -> i32 {
    i32::from(coefficient.wrapping_mul(quantization as i16))
}

#[inline(always)]
fn transform(coefficients: &[i16; 64], quantization: &[u16; 64]) -> Block {
    let mut block = [[0; 8]; 8];
    for (row, line) in block.iter_mut().enumerate() {
        for (column, value) in line.iter_mut().enumerate() {
            let place = 8 * row + column;
            *value = dequantized(coefficients[place], quantization[place]);
        }
    }
    if coefficients[8..].iter().all(|&value| value == 0) {
        // The column pass reduces to a shift, whose result is not saturated as the pass's is.
        block = [block[0].map(|value| wrapped(value << PASS_BITS)); 8];
    } else {
        columns::<{ CONSTANT_BITS - PASS_BITS }>(&mut block);
        block.iter_mut().flatten().for_each(|value| *value = (*value).clamp(i16::MIN.into(), i16::MAX.into()));
    }
    let mut turned = transposed(&block);
    columns::<{ CONSTANT_BITS + PASS_BITS + 3 }>(&mut turned);
    transposed(&turned)
}

#[inline(always)]
fn transposed(block: &Block) -> Block {
    std::array::from_fn(|row| std::array::from_fn(|column| block[column][row]))
}

/// Transforms all eight columns of 16-bit values together, so that each operation compiles to one on a vector; rounds
/// away `SHIFT` bits. Only a corrupt file has values that wrap.
#[inline(always)]
fn columns<const SHIFT: u32>(block: &mut Block) {
    #[allow(clippy::needless_range_loop)] // Rows, not the column, come first.
    for x in 0..8 {
        let [in0, in1, in2, in3, in4, in5, in6, in7] = [0, 1, 2, 3, 4, 5, 6, 7].map(|row: usize| block[row][x]);
        let add = i32::wrapping_add;
        let sub = i32::wrapping_sub;
        let mul = i32::wrapping_mul;

        let z1 = mul(in2 + in6, F_0_541196100);
        let even2 = sub(z1, mul(in6, F_1_847759065));
        let even3 = add(z1, mul(in2, F_0_765366865));
        let even0 = wrapped(in0 + in4) << CONSTANT_BITS;
        let even1 = wrapped(in0 - in4) << CONSTANT_BITS;
        let (sum0, sum3) = (add(even0, even3), sub(even0, even3));
        let (sum1, sum2) = (add(even1, even2), sub(even1, even2));

        let (sum73, sum51) = (wrapped(in7 + in3), wrapped(in5 + in1));
        let z5 = mul(sum73 + sum51, F_1_175875602);
        let z1 = mul(in7 + in1, -F_0_899976223);
        let z2 = mul(in5 + in3, -F_2_562915447);
        let z3 = add(mul(sum73, -F_1_961570560), z5);
        let z4 = add(mul(sum51, -F_0_390180644), z5);
        let odd0 = add(mul(in7, F_0_298631336), add(z1, z3));
        let odd1 = add(mul(in5, F_2_053119869), add(z2, z4));
        let odd2 = add(mul(in3, F_3_072711026), add(z2, z3));
        let odd3 = add(mul(in1, F_1_501321110), add(z1, z4));

        let round = |value: i32| add(value, 1 << (SHIFT - 1)) >> SHIFT;
        block[0][x] = round(add(sum0, odd3));
        block[1][x] = round(add(sum1, odd2));
        block[2][x] = round(add(sum2, odd1));
        block[3][x] = round(add(sum3, odd0));
        block[4][x] = round(sub(sum3, odd0));
        block[5][x] = round(sub(sum2, odd1));
        block[6][x] = round(sub(sum1, odd2));
        block[7][x] = round(sub(sum0, odd3));
    }
}
