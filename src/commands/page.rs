//! What the pages of `train` and `eval` share: what was run on which machine, and the images that are shown.

use std::collections::HashMap;
use std::path::Path;
use std::{env, fs};

use anyhow::{Context, Result};
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use tch::Device;

use crate::data::dataset::Sample;
use crate::device;
use crate::explain::finder::Finder;
use crate::explain::thumbnail::thumbnail;
use crate::imagenet;
use crate::metrics::{Answer, Notable};
use crate::model::Model;
use crate::report::page::{Class, Picture, Pictures, Thumbnail};
use crate::views::Views;

/// Images in each gallery.
const SHOWN: usize = 12;
/// The longer side of a small picture in pixels, and its quality as a JPEG: about 6 KB each.
const SIDE: u32 = 160;
const QUALITY: u8 = 80;

/// The command line, quoted where a shell would need it.
pub fn command() -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_./,:=+@%".contains(letter);
    let quoted = |argument: String| match !argument.is_empty() && argument.chars().all(is_plain) {
        true => argument,
        false => format!("'{}'", argument.replace('\'', "'\\''")),
    };
    let arguments = env::args_os().skip(1).map(|argument| quoted(argument.to_string_lossy().into_owned()));
    ["topfive".to_string()].into_iter().chain(arguments).collect::<Vec<_>>().join(" ")
}

/// What a title calls a folder: its own name, or the last two of its path if `is_part` of a data set.
pub fn short(folder: &Path, is_part: bool) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    let names: Vec<_> = folder.iter().map(|name| name.to_string_lossy()).collect();
    names[names.len().saturating_sub(1 + usize::from(is_part))..].join("/")
}

/// The versions that were run.
pub fn version() -> String {
    format!("topfive {}, libtorch {}", env!("CARGO_PKG_VERSION"), env!("TOPFIVE_LIBTORCH_VERSION"))
}

/// The device and the processor.
pub fn machine(device: Device) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(format!("{}, ", line.split_once(':')?.1.trim()))
    });
    format!(
        "{}; {}{cores} cores, {} threads; {} {}",
        device::name(device),
        processor.unwrap_or_default(),
        tch::get_num_threads(),
        env::consts::OS,
        env::consts::ARCH
    )
}

/// The classes with readable names: the first one of WordNet's for a synset, with its id if another class has that name,
/// too.
pub fn classes(ids: impl Iterator<Item = String>) -> Vec<Class> {
    let name = |id: &str| match imagenet::readable(id) {
        own if own == id => own.to_string(),
        names => names.split(',').next().unwrap_or(names).to_string(),
    };
    let mut classes: Vec<Class> = ids.map(|id| Class { name: name(&id), id }).collect();
    let mut times: HashMap<String, u32> = HashMap::new();
    classes.iter().for_each(|class| *times.entry(class.name.clone()).or_default() += 1);
    for class in &mut classes {
        if times[&class.name] > 1 && class.name != class.id {
            class.name = format!("{} ({})", class.name, class.id);
        }
    }
    classes
}

/// The images that are worth a look. `model` finds the evidence; `None` for an ensemble, which has none of its own.
pub fn pictures(model: Option<&Model>, samples: &[Sample], answers: &[Option<Answer>], root: &Path) -> Pictures {
    let finder = match model {
        None => Err("Ensembles have no single map of evidence.".to_string()),
        Some(model) => {
            let finder = Finder::new(&model.network, &model.experiment, Views::center(), None, None);
            finder.map_err(|error| format!("No evidence maps: {error:#}."))
        }
    };
    let evidence = match &finder {
        Ok(finder) => format!(
            "Beside each image: where the evidence for its prediction lies ({finder}); what the center view does not show is dimmed."
        ),
        Err(reason) => reason.clone(),
    };
    let shown = |places: Vec<usize>| {
        let found = places.into_iter().filter_map(|place| Some((&samples[place], answers[place]?)));
        found.map(|(sample, answer)| picture(finder.as_ref().ok(), sample, answer, root)).collect()
    };
    let Notable { mistakes, hits, labels } = Notable::of(answers, SHOWN);
    Pictures { mistakes: shown(mistakes), hits: shown(hits), labels: shown(labels), evidence }
}

/// An image as the page shows it; without a picture if it cannot be read any more.
fn picture(finder: Option<&Finder>, sample: &Sample, answer: Answer, root: &Path) -> Picture {
    let drawn = match finder {
        Some(finder) => finder.thumbnails(&sample.source, answer.prediction, SIDE).map(Vec::from),
        None => sample.source.image(true).map(|image| vec![thumbnail(&image, SIDE)]),
    };
    let small: Result<Vec<Thumbnail>> = drawn.and_then(|drawn| drawn.iter().map(compressed).collect());
    let mut small = small.unwrap_or_default().into_iter();
    let path = String::from_utf8_lossy(&sample.source.name_below(root)).into_owned();
    Picture { path, answer, image: small.next(), evidence: small.next() }
}

fn compressed(image: &RgbImage) -> Result<Thumbnail> {
    let mut jpeg = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
    image.write_with_encoder(encoder).context("a small picture cannot be written")?;
    Ok(Thumbnail { jpeg, width: image.width(), height: image.height() })
}
