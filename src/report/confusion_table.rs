//! Tables of a confusion matrix and of each class's errors, as CSV.

use std::collections::BTreeSet;
use std::iter::once;

use anyhow::Result;

use super::records::csv;
use crate::imagenet;
use crate::metrics::{ClassErrors, Confusion, Errors};

/// The confusion matrix: one row per class that has images, one column per class that has images or was predicted.
/// `name` returns the name of a class.
///
/// # Errors
/// Returns an error only if memory runs out: the table is written to memory.
pub fn confusion(confusion: &Confusion, name: &dyn Fn(usize) -> String) -> Result<String> {
    let columns: BTreeSet<usize> = confusion.labels().chain(confusion.predicted()).collect();
    let header: Vec<String> = once("true class".to_string()).chain(columns.iter().map(|&class| name(class))).collect();
    let rows = confusion.labels().map(|label| {
        let counts = columns.iter().map(|&predicted| confusion.taken(label, predicted).to_string());
        once(name(label)).chain(counts).collect()
    });
    csv(once(header).chain(rows))
}

/// The classes: one row per class that has images, with its errors in percent and the class that it was most often
/// mistaken for. `name` returns the name of a class.
///
/// # Errors
/// Returns an error only if memory runs out: the table is written to memory.
pub fn per_class(confusion: &Confusion, name: &dyn Fn(usize) -> String) -> Result<String> {
    let header =
        ["class", "name", "images", "top1_error", "top5_error", "loss", "mistaken_for", "times"].map(String::from);
    let rows = confusion.classes().map(|ClassErrors { class, images, errors, mistaken_for }| {
        let (other, times) =
            mistaken_for.map_or_else(Default::default, |(other, times)| (name(other), times.to_string()));
        let Errors { top1_error, top5_error, loss } = errors;
        let [top1, loss] = [top1_error, loss].map(|number| number.to_string());
        let top5 = top5_error.map_or(String::new(), |error| error.to_string());
        let class = name(class);
        let readable = imagenet::readable(&class).to_string();
        [class, readable, images.to_string(), top1, top5, loss, other, times]
    });
    csv(once(header).chain(rows))
}
