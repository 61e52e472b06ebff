//! A list of class names in a file, for weights that do not name their classes.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use super::checkpoint::Note;
use crate::text::{self, composed};
use crate::weights::location::Location;

/// Reads the names of classes in the order of a network's outputs: a name per line, a JSON list of names, or a JSON map
/// from numbers to names or from names to numbers. Where a class has several names, as in Keras's
/// `{"0": ["n01440764", "tench"], ...}`, the first one counts: it is what class folders are called.
///
/// # Errors
/// Returns an error if the file cannot be read, is neither of these, or has a name twice or a number not at all.
pub fn read(path: &Path) -> Result<Vec<String>> {
    let text = text::read(path)?;
    let names = if text.trim_start().starts_with(['[', '{']) { of_json(&text) } else { of_lines(&text) };
    let names = names.with_context(|| path.display().to_string())?;
    let names: Vec<String> = names.iter().map(|name| composed(name)).collect();
    check(&names).with_context(|| path.display().to_string())?;
    Ok(names)
}

/// The names of the classes that weights with this many `outputs` are for: those of their `note`, as our checkpoints know
/// their classes whichever experiment they are used with, or those of a list.
///
/// # Errors
/// Returns an error if there are both, or the list has another number of names than there are outputs.
pub fn of_weights(
    note: Option<&str>,
    list: Option<&[String]>,
    outputs: Option<usize>,
    location: &Location,
) -> Result<Option<Vec<String>>> {
    let note: Option<Note> = note.and_then(|text| serde_json::from_str(text).ok());
    match (note, list) {
        (Some(_), Some(_)) => bail!("{location}: contains the names of its classes; leave out the list of them"),
        (Some(note), None) => Ok(Some(note.classes)),
        (None, Some(names)) => {
            let outputs = outputs.unwrap_or(names.len());
            ensure!(
                outputs == names.len(),
                "{location}: the weights are for {outputs} classes, but the list has {} names; expected one for each class",
                names.len()
            );
            Ok(Some(names.to_vec()))
        }
        (None, None) => Ok(None),
    }
}

fn of_lines(text: &str) -> Result<Vec<String>> {
    let lines = (1..).zip(text.trim_end().lines()).map(|(number, line)| match line.trim() {
        "" => bail!("line {number}: expected the name of a class, found nothing; remove the line"),
        name => Ok(name.to_string()),
    });
    lines.collect()
}

fn of_json(text: &str) -> Result<Vec<String>> {
    match serde_json::from_str(text).context("expected one name per line, or JSON")? {
        Value::Array(items) => {
            let name = |(index, item): (usize, &Value)| {
                name_of(item).with_context(|| format!("[{index}]: expected the name of a class, found {item:.40}"))
            };
            items.iter().enumerate().map(name).collect()
        }
        Value::Object(map) => of_map(&map),
        other => bail!("expected a list or a map of class names, found {other:.40}"),
    }
}

fn of_map(map: &Map<String, Value>) -> Result<Vec<String>> {
    let mut names: Vec<Option<String>> = vec![None; map.len()];
    for (key, value) in map {
        let pair = match value.as_u64() {
            Some(number) => Some((number.try_into().ok(), key.clone())),
            None => name_of(value).map(|name| (key.parse().ok(), name)),
        };
        let Some((Some(number), name)) = pair else {
            bail!("\"{key}\": expected a number and the name of its class, found {value:.40}");
        };
        let number: usize = number;
        let most = map.len() - 1;
        let place = names.get_mut(number);
        let place = place.with_context(|| {
            format!("\"{key}\": expected numbers from 0 to {most} for {} classes, found {number}", map.len())
        })?;
        if let Some(earlier) = place.replace(name) {
            bail!("\"{key}\": the class {number} is \"{earlier}\" already");
        }
    }
    // As many places as entries, and no place twice: none is empty.
    Ok(names.into_iter().flatten().collect())
}

/// A name, or the first of several.
fn name_of(value: &Value) -> Option<String> {
    let name = if let Value::Array(names) = value { names.first()? } else { value };
    name.as_str().map(str::trim).filter(|name| !name.is_empty()).map(String::from)
}

fn check(names: &[String]) -> Result<()> {
    ensure!(!names.is_empty(), "expected the names of classes, found none");
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (place, name) in names.iter().enumerate() {
        if let Some(earlier) = places.insert(name, place) {
            bail!(
                "the classes {earlier} and {place} are both called \"{name}\", but classes are told apart by their names; rename one"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read_text(text: &str) -> Result<Vec<String>, String> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        fs::write(file.path(), text).expect("a file written");
        read(file.path()).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn lines_lists_and_maps_name_classes_in_the_order_of_their_numbers() {
        for text in [
            "tench\ngreat white shark\ncock\n",
            "\u{feff}tench\r\ngreat white shark\r\ncock\r\n\r\n",
            r#"["tench", "great white shark", "cock"]"#,
            r#"[["tench", "Tinca tinca"], ["great white shark"], ["cock"]]"#,
            r#"{"0": ["tench", "Tinca tinca"], "2": ["cock", "rooster"], "1": ["great white shark", "shark"]}"#,
            r#"{"0": "tench", "1": "great white shark", "2": "cock"}"#,
            r#"{"cock": 2, "tench": 0, "great white shark": 1}"#,
        ] {
            assert_eq!(read_text(text), Ok(["tench", "great white shark", "cock"].map(String::from).into()), "{text}");
        }
    }

    #[test]
    fn names_are_composed_as_those_of_folders_are() {
        assert_eq!(read_text("cafe\u{301}\ntea\n"), Ok(["caf\u{e9}", "tea"].map(String::from).into()));
    }

    #[test]
    fn lists_that_do_not_name_every_class_once_are_refused() {
        for (text, reason) in [
            ("", "expected the names of classes, found none"),
            ("{}", "expected the names of classes, found none"),
            ("cat\n\ndog\n", "line 2: expected the name of a class"),
            ("cat\ndog\ncat\n", "the classes 0 and 2 are both called \"cat\""),
            (r#"{"cat": 0, "dog": 0}"#, "\"dog\": the class 0 is \"cat\" already"),
            (r#"{"1": "cat", "2": "dog"}"#, "\"2\": expected numbers from 0 to 1 for 2 classes, found 2"),
            (r#"{"cat": "dog"}"#, "\"cat\": expected a number and the name of its class"),
            (r#"["cat", 3]"#, "[1]: expected the name of a class, found 3"),
            (r#"["cat""#, "expected one name per line, or JSON"),
        ] {
            let error = read_text(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
