//! A flat folder of images with a separate list of labels, like ILSVRC's validation set.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::dataset::{Dataset, Sample, Source};
use super::folder::images;
use crate::nearest::did_you_mean;

/// Reads the images of `dir` with the labels of the list `list`. Each of its lines is
///
/// - `FILE LABEL`, separated by a blank, a tab or a comma: Caffe's val.txt, or Kaggle's LOC_val_solution.csv with its
///   header; or
/// - `LABEL` alone, one per image in the order of their sorted names.
///
/// A label is the name of a class (a synset id) or, after a file's name, its position in the class list, counted from
/// 0.
///
/// # Errors
/// Returns an error if a label is not one of the classes, an image has no label, or the list holds only numbers: those
/// of ILSVRC's own `validation_ground_truth.txt` count classes in the order of its development kit, not in that of
/// published weights.
pub fn open(dir: &Path, list: &Path, classes: &[String]) -> Result<Dataset> {
    let mut paths = Vec::new();
    images(dir, &mut |path| paths.push(path))?;
    ensure!(!paths.is_empty(), "{}: no images in this folder", dir.display());
    let text = fs::read_to_string(list).with_context(|| format!("cannot read the labels {}", list.display()))?;
    let lines: Vec<(usize, Vec<&str>)> = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, fields(line)))
        .filter(|(_, words): &(usize, Vec<&str>)| !words.is_empty() && words[0] != "ImageId")
        .collect();
    ensure!(!lines.is_empty(), "{}: no labels in this file", list.display());
    let list = List { path: list, classes };
    let samples = if lines.iter().all(|(_, words)| words.len() == 1) {
        list.in_order(&paths, &lines)?
    } else {
        list.by_name(paths, &lines)?
    };
    Ok(Dataset { root: dir.to_path_buf(), classes: classes.to_vec(), samples: samples.into() })
}

struct List<'a> {
    path: &'a Path,
    classes: &'a [String],
}

impl List<'_> {
    fn in_order(&self, paths: &[PathBuf], lines: &[(usize, Vec<&str>)]) -> Result<Vec<Sample>> {
        let list = self.path.display();
        ensure!(
            lines.iter().any(|(_, words)| words[0].parse::<u64>().is_err()),
            "{list}: only numbers, as in ILSVRC's validation_ground_truth.txt, whose order of classes is defined only by the development kit's meta.mat. Use a list of \"FILE LABEL\" lines, such as Caffe's val.txt, or one synset id per line"
        );
        ensure!(
            lines.len() == paths.len(),
            "{list}: {} labels for {} images; a list without file names needs one label per image",
            lines.len(),
            paths.len()
        );
        let sample = |(path, (line, words)): (&PathBuf, &(usize, Vec<&str>))| {
            Ok(Sample { source: Source::file(path.clone()), label: self.named(*line, words[0])? })
        };
        paths.iter().zip(lines).map(sample).collect()
    }

    fn by_name(&self, paths: Vec<PathBuf>, lines: &[(usize, Vec<&str>)]) -> Result<Vec<Sample>> {
        let list = self.path.display();
        // Decided once for the whole list: classes may be called by numbers.
        let labels_of = || lines.iter().filter_map(|(_, words)| words.get(1));
        let are_names = labels_of().all(|label| self.classes.iter().any(|class| class == label));
        let are_numbers = !are_names && labels_of().all(|label| label.parse::<usize>().is_ok());
        let mut labels: HashMap<&str, usize> = HashMap::new();
        for (line, words) in lines {
            let &[file, label, ..] = words.as_slice() else {
                bail!("{list} line {line}: expected FILE LABEL, found \"{}\"", words.join(" "));
            };
            let index = if are_numbers { self.numbered(*line, label)? } else { self.named(*line, label)? };
            let earlier = labels.insert(stem(file), index);
            ensure!(
                earlier.is_none_or(|earlier| earlier == index),
                "{list} line {line}: {file} has a different label on an earlier line"
            );
        }
        let sample = |path: PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).map(stem);
            let label = name.and_then(|name| labels.get(name)).copied();
            let label = label.with_context(|| format!("{}: no line for this image in {list}", path.display()))?;
            Ok(Sample { source: Source::file(path), label })
        };
        paths.into_iter().map(sample).collect()
    }

    fn numbered(&self, line: usize, label: &str) -> Result<usize> {
        let most = self.classes.len() - 1;
        let index = label.parse().ok().filter(|&index: &usize| index <= most);
        index.with_context(|| {
            let list = self.path.display();
            format!("{list} line {line}: expected a class from 0 to {most}, found {label}; classes count from 0")
        })
    }

    fn named(&self, line: usize, label: &str) -> Result<usize> {
        self.classes.iter().position(|class| class == label).with_context(|| {
            let near = did_you_mean(label, self.classes.iter().map(String::as_str));
            format!("{} line {line}: \"{label}\" is not one of the model's classes{near}", self.path.display())
        })
    }
}

/// The words of a line. In Kaggle's lists, which have commas, the label ends at the first blank; elsewhere a file's name may
/// hold blanks, and the label is the last word.
fn fields(line: &str) -> Vec<&str> {
    let line = line.trim();
    match line.split_once(',') {
        Some((file, labels)) => [file.trim()].into_iter().chain(labels.split_whitespace().next()).collect(),
        None => match line.rsplit_once([' ', '\t']) {
            Some((file, label)) => vec![file.trim(), label],
            None if line.is_empty() => Vec::new(),
            None => vec![line],
        },
    }
}

/// A file's name without folders and extension, which Kaggle's list leaves out.
fn stem(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}
