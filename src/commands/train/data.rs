//! The data of a run: opened as the command names it, and what there is to say about it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::cli::Train;
use crate::commands::labelled::{describe_absent, describe_unlisted};
use crate::commands::say_stored;
use crate::data::dataset::Dataset;
use crate::data::labels::{self, Labelled};
use crate::data::split::{Splits, ValidationSource};
use crate::experiment::{ClassWeights, Sampler, Training};
use crate::report::Report;

/// The largest class may be this many times as large as the smallest before it is mentioned.
const UNEVEN: f64 = 1.5;

/// The training and the validation images: those of folders, or of the lists that `--labels` and `--val-labels` name.
///
/// # Errors
/// Returns an error if they cannot be used.
pub fn open(args: &Train, training: &Training, report: Report) -> Result<Splits> {
    let (fraction, seed) = (training.val_fraction, training.seed);
    let Some(list) = &args.labels else { return Splits::open(&args.data, fraction, seed) };
    let train = listed(args, list, None, report).context("--labels")?;
    let Some(val_list) = &args.val_labels else {
        describe_unlisted(&train.unlisted, &args.data, report);
        return divided(train.dataset, list, fraction, seed);
    };
    ensure!(
        fraction.is_none(),
        "--val-labels {}: the validation images are those of this list, so none are split off; leave out --val-fraction (training.val_fraction)",
        val_list.display()
    );
    let val = listed(args, val_list, Some(&train.dataset.classes), report);
    let val = val.with_context(|| format!("--val-labels, whose classes are those of {}", list.display()))?;
    check_apart(&train.dataset, &val.dataset, report);
    let elsewhere: HashSet<&PathBuf> = val.unlisted.iter().collect();
    let in_neither: Vec<PathBuf> = train.unlisted.into_iter().filter(|path| elsewhere.contains(path)).collect();
    describe_unlisted(&in_neither, &args.data, report);
    Ok(Splits { train: train.dataset, val: val.dataset, source: ValidationSource::List, unlabelled: None })
}

fn listed(args: &Train, list: &Path, classes: Option<&[String]>, report: Report) -> Result<Labelled> {
    let labelled = labels::open(&args.data, list, classes)?;
    describe_absent(&labelled, list, &args.data, report);
    Ok(labelled)
}

/// Splits the images of a list.
fn divided(whole: Dataset, list: &Path, fraction: Option<f64>, seed: u64) -> Result<Splits> {
    let list = list.display();
    ensure!(
        whole.classes.len() > 1,
        "--labels {list}: expected at least two classes, found only \"{}\"; check which columns hold files and labels",
        whole.classes[0]
    );
    if let Some(lone) = whole.class_sizes().iter().position(|size| *size == 1) {
        bail!(
            "--labels {list}: a single image of \"{}\", which cannot be both trained on and validated on. Add images, take its line out, or list validation images with --val-labels",
            whole.classes[lone]
        );
    }
    Splits::of(whole, fraction, seed)
}

/// Warns of images that are both trained on and validated on.
fn check_apart(train: &Dataset, val: &Dataset, report: Report) {
    let trained: HashSet<String> = train.samples.iter().map(|sample| sample.source.name()).collect();
    let names = val.samples.iter().map(|sample| sample.source.name());
    let both: Vec<String> = names.filter(|name| trained.contains(name)).collect();
    match both.as_slice() {
        [] => {}
        [image] => report.warn(format!("{image} is in both lists, so the errors will be too low")),
        [first, ..] => {
            let count = both.len();
            report.warn(format!("{count} images are in both lists, the first {first}: the errors will be too low"));
        }
    }
}

/// Says where validation images come from, how uneven the classes are, and which have no validation images.
pub fn describe(splits: &Splits, training: &Training, report: Report) {
    let Splits { train, val, source, unlabelled } = splits;
    say_stored(train, report);
    if train.root != val.root {
        say_stored(val, report);
    }
    if let Some(test) = unlabelled {
        report.note(format!("{}: no class folders inside, so these images are not used", test.display()));
    }
    match source {
        ValidationSource::Folder("val") | ValidationSource::List => {}
        ValidationSource::Folder(name) => {
            report.note(format!("no folder \"val\", so \"{name}\" is used for validation"));
        }
        ValidationSource::Split(fraction) => report.note(format!(
            "no validation images in {}: {:.0} % of each class is split off, {} of {} images (--val-fraction; the same ones for the same files and --seed)",
            train.root.display(),
            100.0 * fraction,
            val.samples.len(),
            train.samples.len() + val.samples.len()
        )),
    }
    uneven(train, training).into_iter().for_each(|line| report.note(line));
    unvalidated(val).into_iter().for_each(|line| report.warn(line));
}

/// The smallest and the largest class, if they are far apart.
fn uneven(train: &Dataset, training: &Training) -> Option<String> {
    let sizes = train.class_sizes();
    let named = || sizes.iter().zip(&train.classes);
    let (&least, smallest) = named().min_by_key(|(size, _)| **size)?;
    let (&most, largest) = named().max_by_key(|(size, _)| **size)?;
    let remedy = match (training.class_weights, training.sampler) {
        (ClassWeights::Balanced, _) => "class_weights evens that out in the loss",
        (_, Sampler::Balanced) => "sampler draws them equally often",
        _ => "to even that out, add --set training.sampler=balanced or --set training.class_weights=balanced",
    };
    (most as f64 >= UNEVEN * least as f64)
        .then(|| format!("uneven classes, \"{smallest}\" of {least} and \"{largest}\" of {most} images: {remedy}"))
}

/// How many classes a warning names.
const SHOWN: usize = 5;

/// The classes without validation images.
fn unvalidated(val: &Dataset) -> Option<String> {
    let sizes = val.class_sizes();
    let without: Vec<&str> =
        sizes.iter().zip(&val.classes).filter(|(size, _)| **size == 0).map(|(_, class)| class.as_str()).collect();
    let shown = without[..without.len().min(SHOWN)].join(", ");
    let more = if without.len() > SHOWN { format!(" and {} more", without.len() - SHOWN) } else { String::new() };
    (!without.is_empty())
        .then(|| format!("no validation images of {shown}{more}: the errors say nothing about these classes"))
}
