//! The transform of weights.

use std::array;
use std::sync::Mutex;

use tch::{Device, Kind, Tensor};

use super::product::PANEL;
use super::{PATCH, PRODUCTS, Result, weight_shape};
use crate::native::convolution::Direction;
use crate::native::threads;
use crate::network::kernels::{values, values_mut};

/// Transforms weights of (outputs, inputs, 3, 3) to those of [`weight_shape`]: each kernel g becomes G g Gᵀ. For the backward
/// pass, outputs and inputs change places and kernels turn round.
///
/// # Errors
/// Returns libtorch's error: in practice, out of memory.
pub fn transform(weight: &Tensor, direction: Direction) -> Result<Tensor> {
    let (outputs, inputs, _, _) = weight.size4()?;
    let weight = weight.f_detach()?.f_contiguous()?;
    let kernels = values(&weight)?.as_chunks::<9>().0;
    let [rows, columns] = match direction {
        Direction::Forward => [inputs, outputs],
        Direction::Backward => [outputs, inputs],
    };
    let mut transformed = Tensor::f_zeros(weight_shape(rows, columns), (Kind::Float, Device::Cpu))?;
    let (inputs, rows, columns) = (inputs as usize, rows as usize, columns as usize);
    let panels = values_mut(&mut transformed)?.as_chunks_mut::<PANEL>().0.chunks_exact_mut(PRODUCTS * rows);
    let panels: Vec<Mutex<&mut [[f32; PANEL]]>> = panels.map(Mutex::new).collect();
    threads::each(panels.len(), |panel| {
        let mut target = panels[panel].lock().unwrap_or_else(|error| error.into_inner());
        let own = panel * PANEL..columns.min((panel + 1) * PANEL);
        for row in 0..rows {
            let mut taps = [[0.0; PANEL]; 9];
            for column in own.clone() {
                let kernel = match direction {
                    Direction::Forward => &kernels[column * inputs + row],
                    Direction::Backward => &kernels[row * inputs + column],
                };
                for (place, value) in kernel.iter().enumerate() {
                    let place = if direction == Direction::Forward { place } else { 8 - place };
                    taps[place][column % PANEL] = *value;
                }
            }
            for (product, values) in products_of(&taps).iter().enumerate() {
                target[product * rows + row] = *values;
            }
        }
    });
    Ok(transformed)
}

/// G g Gᵀ of each kernel of 3x3, by rows.
fn products_of(taps: &[[f32; PANEL]; 9]) -> [[f32; PANEL]; PRODUCTS] {
    let once = |[a, b, c]: [f32; 3]| [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c];
    let mut products = [[0.0; PANEL]; PRODUCTS];
    for column in 0..PANEL {
        let columns: [[f32; PATCH]; 3] = array::from_fn(|x| once(array::from_fn(|y| taps[3 * y + x][column])));
        for y in 0..PATCH {
            let row = once(array::from_fn(|x| columns[x][y]));
            for x in 0..PATCH {
                products[PATCH * y + x][column] = row[x];
            }
        }
    }
    products
}
