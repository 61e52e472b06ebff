//! PyTorch's `.pth` state dictionaries, in the zip format that `torch.save` has written since version 1.6 and in the
//! legacy format before it.

mod calls;
mod choice;
mod dictionary;
mod legacy;
mod machine;
mod object;
mod opcode;
mod pickle;
mod refusal;
mod strided;
mod zipped;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result};

use super::StoredTensor;
use super::rename::Named;
pub use choice::Choice;
use dictionary::Dictionary;
use legacy::LegacyValues;
use object::Storage;
use refusal::{Refusal, refuse};
use zipped::ZippedValues;

enum Format {
    Zip,
    Legacy,
}

impl Format {
    fn of(first_bytes: &[u8]) -> Option<Self> {
        match first_bytes {
            [b'P', b'K', 3, 4, ..] => Some(Format::Zip),
            // The pickle of a ten-byte integer, the magic number; from protocol 4 on in a frame. No safetensors file
            // starts like this: it would announce a header of 176 MB, above that format's limit of 100 MB.
            [0x80, 2 | 3, 0x8a, 10, ..] => Some(Format::Legacy),
            [0x80, 4 | 5, 0x95, _, _, _, _, _, _, _, _, 0x8a, 10, ..] => Some(Format::Legacy),
            _ => None,
        }
    }
}

/// Whether a file's first bytes (13 are enough) are those of a `.pth` file in either format.
pub fn recognises(first_bytes: &[u8]) -> bool {
    Format::of(first_bytes).is_some()
}

/// A `.pth` file whose pickle has been read, but none of its values.
pub struct TorchFile {
    path: PathBuf,
    /// All dictionaries in it that hold tensors, outer ones first.
    dictionaries: Vec<Dictionary>,
    values: Values,
    length: u64,
}

/// Where the values of storages lie.
enum Values {
    Zip(ZippedValues),
    Legacy(LegacyValues),
}

impl TorchFile {
    /// Reads the file's pickle. Nothing in the file is executed, and what is not part of a state dictionary is passed
    /// over.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, is not a `.pth` file, is truncated, corrupt or big-endian, or has no
    /// dictionary of tensors.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("{}: cannot be read", path.display()))?;
        let mut file = BufReader::new(file);
        let open = || {
            let length = file.get_ref().metadata()?.len();
            let (dictionaries, values) = match Format::of(file.fill_buf()?) {
                Some(Format::Zip) => {
                    let (dictionaries, values) = ZippedValues::open(file)?;
                    (dictionaries, Values::Zip(values))
                }
                Some(Format::Legacy) => {
                    let (dictionaries, values) = LegacyValues::open(file, length)?;
                    (dictionaries, Values::Legacy(values))
                }
                None => return refuse("it starts neither like a zip file nor like a legacy file of torch.save"),
            };
            Ok(TorchFile { path: path.to_path_buf(), dictionaries, values, length })
        };
        open().map_err(|error| explained(error, path))
    }

    /// Chooses the dictionary with the key `key`; without one, the dictionary for whose names and shapes `score` is
    /// highest, and of several that are equal the one that is most probably meant: weights rather than their average.
    ///
    /// # Errors
    /// Returns an error if there is no such key, with those that there are.
    pub fn choose(&self, key: Option<&str>, score: impl Fn(&[Named]) -> usize) -> Result<Choice> {
        let choice = match key {
            Some(key) => choice::named(&self.dictionaries, key),
            None => choice::fitting(&self.dictionaries, score).context("no dictionary with tensors"),
        };
        choice.with_context(|| self.path.display().to_string())
    }

    /// Reads the tensors of the dictionary that most probably holds a network.
    ///
    /// # Errors
    /// See [`TorchFile::read`].
    pub fn tensors(self) -> Result<Vec<StoredTensor>> {
        let choice = self.choose(None, |_| 0)?;
        self.read(&choice)
    }

    /// Reads the tensors of a chosen dictionary, in the file's order. Besides them, one storage at a time is in memory.
    ///
    /// # Errors
    /// Returns an error if the file is truncated, corrupt (zip entries are checked by their CRC), or claims tensors of
    /// more than four times its length.
    pub fn read(mut self, choice: &Choice) -> Result<Vec<StoredTensor>> {
        let dictionary = self.dictionaries.swap_remove(choice.index);
        let values = &mut self.values;
        let load = |storage: &Storage| match values {
            Values::Zip(values) => values.load(storage),
            Values::Legacy(values) => values.load(storage),
        };
        strided::extract(&dictionary, self.length, load).map_err(|error| explained(error, &self.path))
    }
}

/// Adds what is wrong with the file as a whole, and what to do.
fn explained(error: Error, path: &Path) -> Error {
    let is_intact = error.is::<Refusal>();
    let how = if is_intact { "cannot be read" } else { "truncated or corrupt. Fetch or copy it again" };
    error.context(format!("{}: {how}", path.display()))
}
