//! How a valid file becomes an invalid one. mutatis chooses among these mutations: of the libraries that run on stable
//! Rust without instrumenting the program, it is maintained, small, and deterministic for a seed.

use mutatis::{Candidates, Mutate, Result, Rng};

/// Mutates bytes.
pub struct Bytes<'a> {
    /// The valid files, from which stretches are taken.
    pub others: &'a [Vec<u8>],
    /// Words that the format knows, and numbers at the edges of its types.
    pub words: &'a [Vec<u8>],
}

/// Files do not grow beyond this.
const LONGEST: usize = 1 << 20;

impl Mutate<Vec<u8>> for Bytes<'_> {
    fn mutate(&mut self, candidates: &mut Candidates, bytes: &mut Vec<u8>) -> Result<()> {
        candidates.mutation(|context| {
            let (at, byte) = (place(context.rng(), bytes.len() + 1), context.rng().gen_u8());
            bytes.insert(at, byte);
            Ok(())
        })?;
        if bytes.is_empty() || bytes.len() > LONGEST {
            return Ok(());
        }
        candidates.mutation(|context| {
            let at = place(context.rng(), bytes.len());
            bytes[at] ^= 1 << index(context.rng(), 8);
            Ok(())
        })?;
        candidates.mutation(|context| {
            let at = place(context.rng(), bytes.len());
            bytes[at] = [0, 1, 0x7F, 0x80, 0xFF, context.rng().gen_u8()][index(context.rng(), 6)];
            Ok(())
        })?;
        candidates.mutation(|context| {
            let word = &self.words[index(context.rng(), self.words.len())];
            let at = place(context.rng(), bytes.len());
            let replaced = if context.rng().gen_bool() { word.len().min(bytes.len() - at) } else { 0 };
            bytes.splice(at..at + replaced, word.iter().copied());
            Ok(())
        })?;
        candidates.mutation(|context| {
            let (at, length) = stretch(context.rng(), bytes.len());
            bytes.drain(at..at + length);
            Ok(())
        })?;
        candidates.mutation(|context| {
            let (at, length) = stretch(context.rng(), bytes.len());
            let (copied, to) = (bytes[at..at + length].to_vec(), place(context.rng(), bytes.len()));
            bytes.splice(to..to, copied);
            Ok(())
        })?;
        candidates.mutation(|context| {
            let other = &self.others[index(context.rng(), self.others.len())];
            let (at, length) = stretch(context.rng(), other.len());
            let to = place(context.rng(), bytes.len());
            let replaced = length.min(bytes.len() - to);
            bytes.splice(to..to + replaced, other[at..at + length].iter().copied());
            Ok(())
        })?;
        candidates.mutation(|context| {
            bytes.truncate(index(context.rng(), bytes.len()));
            Ok(())
        })
    }
}

fn index(random: &mut Rng, length: usize) -> usize {
    random.gen_index(length).unwrap_or(0)
}

/// A place in `length` bytes, often in a header at their beginning.
fn place(random: &mut Rng, length: usize) -> usize {
    let within = [length, length, length.min(64), length.min(512)][index(random, 4)];
    index(random, within)
}

/// A stretch of `length` bytes, often a short one: where it begins, and how long it is.
fn stretch(random: &mut Rng, length: usize) -> (usize, usize) {
    let at = place(random, length);
    let most = [4, 16, 64, length][index(random, 4)].min(length - at);
    (at, index(random, most) + usize::from(most > 0))
}

/// Numbers at the edges of their types, in either order of bytes.
pub fn numbers() -> Vec<Vec<u8>> {
    let numbers = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, u64::MAX];
    let of = |number: u64| {
        [2, 4, 8].map(|width| [&number.to_le_bytes()[..width], &number.to_be_bytes()[8 - width..]].map(<[u8]>::to_vec))
    };
    numbers.into_iter().flat_map(of).flatten().collect()
}

/// The words of these texts, and others.
pub fn words(texts: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = WORDS.iter().map(|word| word.as_bytes().to_vec()).collect();
    for text in texts {
        words.extend(text.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_').map(<[u8]>::to_vec));
    }
    words.sort();
    words.dedup();
    words
}

#[rustfmt::skip]
const WORDS: [&str; 33] = [
    "-1", "0", "0.5", "65536", "1000000", "4294967296", "9223372036854775807", "18446744073709551616", "1e308", "1e-308",
    "null", "true", "\"\"", "[]", "{}", "[", "]", "{", "}", ",", ":", "\"", "\\u0000", "\n", "\r\n", "\t", ";", " ", "\u{feff}",
    "\u{0301}", "NaN", "[1,1]", "{\"relu\":{}}",
];
