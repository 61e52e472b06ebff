//! The transform for any processor.

use super::factors::{
    CONSTANT_BITS, F_0_298631336, F_0_390180644, F_0_541196100, F_0_765366865, F_0_899976223, F_1_175875602,
    F_1_501321110, F_1_847759065, F_1_961570560, F_2_053119869, F_2_562915447, F_3_072711026, PASS_BITS,
};

type Block = [[i32; 8]; 8];

/// See [`super::inverse`].
pub fn inverse(blocks: &[[i16; 64]], quantization: &[u16; 64], lines: &mut [u8]) {
    let length = lines.len() / 8;
    for (column, block) in blocks.iter().enumerate() {
        let lines = lines.chunks_exact_mut(length).map(|line| &mut line[8 * column..8 * column + 8]);
        lines.zip(transform(block, quantization)).for_each(|(line, values)| line.copy_from_slice(&values.map(to_byte)));
    }
}

fn to_byte(value: i32) -> u8 {
    (value + 128).clamp(0, 255) as u8
}

/// A 32-bit sum or product as 16 bits hold it.
fn wrapped(value: i32) -> i32 {
    i32::from(value as i16)
}

fn transform(coefficients: &[i16; 64], quantization: &[u16; 64]) -> Block {
    let mut block = [[0; 8]; 8];
    for (place, value) in block.iter_mut().flatten().enumerate() {
        *value = i32::from(coefficients[place].wrapping_mul(quantization[place] as i16));
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

fn transposed(block: &Block) -> Block {
    std::array::from_fn(|row| std::array::from_fn(|column| block[column][row]))
}

/// Transforms all eight columns of 16-bit values together, so that each operation compiles to one on a vector; rounds
/// away `SHIFT` bits. Only a corrupt file has values that wrap.
fn columns<const SHIFT: u32>(block: &mut Block) {
    #[expect(clippy::needless_range_loop, reason = "rows, not the column, come first")]
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
