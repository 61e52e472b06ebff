//! The legacy format of `torch.save`: five pickles in sequence, then the storages that the fourth refers to.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use anyhow::{Context, Result, bail, ensure};

use super::object::{Object, Storage};
use super::pickle::{PICKLE_LIMIT, Pickle};
use super::refusal::refuse;
use super::strided;
use crate::weights::StoredTensor;

/// `MAGIC_NUMBER` of torch.serialization.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
/// `PROTOCOL_VERSION` of torch.serialization.
const PROTOCOL: i128 = 1001;

/// Reads a file of `length` bytes.
///
/// # Errors
/// Returns an error in the cases that [`super::read`] lists.
pub fn read(mut file: BufReader<File>, length: u64) -> Result<Vec<StoredTensor>> {
    let mut head = Vec::new();
    file.by_ref().take(PICKLE_LIMIT).read_to_end(&mut head)?;
    let mut rest = head.as_slice();
    check_head(&mut rest)?;
    let pickle = Pickle::read(&mut rest)?;
    let keys = Pickle::read(&mut rest)?;
    let first = (head.len() - rest.len()) as u64;
    let starts = locate(&mut file, length, &pickle, &keys, first)?;
    strided::extract(&pickle, length, |storage| {
        let start = starts.get(storage.key);
        let start = start.with_context(|| format!("storage {} is missing", storage.key))?;
        file.seek(SeekFrom::Start(*start))?;
        let mut values = vec![0; storage.byte_length()?];
        file.read_exact(&mut values)?;
        Ok(values)
    })
}

/// Checks the first three pickles: the magic number, the protocol, and a dictionary about the system that wrote the
/// file.
fn check_head(rest: &mut &[u8]) -> Result<()> {
    let magic = matches!(Pickle::read(rest)?.root(), Object::Int(MAGIC));
    let protocol = matches!(Pickle::read(rest)?.root(), Object::Int(PROTOCOL));
    ensure!(magic && protocol, "the magic number or the protocol is not that of torch.save");
    let system = Pickle::read(rest)?;
    let Object::Dict(pairs) = system.root() else {
        bail!(
            "the third pickle is {}, expected a dictionary about the system that wrote the file",
            system.root().kind()
        );
    };
    match system.value(pairs, "little_endian") {
        Some(Object::Bool(true)) => Ok(()),
        Some(Object::Bool(false)) => refuse("its values are big-endian, which is not supported"),
        _ => bail!("the byte order is missing"),
    }
}

/// The offset in the file at which the values of each storage start. A storage consists of the number of values (an
/// i64) and the values, which must end within the file's `length` bytes; the first storage starts at `position`.
fn locate<'a>(
    file: &mut BufReader<File>,
    length: u64,
    pickle: &Pickle<'a>,
    keys: &Pickle,
    mut position: u64,
) -> Result<HashMap<&'a str, u64>> {
    let Object::List(ids) = keys.root() else {
        bail!("the fifth pickle is {}, expected the list of storage keys", keys.root().kind());
    };
    let mut starts = HashMap::new();
    for id in ids {
        let Storage { key, numel, .. } = *named(pickle, keys.get(*id))?;
        let mut count = [0; 8];
        file.seek(SeekFrom::Start(position))?;
        file.read_exact(&mut count)?;
        let count = i64::from_le_bytes(count);
        ensure!(usize::try_from(count) == Ok(numel), "storage {key} has {count} values, expected {numel}");
        let start = position + 8;
        let bytes = pickle.storages[key].byte_length()? as u64;
        let end = start.checked_add(bytes).filter(|end| *end <= length);
        position = end
            .with_context(|| format!("the file has {length} bytes, too few for the {bytes} bytes of storage {key}"))?;
        ensure!(starts.insert(key, start).is_none(), "storage {key} appears twice");
    }
    Ok(starts)
}

/// The storage with this key.
fn named<'p, 'a>(pickle: &'p Pickle<'a>, key: &Object) -> Result<&'p Storage<'a>> {
    match key {
        Object::Text(key) => {
            let storage = pickle.storages.get(*key);
            storage.with_context(|| format!("storage {key} does not belong to any tensor"))
        }
        other => bail!("the key of a storage is {}, expected a string", other.kind()),
    }
}
