//! Text as people's programs save it: files in UTF-8 with or without a byte order mark and in UTF-16, and names in either
//! of Unicode's forms.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use unicode_normalization::UnicodeNormalization;

/// Reads a text file. Without a byte order mark it is UTF-8.
///
/// # Errors
/// Returns an error if it cannot be read, or is in none of these encodings.
pub fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = match bytes.as_slice() {
        [0xFF, 0xFE, utf16 @ ..] => utf_16(utf16, u16::from_le_bytes),
        [0xFE, 0xFF, utf16 @ ..] => utf_16(utf16, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, utf8 @ ..] | utf8 => String::from_utf8(utf8.to_vec()).ok(),
    };
    match text {
        Some(text) if text.contains('\0') => bail!("{}: not a text file", path.display()),
        Some(text) => Ok(text),
        None => bail!("{}: neither UTF-8 nor UTF-16; save it as UTF-8", path.display()),
    }
}

fn utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let (units, rest) = bytes.as_chunks::<2>();
    let units: Vec<u16> = units.iter().map(|&pair| unit(pair)).collect();
    String::from_utf16(&units).ok().filter(|_| rest.is_empty())
}

/// A name in Unicode's composed form (NFC), in which names are compared: macOS writes "é" as two characters, and most
/// others as one.
pub fn composed(name: &str) -> String {
    name.nfc().collect()
}
