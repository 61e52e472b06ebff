//! Tables, and numbers as people read them.

use std::ops::Range;
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

/// A table; the columns in `numbers` are aligned to the right.
pub fn table<const COLUMNS: usize>(
    header: [&str; COLUMNS],
    rows: impl Iterator<Item = [String; COLUMNS]>,
    numbers: Range<usize>,
) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    rows.for_each(|row| {
        table.add_row(row);
    });
    for (index, column) in table.column_iter_mut().enumerate() {
        if numbers.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// 1234567 as 1,234,567.
pub fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// A small number with at least two digits that count: 0.05 as 0.0500, 0.00032 as 3.2e-4.
pub fn significant(number: f64) -> String {
    if number == 0.0 || number >= 0.001 { format!("{number:.4}") } else { format!("{number:.1e}") }
}

/// 3725 seconds as 1 h 02 min, 65 as 1 min 05 s, 5 as 5 s.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}
