//! Safetensors files: tensors by name, and a text of ours beside them in the header's metadata.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use safetensors::tensor::{Metadata, TensorView};
use serde::Serialize;
use serde_json::Value;

use super::{Contents, StoredTensor};
use crate::atomic::write_atomically;

/// The metadata key that holds what topfive knows of a checkpoint; one key, so that the same run gives the same bytes.
const KEY: &str = "topfive";

/// The field of the note that holds the tensors' checksum.
const CHECKSUM: &str = "crc32";

/// The longest header that the format permits.
const LONGEST_HEADER: u64 = 100_000_000;

/// Reads a whole file.
///
/// # Errors
/// Where it cannot be read, is cut short, or is no safetensors file. The header is read and proved to describe exactly the
/// bytes that the file has before any memory is taken for them.
pub fn read(path: &Path) -> Result<Contents> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let length = file.metadata().with_context(|| format!("cannot read {}", path.display()))?.len();
    contents(&mut file, length).with_context(|| {
        format!(
            "{} is no whole safetensors file ({length} bytes): it was cut short, damaged, or is something else",
            path.display()
        )
    })
}

fn contents(file: &mut File, length: u64) -> Result<Contents> {
    let mut header_length = [0; 8];
    file.read_exact(&mut header_length)?;
    let header_length = u64::from_le_bytes(header_length);
    let most = LONGEST_HEADER.min(length - 8);
    ensure!(header_length <= most, "its header claims {header_length} bytes, where at most {most} can be");
    let mut header = vec![0; header_length as usize];
    file.read_exact(&mut header)?;
    let header: Metadata = serde_json::from_slice(&header).context("its header is damaged")?;
    let (found, listed) = (length - 8 - header_length, header.data_len());
    ensure!(found == listed as u64, "its header lists {listed} bytes of tensors, and {found} follow");
    let mut tensors = Vec::new();
    for name in header.offset_keys() {
        let info = header.info(&name).with_context(|| format!("its header lacks {name}"))?;
        let mut data = vec![0; info.data_offsets.1 - info.data_offsets.0];
        file.read_exact(&mut data)?;
        tensors.push(StoredTensor { name, dtype: info.dtype, shape: info.shape.clone(), data });
    }
    let note = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY).cloned());
    let fields: Option<Value> = note.as_deref().and_then(|note| serde_json::from_str(note).ok());
    if let Some(written) = fields.as_ref().and_then(|fields| fields[CHECKSUM].as_u64()) {
        ensure!(written == checksum(&tensors), "its values are not those that were written: it was damaged since");
    }
    Ok(Contents { tensors, note })
}

/// CRC-32 of names and values: the format itself would not notice a flipped bit.
fn checksum(tensors: &[StoredTensor]) -> u64 {
    let mut sorted: Vec<&StoredTensor> = tensors.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let mut hasher = crc32fast::Hasher::new();
    for tensor in sorted {
        hasher.update(tensor.name.as_bytes());
        hasher.update(&tensor.data);
    }
    hasher.finalize().into()
}

/// Writes tensors and a note, an object of JSON to which their checksum is added; aside and renamed.
///
/// # Errors
/// Where the file cannot be written; an older one is unharmed.
pub fn write(path: &Path, tensors: &[StoredTensor], note: &impl Serialize) -> Result<()> {
    let mut note = serde_json::to_value(note)?;
    note[CHECKSUM] = checksum(tensors).into();
    let mut views = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.data);
        views.push((tensor.name.as_str(), view.with_context(|| format!("{} does not fit its shape", tensor.name))?));
    }
    let metadata = HashMap::from([(KEY.to_string(), note.to_string())]);
    let bytes = safetensors::serialize(views, Some(metadata)).context("cannot put the tensors into one file")?;
    write_atomically(path, &bytes)
}

/// Whether the file's first bytes are those of a safetensors file: a header's length, then its opening brace.
pub fn recognises(first_bytes: &[u8]) -> bool {
    first_bytes.get(8) == Some(&b'{')
}

/// # Errors
/// Where the file lacks the note of a checkpoint of topfive's, with the way out.
pub fn note_of(contents: &Contents, path: &Path) -> Result<String> {
    match &contents.note {
        Some(note) => Ok(note.clone()),
        None => bail!(
            "{0} holds weights but no experiment, so it is no checkpoint of topfive's; name the network too: a config together with --weights {0}",
            path.display()
        ),
    }
}
