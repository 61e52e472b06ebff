//! Heat: the evidence in each pixel of an image, put together from the maps of its views.

use anyhow::{Context, Result, ensure};
use tch::Tensor;

use super::view::Seen;
use crate::geometry::Size;
use crate::views::plan::Region;

/// The mean evidence of the views that show a pixel.
#[derive(Clone, Debug)]
pub struct Heat {
    size: Size,
    sums: Vec<f32>,
    counts: Vec<u32>,
}

impl Heat {
    /// No evidence yet, for an image of this size.
    pub fn new(size: Size) -> Self {
        let pixels = size.area() as usize;
        Heat { size, sums: vec![0.0; pixels], counts: vec![0; pixels] }
    }

    /// Adds the maps of views, (views, rows, columns), each spread over what its view shows.
    ///
    /// # Errors
    /// Returns an error if there are not as many maps as views.
    pub fn add(&mut self, maps: &Tensor, seen: &[Seen]) -> Result<()> {
        let &[views, rows, columns] = maps.size().as_slice() else { anyhow::bail!("expected a map for each view") };
        ensure!(views as usize == seen.len(), "expected a map for each view");
        let values = Vec::<f32>::try_from(&maps.f_contiguous()?.f_view(-1)?).context("maps of 32-bit floats")?;
        for (map, seen) in values.chunks_exact((rows * columns) as usize).zip(seen) {
            self.spread(map, columns as usize, seen);
        }
        Ok(())
    }

    /// Adds one map, linearly interpolated between the middles of its cells, as `cv2.resize` and PyTorch's `interpolate`
    /// do it.
    fn spread(&mut self, map: &[f32], columns: usize, seen: &Seen) {
        let rows = map.len() / columns;
        let Region { x, y, width, height } = seen.region;
        let xs: Vec<_> = pixels(x, width, self.size.width).map(|at| (at, between(at, x, width, columns))).collect();
        for row in pixels(y, height, self.size.height) {
            let (above, below, lower) = between(row, y, height, rows);
            for &(column, (left, right, share)) in &xs {
                let value = |row: usize, column: usize| {
                    map[row * columns + if seen.mirror { columns - 1 - column } else { column }]
                };
                let at = |row| value(row, left) * (1.0 - share) + value(row, right) * share;
                let pixel = row * self.size.width as usize + column;
                self.sums[pixel] += at(above) * (1.0 - lower) + at(below) * lower;
                self.counts[pixel] += 1;
            }
        }
    }

    /// The size of the image.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The evidence in each pixel, row by row; `None` where no view shows it.
    pub fn values(&self) -> impl Iterator<Item = Option<f32>> {
        self.sums.iter().zip(&self.counts).map(|(sum, count)| (*count > 0).then(|| sum / *count as f32))
    }

    /// The evidence in each pixel as a share of the greatest; what speaks against the class, and pixels that no view shows,
    /// are 0.
    pub fn shares(&self) -> Vec<f32> {
        let most = self.values().flatten().fold(0.0f32, f32::max);
        let share =
            |value: Option<f32>| value.map_or(0.0, |value| if most > 0.0 { (value / most).max(0.0) } else { 0.0 });
        self.values().map(share).collect()
    }
}

/// The pixels whose middles lie between `start` and `start + length`.
fn pixels(start: f64, length: f64, side: u32) -> std::ops::Range<usize> {
    let first = (start - 0.5).ceil().max(0.0) as usize;
    let end = ((start + length - 0.5).ceil().max(0.0) as usize).min(side as usize);
    first.min(end)..end
}

/// The cells on both sides of a pixel's middle, and the share of the second.
fn between(pixel: usize, start: f64, length: f64, cells: usize) -> (usize, usize, f32) {
    let at = ((pixel as f64 + 0.5 - start) / length * cells as f64 - 0.5).clamp(0.0, (cells - 1) as f64);
    let first = at.floor() as usize;
    (first, (first + 1).min(cells - 1), (at - at.floor()) as f32)
}
