//! The zip format of `torch.save`: the pickle in data.pkl, and each storage in an entry of its own.

use std::fs::File;
use std::io::{BufReader, Read};

use anyhow::{Context, Result, ensure};
use zip::read::ZipReadOptions;
use zip::{CompressionMethod, ZipArchive};

use super::pickle::{PICKLE_LIMIT, Pickle};
use super::refusal::refuse;
use super::strided;
use crate::weights::StoredTensor;

type Archive = ZipArchive<BufReader<File>>;

/// Reads a zip file of `length` bytes.
///
/// # Errors
/// Returns an error in the cases that [`super::read`] lists.
pub fn read(file: BufReader<File>, length: u64) -> Result<Vec<StoredTensor>> {
    let mut archive = ZipArchive::new(file)?;
    ensure!(!archive.has_duplicate_names(), "two zip entries share a name");
    // Overlapping entries would let a small file be read as many large storages.
    ensure!(!archive.has_overlapping_entries()?, "zip entries overlap");
    let suffix = "data.pkl";
    let folder = archive.file_names().flatten().find_map(|name| name.strip_suffix(suffix).map(String::from));
    let Some(folder) = folder else {
        return refuse("it is a zip file without data.pkl, so torch.save did not write it");
    };
    let order = format!("{folder}byteorder");
    if archive.index_for_name(&order).is_some() && entry(&mut archive, &order, 16)? != b"little" {
        return refuse("its values are big-endian, which is not supported");
    }
    let bytes = entry(&mut archive, &format!("{folder}{suffix}"), PICKLE_LIMIT)?;
    let pickle = Pickle::read(&mut bytes.as_slice())?;
    strided::extract(&pickle, length, |storage| {
        let name = format!("{folder}data/{}", storage.key);
        entry(&mut archive, &name, storage.byte_length()?.try_into()?)
    })
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
