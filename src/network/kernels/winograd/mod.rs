//! Convolutions of 3x3 at stride 1 by Winograd's minimal filtering, F(2x2, 3x3): 16 products for each 2x2 pixels and pair of
//! channels, where the plain sum takes 36. Lavin and Gray, arXiv:1509.09308, section 4.1. The factors of its transforms are
//! 1 and 1/2, so it is as exact in 32 bits as the plain sum.

mod lanes;
mod product;

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Mutex;

use tch::{Kind, Tensor};

use super::{Map, Result, values};
use crate::native::threads;
pub use lanes::LANES;
use lanes::{Lanes, transform_patch, transform_products};
use product::{PANEL, product};

/// Pixels of the output, along each axis, that a tile computes.
const TILE: usize = 2;
/// Pixels of the input, along each axis, that a tile reads.
const PATCH: usize = TILE + 2;
/// Products for each tile and pair of channels.
const PRODUCTS: usize = PATCH * PATCH;
/// Tiles that a thread takes at once: their values fit in its cache, and they share each weight that is read.
const TILES: usize = 64;

/// Whether this processor has the vector operations.
pub fn is_supported() -> bool {
    Level::of_processor().is_some()
}

/// The vector operations of a processor.
#[derive(Clone, Copy)]
enum Level {
    Avx512,
    Avx2,
}

impl Level {
    #[cfg(target_arch = "x86_64")]
    fn of_processor() -> Option<Level> {
        if is_x86_feature_detected!("avx512f") {
            return Some(Level::Avx512);
        }
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Level::Avx2)
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn of_processor() -> Option<Level> {
        None
    }
}

/// The shape of the transformed weights of a convolution: (products, panels of outputs, inputs, outputs of a panel); the last
/// panel may end in zeros.
pub fn weight_shape(inputs: i64, outputs: i64) -> [i64; 4] {
    let panels = (outputs as usize).div_ceil(PANEL);
    [PRODUCTS as i64, panels as i64, inputs, PANEL as i64]
}

/// Transforms weights of (outputs, inputs, 3, 3): each kernel g becomes G g Gᵀ.
///
/// # Errors
/// Returns libtorch's error: in practice, out of memory.
pub fn transform(weight: &Tensor) -> Result<Tensor> {
    #[rustfmt::skip]
    let g = [
        1.0,  0.0, 0.0,
        0.5,  0.5, 0.5,
        0.5, -0.5, 0.5,
        0.0,  0.0, 1.0,
    ];
    let g = Tensor::f_from_slice::<f64>(&g)?.f_view([PATCH as i64, 3])?;
    let (outputs, inputs, _, _) = weight.size4()?;
    let [products, panels, _, columns] = weight_shape(inputs, outputs);
    let transformed = g.f_matmul(&weight.f_to_kind(Kind::Double)?)?.f_matmul(&g.f_transpose(0, 1)?)?;
    transformed
        .f_constant_pad_nd([0, 0, 0, 0, 0, 0, 0, panels * columns - outputs])?
        .f_view([panels, columns, inputs, products])?
        .f_permute([3, 0, 2, 1])?
        .f_to_kind(Kind::Float)?
        .f_contiguous()
}

/// A convolution with transformed weights and as many biases as outputs, multiples of [`LANES`] as the inputs, plus a map of its output's size if there is one, then
/// the ReLU if `relu`. `padding` is the pixels around the map, [height, width].
///
/// # Errors
/// Returns libtorch's error: in practice, out of memory.
pub fn convolution(
    input: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    padding: [i64; 2],
    relu: bool,
    addend: Option<&Tensor>,
) -> Result<Tensor> {
    let (input, bias, weight) = (Map::of(input)?, values(bias)?, values(weight)?);
    let addend = addend.map(Map::of).transpose()?;
    let padding = padding.map(|pixels| pixels as usize);
    let (height, width) = (input.height + 2 * padding[0] - 2, input.width + 2 * padding[1] - 2);
    let mut output = Map::empty([input.images, height, width, bias.len()])?;
    let layer = Layer {
        tiles: [height.div_ceil(TILE), width.div_ceil(TILE)],
        size: [height, width],
        input: Pixels { values: input.values(), images: input.images, height: input.height, width: input.width },
        zeros: &vec![0.0; input.channels],
        weight: weight.as_chunks().0,
        bias,
        addend: addend.as_ref().map(Map::values),
        padding,
        relu,
    };
    layer.fill(output.values_mut());
    output.into_tensor()
}

/// The values of a map: (images, height, width, channels).
struct Pixels<'a> {
    values: &'a [f32],
    images: usize,
    height: usize,
    width: usize,
}

struct Layer<'a> {
    /// Those of an image, along each axis.
    tiles: [usize; 2],
    /// The height and width of the output.
    size: [usize; 2],
    input: Pixels<'a>,
    /// A pixel outside the map, which shows the number of channels.
    zeros: &'a [f32],
    weight: &'a [[f32; PANEL]],
    bias: &'a [f32],
    addend: Option<&'a [f32]>,
    padding: [usize; 2],
    relu: bool,
}

/// A thread's transformed tiles and their products, which it keeps for the next layer.
#[derive(Default)]
struct Scratch {
    /// (products, tiles, inputs).
    tiles: Vec<f32>,
    /// (products, panels of outputs, tiles, outputs of a panel).
    products: Vec<[f32; PANEL]>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Layer<'_> {
    /// Shares the rows of tiles of all images among the threads: each fills whole rows of the output.
    fn fill(&self, output: &mut [f32]) {
        let level = Level::of_processor();
        let rows = self.input.images * self.tiles[0];
        let jobs = rows.div_ceil(TILES.div_ceil(self.tiles[1]));
        let jobs = jobs.next_multiple_of(tch::get_num_threads().max(1) as usize).min(rows);
        let bounds = |job: usize| job * rows / jobs..(job + 1) * rows / jobs;
        let mut rest = output;
        let parts = (0..jobs).map(|job| {
            let length = self.pixel_of(bounds(job).end) - self.pixel_of(bounds(job).start);
            Mutex::new(rest.split_off_mut(..length * self.bias.len()).unwrap_or_default())
        });
        let parts: Vec<_> = parts.collect();
        threads::each(jobs, |job| {
            let mut part = parts[job].lock().unwrap_or_else(|error| error.into_inner());
            SCRATCH.with_borrow_mut(|scratch| match level {
                // SAFETY: the processor has these operations.
                Some(Level::Avx512) => unsafe { self.run_avx512(bounds(job), scratch, &mut part) },
                Some(Level::Avx2) => unsafe { self.run_avx2(bounds(job), scratch, &mut part) },
                None => self.run::<4, 16>(bounds(job), scratch, &mut part),
            });
        });
    }

    /// The first pixel of the output that a row of tiles computes.
    fn pixel_of(&self, row: usize) -> usize {
        let [height, width] = self.size;
        (row / self.tiles[0] * height + TILE * (row % self.tiles[0])) * width
    }

    #[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx512f"))]
    fn run_avx512(&self, rows: Range<usize>, scratch: &mut Scratch, output: &mut [f32]) {
        self.run::<8, 32>(rows, scratch, output);
    }

    #[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma"))]
    fn run_avx2(&self, rows: Range<usize>, scratch: &mut Scratch, output: &mut [f32]) {
        self.run::<4, 16>(rows, scratch, output);
    }

    /// Fills what some rows of tiles compute, with products of `R` tiles and `N` outputs in registers.
    #[inline(always)]
    fn run<const R: usize, const N: usize>(&self, rows: Range<usize>, scratch: &mut Scratch, output: &mut [f32]) {
        let count = (rows.len() * self.tiles[1]).next_multiple_of(R);
        let inputs = self.zeros.len();
        // Gaps keep the sixteen streams out of each other's cache lines.
        let (tiles_each, products_each) = (count * inputs + LANES, count * self.bias.len().div_ceil(PANEL) + 1);
        scratch.tiles.resize(PRODUCTS * tiles_each, 0.0);
        scratch.products.resize(PRODUCTS * products_each, [0.0; PANEL]);
        self.transform_tiles(rows.clone(), &mut scratch.tiles, tiles_each);
        let weights = self.weight.chunks_exact(self.weight.len() / PRODUCTS);
        let tiles = scratch.tiles.chunks_exact(tiles_each);
        for ((tiles, weights), products) in tiles.zip(weights).zip(scratch.products.chunks_exact_mut(products_each)) {
            for (panel, products) in weights.chunks_exact(inputs).zip(products.chunks_exact_mut(count)) {
                for (tiles, products) in tiles.chunks_exact(R * inputs).zip(products.as_chunks_mut::<R>().0) {
                    product::<R, N>(tiles, panel, products);
                }
            }
        }
        self.transform_products(rows, &scratch.products, products_each, count, output);
    }

    /// Each patch d of the input becomes Bᵀ d B.
    #[inline(always)]
    fn transform_tiles(&self, rows: Range<usize>, transformed: &mut [f32], each: usize) {
        let Pixels { values, height, width, .. } = self.input;
        let inputs = self.zeros.len();
        for (index, (row, column)) in tiles_of(rows, self.tiles[1]).enumerate() {
            let (image, top) = (row / self.tiles[0], TILE * (row % self.tiles[0]));
            let pixels: [&[Lanes]; PRODUCTS] = std::array::from_fn(|place| {
                // Pixels before the first wrap around, and so are beyond the last.
                let y = (top + place / PATCH).wrapping_sub(self.padding[0]);
                let x = (TILE * column + place % PATCH).wrapping_sub(self.padding[1]);
                let is_inside = y < height && x < width;
                let pixel = (image * height + y) * width + x;
                (if is_inside { &values[pixel * inputs..][..inputs] } else { self.zeros }).as_chunks().0
            });
            for block in 0..inputs / LANES {
                let patch = transform_patch(pixels.map(|pixel| &pixel[block]));
                for (product, values) in patch.iter().enumerate() {
                    let begin = product * each + index * inputs + block * LANES;
                    transformed[begin..begin + LANES].copy_from_slice(values);
                }
            }
        }
    }

    /// The products m of each tile become Aᵀ m A, plus the bias and the addend.
    #[inline(always)]
    fn transform_products(
        &self,
        rows: Range<usize>,
        products: &[[f32; PANEL]],
        each: usize,
        count: usize,
        output: &mut [f32],
    ) {
        let outputs = self.bias.len();
        let [height, width] = self.size;
        let first = self.pixel_of(rows.start);
        for (index, (row, column)) in tiles_of(rows, self.tiles[1]).enumerate() {
            let (top, left) = (TILE * (row % self.tiles[0]), TILE * column);
            let pixel = self.pixel_of(row) + left;
            for (block, bias) in self.bias.as_chunks().0.iter().enumerate() {
                let (panel, part) = (block * LANES / PANEL, block * LANES % PANEL / LANES);
                let values: [&Lanes; PRODUCTS] = std::array::from_fn(|product| {
                    &products[product * each + panel * count + index].as_chunks().0[part]
                });
                for (place, sums) in transform_products(values, bias).iter().enumerate() {
                    let (y, x) = (place / TILE, place % TILE);
                    if top + y < height && left + x < width {
                        let begin = (pixel + y * width + x) * outputs + block * LANES;
                        let addend = self.addend.map(|addend| &addend[begin..begin + LANES]);
                        self.finish(sums, addend, &mut output[begin - first * outputs..][..LANES]);
                    }
                }
            }
        }
    }

    /// Adds the addend and clips at zero, if the layer does.
    #[inline(always)]
    fn finish(&self, sums: &Lanes, addend: Option<&[f32]>, output: &mut [f32]) {
        output.copy_from_slice(sums);
        if let Some(addend) = addend {
            output.iter_mut().zip(addend).for_each(|(sum, value)| *sum += value);
        }
        if self.relu {
            output.iter_mut().for_each(|value| *value = if *value > 0.0 { *value } else { 0.0 });
        }
    }
}

/// The row and column of each tile in these rows of so many.
fn tiles_of(rows: Range<usize>, columns: usize) -> impl Iterator<Item = (usize, usize)> {
    rows.flat_map(move |row| (0..columns).map(move |column| (row, column)))
}
