//! The entropy-coded bits of a scan, and the Huffman codes in them (ITU-T T.81, annexes C and F).

use anyhow::{Result, bail, ensure};

/// Reads the bits before the next marker; past it, supplies zeros and counts them. Readers of a block work on a copy,
/// which the compiler can keep in registers, and store it when they are done.
#[derive(Clone, Copy)]
pub struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The upcoming bits; the next one is the most significant.
    buffer: u64,
    /// How many of the buffer's bits are valid.
    count: u32,
    /// How many zero bits have been supplied past the end of the data.
    padding: u32,
    /// How many restart markers have been passed.
    restarts: u8,
}

impl<'a> Bits<'a> {
    /// Starts at the first of `bytes`, which follow a scan's header.
    pub fn new(bytes: &'a [u8]) -> Self {
        Bits { bytes, at: 0, buffer: 0, count: 0, padding: 0, restarts: 0 }
    }

    /// Makes at least 32 bits valid, enough for a Huffman code and the bits after it.
    #[inline(always)]
    fn refill(&mut self) {
        if self.count < 32 {
            self.top_up();
        }
        if self.count < 32 {
            *self = self.refilled_bytewise();
        }
    }

    /// Makes as many bits valid as there is room for, if no marker is near.
    #[inline(always)]
    pub fn top_up(&mut self) {
        if let Some(eight) = self.next_eight() {
            self.buffer |= eight >> self.count;
            self.at += (63 - self.count) as usize / 8;
            self.count |= 56;
        }
    }

    /// The next eight bytes, if none of them is 0xFF.
    #[inline(always)]
    fn next_eight(&self) -> Option<u64> {
        let eight = self.bytes.get(self.at..)?.first_chunk()?;
        Some(u64::from_be_bytes(*eight)).filter(|&eight| !has_ff(eight))
    }

    #[cold]
    fn refilled_bytewise(mut self) -> Self {
        while self.count <= 48 {
            let byte = match self.bytes.get(self.at..) {
                Some([0xFF, 0x00, ..]) => {
                    self.at += 2;
                    0xFF
                }
                // A marker, or the end of the file.
                Some([0xFF, ..] | []) | None => {
                    self.padding += 8;
                    0
                }
                Some([byte, ..]) => {
                    self.at += 1;
                    *byte
                }
            };
            // An eight-byte refill may have left bits past the valid ones, always of this same byte.
            self.buffer &= !(u64::MAX >> self.count);
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
        self
    }

    #[inline(always)]
    fn consume(&mut self, count: u32) {
        self.buffer <<= count;
        self.count -= count;
    }

    /// The next `count` bits (at most 16) as an unsigned number.
    #[inline(always)]
    pub fn take(&mut self, count: u32) -> i32 {
        self.refill();
        self.take_refilled(count)
    }

    #[inline(always)]
    fn take_refilled(&mut self, count: u32) -> i32 {
        let value = (self.buffer >> 32 >> (32 - count)) as i32;
        self.consume(count);
        value
    }

    /// Decodes the next symbol of a Huffman code.
    ///
    /// # Errors
    /// Returns an error if the next bits match none of its codes.
    #[inline(always)]
    pub fn symbol(&mut self, code: &Huffman) -> Result<Symbol> {
        self.refill();
        let entry = code.entry(self.buffer)?;
        self.consume(entry.length());
        Ok(entry.symbol())
    }

    /// Decodes the next symbol of a Huffman code and the signed number after it (T.81, F.2.2.1, EXTEND).
    ///
    /// # Errors
    /// Returns an error if the next bits match none of its codes.
    #[inline(always)]
    pub fn symbol_and_number(&mut self, code: &Huffman) -> Result<(Symbol, i32)> {
        self.refill();
        let entry = code.entry(self.buffer)?;
        let number = entry.number(self.buffer);
        self.consume(entry.length_with_number());
        Ok((entry.symbol(), number))
    }

    /// Checks that no bit has been consumed past the end of the data.
    ///
    /// # Errors
    /// Returns an error if one has.
    pub fn check(self) -> Result<()> {
        let has_ended = self.padding > self.count;
        ensure!(!has_ended || self.at < self.bytes.len(), "truncated JPEG: the file ends within a scan");
        ensure!(!has_ended, "corrupt JPEG: a scan ends before its last block");
        Ok(())
    }

    /// Moves past the restart marker that comes next.
    ///
    /// # Errors
    /// Returns an error if the next marker is a different one.
    pub fn restart(&mut self) -> Result<()> {
        self.check()?;
        let at = self.position();
        // They are counted from 0 to 7 again and again.
        let expected = 0xD0 + self.restarts % 8;
        let is_next = self.bytes.get(at..).is_some_and(|rest| rest.starts_with(&[0xFF, expected]));
        ensure!(is_next, "corrupt JPEG: a restart marker is missing or out of order");
        *self = Bits { at: at + 2, restarts: self.restarts.wrapping_add(1), ..Bits::new(self.bytes) };
        Ok(())
    }

    /// Offset of the next marker in the bytes, or their length if there is none.
    pub fn position(&self) -> usize {
        let is_marker = |pair: &[u8]| pair[0] == 0xFF && pair[1] != 0 && pair[1] != 0xFF;
        let ahead = self.bytes[self.at..].windows(2).position(is_marker);
        ahead.map_or(self.bytes.len(), |ahead| self.at + ahead)
    }
}

fn has_ff(eight: u64) -> bool {
    let inverted = !eight;
    inverted.wrapping_sub(0x0101_0101_0101_0101) & eight & 0x8080_8080_8080_8080 != 0
}

/// Codes of at most this many bits are looked up in one table; longer ones are rare.
const SHORT: u32 = 10;

/// A Huffman code.
pub struct Huffman {
    /// One entry per value of the next [`SHORT`] bits; 0 if the code is longer.
    short: [Entry; 1 << SHORT],
    values: Vec<u8>,
    /// The last code of each length, or -1 if there is none.
    last: [i32; 17],
    /// Added to a code, the entry of its length gives the code's index in `values`.
    offset: [i32; 17],
}

/// A symbol, in the parts that an AC coefficient's has (T.81, F.1.2.2.1).
#[derive(Clone, Copy)]
pub struct Symbol {
    /// The upper four bits: how many zeros come first.
    pub zeros: usize,
    /// The lower four bits: the size of the number after the symbol.
    pub size: u32,
}

/// A code, packed because one load is faster than several: from the lowest byte on, the length of the code with the number
/// after it, the size of that number, the symbol's zeros, and the length of the code alone.
#[derive(Clone, Copy, Default)]
struct Entry(u32);

impl Entry {
    fn new(length: u32, symbol: u8) -> Self {
        let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        Entry((length + size) | (size << 8) | (zeros << 16) | (length << 24))
    }

    #[inline(always)]
    fn length_with_number(self) -> u32 {
        self.0 & 63
    }

    #[inline(always)]
    fn length(self) -> u32 {
        self.0 >> 24
    }

    #[inline(always)]
    fn symbol(self) -> Symbol {
        Symbol { zeros: ((self.0 >> 16) & 15) as usize, size: (self.0 >> 8) & 255 }
    }

    /// The number after the code that `bits` begin with.
    #[inline(always)]
    fn number(self, bits: u64) -> i32 {
        let ones = (1_u64 << (self.symbol().size & 63)) - 1;
        // As many bits as 64 less the lowest byte, in one operation.
        let number = (bits >> (self.0.wrapping_neg() & 63)) & ones;
        // A negative number begins with 0 and has all ones added to it.
        (if 2 * number > ones { number } else { number.wrapping_sub(ones) }) as i32
    }
}

impl Huffman {
    /// Assigns the codes (T.81, annex C): `counts` holds the number of codes of each length from 1 to 16, `values`
    /// their symbols.
    ///
    /// # Errors
    /// Returns an error if there are more codes of a length than its bits can distinguish.
    pub fn new(counts: &[u8; 16], values: &[u8]) -> Result<Self> {
        let mut huffman =
            Huffman { short: [Entry::default(); 1 << SHORT], values: values.to_vec(), last: [-1; 17], offset: [0; 17] };
        let (mut code, mut place) = (0_i32, 0_usize);
        for (length, &count) in (1_u32..).zip(counts) {
            huffman.offset[length as usize] = place as i32 - code;
            let count = i32::from(count);
            ensure!(code + count <= 1 << length, "corrupt JPEG: a Huffman table has too many codes");
            if length <= SHORT {
                for (code, &symbol) in (code..).zip(&values[place..place + count as usize]) {
                    let first = (code as usize) << (SHORT - length);
                    huffman.short[first..first + (1 << (SHORT - length))].fill(Entry::new(length, symbol));
                }
            }
            if count > 0 {
                huffman.last[length as usize] = code + count - 1;
            }
            place += count as usize;
            code = (code + count) << 1;
        }
        Ok(huffman)
    }

    /// The code that `bits` begin with.
    #[inline(always)]
    fn entry(&self, bits: u64) -> Result<Entry> {
        let entry = self.short[(bits >> (64 - SHORT)) as usize];
        if entry.0 > 0 { Ok(entry) } else { self.long_entry(bits) }
    }

    #[cold]
    fn long_entry(&self, bits: u64) -> Result<Entry> {
        for length in SHORT + 1..=16 {
            let code = (bits >> (64 - length)) as i32;
            if code <= self.last[length as usize] {
                return Ok(Entry::new(length, self.values[(code + self.offset[length as usize]) as usize]));
            }
        }
        bail!("corrupt JPEG: bits match no code of their Huffman table")
    }
}
