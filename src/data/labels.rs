//! The ground truth of images that lie in one flat folder, as ILSVRC's validation images do: a list beside them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::folder::{Folder, Sample, images};
use crate::nearest::nearest;

/// Reads the images of `dir` with the labels of the list `list`. A line of it is one of
///
/// - `FILE LABEL`, with spaces, tabs or a comma between: Caffe's val.txt, or Kaggle's LOC_val_solution.csv with its header;
/// - `LABEL` alone, one for each image in the order of their sorted names.
///
/// A label is a class's name (a synset id) or, behind a file's name, its position in the class list, counted from 0.
///
/// # Errors
/// Where a label names no class, an image has no label, or the list has only numbers: those of ILSVRC's own
/// `validation_ground_truth.txt` count classes in an order of its development kit, not in that of published weights.
pub fn open_with_labels(dir: &Path, list: &Path, classes: &[String]) -> Result<Folder> {
    let mut paths = Vec::new();
    images(dir, &mut Vec::new(), &mut |path| paths.push(path))?;
    ensure!(!paths.is_empty(), "{} holds no images", dir.display());
    let text = fs::read_to_string(list).with_context(|| format!("cannot read the labels {}", list.display()))?;
    let lines: Vec<(usize, Vec<&str>)> = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.split([' ', '\t', ',']).filter(|word| !word.is_empty()).collect()))
        .filter(|(_, words): &(usize, Vec<&str>)| !words.is_empty() && words[0] != "ImageId")
        .collect();
    ensure!(!lines.is_empty(), "{} holds no labels", list.display());
    let classes = Classes { list, classes };
    let samples = if lines.iter().all(|(_, words)| words.len() == 1) {
        in_order(&paths, &lines, &classes)?
    } else {
        by_name(paths, &lines, &classes)?
    };
    Ok(Folder { classes: classes.classes.to_vec(), samples: samples.into() })
}

struct Classes<'a> {
    list: &'a Path,
    classes: &'a [String],
}

impl Classes<'_> {
    fn named(&self, line: usize, label: &str) -> Result<usize> {
        self.classes.iter().position(|class| class == label).with_context(|| {
            let near = nearest(label, self.classes.iter().map(String::as_str));
            let near = near.map_or(String::new(), |near| format!("; did you mean '{near}'?"));
            format!("{} line {line}: '{label}' is no class of the model{near}", self.list.display())
        })
    }

    fn named_or_numbered(&self, line: usize, label: &str) -> Result<usize> {
        if let Some(index) = self.classes.iter().position(|class| class == label) {
            return Ok(index);
        }
        match label.parse::<usize>() {
            Ok(index) if index < self.classes.len() => Ok(index),
            Ok(index) => bail!(
                "{} line {line}: class {index} is none of the model's {}; positions count from 0",
                self.list.display(),
                self.classes.len()
            ),
            Err(_) => self.named(line, label),
        }
    }
}

fn in_order(paths: &[PathBuf], lines: &[(usize, Vec<&str>)], classes: &Classes) -> Result<Vec<Sample>> {
    let list = classes.list.display();
    ensure!(
        lines.iter().any(|(_, words)| words[0].parse::<u64>().is_err()),
        "{list} holds numbers alone, as ILSVRC's validation_ground_truth.txt does, whose order of classes only the development kit's meta.mat tells; use a list of 'FILE LABEL' lines, such as Caffe's val.txt, or one synset id a line"
    );
    ensure!(
        lines.len() == paths.len(),
        "{list} has {} labels for {} images; without file names there must be one for each",
        lines.len(),
        paths.len()
    );
    let label = |(path, (line, words)): (&PathBuf, &(usize, Vec<&str>))| {
        Ok(Sample { path: path.clone(), label: classes.named(*line, words[0])? })
    };
    paths.iter().zip(lines).map(label).collect()
}

fn by_name(paths: Vec<PathBuf>, lines: &[(usize, Vec<&str>)], classes: &Classes) -> Result<Vec<Sample>> {
    let mut labels: HashMap<&str, usize> = HashMap::new();
    for (line, words) in lines {
        let &[file, label, ..] = words.as_slice() else {
            bail!("{} line {line}: expected FILE LABEL, found '{}'", classes.list.display(), words.join(" "));
        };
        let index = classes.named_or_numbered(*line, label)?;
        let earlier = labels.insert(stem(file), index);
        ensure!(
            earlier.is_none_or(|earlier| earlier == index),
            "{} line {line}: {file} has another label further up",
            classes.list.display()
        );
    }
    let unlabelled = |path: &PathBuf| format!("{} has no line in {}", path.display(), classes.list.display());
    paths
        .into_iter()
        .map(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).map(stem);
            let label = name.and_then(|name| labels.get(name)).copied().with_context(|| unlabelled(&path))?;
            Ok(Sample { path, label })
        })
        .collect()
}

/// Kaggle's list leaves the files' endings out.
fn stem(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}
