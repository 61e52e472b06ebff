//! The inner loop: products of some tiles with some outputs, whose sums stay in registers.

/// Outputs whose weights lie side by side.
pub const PANEL: usize = 32;

/// Multiplies `R` rows of tiles, (tiles, inputs), by a panel of weights, (inputs, outputs), `N` outputs at a time. The loops
/// are written so that the compiler turns them into vector operations: over numbers that it knows, on arrays.
#[inline(always)]
pub fn product<const R: usize, const N: usize>(
    tiles: &[f32],
    panel: &[[f32; PANEL]],
    products: &mut [[f32; PANEL]; R],
) {
    let inputs = panel.len();
    let tiles: [&[f32]; R] = std::array::from_fn(|row| &tiles[row * inputs..][..inputs]);
    for part in 0..PANEL / N {
        let mut sums = [[0.0_f32; N]; R];
        for input in 0..inputs {
            let weights = panel[input].as_chunks::<N>().0[part];
            for row in 0..R {
                let value = tiles[row][input];
                for output in 0..N {
                    sums[row][output] = value.mul_add(weights[output], sums[row][output]);
                }
            }
        }
        for row in 0..R {
            products[row].as_chunks_mut::<N>().0[part] = sums[row];
        }
    }
}
