//! Labelled images for a model that names its classes, or does not: the data of an `eval`, and what lists leave out.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::data::dataset::Dataset;
use crate::data::labels::Labelled;
use crate::data::{labels, stored};
use crate::imagenet;
use crate::model::Ensemble;
use crate::report::Report;

/// The images of `dir`, labelled by the models' classes, in class folders or by the list `list`. Folders are matched by
/// name; by number if all are called by numbers; by position only if the classes' names are not known.
///
/// # Errors
/// Returns an error if the images cannot be found, or have other classes.
pub fn open(ensemble: &Ensemble, dir: &Path, list: Option<&Path>, report: Report) -> Result<Dataset> {
    let weights = ensemble.first().weights.display();
    match (ensemble.classes(), list) {
        (Some(classes), Some(list)) => {
            let labelled = labels::open(dir, list, Some(classes)).context("--labels")?;
            describe_absent(&labelled, list, dir, report);
            describe_unlisted(&labelled.unlisted, dir, report);
            Ok(labelled.dataset)
        }
        (Some(classes), None) => in_folders(stored::open(dir)?, classes, report),
        (None, Some(list)) => {
            let labelled = labels::open(dir, list, Some(&numbers(ensemble))).with_context(|| {
                format!("--labels: {weights} does not contain class names, so labels are expected to be numbers from 0; --classes FILE names the classes")
            })?;
            report.note(format!(
                "{weights} does not contain class names; assuming that the numbers in {} are those of its outputs, from 0",
                list.display()
            ));
            describe_absent(&labelled, list, dir, report);
            describe_unlisted(&labelled.unlisted, dir, report);
            Ok(labelled.dataset)
        }
        (None, None) => by_position(ensemble, dir, report),
    }
}

fn in_folders(dataset: Dataset, classes: &[String], report: Report) -> Result<Dataset> {
    let is_known = |name: &String| classes.contains(name);
    match dataset.numbers() {
        Some(numbers) if !dataset.classes.iter().any(is_known) => {
            let folder = dataset.root.join(&dataset.classes[0]);
            let matched = dataset.with_numbered_classes(&numbers, classes)?;
            let class = imagenet::readable(&classes[numbers[0]]);
            report.note(format!(
                "class folders with numbers for names are matched by number, from 0: {} is {class}",
                folder.display()
            ));
            Ok(matched)
        }
        _ => dataset.with_classes(classes, "the model"),
    }
}

/// The names of classes that are known by their numbers alone.
fn numbers(ensemble: &Ensemble) -> Vec<String> {
    (0..ensemble.first().experiment.network().classes).map(|number| number.to_string()).collect()
}

fn by_position(ensemble: &Ensemble, dir: &Path, report: Report) -> Result<Dataset> {
    let (dataset, names) = (stored::open(dir)?, numbers(ensemble));
    let weights = ensemble.first().weights.display();
    if let Some(numbers) = dataset.numbers() {
        report.note(format!(
            "{weights} does not contain class names; class folders with numbers for names are matched by number, from 0"
        ));
        return dataset.with_numbered_classes(&numbers, &names);
    }
    ensure!(
        dataset.classes.len() == names.len(),
        "{}: {} class folders, but the model has {} classes, and {weights} does not contain their names; without class names, every class folder must be present. Name the classes with --classes FILE",
        dir.display(),
        dataset.classes.len(),
        names.len()
    );
    report.note(format!(
        "{weights} does not contain class names; assuming that the class folders in sorted order are the classes 0, 1, 2, ... (--classes FILE names them)"
    ));
    Ok(dataset)
}

/// Says which files a list names in vain.
pub fn describe_absent(labelled: &Labelled, list: &Path, dir: &Path, report: Report) {
    let (list, dir) = (list.display(), dir.display());
    match labelled.absent.as_slice() {
        [] => {}
        [file] => report.warn(format!("{list}: names {file}, which is not in {dir}")),
        [first, ..] => {
            let count = labelled.absent.len();
            report.warn(format!("{list}: names {count} files that are not in {dir}, the first {first}"));
        }
    }
}

/// Says which images no list names.
pub fn describe_unlisted(unlisted: &[PathBuf], dir: &Path, report: Report) {
    match unlisted {
        [] => {}
        [image] => report.warn(format!("{}: in no list of labels, and so left out", image.display())),
        [first, ..] => report.warn(format!(
            "{}: {} images are in no list of labels, and so left out, the first {}",
            dir.display(),
            unlisted.len(),
            first.display()
        )),
    }
}
