//! Interblock smoothing, as in libjpeg-turbo's `jdcoefct.c`: where no scan of a progressive file has completed a block's
//! lowest AC coefficients, they are estimated from the DC coefficients of the 5x5 blocks around it (after T.81, K.8).

use super::component::Component;
use super::tables::ZIGZAG;

/// Weights of the DC coefficients around a block, row by row.
type Kernel = [[i32; 5]; 5];

/// The first coefficients in zigzag order, which smoothing changes: DC and nine AC coefficients.
const SMOOTHED: usize = 10;

/// Whether smoothing applies: if some DC bits of all components are known, and not all bits of the AC coefficients.
pub fn is_useful(components: &[Component]) -> bool {
    let is_possible = |component: &Component| {
        let are_divisors = ZIGZAG[..SMOOTHED].iter().all(|&at| component.quantization[at] != 0);
        are_divisors && component.missing_bits[0].is_some()
    };
    let is_incomplete = |component: &Component| component.missing_bits[1..SMOOTHED].iter().any(|&it| it != Some(0));
    components.iter().all(is_possible) && components.iter().any(is_incomplete)
}

/// Estimates what is missing of a component; `units_down` is the frame's.
pub fn smooth(component: &mut Component, units_down: usize) {
    let (quantization, missing) = (component.quantization, component.missing_bits);
    let has_no_ac = missing[1..SMOOTHED].iter().all(Option::is_none);
    let kernels = if has_no_ac { &WITHOUT_AC[..] } else { &WITH_SOME_AC[..] };
    let dc: Vec<i32> = component.coefficients.iter().map(|block| block[0].into()).collect();
    let columns = component.width.div_ceil(8);
    for row in 0..component.height.div_ceil(8) {
        let rows = rows_around(component, row, units_down);
        for column in 0..columns {
            let window = rows.map(|row| {
                [-2, -1, 0, 1, 2].map(|offset| {
                    let column = column.saturating_add_signed(offset).min(columns - 1);
                    dc[row * component.blocks_across + column]
                })
            });
            let block = &mut component.coefficients[row * component.blocks_across + column];
            let quantize = |kernel: &Kernel, place: usize| {
                let weights = kernel.iter().flatten().zip(window.iter().flatten());
                let sum: i32 = weights.map(|(weight, dc)| weight * dc).sum();
                rounded(i64::from(quantization[0]) * i64::from(sum), quantization[place].into())
            };
            for (index, kernel) in (1..).zip(kernels) {
                let place = ZIGZAG[index];
                if missing[index] != Some(0) && block[place] == 0 {
                    let most = missing[index].map_or(i32::MAX, |bits| (1 << bits) - 1);
                    block[place] = quantize(kernel, place).clamp(-most, most) as i16;
                }
            }
            if has_no_ac {
                block[0] = quantize(&AVERAGE, 0) as i16;
            }
        }
    }
}

/// `value` divided by 256 times `divisor`, rounded away from zero at a half.
fn rounded(value: i64, divisor: i64) -> i32 {
    let magnitude = ((divisor << 7) + value.abs()) / (divisor << 8);
    (value.signum() * magnitude) as i32
}

/// The rows of blocks from two above `row` to two below it; at the edges, the nearest that there is. At the lower edge,
/// libjpeg-turbo counts rows as if all units had as many as those of their own row have within the image.
fn rows_around(component: &Component, row: usize, units_down: usize) -> [usize; 5] {
    let down = component.sampling.down;
    let in_last = match component.height.div_ceil(8) % down {
        0 => down,
        rest => rest,
    };
    let in_unit = if row / down + 1 < units_down { down } else { in_last };
    let (place, all) = (row / down * in_unit + row % down, units_down * in_unit);
    let above = if place > 0 { row - 1 } else { row };
    let below = if place + 1 < all { row + 1 } else { row };
    let twice_above = if place > 1 { row - 2 } else { above };
    let twice_below = if place + 2 < all { row + 2 } else { below };
    [twice_above, above, row, below, twice_below]
}

/// For the nine AC coefficients if nothing is known of any.
#[rustfmt::skip]
const WITHOUT_AC: [Kernel; 9] = [
    [[-1, -1, 0, 1, 1], [-3, 13, 0, -13, 3], [-3, 38, 0, -38, 3], [-3, 13, 0, -13, 3], [-1, -1, 0, 1, 1]],
    [[-1, -3, -3, -3, -1], [-1, 13, 38, 13, -1], [0; 5], [1, -13, -38, -13, 1], [1, 3, 3, 3, 1]],
    [[0, 0, 1, 0, 0], [0, 2, 7, 2, 0], [0, -5, -14, -5, 0], [0, 2, 7, 2, 0], [0, 0, 1, 0, 0]],
    [[-1, 0, 0, 0, 1], [0, 9, 0, -9, 0], [0; 5], [0, -9, 0, 9, 0], [1, 0, 0, 0, -1]],
    [[0; 5], [0, 2, -5, 2, 0], [1, 7, -14, 7, 1], [0, 2, -5, 2, 0], [0; 5]],
    [[0; 5], [0, 1, 0, -1, 0], [0, 2, 0, -2, 0], [0, 1, 0, -1, 0], [0; 5]],
    [[0; 5], [0, 1, -3, 1, 0], [0; 5], [0, -1, 3, -1, 0], [0; 5]],
    [[0; 5], [0, 1, 0, -1, 0], [0, -3, 0, 3, 0], [0, 1, 0, -1, 0], [0; 5]],
    [[0; 5], [0, 1, 2, 1, 0], [0; 5], [0, -1, -2, -1, 0], [0; 5]],
];

/// For the first five AC coefficients if something is known of some.
#[rustfmt::skip]
const WITH_SOME_AC: [Kernel; 5] = [
    [[0; 5], [0; 5], [-7, 50, 0, -50, 7], [0; 5], [0; 5]],
    [[0, 0, -7, 0, 0], [0, 0, 50, 0, 0], [0; 5], [0, 0, -50, 0, 0], [0, 0, 7, 0, 0]],
    [[0, 0, -1, 0, 0], [0, 0, 13, 0, 0], [0, 0, -24, 0, 0], [0, 0, 13, 0, 0], [0, 0, -1, 0, 0]],
    [[0, -1, 0, 1, 0], [-1, 10, 0, -10, 1], [0; 5], [1, -10, 0, 10, -1], [0, 1, 0, -1, 0]],
    [[0; 5], [0; 5], [-1, 13, -24, 13, -1], [0; 5], [0; 5]],
];

/// For the DC coefficient if nothing is known of any AC coefficient.
const AVERAGE: Kernel =
    [[-2, -6, -8, -6, -2], [-6, 6, 42, 6, -6], [-8, 42, 152, 42, -8], [-6, 6, 42, 6, -6], [-2, -6, -8, -6, -2]];
