//! A scene: a figure's colours, its place and what surrounds it, drawn at random.

use std::array;
use std::f32::consts::{PI, TAU};

use image::{Rgb, RgbImage};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::figure::Figure;
use crate::geometry::Rect;

/// An image, and where in it the figure lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// The image.
    pub image: RgbImage,
    /// The box around the pixels that are mostly the figure's.
    pub figure: Rect,
}

/// Draws a figure in a random scene. The shorter side of the image is `size` pixels, the longer side at most a quarter
/// longer.
///
/// The image depends on the arguments alone; `key` selects the random stream. Takes about 2 ms at 64 pixels.
pub fn draw(figure: &Figure, key: [u64; 4], size: u32) -> Drawn {
    let mut seed = [0; 32];
    for (bytes, word) in seed.chunks_exact_mut(8).zip(key) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    let mut rng = ChaCha8Rng::from_seed(seed);

    let longer = (size as f32 * rng.random_range(1.0..1.25f32)) as u32;
    let (width, height) = if rng.random() { (longer, size) } else { (size, longer) };
    let scene = Scene::random(&mut rng);
    let noise: f32 = rng.random_range(0.0..0.06);
    let (mut first, mut last) = ([width, height], [0, 0]);
    let image = RgbImage::from_fn(width, height, |column, row| {
        // Nine samples per pixel smooth the edges.
        let (mut sum, mut covered) = ([0.0; 3], 0);
        let place = |pixel: u32, third: u32, side: u32| {
            (pixel as f32 + (third as f32 + 0.5) / 3.0 - side as f32 / 2.0) / size as f32
        };
        for sample in 0..9 {
            let (x, y) = (place(column, sample % 3, width), place(row, sample / 3, height));
            let ink = scene.ink(figure, x, y);
            let colour = ink.unwrap_or_else(|| scene.colour_behind(x, y));
            sum = array::from_fn(|i| sum[i] + colour[i]);
            covered += u32::from(ink.is_some());
        }
        if covered > 4 {
            (first, last) = ([first[0].min(column), first[1].min(row)], [last[0].max(column), last[1].max(row)]);
        }
        // The cast to u8 saturates, which clips the noise at black and white.
        Rgb(sum.map(|sum| (255.0 * (sum / 9.0 + noise * rng.random_range(-1.0..1.0f32))) as u8))
    });
    let [x, y] = first;
    Drawn { image, figure: Rect { x, y, width: last[0] + 1 - x, height: last[1] + 1 - y } }
}

/// Red, green and blue, each 0 to 1.
type Colour = [f32; 3];

/// A random bright or dark colour; the lumas (Rec. 601) of a bright and a dark one are at least 0.24 apart.
fn random_colour(rng: &mut ChaCha8Rng, bright: bool) -> Colour {
    loop {
        let colour: Colour = rng.random();
        let luma = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2];
        if (luma > 0.5) == bright && (luma - 0.5).abs() > 0.12 {
            return colour;
        }
    }
}

/// Everything in an image except the figure itself, so that nothing here reveals the class.
struct Scene {
    ground: Ground,
    ground_colours: [Colour; 2],
    /// The first differs in brightness from the ground and from the second.
    inks: [Colour; 2],
    specks: Vec<(Disc, Colour)>,
    /// The figure's centre, in the units of [`Ground`].
    centre: [f32; 2],
    /// The matrix from an offset from the centre to the figure's coordinates.
    to_figure: [[f32; 2]; 2],
}

impl Scene {
    fn random(rng: &mut ChaCha8Rng) -> Scene {
        let bright: bool = rng.random();
        let radius = rng.random_range(0.3..0.425);
        let (sin, cos) = rng.random_range(0.0..TAU).sin_cos();
        let stretch: f32 = rng.random_range(0.95..1.05);
        let (across, along) = (stretch / radius, 1.0 / (stretch * radius));
        // The figure stays in the central square, which is all that the center view shows.
        let reach = 0.5 - radius;
        Scene {
            ground: Ground::random(rng),
            ground_colours: [!bright; 2].map(|bright| random_colour(rng, bright)),
            inks: [bright, !bright].map(|bright| random_colour(rng, bright)),
            specks: (0..rng.random_range(0..8u32))
                .map(|_| (Disc::random(rng, 0.01, 0.035), random_colour(rng, bright)))
                .collect(),
            centre: [(); 2].map(|()| rng.random_range(-reach..reach)),
            to_figure: [[across * cos, across * sin], [-along * sin, along * cos]],
        }
    }

    /// The figure's colour at a point; `None` outside of it.
    fn ink(&self, figure: &Figure, x: f32, y: f32) -> Option<Colour> {
        let (dx, dy) = (x - self.centre[0], y - self.centre[1]);
        let [figure_x, figure_y] = self.to_figure.map(|row| row[0] * dx + row[1] * dy);
        figure.ink_at(figure_x, figure_y).map(|ink| self.inks[ink])
    }

    /// The colour at a point outside the figure.
    fn colour_behind(&self, x: f32, y: f32) -> Colour {
        if let Some((_, colour)) = self.specks.iter().find(|(disc, _)| disc.covers(x, y)) {
            *colour
        } else {
            let [first, second] = self.ground_colours;
            let share = self.ground.at(x, y);
            array::from_fn(|i| first[i] + share * (second[i] - first[i]))
        }
    }
}

/// How far, 0 to 1, each point of the background is from the first ground colour to the second.
///
/// Points are measured from the image's centre in units of its shorter side, and so lie within ±0.625.
enum Ground {
    Plain,
    /// From one side to the other along a direction.
    Gradient([f32; 2]),
    /// Bands across a direction, given as a vector of length π divided by the width of a band.
    Stripes([f32; 2]),
    /// Squares with sides of 1/12.
    Mosaic(Box<[[f32; 16]; 16]>),
    /// Overlapping discs, each of which swaps the colours inside it.
    Clutter([Disc; 10]),
}

impl Ground {
    fn random(rng: &mut ChaCha8Rng) -> Ground {
        let (sin, cos) = rng.random_range(0.0..TAU).sin_cos();
        let frequency = PI / rng.random_range(0.05..0.2);
        match rng.random_range(0..5u32) {
            0 => Ground::Plain,
            1 => Ground::Gradient([cos, sin]),
            2 => Ground::Stripes([frequency * cos, frequency * sin]),
            3 => Ground::Mosaic(Box::new(rng.random())),
            _ => Ground::Clutter(array::from_fn(|_| Disc::random(rng, 0.05, 0.3))),
        }
    }

    fn at(&self, x: f32, y: f32) -> f32 {
        match self {
            Ground::Plain => 0.0,
            Ground::Gradient([dx, dy]) => (x * dx + y * dy + 0.5).clamp(0.0, 1.0),
            Ground::Stripes([dx, dy]) => f32::from((x * dx + y * dy).sin() > 0.0),
            Ground::Mosaic(shares) => {
                let [row, column] = [y, x].map(|u| (12.0 * u + 8.0) as usize);
                shares[row][column]
            }
            Ground::Clutter(discs) => {
                let covering = discs.iter().filter(|disc| disc.covers(x, y)).count();
                f32::from(covering % 2 == 1)
            }
        }
    }
}

/// A disc on the ground, in the units of [`Ground`].
struct Disc {
    centre: [f32; 2],
    radius: f32,
}

impl Disc {
    fn random(rng: &mut ChaCha8Rng, smallest: f32, largest: f32) -> Disc {
        Disc {
            centre: [rng.random_range(-0.6..0.6), rng.random_range(-0.6..0.6)],
            radius: rng.random_range(smallest..largest),
        }
    }

    fn covers(&self, x: f32, y: f32) -> bool {
        (x - self.centre[0]).hypot(y - self.centre[1]) < self.radius
    }
}

#[cfg(test)]
mod tests {
    use super::super::figure::FIGURES;
    use super::*;

    #[test]
    fn an_image_depends_on_its_figure_and_its_key_alone() {
        let image = draw(&FIGURES[5], [7, 0, 5, 3], 48);
        assert_eq!(image, draw(&FIGURES[5], [7, 0, 5, 3], 48));
        assert_ne!(image, draw(&FIGURES[6], [7, 0, 5, 3], 48));
        for other in [[8, 0, 5, 3], [7, 1, 5, 3], [7, 0, 6, 3], [7, 0, 5, 4]] {
            assert_ne!(image, draw(&FIGURES[5], other, 48), "{other:?}");
        }
    }
}
