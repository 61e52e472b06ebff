//! The zip format of `torch.save`: data.pkl, and each storage as an entry of its own.

use std::fs::File;
use std::io::{BufReader, Read};

use anyhow::{Context, Result, ensure};
use zip::read::ZipReadOptions;
use zip::{CompressionMethod, ZipArchive};

use super::pickle::{Pickle, refuse};
use super::{PICKLE_LIMIT, strided};
use crate::weights::StoredTensor;

type Archive = ZipArchive<BufReader<File>>;

/// Reads a zip file of `length` bytes.
///
/// # Errors
/// Those of [`super::read`].
pub fn read(file: BufReader<File>, length: u64) -> Result<Vec<StoredTensor>> {
    let mut archive = ZipArchive::new(file)?;
    ensure!(!archive.has_duplicate_names(), "two of its zip entries share a name");
    // Else a small file could be read as many large storages.
    ensure!(!archive.has_overlapping_entries()?, "its zip entries overlap");
    let suffix = "data.pkl";
    let folder = archive.file_names().flatten().find_map(|name| name.strip_suffix(suffix).map(String::from));
    let Some(folder) = folder else {
        return refuse("it is a zip file without data.pkl, so torch.save did not write it");
    };
    let order = format!("{folder}byteorder");
    if archive.index_for_name(&order).is_some() && entry(&mut archive, &order, 16)? != b"little" {
        return refuse("its byteorder entry is not little");
    }
    let bytes = entry(&mut archive, &format!("{folder}{suffix}"), PICKLE_LIMIT)?;
    let pickle = Pickle::read(&mut bytes.as_slice())?;
    strided::extract(&pickle, length, |storage| {
        let name = format!("{folder}data/{}", storage.key);
        entry(&mut archive, &name, storage.byte_length()?.try_into()?)
    })
}

/// The bytes of an entry, at most `limit` of them.
fn entry(archive: &mut Archive, name: &str, limit: u64) -> Result<Vec<u8>> {
    let index = archive.index_for_name(name);
    let index = index.with_context(|| format!("its entry {name} is missing"))?;
    let about = archive.by_index_data(index)?;
    let (method, size) = (about.compression(), about.size());
    if method != CompressionMethod::Stored {
        return refuse(format!("its entry {name} is compressed, which torch.save never does"));
    }
    ensure!(size <= limit, "its entry {name} has {size} bytes, expected {limit} at most");
    ensure!(about.compressed_size() == size, "its entry {name} has two different sizes");
    // torch.save writes each entry's CRC, or zero after torch.serialization.set_crc32_options(False).
    let options = ZipReadOptions::new().ignore_crc32(about.crc32() == 0);
    let mut bytes = Vec::with_capacity(size.try_into()?);
    let read = archive.by_index_with_options(index, options)?.read_to_end(&mut bytes);
    read.with_context(|| format!("its entry {name}"))?;
    ensure!(bytes.len() as u64 == size, "its entry {name} has {} bytes, expected {size}", bytes.len());
    Ok(bytes)
}
