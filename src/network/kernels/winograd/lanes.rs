//! The transforms of tiles, on some channels side by side. The loops over channels are the outer ones, and all other numbers
//! are known, so the compiler turns them into vector operations.

use std::array;

/// Channels that are transformed together.
pub const LANES: usize = 16;

/// A value for each.
pub type Lanes = [f32; LANES];

/// Bᵀ d B of a patch of 4x4 pixels, by rows.
#[inline(always)]
pub fn transform_patch(patch: [&Lanes; 16]) -> [Lanes; 16] {
    let once = |[a, b, c, d]: [f32; 4]| [a - c, b + c, c - b, b - d];
    let mut transformed = [[0.0; LANES]; 16];
    for lane in 0..LANES {
        let columns: [[f32; 4]; 4] = array::from_fn(|x| once(array::from_fn(|y| patch[4 * y + x][lane])));
        for y in 0..4 {
            let row = once(array::from_fn(|x| columns[x][y]));
            for x in 0..4 {
                transformed[4 * y + x][lane] = row[x];
            }
        }
    }
    transformed
}

/// Aᵀ m A of 4x4 products, plus the bias: 2x2 pixels, by rows.
#[inline(always)]
pub fn transform_products(products: [&Lanes; 16], bias: &Lanes) -> [Lanes; 4] {
    let once = |[a, b, c, d]: [f32; 4]| [a + b + c, b - c - d];
    let mut pixels = [[0.0; LANES]; 4];
    for lane in 0..LANES {
        let columns: [[f32; 2]; 4] = array::from_fn(|x| once(array::from_fn(|y| products[4 * y + x][lane])));
        for y in 0..2 {
            let row = once(array::from_fn(|x| columns[x][y]));
            for x in 0..2 {
                pixels[2 * y + x][lane] = row[x] + bias[lane];
            }
        }
    }
    pixels
}
