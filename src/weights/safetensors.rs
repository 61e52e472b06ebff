//! Safetensors files: tensors by name, and in the header's metadata a note that topfive adds.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use safetensors::tensor::{Metadata, TensorView};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Contents, StoredTensor};
use crate::atomic::write_atomically;

/// The metadata key of the note. There is only one, because the safetensors crate writes several in random order and
/// the same run must produce the same bytes.
const KEY: &str = "topfive";

/// The field of the note that holds the checksum of everything else in the file.
const CHECKSUM: &str = "checksum";
/// The field in which version 0.1.0 kept a checksum of the tensors alone.
const EARLIER_CHECKSUM: &str = "crc32";

/// The longest header, in bytes: enough for [`MAX_TENSORS`] and for the names of a million classes. The format permits
/// four times as much, which would take seconds and gigabytes to read.
const MAX_HEADER: u64 = 24_000_000;
/// The most tensors in a file: enough for the state of an optimiser with two tensors per parameter, and for averages.
const MAX_TENSORS: usize = 200_000;
/// The most axes of a tensor, as in PyTorch.
pub const MAX_AXES: usize = 64;

/// Reads the tensors and the note of a file. No memory is allocated for the tensors until the header has been proved to
/// describe exactly the bytes that the file has.
///
/// # Errors
/// Returns an error if the file cannot be read, is truncated or not a safetensors file, or if topfive wrote it and its
/// contents do not match their checksum.
pub fn read(path: &Path) -> Result<Contents> {
    let cannot_read = || format!("{}: cannot be read", path.display());
    let mut file = File::open(path).with_context(cannot_read)?;
    let length = file.metadata().with_context(cannot_read)?.len();
    contents(&mut file, length).with_context(|| {
        format!(
            "{}: truncated, corrupt or not a safetensors file ({length} bytes). Fetch or copy it again",
            path.display()
        )
    })
}

/// The note in a file's header, without reading the tensors: only for a first look, since no checksum is verified.
pub fn peek(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    note_in(&header(&mut file, length).ok()?)
}

fn note_in(header: &Metadata) -> Option<String> {
    header.metadata().as_ref().and_then(|metadata| metadata.get(KEY).cloned())
}

/// A file's header, which describes exactly the bytes that follow it.
fn header(file: &mut File, length: u64) -> Result<Metadata> {
    let mut header_length = [0; 8];
    file.read_exact(&mut header_length)?;
    let header_length = u64::from_le_bytes(header_length);
    let after = length.checked_sub(8).context("the file has no header")?;
    let most = MAX_HEADER.min(after);
    ensure!(header_length <= most, "the header claims {header_length} bytes, expected at most {most}");
    let mut header = vec![0; header_length as usize];
    file.read_exact(&mut header)?;
    let header: Metadata = serde_json::from_slice(&header).context("the header is corrupt")?;
    let (found, listed) = (after - header_length, header.data_len());
    ensure!(found == listed as u64, "the header lists {listed} bytes of tensors, but {found} follow");
    Ok(header)
}

fn contents(file: &mut File, length: u64) -> Result<Contents> {
    let header = header(file, length)?;
    let names = header.offset_keys();
    ensure!(names.len() <= MAX_TENSORS, "expected at most {MAX_TENSORS} tensors, found {}", names.len());
    let mut tensors = Vec::new();
    for name in names {
        let info = header.info(&name).with_context(|| format!("the header lacks {name}"))?;
        ensure!(
            info.shape.len() <= MAX_AXES,
            "tensor {name}: expected at most {MAX_AXES} axes, found {}",
            info.shape.len()
        );
        let mut data = vec![0; info.data_offsets.1 - info.data_offsets.0];
        file.read_exact(&mut data)?;
        tensors.push(StoredTensor { name, dtype: info.dtype, shape: info.shape.clone(), data });
    }
    let note = note_in(&header);
    if let Some(note) = &note {
        verify(note, &tensors)?;
    }
    Ok(Contents { tensors, note })
}

/// Checks a file that topfive wrote against its checksum.
fn verify(note: &str, tensors: &[StoredTensor]) -> Result<()> {
    let mut fields: Map<String, Value> = serde_json::from_str(note).context("its metadata is corrupt")?;
    let (written, found) = match fields.shift_remove(CHECKSUM) {
        Some(written) => (written, checksum(&fields, tensors)),
        None => {
            let written = fields.shift_remove(EARLIER_CHECKSUM).context("its metadata lacks a checksum")?;
            (written, checksum_of_tensors(tensors))
        }
    };
    ensure!(written.as_u64() == Some(found), "its contents do not match their checksum");
    Ok(())
}

/// The CRC-32 of all fields of the note and all tensors, because the format itself does not detect a flipped bit.
fn checksum(note: &Map<String, Value>, tensors: &[StoredTensor]) -> u64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(Value::Object(note.clone()).to_string().as_bytes());
    for tensor in by_name(tensors) {
        hasher.update(format!("{} {:?} {:?}", tensor.name, tensor.dtype, tensor.shape).as_bytes());
        hasher.update(&tensor.data);
    }
    hasher.finalize().into()
}

/// The CRC-32 of names and values, as version 0.1.0 wrote it.
fn checksum_of_tensors(tensors: &[StoredTensor]) -> u64 {
    let mut hasher = crc32fast::Hasher::new();
    for tensor in by_name(tensors) {
        hasher.update(tensor.name.as_bytes());
        hasher.update(&tensor.data);
    }
    hasher.finalize().into()
}

fn by_name(tensors: &[StoredTensor]) -> Vec<&StoredTensor> {
    let mut sorted: Vec<&StoredTensor> = tensors.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    sorted
}

/// Writes tensors and a note, a JSON object to which their checksum is added. The write is atomic.
///
/// # Errors
/// Returns an error if the file cannot be written; an earlier file at `path` is then intact.
pub fn write(path: &Path, tensors: &[StoredTensor], note: &impl Serialize) -> Result<()> {
    let Value::Object(mut note) = serde_json::to_value(note)? else { bail!("a note must be a JSON object") };
    // That of the file that the note was read from.
    note.shift_remove(CHECKSUM);
    note.insert(CHECKSUM.to_string(), checksum(&note, tensors).into());
    let mut views = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.data);
        views.push((
            tensor.name.as_str(),
            view.with_context(|| format!("the values of {} do not fit its shape", tensor.name))?,
        ));
    }
    let metadata = HashMap::from([(KEY.to_string(), Value::Object(note).to_string())]);
    let bytes = safetensors::serialize(views, Some(metadata))
        .with_context(|| format!("{}: cannot hold these tensors", path.display()))?;
    write_atomically(path, &bytes)
}

/// Whether a file's first bytes are those of a safetensors file: the header's length in eight bytes, then its opening
/// brace.
pub fn recognises(first_bytes: &[u8]) -> bool {
    first_bytes.get(8) == Some(&b'{')
}

/// The note of a checkpoint that topfive wrote.
///
/// # Errors
/// Returns an error if the file has none.
pub fn note_of(contents: &Contents, path: &Path) -> Result<String> {
    match &contents.note {
        Some(note) => Ok(note.clone()),
        None => bail!(
            "{}: contains weights but no experiment, so it is not a checkpoint of topfive. Name its experiment instead, with this file as the weights",
            path.display()
        ),
    }
}
