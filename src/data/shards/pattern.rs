//! A pattern that names several shards, as WebDataset's users write it: `train-{0000..0146}.tar`, `{train,val}-0.tar`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// More names than this are almost certainly a typo.
const MOST: usize = 1_000_000;

/// The files that a pattern names, in its order. `{0000..0146}` stands for the numbers from the first to the last, with as
/// many digits as they are written with, and `{a,b}` for either.
///
/// # Errors
/// Returns an error if braces do not match, a range is empty or too long, or one of the files does not exist.
pub fn expand(pattern: &Path) -> Result<Vec<PathBuf>> {
    let text = pattern.to_str().with_context(|| format!("{}: not valid UTF-8", pattern.display()))?;
    let names =
        alternatives(text).with_context(|| format!("{text}: expected a pattern such as train-{{0000..0146}}.tar"))?;
    let paths: Vec<PathBuf> = names.into_iter().map(PathBuf::from).collect();
    let missing: Vec<&PathBuf> = paths.iter().filter(|path| !path.is_file()).collect();
    if let Some(first) = missing.first() {
        let (count, of) = (missing.len(), paths.len());
        bail!("{}: no such shard ({count} of the {of} that {text} names are missing)", first.display());
    }
    Ok(paths)
}

fn alternatives(text: &str) -> Result<Vec<String>> {
    let Some((before, rest)) = text.split_once('{') else {
        ensure!(!text.contains('}'), "a brace is not opened");
        return Ok(vec![text.to_string()]);
    };
    let (inside, after) = rest.split_once('}').context("a brace is not closed")?;
    let middles = match inside.split_once("..") {
        Some((first, last)) => range(first, last)?,
        None => inside.split(',').map(String::from).collect(),
    };
    let ends = alternatives(after)?;
    ensure!(middles.len() * ends.len() <= MOST, "more than {MOST} names");
    let names = middles.iter().flat_map(|middle| ends.iter().map(move |end| format!("{before}{middle}{end}")));
    Ok(names.collect())
}

fn range(first: &str, last: &str) -> Result<Vec<String>> {
    let number = |text: &str| text.parse::<u64>().with_context(|| format!("{text}: not a number"));
    let (from, to) = (number(first)?, number(last)?);
    ensure!(from <= to, "the range {first}..{last} is empty");
    ensure!(to - from < MOST as u64, "the range {first}..{last} has more than {MOST} numbers");
    Ok((from..=to).map(|number| format!("{number:0width$}", width = first.len())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    // As Python's braceexpand, which WebDataset uses, expands them.
    #[test]
    fn braces_are_expanded_in_order_with_the_digits_that_are_written() {
        let expanded = |text| alternatives(text).map_err(|error| format!("{error:#}"));
        assert_eq!(
            expanded("t-{008..010}.tar").ok(),
            Some(["t-008.tar", "t-009.tar", "t-010.tar"].map(String::from).to_vec())
        );
        assert_eq!(
            expanded("{a,b}/{0..1}.tar").ok(),
            Some(["a/0.tar", "a/1.tar", "b/0.tar", "b/1.tar"].map(String::from).to_vec())
        );
        assert_eq!(expanded("one.tar").ok(), Some(vec!["one.tar".to_string()]));
        assert_eq!(expanded("{3..1}.tar"), Err("the range 3..1 is empty".to_string()));
        assert_eq!(expanded("{0..1.tar"), Err("a brace is not closed".to_string()));
    }
}
