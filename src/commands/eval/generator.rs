//! `topfive eval` of a generator: its images against real ones that it has not learned from.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use image::RgbImage;
use tch::Tensor;

use super::fidelity::{Compared, Fidelity, Observed};
use crate::adversarial::make::pictures;
use crate::adversarial::model::GanModel;
use crate::adversarial::real;
use crate::cli::{Eval, ViewsArgument};
use crate::commands::models::trained_classifier;
use crate::commands::{Outcome, prepare, say_stored};
use crate::data::dataset::Dataset;
use crate::data::split;
use crate::experiment::gan::is_one as is_gan;
use crate::fidelity::classes::Spread;
use crate::fidelity::features::{Observer, Seen};
use crate::fidelity::{frechet, neighbours, two_sample};
use crate::model::checkpoint::BEST;
use crate::model::{Found, Model, checkpoint, find};
use crate::network::Precision;
use crate::processes::Processes;
use crate::report::Report;
use crate::report::records::write_json;
use crate::views::Views;

/// Images of each kind unless `--count` says otherwise.
const COUNT: usize = 10_000;
/// Images that the classifier looks at in one forward pass.
const BATCH: u32 = 64;

/// The first of these models that is a generator.
pub fn among(models: &[PathBuf]) -> Option<&Path> {
    let is_generator = |name: &&PathBuf| match find(name) {
        Ok(Found::Checkpoint(path)) => checkpoint::peek(&path).is_some_and(|note| is_gan(&note.experiment)),
        _ => false,
    };
    models.iter().find(is_generator).map(PathBuf::as_path)
}

/// Evaluates the generator in a run folder or a checkpoint.
pub fn run(args: &Eval, model: &Path) -> Result<Outcome> {
    refuse_classifiers_own(args, model)?;
    let begun = Instant::now();
    let mut processes = Processes::of_environment()?;
    ensure!(
        !processes.are_several(),
        "a generator is evaluated in one process, found {}; start it without a launcher",
        processes.count()
    );
    let (device, workers, report) = prepare(&args.common, &mut processes)?;
    let generator = GanModel::open(model, device)?;
    if generator.weights.ends_with(BEST) {
        report.note(format!(
            "{}: chosen among the epochs of its run by the Fréchet distance from held-out images; if they are these, the measures flatter it a little",
            generator.weights.display()
        ));
    }
    let seed = args.seed.unwrap_or(0);
    let classifier = args.features.as_deref().map(|path| trained_classifier(path, device));
    let classifier = classifier.transpose().context("--features")?;
    let batch_size = args.common.batch_size.unwrap_or(BATCH) as usize;
    let observer =
        classifier.as_ref().map(|model| Observer::new(model, batch_size)).transpose().context("--features")?;
    let dataset = held_out(&args.data, report)?;
    let has = dataset.samples.len();
    let count = args.count.map_or(COUNT, |count| count as usize);
    ensure!(args.count.is_none() || count <= has, "--count {count}: {} has {has} images only", dataset.root.display());
    let (real, bad) = real::images(&dataset, count, seed, &generator.gan, workers, report)?;
    let made = pictures(&generator.images(seed, 0..real.len() as u64, None, report)?)?;
    let verdict = two_sample::tell_apart(&real, &made, seed, device, report)?;
    let observed = classifier.iter().zip(&observer).next();
    let observed = observed.map(|(model, observer)| observe(model, observer, &real, &made, report)).transpose()?;
    let fidelity = Fidelity {
        name: generator.gan.name.clone(),
        weights: generator.weights.display().to_string(),
        data: dataset.root.display().to_string(),
        images: real.len(),
        bad,
        seed,
        verdict,
        observed,
        time: begun.elapsed(),
    };
    let shown = fidelity.show(report);
    let written = args.common.output.json.as_ref().map_or(Ok(()), |path| write_json(path, &fidelity.json()));
    written.and(shown)?;
    Ok(Outcome::of(&fidelity.bad))
}

/// Refuses flags that are about classes or several models.
fn refuse_classifiers_own(args: &Eval, model: &Path) -> Result<()> {
    let is_center = matches!(args.views[..], [ViewsArgument::Named(named)] if Views::Named(named) == Views::center());
    let named = [
        ("--weights", !args.weights.files.is_empty()),
        ("--rename", !args.weights.renames.is_empty()),
        ("--classes", args.weights.classes.is_some()),
        ("--labels", args.labels.is_some()),
        ("--views", !is_center),
        ("--compare", args.compare),
        ("--per-image", args.per_image.is_some()),
        ("--confusion", !args.confusion.is_empty()),
        ("--per-class", !args.per_class.is_empty()),
        ("--report", args.report.is_some()),
        ("--boxes", args.boxes.is_some()),
        ("--plain", args.running.plain),
        ("--precision", args.running.precision != Precision::F32),
        ("--set", !args.common.sets.is_empty()),
    ];
    ensure!(
        args.models.len() == 1,
        "{}: a generator is evaluated alone, found {} models; name them one after another",
        model.display(),
        args.models.len()
    );
    match named.iter().find(|(_, is_named)| *is_named) {
        Some((flag, _)) => {
            bail!("{flag} is for classifiers alone, and {} is a generator; leave it out", model.display())
        }
        None if args.features.is_none() && args.common.batch_size.is_some() => {
            bail!("--batch-size: cannot act without --features, whose classifier looks at so many images at a time")
        }
        None => Ok(()),
    }
}

/// The validation images in `dir`, or its training images if it has no such part.
fn held_out(dir: &Path, report: Report) -> Result<Dataset> {
    let part = split::validation_dir(dir);
    let dataset = if part == dir { split::training_images(dir) } else { split::images(&part) }?;
    if part == dir {
        report.note(format!(
            "{}: no folder \"val\", so the made images are compared with those in {}; if the generator was trained on them, an exact copy would look perfect",
            dir.display(),
            dataset.root.display()
        ));
    } else if !part.ends_with("val") {
        report.note(format!("{}: no folder \"val\", so {} is evaluated", dir.display(), part.display()));
    }
    say_stored(&dataset, report);
    Ok(dataset)
}

/// What the classifier sees in made images against real ones, and in one half of the real images against the other.
fn observe(
    model: &Model,
    observer: &Observer,
    real: &[RgbImage],
    made: &[RgbImage],
    report: Report,
) -> Result<Observed> {
    let Seen { features: real, probabilities: of_real } = observer.see(real, report)?;
    let Seen { features: made, probabilities: of_made } = observer.see(made, report)?;
    let half = real.size()[0] / 2;
    let count = model.experiment.network().classes as usize;
    Ok(Observed {
        name: model.experiment.name.clone(),
        weights: model.weights.display().to_string(),
        layer: observer.layer().to_string(),
        features: real.size()[1],
        classes: model.classes.clone().unwrap_or_else(|| (0..count).map(|class| class.to_string()).collect()),
        made: compare(&real, &made, &of_made)?,
        real: compare(&real.f_narrow(0, 0, half)?, &real.f_narrow(0, half, half)?, &of_real)?,
    })
}

/// Features of the first images, which count as real, against those of the second, and the class probabilities of some.
fn compare(real: &Tensor, made: &Tensor, probabilities: &[Vec<f32>]) -> Result<Compared> {
    Ok(Compared {
        distance: frechet::distance(real, made)?,
        coverage: neighbours::coverage(real, made)?,
        spread: Spread::of(probabilities),
    })
}
