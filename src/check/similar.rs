//! Which images look nearly the same: a perceptual hash finds candidates, small pictures decide.

use image::RgbImage;
use image::imageops::thumbnail;

/// The hash's grid: 9 columns by 8 rows.
const GRID: (u32, u32) = (9, 8);
/// Bytes of a small picture.
const BYTES: usize = (GRID.0 * GRID.1 * 3) as usize;
/// How many of the 64 bits of two hashes may differ.
const MOST_BITS: u32 = 7;
/// How much two small pictures may differ, as the mean over their values from 0 to 255, and at most in one value.
const MOST_MEAN: u32 = 4;
const MOST_ONE: u8 = 32;
/// How many others an image is compared with. Only among very many images of one look is this too few.
const MOST_COMPARED: usize = 2000;

/// What an image looks like: scaled, recompressed and slightly retouched copies look nearly the same, cut or mirrored ones
/// do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// dHash (Krawetz, 2013): for each pixel of the small picture whether the one to its right is brighter.
    hash: u64,
    /// The image scaled to 9x8 pixels.
    small: Box<[u8; BYTES]>,
}

impl Look {
    /// That of an image.
    pub fn of(image: &RgbImage) -> Self {
        let small = thumbnail(image, GRID.0, GRID.1);
        // ITU-R BT.601, in thousandths.
        let grey = |pixel: &[u8; 3]| 299 * u32::from(pixel[0]) + 587 * u32::from(pixel[1]) + 114 * u32::from(pixel[2]);
        let pixels = small.as_raw().as_chunks::<3>().0;
        let pairs = pixels.chunks_exact(GRID.0 as usize).flat_map(|row| row.windows(2));
        let brighter = pairs.map(|pair| grey(&pair[1]) > grey(&pair[0]));
        let hash = brighter.fold(0, |hash, bit| hash << 1 | u64::from(bit));
        let mut bytes = Box::new([0; BYTES]);
        bytes.copy_from_slice(small.as_raw());
        Look { hash, small: bytes }
    }

    /// Whether two images look nearly the same.
    pub fn is_near(&self, other: &Look) -> bool {
        if (self.hash ^ other.hash).count_ones() > MOST_BITS {
            return false;
        }
        let differences = || self.small.iter().zip(other.small.iter()).map(|(a, b)| a.abs_diff(*b));
        differences().map(u32::from).sum::<u32>() <= MOST_MEAN * BYTES as u32
            && differences().all(|difference| difference <= MOST_ONE)
    }

    /// The quarters of the hash.
    fn quarters(&self) -> [u16; 4] {
        [48, 32, 16, 0].map(|shift| (self.hash >> shift) as u16)
    }
}

/// Groups of at least two images that look nearly the same, directly or through others of the group; as sorted indices.
///
/// If two hashes differ in at most 7 bits, one of their quarters differs in at most one: tables of the quarters find the
/// pair without a look at all others (multi-index hashing; Norouzi et al., CVPR 2012).
pub fn groups(looks: &[&Look]) -> Vec<Vec<usize>> {
    let tables: [Table; 4] = [0, 1, 2, 3].map(|quarter| Table::of(looks.iter().map(|look| look.quarters()[quarter])));
    let mut sets = Sets::new(looks.len());
    for (index, look) in looks.iter().enumerate() {
        let near = look.quarters().into_iter().zip(&tables).flat_map(|(quarter, table)| {
            let one_bit_off = (0..16).map(move |bit| quarter ^ 1 << bit);
            [quarter].into_iter().chain(one_bit_off).flat_map(|quarter| table.after(quarter, index))
        });
        for &other in near.take(MOST_COMPARED) {
            let other = other as usize;
            if !sets.are_joined(index, other) && look.is_near(looks[other]) {
                sets.join(index, other);
            }
        }
    }
    sets.groups()
}

/// The images by a quarter of their hashes.
struct Table {
    /// For each value of the quarter, where its images begin; one more entry for the end.
    starts: Vec<u32>,
    /// The indices of the images: by value, then sorted.
    images: Vec<u32>,
}

impl Table {
    fn of(quarters: impl Iterator<Item = u16> + Clone) -> Self {
        let mut starts = vec![0; (1 << 16) + 1];
        quarters.clone().for_each(|quarter| starts[usize::from(quarter) + 1] += 1);
        (0..1 << 16).for_each(|value| starts[value + 1] += starts[value]);
        let mut images = vec![0; starts[1 << 16] as usize];
        let mut next = starts.clone();
        for (quarter, index) in quarters.zip(0..) {
            images[next[usize::from(quarter)] as usize] = index;
            next[usize::from(quarter)] += 1;
        }
        Table { starts, images }
    }

    /// The images after `index` with this quarter: those before have been compared with it.
    fn after(&self, quarter: u16, index: usize) -> &[u32] {
        let quarter = usize::from(quarter);
        let found = &self.images[self.starts[quarter] as usize..self.starts[quarter + 1] as usize];
        &found[found.partition_point(|&other| other as usize <= index)..]
    }
}

/// Disjoint sets, which can be joined.
struct Sets {
    /// For each element an element of the same set with a lower index, or itself.
    parents: Vec<usize>,
}

impl Sets {
    fn new(count: usize) -> Self {
        Sets { parents: (0..count).collect() }
    }

    /// The lowest element of the set.
    fn first(&mut self, mut element: usize) -> usize {
        while self.parents[element] != element {
            self.parents[element] = self.parents[self.parents[element]];
            element = self.parents[element];
        }
        element
    }

    fn are_joined(&mut self, a: usize, b: usize) -> bool {
        self.first(a) == self.first(b)
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.first(a), self.first(b));
        self.parents[a.max(b)] = a.min(b);
    }

    /// The sets of at least two elements, sorted.
    fn groups(mut self) -> Vec<Vec<usize>> {
        let mut groups = vec![Vec::new(); self.parents.len()];
        for element in 0..self.parents.len() {
            let first = self.first(element);
            groups[first].push(element);
        }
        groups.retain(|group| group.len() > 1);
        groups
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn look(hash: u64) -> Look {
        Look { hash, small: Box::new([0; BYTES]) }
    }

    #[test]
    fn the_tables_find_every_pair_that_a_comparison_of_all_pairs_finds() {
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let mut looks: Vec<Look> = (0..300).map(|_| look(random.random())).collect();
        for index in 0..300 {
            let bits = (0..index % 12).map(|_| 1 << random.random_range(0..64));
            let hash = bits.fold(looks[index].hash, |hash, bit: u64| hash ^ bit);
            looks.push(look(hash));
        }
        let mut all_pairs = Sets::new(looks.len());
        for (index, a) in looks.iter().enumerate() {
            for (other, b) in looks.iter().enumerate().filter(|(_, b)| (a.hash ^ b.hash).count_ones() <= MOST_BITS) {
                assert!(a.is_near(b));
                all_pairs.join(index, other);
            }
        }
        let expected = all_pairs.groups();
        assert!(expected.len() > 150, "{}", expected.len());
        assert_eq!(groups(&looks.iter().collect::<Vec<_>>()), expected);
    }

    #[test]
    fn many_images_of_one_look_are_one_group() {
        let looks = vec![look(0); 3 * MOST_COMPARED];
        let found = groups(&looks.iter().collect::<Vec<_>>());
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [looks.len()]);
    }
}
