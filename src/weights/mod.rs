//! Weight files: found in what a command names (`location`), read and written (`safetensors`, `torch`), given the names of
//! a network's parameters (`naming`, `wrapper`, `rename`), compared with them (`compared`, `fit`), and fetched if published
//! (`published`, `download`).

mod compared;
mod download;
pub mod fit;
pub mod location;
pub mod naming;
pub mod published;
pub mod rename;
pub mod safetensors;
mod tensor;
pub mod torch;
mod wrapper;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};

pub use tensor::StoredTensor;

/// What a file holds.
#[derive(Debug)]
pub struct Contents {
    /// Its tensors.
    pub tensors: Vec<StoredTensor>,
    /// topfive's metadata; `None` in files of other programs.
    pub note: Option<String>,
}

/// Whether the first bytes of a file, 16 are enough, are those of a weights file.
pub fn recognises(first_bytes: &[u8]) -> bool {
    safetensors::recognises(first_bytes) || torch::recognises(first_bytes)
}

/// As many of a file's first bytes as are looked at.
const START: u64 = 512;

enum Format {
    Safetensors,
    Torch,
}

impl Format {
    /// The format of a file, by its first bytes.
    fn of(path: &Path) -> Result<Self> {
        let mut first = Vec::new();
        let unreadable = || format!("cannot read the weights {}", path.display());
        let file = File::open(path).with_context(unreadable)?;
        // A file is read in two goes, and a pipe but once.
        let is_file = file.metadata().with_context(unreadable)?.is_file();
        ensure!(is_file, "{}: not a regular file; expected a file of weights", path.display());
        file.take(START).read_to_end(&mut first).with_context(unreadable)?;
        ensure!(!first.is_empty(), "{}: the file is empty (0 bytes)", path.display());
        if safetensors::recognises(&first) {
            return Ok(Format::Safetensors);
        }
        ensure!(torch::recognises(&first), "{}: not a weights file{}", path.display(), what_instead(&first));
        Ok(Format::Torch)
    }
}

/// Reads the tensors of a weights file; of several dictionaries, those of the one that most probably holds a network.
///
/// # Errors
/// Returns an error if it is corrupt, truncated or of an unknown format.
pub fn read(path: &Path) -> Result<Contents> {
    match Format::of(path)? {
        Format::Safetensors => safetensors::read(path),
        Format::Torch => Ok(Contents { tensors: torch::TorchFile::open(path)?.tensors()?, note: None }),
    }
}

/// What a file without weights is instead, by its first bytes, and what to do.
fn what_instead(first_bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(first_bytes);
    let lower = text.trim_start().to_lowercase();
    let instead = match first_bytes {
        _ if lower.starts_with("version https:") => "a pointer of Git LFS to one; run `git lfs pull` in its repository",
        _ if lower.starts_with("<!doctype") || lower.starts_with("<html") || lower.starts_with("<?xml") => {
            "a web page, so a download failed; fetch the file itself"
        }
        [0x80, 2..=5, ..] => {
            "a Python pickle that torch.save did not write; in Python, load it and save its tensors with torch.save"
        }
        [0x89, b'H', b'D', b'F', ..] => {
            "an HDF5 file, as Keras writes; in Python, load it and save its tensors as safetensors"
        }
        [0x93, b'N', b'U', b'M', ..] => "a NumPy array; save the tensors with torch.save or as safetensors",
        _ if first_bytes.get(257..262) == Some(b"ustar".as_slice()) => "a tar archive; unpack it first",
        [0x1F, 0x8B, ..] | [b'B', b'Z', b'h', ..] | [0xFD, b'7', b'z', b'X', b'Z', ..] | [b'7', b'z', 0xBC, ..] => {
            "a compressed file; unpack it first"
        }
        _ if text.chars().all(|letter| !letter.is_control() || letter.is_ascii_whitespace()) => {
            let line = text.trim().lines().next().unwrap_or_default();
            return format!(", but a text that begins with \"{line:.40}\"; fetch the file itself");
        }
        _ => return "; expected safetensors or PyTorch's .pth".into(),
    };
    format!(", but {instead}")
}
