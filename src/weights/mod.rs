//! Weight files: found in what a command names (`location`), read and written (`safetensors`, `torch`), given the names of
//! a network's parameters (`naming`, `wrapper`, `rename`), compared with them (`fit`), and fetched if published
//! (`published`, `download`).

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

enum Format {
    Safetensors,
    Torch,
}

impl Format {
    /// The format of a file, by its first bytes.
    fn of(path: &Path) -> Result<Self> {
        let mut first = Vec::new();
        let unreadable = || format!("cannot read the weights {}", path.display());
        File::open(path).with_context(unreadable)?.take(16).read_to_end(&mut first).with_context(unreadable)?;
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
fn what_instead(first_bytes: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(first_bytes).trim_start().to_lowercase();
    match first_bytes {
        _ if text.starts_with("version https:") => {
            ", but a pointer of Git LFS to one; run `git lfs pull` in its repository"
        }
        _ if text.starts_with("<!doctype") || text.starts_with("<html") || text.starts_with("<?xml") => {
            ", but a web page, so a download failed; fetch the file itself"
        }
        [0x80, 2..=5, ..] => {
            ", but a Python pickle that torch.save did not write; in Python, load it and save its tensors with torch.save"
        }
        _ => "; expected safetensors or PyTorch's .pth",
    }
}
