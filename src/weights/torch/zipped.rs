//! The zip format of `torch.save`: the pickle in data.pkl, and each storage in an entry of its own.

use std::fs::File;
use std::io::{BufReader, Read};

use anyhow::{Context, Result, ensure};
use zip::read::{ArchiveOffset, Config, ZipReadOptions};
use zip::{CompressionMethod, ZipArchive};

use super::dictionary::{Dictionary, dictionaries};
use super::object::Storage;
use super::pickle::{PICKLE_LIMIT, Pickle};
use super::refusal::{refuse, refuse_archive};

type Archive = ZipArchive<BufReader<File>>;

/// The values of the storages in a zip file.
pub struct ZippedValues {
    archive: Archive,
    /// The folder in the archive that everything lies in, with its slash.
    folder: String,
}

/// The suffix of the pickle's entry.
const PICKLE: &str = "data.pkl";

impl ZippedValues {
    /// Reads a zip file's pickle.
    ///
    /// # Errors
    /// Returns an error if torch.save did not write it, or it is truncated, corrupt or big-endian.
    pub fn open(file: BufReader<File>) -> Result<(Vec<Dictionary>, Self)> {
        // Where the archive begins is not guessed: PyTorch writes zip64 records for small archives, and a guess by them
        // fails for some lengths of the entries' names.
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let mut archive = ZipArchive::with_config(config, file)?;
        ensure!(!archive.has_duplicate_names(), "two zip entries share a name");
        // Overlapping entries would let a small file be read as many large storages.
        ensure!(!archive.has_overlapping_entries()?, "zip entries overlap");
        let folder = folder(&archive)?;
        let order = format!("{folder}byteorder");
        if archive.index_for_name(&order).is_some() && entry(&mut archive, &order, 16)? != b"little" {
            return refuse("its values are big-endian, which is not supported");
        }
        let bytes = entry(&mut archive, &format!("{folder}{PICKLE}"), PICKLE_LIMIT)?;
        let pickle = Pickle::read(&mut bytes.as_slice())?;
        Ok((dictionaries(&pickle)?, ZippedValues { archive, folder }))
    }

    /// The bytes of a storage.
    ///
    /// # Errors
    /// Returns an error if they are missing or corrupt.
    pub fn load(&mut self, storage: &Storage) -> Result<Vec<u8>> {
        let name = format!("{}data/{}", self.folder, storage.key);
        entry(&mut self.archive, &name, storage.byte_length()?.try_into()?)
    }
}

/// The endings of files of weights.
const WEIGHTS: [&str; 5] = [".safetensors", ".pth", ".pt", ".ckpt", ".tar"];

/// The folder of the pickle.
fn folder(archive: &Archive) -> Result<String> {
    let names = || archive.file_names().flatten();
    if names().any(|name| name.ends_with("/constants.pkl")) {
        return refuse("it is a TorchScript program, whose code would have to be run");
    }
    let inner = names().find(|name| WEIGHTS.iter().any(|ending| name.ends_with(ending)));
    match (names().find_map(|name| name.strip_suffix(PICKLE).map(String::from)), inner) {
        (Some(folder), _) => Ok(folder),
        (None, _) if names().any(|name| name.ends_with(".npy")) => refuse("it is a NumPy archive (.npz)"),
        (None, Some(inner)) => refuse_archive(&inner),
        (None, None) => refuse("it is a zip file without data.pkl, so torch.save did not write it"),
    }
}

/// Reads an entry of at most `limit` bytes.
fn entry(archive: &mut Archive, name: &str, limit: u64) -> Result<Vec<u8>> {
    let index = archive.index_for_name(name);
    let index = index.with_context(|| format!("entry {name} is missing"))?;
    let about = archive.by_index_data(index)?;
    let (method, size) = (about.compression(), about.size());
    if method != CompressionMethod::Stored {
        return refuse(format!("entry {name} is compressed, which torch.save never does"));
    }
    ensure!(size <= limit, "entry {name} has {size} bytes, expected at most {limit}");
    ensure!(about.compressed_size() == size, "entry {name} has two different sizes");
    // torch.save writes each entry's CRC, or 0 after torch.serialization.set_crc32_options(False).
    let options = ZipReadOptions::new().ignore_crc32(about.crc32() == 0);
    let mut bytes = Vec::with_capacity(size.try_into()?);
    let read = archive.by_index_with_options(index, options)?.read_to_end(&mut bytes);
    read.with_context(|| format!("entry {name}"))?;
    ensure!(bytes.len() as u64 == size, "entry {name} has {} bytes, expected {size}", bytes.len());
    Ok(bytes)
}
