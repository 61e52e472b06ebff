//! What there is to say about the data of a run.

use crate::commands::say_left_out;
use crate::data::dataset::Dataset;
use crate::data::split::{Splits, ValidationSource};
use crate::experiment::{ClassWeights, Sampler, Training};
use crate::report::Report;

/// The largest class may be this many times as large as the smallest before it is mentioned.
const UNEVEN: f64 = 1.5;

/// Says where validation images come from, how uneven the classes are, and which have no validation images.
pub fn describe(splits: &Splits, training: &Training, report: Report) {
    let Splits { train, val, source, unlabelled } = splits;
    say_left_out(&train.left_out, &train.root, report);
    if train.root != val.root {
        say_left_out(&val.left_out, &val.root, report);
    }
    if let Some(test) = unlabelled {
        report.note(format!("{}: no class folders inside, so these images are not used", test.display()));
    }
    match source {
        ValidationSource::Folder("val") => {}
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
        .then(|| format!("uneven classes, from {least} images (\"{smallest}\") to {most} (\"{largest}\"): {remedy}"))
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
