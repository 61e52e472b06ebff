//! Errors with their intervals, and beside them the published ones.

use serde_json::{Value, json};

use super::html::{Column, escape, name, percent, scrolling, table};
use crate::metrics::{Interval, Tally};

/// What was measured of one model under one protocol.
#[derive(Clone, Debug)]
pub struct Row {
    /// The model.
    pub model: String,
    /// The protocol.
    pub views: String,
    /// The counts.
    pub tally: Tally,
    /// The top-1 and top-5 errors that the experiment publishes for this protocol, in percent.
    pub published: [Option<f64>; 2],
}

impl Row {
    /// The numbers for programs.
    pub fn record(&self) -> Value {
        let [top1, top5] = self.tally.intervals();
        json!({
            "model": self.model, "views": self.views, "errors": self.tally.errors(), "top1_interval": top1,
            "top5_interval": top5, "published": self.published,
        })
    }
}

const COLUMNS: [Column; 7] = [
    ("Model", false),
    ("Views", false),
    ("Top-1 error", true),
    ("Top-5 error", true),
    ("Published", true),
    ("Difference", true),
    ("Images", true),
];

/// The table of the errors, without the columns that have nothing to say.
pub fn section(rows: &[Row]) -> String {
    let has_top5 = rows.iter().any(|row| row.tally.classes > 5);
    let has_published = rows.iter().any(|row| row.published != [None, None]);
    let is_shown = |place: usize| match place {
        3 => has_top5,
        4 | 5 => has_published,
        _ => true,
    };
    let keep = |cells: Vec<String>| {
        cells.into_iter().enumerate().filter(|(place, _)| is_shown(*place)).map(|(_, cell)| cell).collect()
    };
    let columns = (0..).zip(COLUMNS).filter(|(place, _)| is_shown(*place)).map(|(_, column)| column);
    let columns: Vec<Column> = columns.collect();
    let table = table("Errors on labelled images", "", &columns, rows.iter().map(|row| keep(cells(row))));
    let intervals = "<p>Below each error is its 95&nbsp;% interval (Wilson’s): where the error on all images of this kind \
                     probably lies, these being a sample of them.</p>\n";
    scrolling("Errors", "", &table) + intervals
}

fn cells(row: &Row) -> Vec<String> {
    let errors = row.tally.errors().unwrap_or_default();
    let measured = [Some(errors.top1_error), errors.top5_error];
    let with_interval = |(error, interval): (Option<f64>, Option<Interval>)| {
        error.zip(interval).map_or_else(String::new, |(error, Interval { low, high })| {
            format!("{}<br><small>{low:.2} to {high:.2}</small>", percent(error))
        })
    };
    let [interval1, interval5] = row.tally.intervals();
    let pair = |number: fn(f64, f64) -> String| {
        let both = row.published.iter().zip(measured).map(|(published, measured)| match (published, measured) {
            (Some(published), Some(measured)) => number(*published, measured),
            _ => "–".to_string(),
        });
        both.collect::<Vec<_>>().join(" / ")
    };
    vec![
        name(&row.model),
        escape(&row.views),
        with_interval((measured[0], interval1)),
        with_interval((measured[1], interval5)),
        pair(|published, _| format!("{published:.2}")),
        pair(|published, measured| format!("{:+.2}", measured - published)),
        row.tally.images.to_string(),
    ]
}
