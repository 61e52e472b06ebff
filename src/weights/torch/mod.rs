//! PyTorch's `.pth` state dictionaries, in the zip format that `torch.save` writes since 1.6 and the legacy one before.

mod calls;
mod legacy;
mod machine;
mod pickle;
mod strided;
mod zipped;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};

use super::StoredTensor;
use pickle::{Refusal, refuse};

/// In bytes. Pickles take some 200 for a tensor; the rest is room for what a checkpoint holds beside its network.
const PICKLE_LIMIT: u64 = 32 << 20;

enum Format {
    Zip,
    Legacy,
}

impl Format {
    fn of(first_bytes: &[u8]) -> Option<Self> {
        match first_bytes {
            [b'P', b'K', 3, 4, ..] => Some(Format::Zip),
            // The pickle of a ten-byte integer, the magic number. No safetensors file starts so: it would announce a
            // header of 176 MB, and 100 MB is that format's limit.
            [0x80, 2 | 3, 0x8a, 10, ..] => Some(Format::Legacy),
            _ => None,
        }
    }
}

/// Whether the file's first bytes (four are enough) are those of a .pth file, zip or legacy pickle.
pub fn recognises(first_bytes: &[u8]) -> bool {
    Format::of(first_bytes).is_some()
}

/// Reads the tensors of a state dictionary, or of the one that a checkpoint holds as `state_dict` or else `model`, in
/// the file's order. Nothing in the file is executed. Beside the tensors, one storage at a time is in memory.
///
/// # Errors
/// Where the file cannot be read, is no .pth file, is damaged (zip entries are checked by their CRC), cut short or
/// big-endian, has other values than tensors in its state dictionary, asks for a class that such a dictionary does not
/// need, or claims tensors of more than four times its length.
pub fn read(path: &Path) -> Result<Vec<StoredTensor>> {
    let cannot_read = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(cannot_read)?;
    read_either(BufReader::new(file)).map_err(|error| {
        let whole = error.is::<Refusal>();
        let way_out = if whole { "" } else { ", which is damaged or incomplete; fetch or copy it again" };
        error.context(cannot_read() + way_out)
    })
}

fn read_either(mut file: BufReader<File>) -> Result<Vec<StoredTensor>> {
    let length = file.get_ref().metadata()?.len();
    match Format::of(file.fill_buf()?) {
        Some(Format::Zip) => zipped::read(file, length),
        Some(Format::Legacy) => legacy::read(file, length),
        None => refuse("it starts neither as a zip file nor as a legacy file of torch.save"),
    }
}
