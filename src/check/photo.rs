//! What is kept of an image that was read: enough to judge it and to compare it with all others, but no pixels.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::Result;
use sha2::{Digest as _, Sha256};

use super::colours::Moments;
use super::header::Header;
use super::oddity::Oddity;
use super::similar::Look;
use crate::data::dataset::Source;
use crate::image::decode;

/// The first half of a file's SHA-256.
pub type Digest = [u8; 16];

/// An image that was read.
#[derive(Debug)]
pub struct Photo {
    /// Its width and height in pixels, upright.
    pub size: (u32, u32),
    /// What is odd about it.
    pub oddities: Vec<Oddity>,
    /// The same for files with the same content.
    pub digest: Digest,
    /// Nearly the same for images that look the same.
    pub look: Look,
    /// Its colours.
    pub moments: Moments,
}

impl Photo {
    /// Reads an image.
    ///
    /// # Errors
    /// Returns the reason if it cannot be read or decoded, without its name.
    pub fn read(source: &Source) -> Result<Self> {
        let (bytes, path) = (source.bytes()?, source.path());
        let image = decode::decode(&bytes, &path, true)?;
        // A decoder that panics on a header after it has decoded the pixels must not end the check.
        let header = catch_unwind(AssertUnwindSafe(|| Header::read(&bytes, &path))).unwrap_or_default();
        let mut digest = Digest::default();
        digest.copy_from_slice(&Sha256::digest(&bytes)[..16]);
        let size = image.dimensions();
        let (look, moments) = (Look::of(&image), Moments::of(&image));
        Ok(Photo { size, oddities: Oddity::all(&header, size), digest, look, moments })
    }
}
