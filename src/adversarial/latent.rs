//! Latent vectors, and the classes that both networks are given with them.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use tch::{Device, Kind, TchError, Tensor};

use crate::device;
use crate::experiment::gan::{Latent, LatentDistribution};
use crate::random;

/// Draws the latent vectors of a step of training, (count, size, 1, 1).
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn of_step(latent: Latent, count: usize, device: Device, stream: &mut ChaCha8Rng) -> Result<Tensor, TchError> {
    tensor(latent, &draw(latent, count, stream), device)
}

/// The latent vectors of these numbers under a seed, (count, size, 1, 1): each is the same, however many there are.
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn of_numbers(
    latent: Latent,
    seed: u64,
    numbers: impl Iterator<Item = u64>,
    device: Device,
) -> Result<Tensor, TchError> {
    let values: Vec<f32> =
        numbers.flat_map(|number| draw(latent, 1, &mut random::latent_stream(seed, number))).collect();
    tensor(latent, &values, device)
}

/// The latent vectors of walks, (walks * steps, size, 1, 1): each goes from one vector to another in equal steps, straight if
/// they are uniform, and along a great circle if they are normal, whose length it keeps. White, arXiv:1609.04468.
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn walks(latent: Latent, seed: u64, walks: u64, steps: u64, device: Device) -> Result<Tensor, TchError> {
    let size = latent.size as usize;
    let mut values = Vec::with_capacity((walks * steps) as usize * size);
    for walk in 0..walks {
        let [from, to] =
            [2 * walk, 2 * walk + 1].map(|number| draw(latent, 1, &mut random::latent_stream(seed, number)));
        for step in 0..steps {
            let share = step as f32 / (steps - 1) as f32;
            let [of_from, of_to] = match latent.distribution {
                LatentDistribution::Uniform => [1.0 - share, share],
                LatentDistribution::Normal => along_circle(angle(&from, &to), share),
            };
            values.extend(from.iter().zip(&to).map(|(from, to)| of_from * from + of_to * to));
        }
    }
    tensor(latent, &values, device)
}

/// How much of both ends of an arc of this angle a point at a share of it has.
fn along_circle(angle: f32, share: f32) -> [f32; 2] {
    match angle.sin() {
        sine if sine.abs() < 1e-6 => [1.0 - share, share],
        sine => [((1.0 - share) * angle).sin() / sine, (share * angle).sin() / sine],
    }
}

fn angle(from: &[f32], to: &[f32]) -> f32 {
    let product = |one: &[f32], other: &[f32]| one.iter().zip(other).map(|(one, other)| one * other).sum::<f32>();
    (product(from, to) / (product(from, from) * product(to, to)).sqrt().max(f32::MIN_POSITIVE)).clamp(-1.0, 1.0).acos()
}

fn draw(latent: Latent, count: usize, stream: &mut ChaCha8Rng) -> Vec<f32> {
    let value = |_| match latent.distribution {
        LatentDistribution::Normal => stream.sample::<f32, _>(StandardNormal),
        LatentDistribution::Uniform => 2.0 * stream.random::<f32>() - 1.0,
    };
    (0..count * latent.size as usize).map(value).collect()
}

fn tensor(latent: Latent, values: &[f32], device: Device) -> Result<Tensor, TchError> {
    device::send(&Tensor::f_from_slice(values)?.f_view([-1, latent.size, 1, 1])?, device)
}

/// A map, (images, channels, height, width), followed by a channel for each of `classes`: 1 in that of an image's own class,
/// 0 in the others. With no classes, the map itself. `labels` are (images).
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn with_classes(map: &Tensor, labels: &Tensor, classes: i64) -> Result<Tensor, TchError> {
    if classes == 0 {
        return Ok(map.shallow_clone());
    }
    let (images, _, height, width) = map.size4()?;
    let planes = labels.f_one_hot(classes)?.f_to_kind(Kind::Float)?.f_view([images, classes, 1, 1])?;
    Tensor::f_cat(&[map, &planes.f_expand([images, classes, height, width], false)?], 1)
}
