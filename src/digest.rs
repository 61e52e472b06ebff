//! A digest: a number that stays the same for the same bytes, on every machine and in every version.

/// What a digest starts from.
pub const START: u64 = 0xCBF2_9CE4_8422_2325;

/// The digest of more bytes, after those of `digest`: 64-bit FNV-1a, by Fowler, Noll and Vo. It tells
/// accidental changes apart, not intended ones.
pub fn digest(digest: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(digest, |digest, &byte| (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Test vectors of the reference code, http://www.isthe.com/chongo/tech/comp/fnv/.
    #[test]
    fn digests_are_those_of_the_reference_code() {
        assert_eq!(digest(START, b""), 0xCBF2_9CE4_8422_2325);
        assert_eq!(digest(START, b"a"), 0xAF63_DC4C_8601_EC8C);
        assert_eq!(digest(START, b"foobar"), 0x8594_4171_F739_67E8);
        assert_eq!(digest(digest(START, b"foo"), b"bar"), digest(START, b"foobar"));
    }
}
