//! The segments of a JPEG file, each a marker with its content (ITU-T T.81, annex B).

use anyhow::{Context, Result, ensure};

/// Walks through a file from segment to segment.
pub struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
}

const TRUNCATED: &str = "truncated or corrupt JPEG: a segment is incomplete";

impl<'a> Segments<'a> {
    /// Starts after the start-of-image marker that `bytes` begin with.
    pub fn new(bytes: &'a [u8]) -> Self {
        Segments { bytes, at: 2 }
    }

    /// The next marker and its content, which is empty for markers that stand alone. Bytes between segments are
    /// skipped, as libjpeg does.
    ///
    /// # Errors
    /// Returns an error if the file ends before the next marker or within its segment.
    pub fn next(&mut self) -> Result<(u8, &'a [u8])> {
        let marker = loop {
            let pair =
                self.bytes.get(self.at..self.at + 2).context("truncated JPEG: the end-of-image marker is missing")?;
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
        ensure!(length >= 2, "corrupt JPEG: a segment claims a length of {length}, expected at least 2");
        let content = self.bytes.get(self.at + 2..self.at + length).context(TRUNCATED)?;
        self.at += length;
        Ok((marker, content))
    }

    /// All bytes after the last segment read.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Moves `count` bytes on.
    pub fn skip(&mut self, count: usize) {
        self.at += count;
    }
}

/// The big-endian 16-bit number at index `at`.
///
/// # Errors
/// Returns an error if `bytes` end before it.
pub fn be16(bytes: &[u8], at: usize) -> Result<u16> {
    let pair = bytes.get(at..at + 2).and_then(|pair| pair.first_chunk()).context(TRUNCATED)?;
    Ok(u16::from_be_bytes(*pair))
}
