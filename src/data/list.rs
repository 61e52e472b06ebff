//! A list of labels as a table: the rows of a CSV file or of lines of FILE LABEL, whatever separates them.

use anyhow::{Context, Result, bail, ensure};

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
/// in CSV; otherwise the last blank separates file and label. A first line that names its columns is a header; of more
/// than two columns, a header must say which hold the files and the labels.
///
/// # Errors
/// Returns an error with the line if a row has no label, quotes are not closed, or it is not clear which columns count.
pub fn rows(text: &str) -> Result<Vec<Row>> {
    // Old programs for the Mac end lines with a carriage return alone.
    let text = &text.replace("\r\n", "\n").replace('\r', "\n");
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let separator = [b'\t', b';', b','].into_iter().find(|&byte| lines().all(|line| line.contains(char::from(byte))));
    let records = match separator {
        Some(separator) => separated(text, separator)?,
        None => by_blanks(text),
    };
    let width = records.iter().map(|(_, fields)| fields.len()).max().unwrap_or(0);
    let header = match records.split_first() {
        // What recurs is a class, even one called "target".
        Some(((_, first), others)) => Columns::of_header(first, width)?
            .filter(|columns| others.iter().all(|(_, fields)| fields.get(columns.label) != first.get(columns.label))),
        None => None,
    };
    let columns = header.unwrap_or(Columns { file: 0, label: 1 });
    let row = |(line, mut fields): (u64, Vec<String>)| {
        if width == 1 {
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
    /// The columns that a header of a list with `width` columns names; `None` if the first line is not a header. One of
    /// two columns names the other, too.
    fn of_header(fields: &[String], width: usize) -> Result<Option<Self>> {
        let place = |names: &[&str]| fields.iter().position(|field| names.contains(&field.to_lowercase().as_str()));
        let is_name = |field: Option<&String>| field.is_some_and(|field| !field.contains(['.', '/', '\\']));
        match (place(&FILE), place(&LABEL)) {
            (Some(file), Some(label)) => Ok(Some(Columns { file, label })),
            (None, Some(label)) if width == 1 => Ok(Some(Columns { file: label, label })),
            (Some(file), None) if width == 2 => Ok(Some(Columns { file, label: 1 - file })),
            // A file of this class would have an ending, or lie in a folder.
            (None, Some(label)) if width == 2 && is_name(fields.get(1 - label)) => {
                Ok(Some(Columns { file: 1 - label, label }))
            }
            (file, label) if width > 2 => {
                let lacking = match (file, label) {
                    (Some(_), _) => "labels",
                    (_, Some(_)) => "files",
                    _ => "files and labels",
                };
                bail!(
                    "expected a first line that calls the columns of files and labels \"file\" and \"label\", as there are {width}; found none for {lacking} in \"{}\"",
                    fields.join(", ")
                )
            }
            _ => Ok(None),
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
        let mut fields: Vec<String> = record.iter().map(|field| unquoted(field).to_string()).collect();
        while fields.len() > 1 && fields.last().is_some_and(String::is_empty) {
            fields.pop();
        }
        records.push((line, fields));
    }
    ensure!(text.matches('"').count().is_multiple_of(2), "a quotation mark is not closed");
    Ok(records)
}

/// A field without the quotes around it, which the reader leaves where a blank follows the separator: `1.png, "cat"`.
fn unquoted(field: &str) -> &str {
    let inner = field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.filter(|inner| !inner.contains('"')).unwrap_or(field)
}

fn by_blanks(text: &str) -> Vec<(u64, Vec<String>)> {
    let fields = |line: &str| match line.rsplit_once([' ', '\t']) {
        Some((file, label)) => vec![file.trim().to_string(), label.to_string()],
        None => vec![line.to_string()],
    };
    let lines = (1..).zip(text.lines()).map(|(number, line)| (number, line.trim()));
    lines.filter(|(_, line)| !line.is_empty()).map(|(number, line)| (number, fields(line))).collect()
}
