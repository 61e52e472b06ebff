//! The legacy format of `torch.save`: five pickles in a row, then the storages that the fourth one refers to.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use anyhow::{Context, Result, bail, ensure};

use super::pickle::{Object, Pickle, Storage, refuse};
use super::{PICKLE_LIMIT, strided};
use crate::weights::StoredTensor;

/// MAGIC_NUMBER and PROTOCOL_VERSION of torch.serialization.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const PROTOCOL: i128 = 1001;

/// Reads a file of `length` bytes.
///
/// # Errors
/// Those of [`super::read`].
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
        let start = start.with_context(|| format!("its storage {} is missing", storage.key))?;
        file.seek(SeekFrom::Start(*start))?;
        let mut values = vec![0; storage.byte_length()?];
        file.read_exact(&mut values)?;
        Ok(values)
    })
}

/// Checks the first three pickles: magic number, protocol, and a dictionary about the system that wrote the file.
fn check_head(rest: &mut &[u8]) -> Result<()> {
    let magic = matches!(Pickle::read(rest)?.root(), Object::Int(MAGIC));
    let protocol = matches!(Pickle::read(rest)?.root(), Object::Int(PROTOCOL));
    ensure!(magic && protocol, "its magic number or protocol is not torch.save's");
    let system = Pickle::read(rest)?;
    let Object::Dict(pairs) = system.root() else {
        bail!("its third pickle is {}, expected the writer's system", system.root().kind());
    };
    match system.value(pairs, "little_endian") {
        Some(Object::Bool(true)) => Ok(()),
        Some(Object::Bool(false)) => refuse("its little_endian is False"),
        _ => bail!("it does not tell its byte order"),
    }
}

/// Where the values of each storage start. A storage is a count of values (i64) and the values, which are checked to
/// end within the file's `length` bytes; the first one starts at `position`.
fn locate<'a>(
    file: &mut BufReader<File>,
    length: u64,
    pickle: &Pickle<'a>,
    keys: &Pickle,
    mut position: u64,
) -> Result<HashMap<&'a str, u64>> {
    let Object::List(ids) = keys.root() else {
        bail!("its fifth pickle is {}, expected the storages' keys", keys.root().kind());
    };
    let mut starts = HashMap::new();
    for id in ids {
        let Storage { key, numel, .. } = *named(pickle, keys.get(*id))?;
        let mut count = [0; 8];
        file.seek(SeekFrom::Start(position))?;
        file.read_exact(&mut count)?;
        let count = i64::from_le_bytes(count);
        ensure!(usize::try_from(count) == Ok(numel), "its storage {key} has {count} values, expected {numel}");
        let start = position + 8;
        let bytes = pickle.storages[key].byte_length()? as u64;
        let end = start.checked_add(bytes).filter(|end| *end <= length);
        position = end.with_context(|| format!("it has {length} bytes, too few for the {bytes} of storage {key}"))?;
        ensure!(starts.insert(key, start).is_none(), "it holds storage {key} twice");
    }
    Ok(starts)
}

fn named<'p, 'a>(pickle: &'p Pickle<'a>, key: &Object) -> Result<&'p Storage<'a>> {
    match key {
        Object::Text(key) => {
            let storage = pickle.storages.get(*key);
            storage.with_context(|| format!("its storage {key} belongs to no tensor"))
        }
        other => bail!("the key of a storage is {}, expected a string", other.kind()),
    }
}
