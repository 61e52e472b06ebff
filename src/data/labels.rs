//! A folder of images with a separate list of labels, like ILSVRC's validation set or one of Kaggle's.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::dataset::{Dataset, Sample, Source};
use super::list::{Row, rows};
use super::listing::{self, Listing};
use super::names::{Found, Names};
use super::shards;
use crate::nearest::did_you_mean;
use crate::text::{self, composed};

/// What a list and a folder have in common.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// The images that are in both.
    pub dataset: Dataset,
    /// The files that the list names and the folder lacks.
    pub absent: Vec<String>,
    /// The images that the list does not name.
    pub unlisted: Vec<PathBuf>,
}

/// Reads those of the images in and below `dir` that the list `list` gives labels: a table of files and labels (Caffe's
/// val.txt, Kaggle's LOC_val_solution.csv; see [`rows`]), or one label per image in the order of their sorted paths.
///
/// A file is named by its path from `dir`, or by as much of its path's end as no other image shares; its extension may be
/// left out. A label is the name of a class (a synset id) or, after a file, its position in the class list, counted from
/// 0. Without `classes` the labels of the images themselves are the classes, sorted.
///
/// # Errors
/// Returns an error if a label is not one of the classes, a name fits several images, no image has a label, or the list
/// holds only numbers: those of ILSVRC's own `validation_ground_truth.txt` count classes in the order of its development
/// kit, not in that of published weights.
pub fn open(dir: &Path, list: &Path, classes: Option<&[String]>) -> Result<Labelled> {
    let name = dir.display();
    let in_shards = || format!("{name}: shards hold the classes of their images; leave out the list of labels");
    ensure!(dir.is_dir() || !shards::are_at(dir), in_shards());
    let Listing { images: paths, left_out } = listing::list(dir, &[])?;
    ensure!(!paths.is_empty() || !shards::are_at(dir), in_shards());
    ensure!(!paths.is_empty(), "{name}: no images in this folder");
    let mut rows = rows(&text::read(list)?).with_context(|| list.display().to_string())?;
    ensure!(!rows.is_empty(), "{}: no labels in this file", list.display());
    rows.iter_mut().for_each(|row| row.label = composed(&row.label));
    rows.iter_mut().for_each(Row::shorten_kaggles_label);
    let matched = match rows.iter().all(|row| row.file.is_none()) {
        true => in_order(&paths, &rows, list)?,
        false => by_name(&paths, &rows, dir, list)?,
    };
    let own = own_classes(&matched.rows);
    let reader = List { path: list, classes: classes.unwrap_or(&own) };
    let labels = reader.labels(&matched.rows)?;
    let mut samples = Vec::with_capacity(paths.len());
    let mut unlisted = Vec::new();
    for (path, row) in paths.into_iter().zip(&matched.of_images) {
        match row {
            Some(row) => samples.push(Sample { source: Source::file(path), label: labels[*row] }),
            None => unlisted.push(path),
        }
    }
    let dataset = Dataset {
        root: dir.to_path_buf(),
        classes: reader.classes.to_vec(),
        samples: samples.into(),
        left_out: left_out.into(),
        notes: Vec::new(),
    };
    Ok(Labelled { dataset, absent: matched.absent, unlisted })
}

/// The rows of a list that belong to images.
struct Matched<'a> {
    rows: Vec<&'a Row>,
    /// For each image, the index of its row among them.
    of_images: Vec<Option<usize>>,
    /// The files that the other rows name.
    absent: Vec<String>,
}

/// Gives the images the rows in their order.
fn in_order<'a>(paths: &[PathBuf], rows: &'a [Row], list: &Path) -> Result<Matched<'a>> {
    let list = list.display();
    ensure!(
        rows.iter().any(|row| row.label.parse::<u64>().is_err()),
        "{list}: only numbers, as in ILSVRC's validation_ground_truth.txt, whose order of classes is defined only by the development kit's meta.mat. Use a list of \"FILE LABEL\" lines, such as Caffe's val.txt, or one synset id per line"
    );
    ensure!(
        rows.len() == paths.len(),
        "{list}: {} labels for {} images; a list without file names needs one label per image",
        rows.len(),
        paths.len()
    );
    Ok(Matched { rows: rows.iter().collect(), of_images: (0..rows.len()).map(Some).collect(), absent: Vec::new() })
}

/// Gives the images the rows that name them.
fn by_name<'a>(paths: &[PathBuf], rows: &'a [Row], dir: &Path, list: &Path) -> Result<Matched<'a>> {
    let names = Names::of(paths, dir);
    let mut matched = Matched { rows: Vec::new(), of_images: vec![None; paths.len()], absent: Vec::new() };
    let (dir, list) = (dir.display(), list.display());
    for row in rows {
        let (line, file) = (row.line, row.file.as_deref().unwrap_or_default());
        match names.find(file) {
            Found::One(index) => {
                let earlier = matched.of_images[index].replace(matched.rows.len());
                ensure!(
                    earlier.is_none_or(|earlier| matched.rows[earlier].label == row.label),
                    "{list} line {line}: {file} has a different label on an earlier line"
                );
                matched.rows.push(row);
            }
            Found::Several(first, second) => bail!(
                "{list} line {line}: {file} may be {} or {}; name it by its path from {dir}, or narrow that folder down",
                paths[first].display(),
                paths[second].display(),
            ),
            Found::None => matched.absent.push(file.to_string()),
        }
    }
    ensure!(
        !matched.rows.is_empty(),
        "{list}: none of the {} files that it names is in {dir}, the first being {}; expected paths from that folder",
        rows.len(),
        matched.absent[0]
    );
    Ok(matched)
}

impl Row {
    /// In Kaggle's LOC_val_solution.csv boxes follow the synset, which stands before each of several as well:
    /// `n01751748 111 108 230 708`. "Boeing 737" is a class.
    fn shorten_kaggles_label(&mut self) {
        let Some((synset, boxes)) = self.label.split_once(' ') else { return };
        let sides: Vec<&str> = boxes.split_whitespace().filter(|word| *word != synset).collect();
        let is_side = |word: &&str| word.parse::<f64>().is_ok();
        if !sides.is_empty() && sides.len().is_multiple_of(4) && sides.iter().all(is_side) {
            self.label = synset.to_string();
        }
    }
}

/// The labels as classes: numbers by their value, names by the alphabet.
fn own_classes(rows: &[&Row]) -> Vec<String> {
    let mut classes: Vec<String> = rows.iter().map(|row| row.label.clone()).collect();
    classes.sort_by_cached_key(|label| (label.parse::<u64>().ok(), label.clone()));
    classes.dedup();
    classes
}

struct List<'a> {
    path: &'a Path,
    classes: &'a [String],
}

impl List<'_> {
    /// The label of each row.
    fn labels(&self, rows: &[&Row]) -> Result<Vec<usize>> {
        let indices: HashMap<&str, usize> = self.classes.iter().map(String::as_str).zip(0..).collect();
        // Decided once for the whole list: classes may be called by numbers.
        let are_names = rows.iter().all(|row| indices.contains_key(row.label.as_str()));
        let are_numbers = !are_names && rows.iter().all(|row| row.label.parse::<usize>().is_ok());
        let label = |row: &&Row| match indices.get(row.label.as_str()) {
            _ if are_numbers => self.numbered(row.line, &row.label),
            Some(&index) => Ok(index),
            None => bail!(self.unknown(row.line, &row.label)),
        };
        rows.iter().map(label).collect()
    }

    fn numbered(&self, line: u64, label: &str) -> Result<usize> {
        let most = self.classes.len() - 1;
        let index = label.parse().ok().filter(|&index: &usize| index <= most);
        index.with_context(|| {
            let list = self.path.display();
            format!("{list} line {line}: expected a class from 0 to {most}, found {label}; classes count from 0")
        })
    }

    fn unknown(&self, line: u64, label: &str) -> String {
        let near = did_you_mean(label, self.classes.iter().map(String::as_str));
        format!("{} line {line}: \"{label}\" is not one of the model's classes{near}", self.path.display())
    }
}
