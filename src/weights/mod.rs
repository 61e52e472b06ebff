//! Weight files: read and written (`safetensors`, `torch`), matched with a network's parameters (`fit`) under other names
//! if need be (`rename`), and fetched if published (`published`, `download`).

mod download;
pub mod fit;
pub mod published;
pub mod rename;
pub mod safetensors;
mod tensor;
pub mod torch;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

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

/// Reads the tensors of a weights file.
///
/// # Errors
/// Returns an error if it is corrupt, truncated or of an unknown format.
pub fn read(path: &Path) -> Result<Contents> {
    let mut first = Vec::new();
    let file = File::open(path).with_context(|| format!("cannot read the weights {}", path.display()))?;
    file.take(16).read_to_end(&mut first).with_context(|| format!("cannot read the weights {}", path.display()))?;
    ensure!(!first.is_empty(), "{}: the file is empty (0 bytes)", path.display());
    if safetensors::recognises(&first) {
        return safetensors::read(path);
    }
    if torch::recognises(&first) {
        return Ok(Contents { tensors: torch::TorchFile::open(path)?.tensors()?, note: None });
    }
    bail!("{}: not a weights file{}", path.display(), what_instead(&first))
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
