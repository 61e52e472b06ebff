//! Random streams, keyed by their purpose, so that results depend neither on the number of workers nor on
//! interruptions.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::digest::{self, digest};

/// The number of the stream that shuffles an epoch; no sample has this number.
const ORDER: u32 = u32::MAX;

/// The random stream for one sample in one epoch, both counted from 0.
pub fn sample_stream(seed: u64, epoch: u64, sample: u32) -> ChaCha8Rng {
    let mut stream = ChaCha8Rng::seed_from_u64(seed);
    stream.set_stream((epoch << 32) | u64::from(sample));
    stream
}

/// The shuffled order in which an epoch visits the samples `0..samples`.
pub fn order(seed: u64, epoch: u64, samples: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..samples as u32).collect();
    order.shuffle(&mut sample_stream(seed, epoch, ORDER));
    order
}

/// The shuffled order in which the samples `0..samples` are packed.
pub fn packed_order(seed: u64, samples: usize) -> Vec<u32> {
    // A key of its own keeps this order apart from those of epochs.
    order(seed ^ 0x7061_636B_5F6F_7264, 0, samples)
}

/// The shuffled order in which the samples `0..samples` are compared with made images.
pub fn compared_order(seed: u64, samples: usize) -> Vec<u32> {
    // A key of its own keeps this order apart from those of epochs.
    order(seed ^ 0x636F_6D70_6172_6564, 0, samples)
}

/// The samples that an epoch visits if all classes are equally likely, as many as there are: for each, first a class is
/// drawn, then one of the class's samples. `classes` holds those of each class; none may be empty.
pub fn balanced_order(seed: u64, epoch: u64, classes: &[Vec<u32>]) -> Vec<u32> {
    let mut stream = sample_stream(seed, epoch, ORDER);
    let samples: usize = classes.iter().map(Vec::len).sum();
    let mut draw = || {
        let class = &classes[stream.random_range(0..classes.len())];
        class[stream.random_range(0..class.len())]
    };
    (0..samples).map(|_| draw()).collect()
}

/// Where a sample stands in the order by which validation images are split off: a number that depends on the seed and its
/// name.
pub fn split_rank(seed: u64, name: &[u8]) -> u64 {
    // Mixed, because digests of names that differ in a digit are related.
    mixed(digest(digest::START ^ mixed(seed), name))
}

/// The seed of libtorch's random generator, which dropout uses, for one step, counted from 0 over the whole run, in one of
/// the processes, by its number.
pub fn dropout_seed(seed: u64, step: u64, process: usize) -> i64 {
    // Neighbouring steps get unrelated seeds.
    mixed(seed.wrapping_add((in_process(step, process) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))) as i64
}

/// A number for a step in one of the processes; for the first one, which may be alone, the step itself. No run has as many
/// steps as lie between two processes.
fn in_process(step: u64, process: usize) -> u64 {
    ((process as u64) << 44) + step
}

/// The finaliser of SplitMix64: Steele, Lea, Flood; OOPSLA 2014.
fn mixed(mut mixed: u64) -> u64 {
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The stream that a parameter's initial values are drawn from.
pub fn weights_stream(seed: u64, parameter: &str) -> ChaCha8Rng {
    // A key of its own keeps these streams apart from those of samples.
    let mut stream = ChaCha8Rng::seed_from_u64(seed ^ 0x7765_6967_6874_735F);
    stream.set_stream(digest(digest::START, parameter.as_bytes()));
    stream
}

/// The seed of the initial values of one of two networks that are trained together, by its name.
pub fn part_seed(seed: u64, part: &str) -> u64 {
    seed ^ digest(digest::START, part.as_bytes())
}

/// The stream of random bytes that overwrite an erased rectangle.
pub fn noise_stream(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// The stream that decides how one process mixes its images of one step, counted from 0 over the whole run.
pub fn mix_stream(seed: u64, step: u64, process: usize) -> ChaCha8Rng {
    // A key of its own keeps these streams apart from those of samples.
    let mut stream = ChaCha8Rng::seed_from_u64(seed ^ 0x6D69_785F_6261_7463);
    stream.set_stream(in_process(step, process));
    stream
}

/// The stream of the latent vector of this number, counted from 0, of which an image is made.
pub fn latent_stream(seed: u64, number: u64) -> ChaCha8Rng {
    // A key of its own keeps these streams apart from those of samples.
    let mut stream = ChaCha8Rng::seed_from_u64(seed ^ 0x6C61_7465_6E74_5F31);
    stream.set_stream(number);
    stream
}

/// The stream of the latent vectors of a step of training, counted from 0 over the whole run.
pub fn latent_batch_stream(seed: u64, step: u64) -> ChaCha8Rng {
    // A key of its own keeps these streams apart from those of samples and of made images.
    let mut stream = ChaCha8Rng::seed_from_u64(seed ^ 0x6C61_7465_6E74_5F42);
    stream.set_stream(step);
    stream
}
