//! A state dictionary's tensors, copied from strided views of their storages into row-major order.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::dictionary::Dictionary;
use super::object::{Storage, Tensor};
use super::refusal::refuse;
use crate::weights::StoredTensor;
use crate::weights::safetensors::MAX_AXES;

/// All tensors of a file together may take this many times the file's length. More than once is legitimate, as tied
/// weights are stored once and read twice, but an expanded tensor (stride 0) could claim any length.
const EXPANSION_LIMIT: u64 = 4;

/// The tensors of a state dictionary, from a file of `length` bytes. `load` returns a storage's bytes and is called once
/// for each.
///
/// # Errors
/// Returns an error if a tensor does not lie within its storage or the tensors claim too much memory, or if `load` does.
pub fn extract(
    dictionary: &Dictionary,
    length: u64,
    mut load: impl FnMut(&Storage) -> Result<Vec<u8>>,
) -> Result<Vec<StoredTensor>> {
    let entries = &dictionary.tensors;
    check_claims(entries, length)?;
    let mut users: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, (_, tensor)) in entries.iter().enumerate() {
        users.entry(tensor.storage.key.as_str()).or_default().push(place);
    }
    let mut data = vec![Vec::new(); entries.len()];
    for places in users.values() {
        let (name, tensor) = &entries[places[0]];
        let expected = tensor.storage.byte_length()?;
        let values = load(&tensor.storage).with_context(|| format!("tensor {name}"))?;
        let found = values.len();
        ensure!(found == expected, "tensor {name} has a storage of {found} bytes, expected {expected}");
        match places.as_slice() {
            // Nearly every tensor covers its storage completely; a copy would double the memory.
            [place] if is_whole(tensor) => data[*place] = values,
            places => places.iter().for_each(|place| data[*place] = in_rows(&entries[*place].1, &values)),
        }
    }
    let stored = entries.iter().zip(data).map(|((name, tensor), data)| StoredTensor {
        name: name.clone(),
        dtype: tensor.storage.dtype,
        shape: tensor.shape.clone(),
        data,
    });
    Ok(stored.collect())
}

/// Checks that every tensor lies within its storage, and all of them within [`EXPANSION_LIMIT`].
fn check_claims(entries: &[(String, Tensor)], length: u64) -> Result<()> {
    let mut claimed = 0u64;
    for (name, tensor) in entries {
        let bytes = byte_length(tensor).with_context(|| format!("tensor {name}"))?;
        claimed = claimed.saturating_add(bytes as u64);
        if claimed > length.saturating_mul(EXPANSION_LIMIT) {
            return refuse(format!(
                "the tensors up to {name} claim {claimed} bytes, expected at most {EXPANSION_LIMIT} times the file's \
                 {length}. Make expanded tensors .contiguous()"
            ));
        }
    }
    Ok(())
}

/// The bytes that a tensor takes in row-major order, checked to lie within its storage.
fn byte_length(tensor: &Tensor) -> Result<usize> {
    let Tensor { storage, offset, shape, strides } = tensor;
    ensure!(shape.len() <= MAX_AXES, "expected at most {MAX_AXES} axes, found {}", shape.len());
    ensure!(strides.len() <= MAX_AXES, "expected at most {MAX_AXES} strides, found {}", strides.len());
    ensure!(shape.len() == strides.len(), "its shape {shape:?} and strides {strides:?} differ in length");
    let width = storage.value_width();
    let bytes = shape.iter().try_fold(width, |bytes, size| bytes.checked_mul(*size));
    let bytes = bytes.with_context(|| format!("its shape {shape:?} is larger than any memory"))?;
    let mut axes = shape.iter().zip(strides);
    let last =
        axes.try_fold(*offset, |last, (size, stride)| last.checked_add(size.saturating_sub(1).checked_mul(*stride)?));
    ensure!(
        bytes == 0 || last.is_some_and(|last| last < storage.numel),
        "its shape {shape:?} and strides {strides:?} from value {offset} on exceed the {} values of its storage",
        storage.numel
    );
    Ok(bytes)
}

/// Copies the tensor's values out of those of its storage in row-major order. [`byte_length`] must have checked that it
/// lies within them.
fn in_rows(tensor: &Tensor, values: &[u8]) -> Vec<u8> {
    let Tensor { storage, offset, shape, strides } = tensor;
    let width = storage.value_width();
    if shape.contains(&0) {
        return Vec::new();
    }
    let numel: usize = shape.iter().product();
    if is_contiguous(shape, strides) {
        return values[offset * width..][..numel * width].to_vec();
    }
    let mut rows = Vec::with_capacity(numel * width);
    for index in 0..numel {
        let (mut rest, mut place) = (index, *offset);
        for (size, stride) in shape.iter().zip(strides).rev() {
            place += rest % size * stride;
            rest /= size;
        }
        rows.extend_from_slice(&values[place * width..][..width]);
    }
    rows
}

/// Whether the tensor is all of its storage, in order.
fn is_whole(tensor: &Tensor) -> bool {
    let Tensor { storage, shape, strides, .. } = tensor;
    shape.iter().product::<usize>() == storage.numel && is_contiguous(shape, strides)
}

/// Whether strides are those of row-major order without gaps.
fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut step = 1;
    // For an empty tensor strides are meaningless, and the product of the other sizes may overflow.
    shape.contains(&0)
        || shape.iter().zip(strides).rev().all(|(size, stride)| {
            let fits = *size == 1 || *stride == step;
            step *= size;
            fits
        })
}
