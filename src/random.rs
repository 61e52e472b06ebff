//! Random streams, keyed by their purpose, so that results depend neither on the number of workers nor on
//! interruptions.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

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

/// The seed of libtorch's random generator, which dropout uses, for one step, counted from 0 over the whole run.
pub fn dropout_seed(seed: u64, step: u64) -> i64 {
    // The finaliser of SplitMix64 (Steele, Lea, Flood; OOPSLA 2014): neighbouring steps get unrelated seeds.
    let mut mixed = seed.wrapping_add((step + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed ^ (mixed >> 31)) as i64
}

/// The stream that a parameter's initial values are drawn from.
pub fn weights_stream(seed: u64, parameter: &str) -> ChaCha8Rng {
    // FNV-1a; a key of its own keeps these streams apart from those of samples.
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    let mut stream = ChaCha8Rng::seed_from_u64(seed ^ 0x7765_6967_6874_735F);
    stream.set_stream(parameter.bytes().fold(0xCBF2_9CE4_8422_2325, hash));
    stream
}

/// The stream of random bytes that overwrite an erased rectangle.
pub fn noise_stream(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// The stream that decides how the images of one step are mixed, counted from 0 over the whole run.
pub fn mix_stream(seed: u64, step: u64) -> ChaCha8Rng {
    // A key of its own keeps these streams apart from those of samples.
    let mut stream = ChaCha8Rng::seed_from_u64(seed ^ 0x6D69_785F_6261_7463);
    stream.set_stream(step);
    stream
}
