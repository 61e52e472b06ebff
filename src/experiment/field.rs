//! The fields of the `training` section in error messages.

use anyhow::{Result, anyhow};

use crate::range::within;

/// An error with the JSON path of a field of the section.
pub fn at(field: &str, checked: Result<(), String>) -> Result<()> {
    checked.map_err(|reason| anyhow!("training.{field}: {reason}"))
}

/// Checks a range: two numbers, the first not above the second.
pub fn ordered(field: &str, [low, high]: [f64; 2], least: f64, most: f64) -> Result<()> {
    at(&format!("{field}[0]"), within(low, least, most))?;
    at(&format!("{field}[1]"), within(high, low, most))
}
