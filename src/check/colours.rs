//! The colours of a data set: mean, deviation and principal components of its pixels, for values from 0 to 1.

use image::RgbImage;

use super::eigen;

/// As many pixels as sums of products fit into 32 bits, which are faster to add than 64: 65,536 * 255 * 255 < 2^32.
const CHUNK: usize = 1 << 16;

/// Means over the pixels of one image.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// Of each channel.
    first: [f64; 3],
    /// Of the products of two channels: red with red, green, blue; green with green, blue; blue with blue.
    second: [f64; 6],
}

/// Sums of means over images. Every image counts the same, whatever its size, as it does in training.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Colours {
    sums: Moments,
    images: u64,
}

/// The principal components of the colours, as AlexNet's augmentation takes them (Krizhevsky et al., NIPS 2012, section
/// 4.1; fb.resnet.torch, `datasets/imagenet.lua`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Components {
    /// The variances along the components, the largest first.
    pub eigenvalues: [f64; 3],
    /// One row per channel (red, green, blue), one column per eigenvalue. Of each column, the largest part (in absolute
    /// value) is positive; the augmentation does not depend on signs.
    pub eigenvectors: [[f64; 3]; 3],
}

impl Moments {
    /// Those of an image that has pixels.
    pub fn of(image: &RgbImage) -> Self {
        let (mut first, mut second) = ([0u64; 3], [0u64; 6]);
        for pixels in image.as_raw().as_chunks::<3>().0.chunks(CHUNK) {
            let (mut sums, mut products) = ([0u32; 3], [0u32; 6]);
            for pixel in pixels {
                let [red, green, blue] = pixel.map(u32::from);
                sums = [sums[0] + red, sums[1] + green, sums[2] + blue];
                let pairs = [red * red, red * green, red * blue, green * green, green * blue, blue * blue];
                products.iter_mut().zip(pairs).for_each(|(sum, product)| *sum += product);
            }
            first.iter_mut().zip(sums).for_each(|(sum, chunk)| *sum += u64::from(chunk));
            second.iter_mut().zip(products).for_each(|(sum, chunk)| *sum += u64::from(chunk));
        }
        let pixels = f64::from(image.width()) * f64::from(image.height());
        Moments {
            first: first.map(|sum| sum as f64 / (255.0 * pixels)),
            second: second.map(|sum| sum as f64 / (255.0 * 255.0 * pixels)),
        }
    }
}

impl Colours {
    /// Adds an image.
    pub fn add(&mut self, image: &Moments) {
        self.images += 1;
        self.sums.first.iter_mut().zip(image.first).for_each(|(sum, mean)| *sum += mean);
        self.sums.second.iter_mut().zip(image.second).for_each(|(sum, mean)| *sum += mean);
    }

    /// The mean of each channel; `None` without images.
    pub fn mean(&self) -> Option<[f64; 3]> {
        (self.images > 0).then(|| self.sums.first.map(|sum| sum / self.images as f64))
    }

    /// The standard deviation of each channel, over the pixels of all images.
    pub fn deviation(&self) -> Option<[f64; 3]> {
        let covariance = self.covariance()?;
        Some([0, 1, 2].map(|channel| covariance[channel][channel].max(0.0).sqrt()))
    }

    /// The principal components.
    pub fn components(&self) -> Option<Components> {
        let (eigenvalues, eigenvectors) = eigen::symmetric(self.covariance()?);
        // Rounding may leave a value of 0 slightly negative.
        Some(Components { eigenvalues: eigenvalues.map(|value| value.max(0.0)), eigenvectors })
    }

    fn covariance(&self) -> Option<[[f64; 3]; 3]> {
        let mean = self.mean()?;
        let second = self.sums.second.map(|sum| sum / self.images as f64);
        let place = [[0, 1, 2], [1, 3, 4], [2, 4, 5]];
        let entry = |row: usize, column: usize| second[place[row][column]] - mean[row] * mean[column];
        Some([0, 1, 2].map(|row| [0, 1, 2].map(|column| entry(row, column))))
    }
}
