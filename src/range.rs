//! Range checks for the numbers of an experiment.

use std::fmt::Display;

/// # Errors
/// Returns what was expected and found if `value` is not within `least..=most`; NaN never is.
pub fn within<T: PartialOrd + Display>(value: T, least: T, most: T) -> Result<(), String> {
    if (&least..=&most).contains(&&value) {
        return Ok(());
    }
    Err(format!("expected a number from {least} to {most}, found {value}"))
}

/// # Errors
/// Returns what was expected and found if `value` is not above 0 and at most `most`.
pub fn positive(value: f64, most: f64) -> Result<(), String> {
    if value > 0.0 && value <= most {
        return Ok(());
    }
    Err(format!("expected a number above 0 and at most {most}, found {value}"))
}
