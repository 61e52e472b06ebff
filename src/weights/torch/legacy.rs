//! The legacy format of `torch.save`: five pickles in sequence, then the storages that the fourth refers to.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use anyhow::{Context, Result, bail, ensure};

use super::dictionary::{Dictionary, dictionaries};
use super::object::{Object, Storage};
use super::pickle::{PICKLE_LIMIT, Pickle};
use super::refusal::refuse;

/// `MAGIC_NUMBER` of torch.serialization.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
/// `PROTOCOL_VERSION` of torch.serialization.
const PROTOCOL: i128 = 1001;

/// The values of the storages in a legacy file.
pub struct LegacyValues {
    file: BufReader<File>,
    /// Where each storage's values start, in bytes from the file's beginning.
    starts: HashMap<String, u64>,
}

impl LegacyValues {
    /// Reads the pickles of a file of `length` bytes.
    ///
    /// # Errors
    /// Returns an error if it is truncated, corrupt or big-endian.
    pub fn open(mut file: BufReader<File>, length: u64) -> Result<(Vec<Dictionary>, Self)> {
        let mut head = Vec::new();
        file.by_ref().take(PICKLE_LIMIT).read_to_end(&mut head)?;
        let mut rest = head.as_slice();
        check_head(&mut rest)?;
        let pickle = Pickle::read(&mut rest)?;
        let keys = Pickle::read(&mut rest)?;
        let first = (head.len() - rest.len()) as u64;
        let dictionaries = dictionaries(&pickle)?;
        let starts = locate(&mut file, length, &pickle, &keys, first)?;
        Ok((dictionaries, LegacyValues { file, starts }))
    }

    /// The bytes of a storage.
    ///
    /// # Errors
    /// Returns an error if they are missing.
    pub fn load(&mut self, storage: &Storage) -> Result<Vec<u8>> {
        let start = self.starts.get(&storage.key);
        let start = start.with_context(|| format!("storage {} is missing", storage.key))?;
        self.file.seek(SeekFrom::Start(*start))?;
        let mut values = vec![0; storage.byte_length()?];
        self.file.read_exact(&mut values)?;
        Ok(values)
    }
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
fn locate(
    file: &mut BufReader<File>,
    length: u64,
    pickle: &Pickle,
    keys: &Pickle,
    mut position: u64,
) -> Result<HashMap<String, u64>> {
    let Object::List(ids) = keys.root() else {
        bail!("the fifth pickle is {}, expected the list of storage keys", keys.root().kind());
    };
    let mut starts = HashMap::new();
    for id in ids {
        let storage = named(pickle, keys.get(*id))?;
        let Storage { key, numel, .. } = storage;
        let mut count = [0; 8];
        file.seek(SeekFrom::Start(position))?;
        file.read_exact(&mut count)?;
        let count = i64::from_le_bytes(count);
        ensure!(usize::try_from(count) == Ok(*numel), "storage {key} has {count} values, expected {numel}");
        let start = position + 8;
        let bytes = storage.byte_length()? as u64;
        let end = start.checked_add(bytes).filter(|end| *end <= length);
        position = end
            .with_context(|| format!("the file has {length} bytes, too few for the {bytes} bytes of storage {key}"))?;
        ensure!(starts.insert(key.clone(), start).is_none(), "storage {key} appears twice");
    }
    Ok(starts)
}

/// The storage with this key.
fn named<'p>(pickle: &'p Pickle, key: &Object) -> Result<&'p Storage> {
    match key {
        Object::Text(key) => {
            let storage = pickle.storages.get(*key);
            storage.map_or_else(|| refuse(format!("storage {key} is of an unknown kind")), Ok)
        }
        other => bail!("the key of a storage is {}, expected a string", other.kind()),
    }
}
