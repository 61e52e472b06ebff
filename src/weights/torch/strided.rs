//! A state dictionary's tensors, brought into rows from the strided views of storages that they are.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, Result, ensure};

use super::pickle::{Object, Pickle, Storage, Tensor, refuse};
use crate::weights::StoredTensor;

/// Tied weights are stored once and read twice, and an expanded tensor (stride 0) could claim any length: all tensors
/// of a file together may take this many times the file's length.
const EXPANSION_LIMIT: u64 = 4;

/// The tensors of the pickle's state dictionary, from a file of `length` bytes; `load` gives a storage's bytes, and is
/// asked once for each.
pub fn extract<'a>(
    pickle: &Pickle<'a>,
    length: u64,
    mut load: impl FnMut(&Storage<'a>) -> Result<Vec<u8>>,
) -> Result<Vec<StoredTensor>> {
    let entries = state_dictionary(pickle)?;
    check_claims(&entries, length)?;
    let mut users: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, (_, tensor)) in entries.iter().enumerate() {
        users.entry(tensor.storage.key).or_default().push(place);
    }
    let mut data = vec![Vec::new(); entries.len()];
    for places in users.values() {
        let (name, tensor) = entries[places[0]];
        let expected = tensor.storage.byte_length()?;
        let values = load(&tensor.storage).with_context(|| format!("its tensor {name}"))?;
        let found = values.len();
        ensure!(found == expected, "its tensor {name} has a storage of {found} bytes, expected {expected}");
        match places.as_slice() {
            // Nearly every tensor is the whole of its storage, and a copy would double the memory.
            [place] if is_whole(tensor) => data[*place] = values,
            places => places.iter().for_each(|place| data[*place] = in_rows(entries[*place].1, &values)),
        }
    }
    let stored = entries.into_iter().zip(data).map(|((name, tensor), data)| StoredTensor {
        name: name.to_string(),
        dtype: tensor.storage.dtype,
        shape: tensor.shape.clone(),
        data,
    });
    Ok(stored.collect())
}

/// The names and tensors of the dictionary that the pickle is, or that it holds as `state_dict` or `model`.
fn state_dictionary<'p, 'a>(pickle: &'p Pickle<'a>) -> Result<Vec<(&'a str, &'p Tensor<'a>)>> {
    let Object::Dict(outer) = pickle.root() else {
        return refuse(format!("it holds {}, expected a state dictionary", pickle.root().kind()));
    };
    let inner = ["state_dict", "model"].into_iter().find_map(|key| match pickle.value(outer, key) {
        Some(Object::Dict(inner)) => Some(inner),
        _ => None,
    });
    let mut names = HashSet::new();
    let mut entries = Vec::new();
    for (key, value) in inner.unwrap_or(outer) {
        match (pickle.get(*key), pickle.get(*value)) {
            (Object::Text(name), Object::Tensor(tensor)) if names.insert(*name) => entries.push((*name, tensor)),
            (Object::Text(name), Object::Tensor(_)) => {
                return refuse(format!("it has two tensors named {name}"));
            }
            (Object::Text(name), other) => {
                return refuse(format!("its entry {name} is {}, expected a tensor", other.kind()));
            }
            (other, _) => {
                return refuse(format!("a tensor's name is {}, expected a string", other.kind()));
            }
        }
    }
    match entries.is_empty() {
        true => refuse("its state dictionary has no tensors"),
        false => Ok(entries),
    }
}

fn check_claims(entries: &[(&str, &Tensor)], length: u64) -> Result<()> {
    let mut claimed = 0u64;
    for (name, tensor) in entries {
        let bytes = byte_length(tensor).with_context(|| format!("its tensor {name}"))?;
        claimed = claimed.saturating_add(bytes as u64);
        if claimed > length.saturating_mul(EXPANSION_LIMIT) {
            return refuse(format!(
                "its tensors up to {name} claim {claimed} bytes, expected at most {EXPANSION_LIMIT} times the file's \
                 {length}: make expanded tensors .contiguous()"
            ));
        }
    }
    Ok(())
}

/// The bytes that a tensor takes in rows, once it is known to lie within its storage.
fn byte_length(tensor: &Tensor) -> Result<usize> {
    let Tensor { storage, offset, shape, strides } = tensor;
    ensure!(shape.len() == strides.len(), "has shape {shape:?} but strides {strides:?}");
    let width = storage.value_width();
    let bytes = shape.iter().try_fold(width, |bytes, size| bytes.checked_mul(*size));
    let bytes = bytes.with_context(|| format!("has shape {shape:?}, more than any memory"))?;
    let mut axes = shape.iter().zip(strides);
    let last =
        axes.try_fold(*offset, |last, (size, stride)| last.checked_add(size.saturating_sub(1).checked_mul(*stride)?));
    ensure!(
        bytes == 0 || last.is_some_and(|last| last < storage.numel),
        "has shape {shape:?} and strides {strides:?} from value {offset} on, beyond the {} values of its storage",
        storage.numel
    );
    Ok(bytes)
}

/// The tensor's values in row-major order, out of those of its storage; `byte_length` has checked that it lies there.
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

fn is_whole(tensor: &Tensor) -> bool {
    let Tensor { storage, shape, strides, .. } = tensor;
    shape.iter().product::<usize>() == storage.numel && is_contiguous(shape, strides)
}

fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut step = 1;
    // Without values the strides say nothing, and the other sizes may be too large to be multiplied.
    shape.contains(&0)
        || shape.iter().zip(strides).rev().all(|(size, stride)| {
            let fits = *size == 1 || *stride == step;
            step *= size;
            fits
        })
}
