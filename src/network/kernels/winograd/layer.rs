//! A convolution in three passes, some rows of tiles at a time: the transform of the tiles, the products of each tile with
//! all outputs, and the transform of the products.

use std::array;
use std::cell::RefCell;
use std::ops::Range;
use std::sync::Mutex;

use super::lanes::{LANES, Lanes, transform_patch, transform_products};
use super::product::{PANEL, product};
use super::{PATCH, PRODUCTS, TILE};
use crate::native::threads;

/// Tiles that a thread takes at once: their values fit in its cache, and they share each weight that is read.
const TILES: usize = 64;

/// The vector operations of a processor.
#[derive(Clone, Copy)]
pub enum Level {
    Avx512,
    Avx2,
}

impl Level {
    #[cfg(target_arch = "x86_64")]
    pub fn of_processor() -> Option<Level> {
        if is_x86_feature_detected!("avx512f") {
            return Some(Level::Avx512);
        }
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Level::Avx2)
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub fn of_processor() -> Option<Level> {
        None
    }
}

/// The values of a map: (images, height, width, channels).
pub struct Pixels<'a> {
    pub values: &'a [f32],
    pub images: usize,
    pub height: usize,
    pub width: usize,
}

/// A convolution of a batch.
pub struct Layer<'a> {
    pub input: Pixels<'a>,
    /// A pixel outside the map, which shows the number of channels.
    pub zeros: &'a [f32],
    /// The pixels around the map, [height, width].
    pub padding: [usize; 2],
    /// See [`weight_shape`](super::weight_shape).
    pub weight: &'a [[f32; PANEL]],
    pub bias: &'a [f32],
    /// What is added to the output, if anything is, in its order.
    pub addend: Option<&'a [f32]>,
    /// Whether a ReLU follows.
    pub relu: bool,
    /// The height and width of the output.
    pub size: [usize; 2],
    /// The tiles of an image, along each axis.
    pub tiles: [usize; 2],
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
    /// Fills the output, (images, height, width, channels). Threads share the rows of tiles of all images: each fills whole rows
    /// of pixels.
    pub fn fill(&self, output: &mut [f32]) {
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
        let streams = scratch.tiles.chunks_exact(tiles_each).zip(scratch.products.chunks_exact_mut(products_each));
        for (place, (tiles, products)) in streams.enumerate() {
            let panels = self.weight.chunks_exact(PRODUCTS * inputs).map(|panel| &panel[place * inputs..][..inputs]);
            for (panel, products) in panels.zip(products.chunks_exact_mut(count)) {
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
            let pixels: [&[Lanes]; PRODUCTS] = array::from_fn(|place| {
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
                let values: [&Lanes; PRODUCTS] =
                    array::from_fn(|product| &products[product * each + panel * count + index].as_chunks().0[part]);
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
