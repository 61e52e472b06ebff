//! The segments of a JPEG file.

use anyhow::{Context, Result, ensure};

/// Goes from segment to segment.
pub struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
}

const CUT: &str = "the JPEG data is cut short";

impl<'a> Segments<'a> {
    /// `bytes` begin with the mark of a JPEG's start.
    pub fn new(bytes: &'a [u8]) -> Self {
        Segments { bytes, at: 2 }
    }

    /// The next marker and its content, which is empty for those that have none. What is no marker is passed over, as
    /// libjpeg does.
    pub fn next(&mut self) -> Result<(u8, &'a [u8])> {
        let marker = loop {
            let pair =
                self.bytes.get(self.at..self.at + 2).with_context(|| format!("{CUT} (its end marker is missing)"))?;
            match pair {
                [0xFF, 0xFF] => self.at += 1,
                [0xFF, marker] if *marker != 0 => break *marker,
                _ => self.at += 1,
            }
        };
        self.at += 2;
        if matches!(marker, 0x01 | 0xD0..=0xD9) {
            return Ok((marker, &[]));
        }
        let length = usize::from(be16(self.bytes, self.at)?);
        ensure!(length >= 2, "damaged: a segment has a length of {length}");
        let content = self.bytes.get(self.at + 2..self.at + length).context(CUT)?;
        self.at += length;
        Ok((marker, content))
    }

    /// All that follows.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub fn skip(&mut self, count: usize) {
        self.at += count;
    }
}

/// The 16-bit number at `at`.
pub fn be16(bytes: &[u8], at: usize) -> Result<u16> {
    let pair = bytes.get(at..at + 2).and_then(|pair| pair.first_chunk()).context(CUT)?;
    Ok(u16::from_be_bytes(*pair))
}
