//! Pictures of a confusion matrix and of each class's errors, as SVG.

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::svg::{Area, Drawn, LABEL, TITLE, document, text, write};
use crate::imagenet;
use crate::metrics::{ClassErrors, Confusion};

pub(super) const RIGHT: RGBColor = RGBColor(31, 119, 180);
pub(super) const WRONG: RGBColor = RGBColor(214, 39, 40);
const GRID: RGBColor = RGBColor(220, 220, 220);

/// Pixels reserved for a class's name, in a font of [`LABEL`] pixels.
const NAME_ROOM: i32 = 150;
/// The most characters of a name that fit in them.
const MAX_NAME: usize = 22;
/// Pixels reserved for the title.
const TITLE_ROOM: i32 = 40;

/// The most columns of a matrix that leave room for names.
const MAX_NAMED: usize = 60;
/// The most columns of a matrix that leave room for numbers in its cells.
const MAX_NUMBERED: usize = 24;

/// Draws the confusion matrix: one row per class that has images, one column for each of them as a prediction. The last
/// column collects predictions of classes that have no images. Blue is right, red is wrong; the darker, the more of the
/// row's images. `name` returns the name of a class.
///
/// # Errors
/// Returns an error if the picture cannot be drawn.
pub fn confusion(confusion: &Confusion, title: &str, name: &dyn Fn(usize) -> String) -> Result<Vec<u8>> {
    let labels: Vec<usize> = confusion.labels().collect();
    let rows: Vec<MatrixRow> = confusion.classes().map(|class| MatrixRow::new(confusion, &labels, &class)).collect();
    let has_others = rows.iter().any(|row| row.others > 0);
    let columns = labels.len() + usize::from(has_others);
    let (is_named, is_numbered) = (columns <= MAX_NAMED, columns <= MAX_NUMBERED);
    let cell = (900 / columns.max(1) as i32).clamp(1, 44);
    let margin = if is_named { NAME_ROOM } else { 20 };
    let (left, top) = (margin, TITLE_ROOM + margin);
    let size = (room_for(title, left + cell * columns as i32 + 20), top + cell * labels.len() as i32 + 20);
    document(size, |area| {
        heading(area, title)?;
        for (index, row) in rows.iter().enumerate() {
            let y = top + cell * index as i32;
            if is_named {
                name_row(area, &short(&name(row.label)), left - 6, y + cell / 2)?;
            }
            let counts = row.counts.iter().copied().chain(has_others.then_some(row.others));
            for (column, count) in counts.enumerate().filter(|&(_, count)| count > 0) {
                let x = left + cell * column as i32;
                let share = count as f64 / row.images as f64;
                let colour = if column == index { RIGHT } else { WRONG };
                area.draw(&Rectangle::new([(x, y), (x + cell, y + cell)], colour.mix(ink(share)).filled()))?;
                if is_numbered {
                    let number = if share > 0.5 { WHITE } else { BLACK };
                    let style = text(LABEL, HPos::Center, VPos::Center).color(&number);
                    write(area, &count.to_string(), (x + cell / 2, y + cell / 2), style)?;
                }
            }
        }
        let (right, bottom) = (left + cell * columns as i32, top + cell * labels.len() as i32);
        area.draw(&Rectangle::new([(left, top), (right, bottom)], GRID.stroke_width(1)))?;
        if is_named {
            let names =
                labels.iter().map(|&label| short(&name(label))).chain(has_others.then(|| "other classes".to_string()));
            for (column, name) in names.enumerate() {
                name_column(area, &name, left + cell * column as i32 + cell / 2, top - 6)?;
            }
        }
        Ok(())
    })
}

/// How opaque a cell with this share of its row's images is: even a single one must be visible.
pub(super) fn ink(share: f64) -> f64 {
    0.12 + 0.88 * share
}

/// A row of the matrix.
struct MatrixRow {
    label: usize,
    images: u64,
    /// By predicted class, for the classes that have images.
    counts: Vec<u64>,
    /// Predictions of all other classes.
    others: u64,
}

impl MatrixRow {
    fn new(confusion: &Confusion, labels: &[usize], class: &ClassErrors) -> Self {
        let counts: Vec<u64> = labels.iter().map(|&predicted| confusion.taken(class.class, predicted)).collect();
        let others = class.images - counts.iter().sum::<u64>();
        MatrixRow { label: class.class, images: class.images, counts, others }
    }
}

/// The most classes that are drawn; those with the greatest errors are chosen.
const MAX_BARS: usize = 100;

/// Draws each class's top-1 error as a bar with its top-5 error as a darker bar on top, the greatest top-1 error first.
/// `name` returns the name of a class.
///
/// # Errors
/// Returns an error if the picture cannot be drawn.
pub fn per_class(confusion: &Confusion, title: &str, name: &dyn Fn(usize) -> String) -> Result<Vec<u8>> {
    let mut classes: Vec<ClassErrors> = confusion.classes().collect();
    classes.sort_by(|a, b| b.errors.top1_error.total_cmp(&a.errors.top1_error).then(a.class.cmp(&b.class)));
    let all = classes.len();
    classes.truncate(MAX_BARS);
    let only = if all > MAX_BARS {
        format!(", the {MAX_BARS} of {all} classes with the greatest errors")
    } else {
        String::new()
    };
    let (left, top, bar, full) = (NAME_ROOM, TITLE_ROOM + 24, 18, 560);
    let bottom = top + bar * classes.len() as i32;
    let title = format!("{title}{only}");
    document((room_for(&title, left + full + 90), bottom + 40), |area| {
        heading(area, &title)?;
        for percent in [0, 25, 50, 75, 100] {
            let x = left + full * percent / 100;
            area.draw(&PathElement::new([(x, top), (x, bottom)], GRID))?;
            write(area, &format!("{percent} %"), (x, bottom + 6), text(LABEL, HPos::Center, VPos::Top))?;
        }
        let has_top5 = classes.iter().any(|class| class.errors.top5_error.is_some());
        let legend = [(WRONG.mix(0.45), "top-1 error", left), (WRONG.mix(1.0), "top-5 error", left + 110)];
        for (colour, name, x) in legend.into_iter().take(if has_top5 { 2 } else { 1 }) {
            area.draw(&Rectangle::new([(x, top - 18), (x + 12, top - 6)], colour.filled()))?;
            write(area, name, (x + 18, top - 17), text(LABEL, HPos::Left, VPos::Top))?;
        }
        for (index, class) in classes.iter().enumerate() {
            let y = top + bar * index as i32;
            name_row(area, &short(&name(class.class)), left - 6, y + bar / 2)?;
            let top5 = class.errors.top5_error.map(|error| (WRONG.mix(1.0), error));
            for (colour, error) in [(WRONG.mix(0.45), class.errors.top1_error)].into_iter().chain(top5) {
                let width = (f64::from(full) * error / 100.0).round() as i32;
                if width > 0 {
                    area.draw(&Rectangle::new([(left, y + 3), (left + width, y + bar - 3)], colour.filled()))?;
                }
            }
            let end = left + (f64::from(full) * class.errors.top1_error / 100.0).round() as i32;
            let numbers = format!("{:.1} % of {}", class.errors.top1_error, class.images);
            write(area, &numbers, (end + 5, y + bar / 2), text(10, HPos::Left, VPos::Center))?;
        }
        Ok(())
    })
}

/// The width that leaves room for this title, at least `width`.
fn room_for(title: &str, width: i32) -> i32 {
    width.max(24 + 9 * title.chars().count() as i32)
}

/// Writes the title of the picture.
fn heading(area: &Area, title: &str) -> Drawn {
    write(area, title, (12, 14), text(TITLE, HPos::Left, VPos::Top))
}

/// Writes a name to the left of (x, y).
fn name_row(area: &Area, name: &str, x: i32, y: i32) -> Drawn {
    write(area, name, (x, y), text(LABEL, HPos::Right, VPos::Center))
}

/// Writes a name upwards from (x, y).
fn name_column(area: &Area, name: &str, x: i32, y: i32) -> Drawn {
    write(area, name, (x, y), text(LABEL, HPos::Left, VPos::Center).transform(FontTransform::Rotate270))
}

/// The class's readable name, only the first one of a synset, shortened to [`MAX_NAME`] characters.
fn short(class: &str) -> String {
    let name = match imagenet::readable(class) {
        own if own == class => own,
        names => names.split(',').next().unwrap_or(names),
    };
    if name.chars().count() <= MAX_NAME {
        return name.to_string();
    }
    name.chars().take(MAX_NAME - 1).chain(['…']).collect()
}
