//! Safetensors files: tensors by name, and a text of ours beside them in the header's metadata.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use safetensors::tensor::{SafeTensors, TensorView};

use super::{Contents, StoredTensor};
use crate::aside::write_aside;

/// The metadata key that holds what topfive knows of a checkpoint; one key, so that the same run gives the same bytes.
const KEY: &str = "topfive";

/// Reads a whole file.
///
/// # Errors
/// Where it cannot be read, is cut short, or is no safetensors file; nothing the header claims is believed unchecked.
pub fn read(path: &Path) -> Result<Contents> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let broken = || {
        format!(
            "{} is no whole safetensors file ({} bytes): it was cut short, damaged, or is something else",
            path.display(),
            bytes.len()
        )
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).with_context(broken)?;
    let note = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY).cloned());
    let file = SafeTensors::deserialize(&bytes).with_context(broken)?;
    let mut tensors = Vec::with_capacity(file.len());
    for (name, view) in file.iter() {
        let (dtype, shape, data) = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
        tensors.push(StoredTensor { name: name.to_string(), dtype, shape, data });
    }
    Ok(Contents { tensors, note })
}

/// Writes tensors and a note, aside and renamed.
///
/// # Errors
/// Where the file cannot be written; an older one is unharmed.
pub fn write(path: &Path, tensors: &[StoredTensor], note: String) -> Result<()> {
    let mut views = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.data);
        views.push((tensor.name.as_str(), view.with_context(|| format!("{} does not fit its shape", tensor.name))?));
    }
    let metadata = HashMap::from([(KEY.to_string(), note)]);
    let bytes = safetensors::serialize(views, Some(metadata)).context("cannot put the tensors into one file")?;
    write_aside(path, &bytes)
}

/// Whether the file's first bytes are those of a safetensors file: a header's length, then its opening brace.
pub fn recognises(first_bytes: &[u8]) -> bool {
    matches!(first_bytes, [_, _, _, _, _, 0, 0, 0, b'{', ..])
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
