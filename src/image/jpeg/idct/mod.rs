//! The inverse cosine transform, bit for bit that of libjpeg's `jidctint.c`: Loeffler, Ligtenberg, Moschytz, "Practical
//! Fast 1-D DCT Algorithms with 11 Multiplications" (ICASSP 1989), in fixed point. Coefficients that no encoder writes
//! overflow as in libjpeg-turbo's vector code (`jidctint-avx2.asm`), which computes partly with 16 bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod factors;
mod plain;

/// Writes the samples of `blocks`, which lie side by side, to eight lines of equal length. A line has room for an even
/// number of blocks: what lies beyond the last one may be overwritten, too.
pub fn inverse(blocks: &[[i16; 64]], quantization: &[u16; 64], lines: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the line above checked that this processor has AVX2.
        return unsafe { avx2::inverse(blocks, quantization, lines) };
    }
    plain::inverse(blocks, quantization, lines);
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// Blocks with few or many coefficients, in the first place, the first row or anywhere, which are small or as large as
    /// only a corrupt file has them.
    fn blocks(seed: &mut u64) -> Vec<[i16; 64]> {
        let mut random = || {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*seed >> 33) as usize
        };
        let mut blocks = vec![[0; 64]; 1 + random() % 5];
        for block in &mut blocks {
            let (within, lost_bits) = ([1, 8, 64][random() % 3], random() % 16);
            for _ in 0..[1, 2, 3, 64][random() % 4] {
                block[random() % within] = random() as i16 >> lost_bits;
            }
        }
        blocks
    }

    #[test]
    fn both_transforms_yield_the_same_samples() {
        if !is_x86_feature_detected!("avx2") {
            return;
        }
        let mut seed = 1;
        for round in 0..20_000 {
            let (blocks, quantization) = (blocks(&mut seed), blocks(&mut seed)[0].map(|factor| factor as u16));
            let line = 16 * blocks.len().div_ceil(2);
            let (mut plain, mut fast) = (vec![0; 8 * line], vec![0; 8 * line]);
            plain::inverse(&blocks, &quantization, &mut plain);
            // SAFETY: this processor has AVX2.
            unsafe { avx2::inverse(&blocks, &quantization, &mut fast) };
            let lines = plain.chunks_exact(line).zip(fast.chunks_exact(line));
            for (plain, fast) in lines.map(|(plain, fast)| (&plain[..8 * blocks.len()], &fast[..8 * blocks.len()])) {
                assert_eq!(plain, fast, "round {round}: {blocks:?} times {quantization:?}");
            }
        }
    }
}
