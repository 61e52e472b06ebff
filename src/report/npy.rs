//! NumPy's file format for an array (NEP 1, version 1.0).

use std::path::Path;

use anyhow::Result;

use crate::atomic::write_atomically;

/// Writes an array of 32-bit floats, row by row.
///
/// # Errors
/// Returns an error if the file cannot be written.
pub fn write(path: &Path, shape: &[usize], values: &[f32]) -> Result<()> {
    let sides: String = shape.iter().map(|side| format!("{side},")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({sides}), }}");
    // The values begin at a multiple of 64 bytes, after 10 bytes, the header and a line's end.
    let padding = (10 + header.len() + 1).next_multiple_of(64) - (10 + header.len() + 1);
    header.push_str(&" ".repeat(padding));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    write_atomically(path, &bytes)
}
