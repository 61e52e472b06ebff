//! A list of labels as a table: the rows of a CSV file or of lines of FILE LABEL, whatever separates them.

use anyhow::{Context, Result, ensure};

/// A row of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its line in the file, counted from 1.
    pub line: u64,
    /// The image; `None` if the list has only labels.
    pub file: Option<String>,
    /// The label.
    pub label: String,
}

/// Names of a file's column, in lower case.
const FILE: [&str; 12] = [
    "file",
    "filename",
    "file_name",
    "image",
    "image_id",
    "imageid",
    "image_path",
    "img",
    "path",
    "filepath",
    "name",
    "id",
];
/// Names of a label's column, in lower case.
const LABEL: [&str; 11] = [
    "label",
    "labels",
    "class",
    "class_name",
    "class_id",
    "category",
    "category_id",
    "target",
    "synset",
    "breed",
    "predictionstring",
];

/// The rows of a list. Its columns are separated by commas, semicolons or tabs, if every line has them, with quotes as
/// in CSV; otherwise the last blank separates file and label. A first line that names its columns is a header.
///
/// # Errors
/// Returns an error with the line if a row has no label, or quotes are not closed.
pub fn rows(text: &str) -> Result<Vec<Row>> {
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let separator = [b'\t', b';', b','].into_iter().find(|&byte| lines().all(|line| line.contains(char::from(byte))));
    let records = match separator {
        Some(separator) => separated(text, separator)?,
        None => by_blanks(text),
    };
    let header = records.first().and_then(|(_, fields)| Columns::of_header(fields));
    let columns = header.unwrap_or(Columns { file: 0, label: 1 });
    let is_alone = records.iter().all(|(_, fields)| fields.len() == 1);
    let row = |(line, mut fields): (u64, Vec<String>)| {
        if is_alone {
            return Ok(Row { line, file: None, label: fields.swap_remove(0) });
        }
        let found = fields.join(" ");
        let field = |column: usize| fields.get(column).filter(|field| !field.is_empty()).cloned();
        let label =
            field(columns.label).with_context(|| format!("line {line}: expected FILE LABEL, found \"{found}\""))?;
        let file =
            field(columns.file).with_context(|| format!("line {line}: expected FILE LABEL, found \"{found}\""))?;
        Ok(Row { line, file: Some(file), label })
    };
    records.into_iter().skip(usize::from(header.is_some())).map(row).collect()
}

/// Where the columns are.
#[derive(Clone, Copy)]
struct Columns {
    file: usize,
    label: usize,
}

impl Columns {
    /// The columns that a header names; `None` if the line is no header.
    fn of_header(fields: &[String]) -> Option<Self> {
        let place = |names: &[&str]| fields.iter().position(|field| names.contains(&field.to_lowercase().as_str()));
        match (place(&FILE), place(&LABEL)) {
            (Some(file), Some(label)) => Some(Columns { file, label }),
            _ => None,
        }
    }
}

fn separated(text: &str, separator: u8) -> Result<Vec<(u64, Vec<String>)>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut records = Vec::new();
    for record in reader.records() {
        let record = record.context("not a table")?;
        let line = record.position().map_or(0, csv::Position::line);
        records.push((line, record.iter().map(String::from).collect()));
    }
    ensure!(text.matches('"').count().is_multiple_of(2), "a quotation mark is not closed");
    Ok(records)
}

fn by_blanks(text: &str) -> Vec<(u64, Vec<String>)> {
    let fields = |line: &str| match line.rsplit_once([' ', '\t']) {
        Some((file, label)) => vec![file.trim().to_string(), label.to_string()],
        None => vec![line.to_string()],
    };
    let lines = (1..).zip(text.lines()).map(|(number, line)| (number, line.trim()));
    lines.filter(|(_, line)| !line.is_empty()).map(|(number, line)| (number, fields(line))).collect()
}
