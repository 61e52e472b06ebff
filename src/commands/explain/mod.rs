//! `topfive explain`: where in images a model sees a class, and what its layers have learned, as pictures.

pub mod evidence;
mod learned;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::{Outcome, images, models, one_protocol, watch_signals};
use crate::atomic::check_unused;
use crate::cli::{Explain, Running};
use crate::data::dataset::Source;
use crate::evaluation::{BadImage, Classification, Outcome as Classified};
use crate::explain::evidence::Method;
use crate::explain::layers::find_map;
use crate::imagenet;
use crate::metrics::top;
use crate::model::Ensemble;
use crate::nearest::did_you_mean;
use crate::processes::Processes;
use crate::report::Report;
use crate::report::records::{Format, Records};
use evidence::Explainer;

/// Explains.
pub fn run(args: Explain) -> Result<Outcome> {
    let views = one_protocol(args.views, "explain")?;
    let needs_images = !args.filters && args.patches.is_none();
    let (names, images) = images::split("explain", &args.inputs, !needs_images || args.files_from.is_some())?;
    ensure!(names.len() == 1, "explain looks into one model; found {} before the images", names.len());
    ensure_images_for(&args, !images.is_empty() || args.files_from.is_some())?;
    // What is looked into runs layer by layer, so the predictions do, too.
    let running = Running { plain: true, ..Running::default() };
    let (ensemble, pace, report) = models::open(names, &args.weights, running, &args.common, Processes::alone())?;
    let views = views.map_or_else(|| ensemble.paper_views().cloned(), Ok)?;
    let class = args.class.as_deref().map(|name| class(&ensemble, name)).transpose()?;
    let (model, layer) = (ensemble.first(), args.layer.as_deref());
    let method = args.method.map(Into::into);
    let features = args.features.then_some(layer);
    if let Some(Some(layer)) = features {
        find_map(model.network.nodes(), layer)?;
    }
    // A layer that is named for feature maps or patches leaves the evidence alone, unless Grad-CAM is asked for.
    let is_for_others = args.features || args.patches.is_some();
    let seen = layer.filter(|_| !is_for_others || method == Some(Method::GradCam));
    let mut explainer = Explainer::new(model, views.clone(), method, seen, &args.out)?;
    let sources: Arc<[Source]> = images::found(images, args.files_from.as_deref(), &Processes::alone(), report)?.into();
    let search = args.patches.as_deref().zip(layer);
    let search = search.map(|(data, layer)| learned::Search::new(model, data, layer, &args.channels, report));
    let search = search.transpose()?;
    explainer.reserve("filters".to_string());
    search.iter().for_each(|search| explainer.reserve(search.name()));
    make_folder(&args.out).context("--out")?;

    let interrupted = watch_signals()?;
    if args.filters {
        learned::filters(model, &args.out)?;
    }
    let mut bad = Vec::new();
    if let Some(search) = search {
        match learned::patches(search, &args.out, (report, &interrupted))? {
            Some(found) => bad = found,
            None => return Ok(Outcome::Interrupted),
        }
    }
    if sources.is_empty() {
        return Ok(Outcome::of(&bad));
    }
    report.note(format!("evidence by {}, {views} view", explainer.method()));
    let outcomes =
        Classification::start(&ensemble.members(), std::slice::from_ref(&views), sources.clone(), pace, report)?;
    let records = args.common.output.json.as_deref().map(|path| Records::to(path, Format::JsonLines)).transpose()?;
    let mut each = Each { ensemble: &ensemble, explainer, class, features, report, records, bad };
    let mut bar = report.bar(sources.len() as u64, "explaining");
    for (index, (outcome, source)) in outcomes.zip(sources.iter()).enumerate() {
        let outcome = outcome?;
        bar.at(index as u64 + 1, "");
        bar.suspend(|| each.explain(source, &outcome))?;
        if interrupted.load(Ordering::Relaxed) {
            bar.clear();
            report.note(format!("interrupted after {} of {} images", index + 1, sources.len()));
            each.records.map_or(Ok(()), Records::finish)?;
            return Ok(Outcome::Interrupted);
        }
    }
    bar.clear();
    each.records.map_or(Ok(()), Records::finish)?;
    Ok(Outcome::of(&each.bad))
}

/// Refuses what is about images if there are none.
fn ensure_images_for(args: &Explain, are_there: bool) -> Result<()> {
    let named = [
        ("--features", args.features),
        ("--class", args.class.is_some()),
        ("--method", args.method.is_some()),
        ("--json", args.common.output.json.is_some()),
    ];
    match named.iter().find(|(_, is_named)| *is_named && !are_there) {
        Some((name, _)) => bail!("{name} is about images; name some after the model, or leave it out"),
        None => Ok(()),
    }
}

/// What is done for each image.
struct Each<'a> {
    ensemble: &'a Ensemble,
    explainer: Explainer<'a>,
    /// The class whose evidence is sought; `None` for each image's most probable one.
    class: Option<usize>,
    /// Whether feature maps are drawn, and of which layer if not of all stages.
    features: Option<Option<&'a str>>,
    report: Report,
    records: Option<Records<0>>,
    bad: Vec<BadImage>,
}

impl Each<'_> {
    fn explain(&mut self, source: &Source, outcome: &Classified) -> Result<()> {
        let probabilities = match outcome {
            Ok(averaged) => averaged.first().map_or(&[][..], |averaged| &averaged.mean),
            Err(image) => {
                self.report.warn(format!("{}: {}", image.name, image.reason));
                self.bad.push(image.clone());
                return self.records.as_mut().map_or(Ok(()), |it| it.write_bad(&image.name, &image.reason));
            }
        };
        let class = self.class.or_else(|| top(probabilities, 1).first().copied()).context("expected a class")?;
        let name = self.explainer.name(source);
        let drawn = self.explainer.draw(source, &name, class)?;
        if let Some(layer) = self.features {
            learned::features(self.ensemble.first(), source, &name, layer, self.explainer.out())?;
        }
        let (label, probability) = (self.ensemble.class(class), probabilities[class]);
        let (path, readable) = (source.name(), imagenet::readable(&label));
        self.report.result(format!("{path}: {readable} ({:.2} %), {}", 100.0 * probability, drawn.picture))?;
        let mut record = json!(drawn);
        record["path"] = json!(path);
        record["class"] = json!(label);
        record["probability"] = json!(probability);
        self.records.as_mut().map_or(Ok(()), |records| records.write(&record, []))
    }
}

/// The index of the class of this name, or of this readable name.
fn class(ensemble: &Ensemble, name: &str) -> Result<usize> {
    let count = ensemble.first().experiment.network().classes as usize;
    let classes: Vec<String> = (0..count).map(|index| ensemble.class(index)).collect();
    let is_it = |class: &String| class == name || imagenet::readable(class) == name;
    match classes.iter().position(is_it) {
        Some(index) => Ok(index),
        None => {
            let near = did_you_mean(name, classes.iter().map(String::as_str));
            bail!("--class {name}: not one of the model's {count} classes{near}")
        }
    }
}

/// Makes the folder for the pictures.
///
/// # Errors
/// Returns an error if it is not empty, or cannot be made.
pub fn make_folder(out: &Path) -> Result<()> {
    check_unused(out)?;
    fs::create_dir_all(out).with_context(|| format!("{}: cannot be created", out.display()))
}
