//! Evidence drawn over the image that it was found in.

use image::{Rgb, RgbImage};

use super::heat::Heat;

/// How strongly the greatest evidence covers the image.
const STRONGEST: f32 = 0.75;
/// How bright what no view shows stays.
const UNSEEN: f32 = 0.35;

/// From little evidence to much, in even steps: dark blue, purple, red, orange, pale yellow; also told apart in grey.
const COLOURS: [[f32; 3]; 5] =
    [[20.0, 11.0, 52.0], [122.0, 27.0, 109.0], [204.0, 62.0, 74.0], [248.0, 142.0, 9.0], [252.0, 255.0, 164.0]];

/// The image under its evidence: the more there is, the stronger the colour. What no view shows is dimmed.
pub fn overlay(image: &RgbImage, heat: &Heat) -> RgbImage {
    let mut drawn = image.clone();
    for ((pixel, share), value) in drawn.pixels_mut().zip(heat.shares()).zip(heat.values()) {
        let Rgb(colour) = *pixel;
        *pixel = match value {
            None => Rgb(colour.map(|channel| (f32::from(channel) * UNSEEN) as u8)),
            Some(_) => {
                let (over, strength) = (colour_of(share), STRONGEST * share.sqrt());
                let mix = |channel: usize| f32::from(colour[channel]) * (1.0 - strength) + over[channel] * strength;
                Rgb([0, 1, 2].map(|channel| mix(channel).round() as u8))
            }
        };
    }
    drawn
}

/// The colour of a share from 0 to 1.
pub fn colour_of(share: f32) -> [f32; 3] {
    let at = share.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f32;
    let first = (at as usize).min(COLOURS.len() - 2);
    let between = at - first as f32;
    [0, 1, 2].map(|channel| COLOURS[first][channel] * (1.0 - between) + COLOURS[first + 1][channel] * between)
}
