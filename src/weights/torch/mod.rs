//! PyTorch's `.pth` state dictionaries, in the zip format that `torch.save` has written since version 1.6 and in the
//! legacy format before it.

mod calls;
mod legacy;
mod machine;
mod object;
mod pickle;
mod refusal;
mod strided;
mod zipped;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};

use super::StoredTensor;
use refusal::{Refusal, refuse};

enum Format {
    Zip,
    Legacy,
}

impl Format {
    fn of(first_bytes: &[u8]) -> Option<Self> {
        match first_bytes {
            [b'P', b'K', 3, 4, ..] => Some(Format::Zip),
            // The pickle of a ten-byte integer, the magic number. No safetensors file starts like this: it would
            // announce a header of 176 MB, above that format's limit of 100 MB.
            [0x80, 2 | 3, 0x8a, 10, ..] => Some(Format::Legacy),
            _ => None,
        }
    }
}

/// Whether a file's first bytes (four are enough) are those of a `.pth` file in either format.
pub fn recognises(first_bytes: &[u8]) -> bool {
    Format::of(first_bytes).is_some()
}

/// Reads the tensors of a state dictionary, or of the one that a checkpoint holds as `state_dict` or else `model`, in
/// the file's order. Nothing in the file is executed. Besides the tensors, one storage at a time is in memory.
///
/// # Errors
/// Returns an error if the file cannot be read, is not a `.pth` file, is truncated, corrupt (zip entries are checked by
/// their CRC) or big-endian, has values other than tensors in its state dictionary, asks for a class that a state
/// dictionary does not need, or claims tensors of more than four times its length.
pub fn read(path: &Path) -> Result<Vec<StoredTensor>> {
    let failed = |how: &str| format!("{}: {how}", path.display());
    let file = File::open(path).with_context(|| failed("cannot be read"))?;
    read_either(BufReader::new(file)).map_err(|error| {
        let is_intact = error.is::<Refusal>();
        error.context(failed(if is_intact { "cannot be read" } else { "truncated or corrupt. Fetch or copy it again" }))
    })
}

fn read_either(mut file: BufReader<File>) -> Result<Vec<StoredTensor>> {
    let length = file.get_ref().metadata()?.len();
    match Format::of(file.fill_buf()?) {
        Some(Format::Zip) => zipped::read(file, length),
        Some(Format::Legacy) => legacy::read(file, length),
        None => refuse("it starts neither like a zip file nor like a legacy file of torch.save"),
    }
}
