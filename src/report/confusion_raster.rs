//! A confusion matrix as pixels, small enough to be drawn after every epoch.

use image::{Rgb, RgbImage};

use super::confusion_picture::{RIGHT, WRONG, ink};
use crate::metrics::Confusion;

/// The most pixels of a side.
const MOST_PIXELS: usize = 512;
/// The most pixels of a cell's side.
const MOST_OF_A_CELL: usize = 32;

/// Draws the matrix of this many classes: a row per true class, a column per predicted one, both in the order of the
/// classes. Blue is right, red is wrong; the darker, the more of the row's images. Where there are more classes than
/// pixels, a cell sums up several neighbours.
pub fn draw(confusion: &Confusion, classes: usize) -> RgbImage {
    let neighbours = classes.div_ceil(MOST_PIXELS).max(1);
    let cells = classes.div_ceil(neighbours).max(1);
    let mut images = vec![0; cells];
    // By row and column: images that are right, and wrong.
    let mut counts = vec![[0; 2]; cells * cells];
    for (label, predicted, count) in confusion.cells() {
        let [row, column] = [label, predicted].map(|class| class / neighbours);
        images[row] += count;
        counts[row * cells + column][usize::from(label != predicted)] += count;
    }
    let pixels = (MOST_PIXELS / cells).min(MOST_OF_A_CELL);
    let side = (cells * pixels) as u32;
    RgbImage::from_fn(side, side, |x, y| {
        let [column, row] = [x, y].map(|place| place as usize / pixels);
        colour(counts[row * cells + column], images[row])
    })
}

/// The colour of a cell with these images, of so many in its row.
fn colour([right, wrong]: [u64; 2], of: u64) -> Rgb<u8> {
    let count = right + wrong;
    if count == 0 {
        return Rgb([255; 3]);
    }
    let [right, count] = [right, count].map(|images| images as f64);
    let depth = ink(count / of as f64);
    let [blue, red] = [RIGHT, WRONG].map(|colour| [colour.0, colour.1, colour.2].map(f64::from));
    let mixed = |channel: usize| red[channel] + (blue[channel] - red[channel]) * right / count;
    Rgb([0, 1, 2].map(|channel| (255.0 + (mixed(channel) - 255.0) * depth).round() as u8))
}
