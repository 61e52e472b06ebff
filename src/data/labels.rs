//! A folder of images with a separate list of labels, like ILSVRC's validation set or one of Kaggle's.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use image::ImageFormat;

use super::dataset::{Dataset, Sample, Source};
use super::list::{Row, rows};
use super::listing::{self, Listing};
use crate::nearest::did_you_mean;
use crate::text::{self, composed};

/// What a list and a folder have in common.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// The images that are in both.
    pub dataset: Dataset,
    /// The files that the list names and the folder lacks.
    pub absent: Vec<String>,
}

/// Reads the images in and below `dir` with the labels of the list `list`: a table of files and labels (Caffe's val.txt,
/// Kaggle's LOC_val_solution.csv; see [`rows`]), or one label per image in the order of their sorted paths.
///
/// A file is named by its path from `dir`, or by as much of its path's end as no other image shares; its extension may be
/// left out. A label is the name of a class (a synset id) or, after a file, its position in the class list, counted from
/// 0. Without `classes` the labels themselves are the classes, sorted.
///
/// # Errors
/// Returns an error if a label is not one of the classes, an image has no label, a name fits several images, or the list
/// holds only numbers: those of ILSVRC's own `validation_ground_truth.txt` count classes in the order of its development
/// kit, not in that of published weights.
pub fn open(dir: &Path, list: &Path, classes: Option<&[String]>) -> Result<Labelled> {
    let Listing { images: paths, left_out } = listing::list(dir, &[])?;
    ensure!(!paths.is_empty(), "{}: no images in this folder", dir.display());
    let mut rows = rows(&text::read(list)?).with_context(|| list.display().to_string())?;
    ensure!(!rows.is_empty(), "{}: no labels in this file", list.display());
    rows.iter_mut().for_each(Row::compose);
    rows.iter_mut().for_each(Row::shorten_kaggles_label);
    let own = own_classes(&rows);
    let reader = List { path: list, dir, classes: classes.unwrap_or(&own) };
    let (labels, absent) = match rows.iter().all(|row| row.file.is_none()) {
        true => (reader.in_order(&paths, &rows)?, Vec::new()),
        false => reader.by_name(&paths, &rows)?,
    };
    let sample = |(path, label)| Sample { source: Source::file(path), label };
    let samples = paths.into_iter().zip(labels).map(sample).collect();
    let classes = reader.classes.to_vec();
    let dataset = Dataset { root: dir.to_path_buf(), classes, samples, left_out: left_out.into() };
    Ok(Labelled { dataset, absent })
}

impl Row {
    /// Names compare in their composed form.
    fn compose(&mut self) {
        self.label = composed(&self.label);
        self.file = self.file.as_deref().map(composed);
    }

    /// In Kaggle's LOC_val_solution.csv boxes follow the synset: `n01751748 111 108 230 708`.
    fn shorten_kaggles_label(&mut self) {
        if let Some((synset, boxes)) = self.label.split_once(' ')
            && boxes.split_whitespace().all(|number| number.parse::<f64>().is_ok())
        {
            self.label = synset.to_string();
        }
    }
}

/// The labels as classes: numbers by their value, names by the alphabet.
fn own_classes(rows: &[Row]) -> Vec<String> {
    let mut classes: Vec<String> = rows.iter().map(|row| row.label.clone()).collect();
    classes.sort_by_cached_key(|label| (label.parse::<u64>().ok(), label.clone()));
    classes.dedup();
    classes
}

struct List<'a> {
    path: &'a Path,
    dir: &'a Path,
    classes: &'a [String],
}

impl List<'_> {
    fn in_order(&self, paths: &[PathBuf], rows: &[Row]) -> Result<Vec<usize>> {
        let list = self.path.display();
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
        rows.iter().map(|row| self.named(row.line, &row.label)).collect()
    }

    /// The label of each image, and the files that the folder lacks.
    fn by_name(&self, paths: &[PathBuf], rows: &[Row]) -> Result<(Vec<usize>, Vec<String>)> {
        let list = self.path.display();
        // Decided once for the whole list: classes may be called by numbers.
        let are_names = rows.iter().all(|row| self.classes.contains(&row.label));
        let are_numbers = !are_names && rows.iter().all(|row| row.label.parse::<usize>().is_ok());
        let names = Names::of(paths, self.dir);
        let mut labels = vec![None; paths.len()];
        let mut absent = Vec::new();
        for row in rows {
            let (line, file) = (row.line, row.file.as_deref().unwrap_or_default());
            let label = if are_numbers { self.numbered(line, &row.label)? } else { self.named(line, &row.label)? };
            match names.find(file) {
                Found::One(index) => {
                    let earlier: Option<usize> = labels[index].replace(label);
                    ensure!(
                        earlier.is_none_or(|earlier| earlier == label),
                        "{list} line {line}: {file} has a different label on an earlier line"
                    );
                }
                Found::Several(first, second) => bail!(
                    "{list} line {line}: {file} may be {} or {}; name it by its path from {}",
                    paths[first].display(),
                    paths[second].display(),
                    self.dir.display()
                ),
                Found::None => absent.push(file.to_string()),
            }
        }
        let label = |(path, label): (&PathBuf, Option<usize>)| {
            label.with_context(|| {
                format!("{}: no line for this image in {list}; add one, or move the image away", path.display())
            })
        };
        Ok((paths.iter().zip(labels).map(label).collect::<Result<_>>()?, absent))
    }

    fn numbered(&self, line: u64, label: &str) -> Result<usize> {
        let most = self.classes.len() - 1;
        let index = label.parse().ok().filter(|&index: &usize| index <= most);
        index.with_context(|| {
            let list = self.path.display();
            format!("{list} line {line}: expected a class from 0 to {most}, found {label}; classes count from 0")
        })
    }

    fn named(&self, line: u64, label: &str) -> Result<usize> {
        self.classes.iter().position(|class| class == label).with_context(|| {
            let near = did_you_mean(label, self.classes.iter().map(String::as_str));
            format!("{} line {line}: \"{label}\" is not one of the model's classes{near}", self.path.display())
        })
    }
}

/// The images that paths name.
struct Names {
    /// For `val/cat/1.jpg` in the folder `val`: `cat/1.jpg`, with and without the extension.
    wholes: HashMap<String, Found>,
    /// `1.jpg` as well.
    ends: HashMap<String, Found>,
}

#[derive(Clone, Copy)]
enum Found {
    One(usize),
    Several(usize, usize),
    None,
}

impl Names {
    fn of(paths: &[PathBuf], dir: &Path) -> Self {
        let mut names = Names { wholes: HashMap::new(), ends: HashMap::new() };
        let insert = |map: &mut HashMap<String, Found>, name: &str, index: usize| {
            let found = map.entry(name.to_string()).or_insert(Found::One(index));
            match *found {
                Found::One(first) if first != index => *found = Found::Several(first, index),
                _ => {}
            }
        };
        for (index, path) in paths.iter().enumerate() {
            let whole = composed(&path.strip_prefix(dir).unwrap_or(path).to_string_lossy().replace('\\', "/"));
            for name in [whole.as_str(), without_extension(&whole)] {
                insert(&mut names.wholes, name, index);
                ends_of(name).for_each(|end| insert(&mut names.ends, end, index));
            }
        }
        names
    }

    /// The image that a list calls `file`. The list's paths may start below the folder or above it, but `b/1.jpg` is
    /// never `a/1.jpg`.
    fn find(&self, file: &str) -> Found {
        let file = file.replace('\\', "/");
        let file = file.trim_start_matches("./");
        let below = self.wholes.get(file).or_else(|| self.ends.get(file));
        below.or_else(|| ends_of(file).find_map(|end| self.wholes.get(end))).copied().unwrap_or(Found::None)
    }
}

/// `a/b/c`, `b/c`, `c`
fn ends_of(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |end| end.split_once('/').map(|(_, rest)| rest))
}

/// A path without an image format's extension. Another ending may be part of the name.
fn without_extension(path: &str) -> &str {
    match path.rsplit_once('.') {
        Some((bare, ending)) if ImageFormat::from_extension(ending).is_some() => bare,
        _ => path,
    }
}
