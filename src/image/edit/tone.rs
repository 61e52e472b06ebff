//! Edits of tones: each channel's values are replaced by those of a table, as in Pillow's `ImageOps`.

use image::RgbImage;

/// What each value of a channel becomes.
pub type Table = [u8; 256];

/// Replaces every value by its entry in the channel's table.
pub fn look_up(image: &mut RgbImage, tables: &[Table; 3]) {
    for pixel in image.as_chunks_mut::<3>().0 {
        for (value, table) in pixel.iter_mut().zip(tables) {
            *value = table[usize::from(*value)];
        }
    }
}

/// Keeps the `bits` highest bits.
pub fn posterize(image: &mut RgbImage, bits: u32) {
    let dropped = 8 - bits.clamp(1, 8);
    image.iter_mut().for_each(|value| *value = *value >> dropped << dropped);
}

/// Inverts the values from the threshold on.
pub fn solarize(image: &mut RgbImage, threshold: f64) {
    image.iter_mut().for_each(|value| {
        if f64::from(*value) >= threshold {
            *value = 255 - *value;
        }
    });
}

/// Inverts all values.
pub fn invert(image: &mut RgbImage) {
    image.iter_mut().for_each(|value| *value = 255 - *value);
}

/// Stretches each channel so that its least value becomes 0 and its greatest 255.
pub fn auto_contrast(image: &mut RgbImage) {
    let tables = histograms(image).map(|counts| {
        let least = counts.iter().position(|&count| count > 0).unwrap_or(0);
        let most = counts.iter().rposition(|&count| count > 0).unwrap_or(0);
        if most <= least {
            return identity();
        }
        let scale = 255.0 / (most - least) as f64;
        let offset = -(least as f64) * scale;
        std::array::from_fn(|value| (value as f64 * scale + offset) as u8)
    });
    look_up(image, &tables);
}

/// Spreads each channel's values so that all become about equally frequent.
pub fn equalize(image: &mut RgbImage) {
    let tables = histograms(image).map(|counts| {
        let total: u64 = counts.iter().sum();
        let last = counts.iter().rev().find(|&&count| count > 0).copied().unwrap_or(0);
        // 0 if the channel has a single value.
        let step = (total - last) / 255;
        if step == 0 {
            return identity();
        }
        let mut below = step / 2;
        counts.map(|count| {
            let value = (below / step).min(255) as u8;
            below += count;
            value
        })
    });
    look_up(image, &tables);
}

/// How often each value occurs in each channel.
fn histograms(image: &RgbImage) -> [[u64; 256]; 3] {
    let mut counts = [[0; 256]; 3];
    for pixel in image.as_raw().as_chunks::<3>().0 {
        for (counts, &value) in counts.iter_mut().zip(pixel) {
            counts[usize::from(value)] += 1;
        }
    }
    counts
}

fn identity() -> Table {
    std::array::from_fn(|value| value as u8)
}
