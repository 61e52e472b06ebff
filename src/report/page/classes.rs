//! The errors of each class, in a table that can be sorted.

use super::Class;
use super::html::{Column, name, percent, scrolling, table};
use crate::metrics::{ClassErrors, Confusion};

/// The classes with the greatest top-1 errors, at most `count`, the greatest first.
pub fn worst(confusion: &Confusion, count: usize) -> Vec<ClassErrors> {
    let mut errors: Vec<ClassErrors> = confusion.classes().collect();
    errors.sort_by(|a, b| b.errors.top1_error.total_cmp(&a.errors.top1_error).then(a.class.cmp(&b.class)));
    errors.truncate(count);
    errors
}

/// The table of these of the `all` classes that have images.
pub fn section(errors: &[ClassErrors], all: usize, classes: &[Class]) -> String {
    let caption = match errors.len() < all {
        true => format!("The {} of {all} classes with the greatest top-1 errors", errors.len()),
        false => "Errors of each class, the greatest top-1 error first".to_string(),
    };
    let has_top5 = errors.iter().any(|class| class.errors.top5_error.is_some());
    let mut columns: Vec<Column> = vec![("Class", false), ("Images", true), ("Top-1 error", true)];
    columns.extend(has_top5.then_some(("Top-5 error", true)));
    columns.extend([("Loss", true), ("Most often taken for", false), ("Times", true)]);
    let rows = errors.iter().map(|class| {
        let mut cells =
            vec![name(&classes[class.class].name), class.images.to_string(), percent(class.errors.top1_error)];
        cells.extend(class.errors.top5_error.map(percent));
        let (other, times) = class
            .mistaken_for
            .map_or_else(Default::default, |(other, times)| (name(&classes[other].name), times.to_string()));
        cells.extend([format!("{:.4}", class.errors.loss), other, times]);
        cells
    });
    scrolling("Errors of each class", "long", &table(&caption, "sortable", &columns, rows))
}
