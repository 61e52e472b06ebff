//! `topfive generate`: images from a generator that was trained against a discriminator.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use image::{ImageFormat, RgbImage};
use serde_json::{Value, json};
use tch::Tensor;

use super::explain::make_folder;
use super::{Outcome, workers};
use crate::adversarial::make;
use crate::adversarial::model::GanModel;
use crate::adversarial::nearest::{Nearest, nearest};
use crate::atomic::{check_new, check_unused};
use crate::cli::Generate;
use crate::data::split;
use crate::device;
use crate::image::grid::{enlarged, grid, square};
use crate::image::png;
use crate::nearest::did_you_mean;
use crate::processes::Processes;
use crate::report::Report;
use crate::report::records::write_json;

/// The side that images of a grid are enlarged to, if they are smaller.
const LEAST_SIDE: u32 = 56;

/// Generates.
pub fn run(args: Generate) -> Result<Outcome> {
    let report = Report::new(args.output.quiet, args.output.json.as_deref())?;
    let is_grid = is_grid(&args.out);
    let checked = if is_grid { check_new(&args.out) } else { check_unused(&args.out) };
    checked.context("--out")?;
    if let Some(other) = other_picture(&args.out) {
        bail!(
            "--out {}: pictures are written as .png, found .{other}; name a .png file, or a folder",
            args.out.display()
        );
    }
    if let Some(threads) = args.threads {
        tch::set_num_threads(threads as i32);
    }
    let device = device::parse(&args.device).map_err(|error| anyhow!("--device {error:#}"))?;
    let model = GanModel::open(&args.model, device)?;
    let class = args.class.as_deref().map(|name| class(&model, name)).transpose()?;
    let made = match args.interpolate {
        Some(images) => model.walks(args.seed, args.count.div_ceil(images), images, class, report)?,
        None => model.images(args.seed, 0..args.count, class, report)?,
    };
    let nearest = args.nearest.as_deref().map(|data| near(&made, &model, data, &args, report)).transpose()?;
    let pictures = make::pictures(&made)?;
    if is_grid {
        let across = args.interpolate.map_or_else(|| square(pictures.len()), |images| images as u32);
        write_grid(&args.out, &pictures, nearest.as_ref().map(|(nearest, _)| nearest.as_slice()), across)?;
    } else {
        write_single(&args, &model, &pictures, class, nearest.as_ref().map(|(nearest, _)| nearest.as_slice()), report)?;
    }
    let [channels, height, width] = model.gan.image();
    report.result(format!(
        "{} images of {channels}x{height}x{width}, made by {} after {} steps: {}",
        pictures.len(),
        model.weights.display(),
        model.step,
        args.out.display()
    ))?;
    if let Some(path) = &args.output.json {
        let nearest: Option<&Value> = nearest.as_ref().map(|(_, described)| described);
        let (out, images) = (args.out.to_string_lossy(), pictures.len());
        write_json(
            path,
            &json!({
                "model": model.weights.to_string_lossy(), "step": model.step, "seed": args.seed, "images": images,
                "out": out, "nearest": nearest,
            }),
        )?;
    }
    Ok(Outcome::Done)
}

fn is_grid(out: &Path) -> bool {
    out.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png")) && !out.is_dir()
}

/// The ending of a name that is that of a picture of another kind, rather than of a folder.
fn other_picture(out: &Path) -> Option<String> {
    let ending = out.extension()?.to_str()?.to_lowercase();
    let is_other = ending == "svg" || ImageFormat::from_extension(&ending).is_some_and(|it| it != ImageFormat::Png);
    (is_other && !out.is_dir()).then_some(ending)
}

/// The index of a class that the networks are given.
fn class(model: &GanModel, name: &str) -> Result<usize> {
    ensure!(
        model.gan.conditional,
        "--class {name}: {} was trained without classes; train one with --set conditional=true",
        model.weights.display()
    );
    match model.classes.iter().position(|class| class == name) {
        Some(index) => Ok(index),
        None => {
            let near = did_you_mean(name, model.classes.iter().map(String::as_str));
            bail!("--class {name}: not one of the model's classes{near}, which are {}", model.classes.join(", "))
        }
    }
}

/// The nearest training images, and the same for programs.
fn near(
    made: &Tensor,
    model: &GanModel,
    data: &Path,
    args: &Generate,
    report: Report,
) -> Result<(Vec<Nearest>, Value)> {
    let train = split::training_images(data).context("--nearest")?;
    let found = nearest(made, &model.gan, &train, workers(args.workers, &Processes::alone()), report)?;
    let described =
        found.iter().map(|it| json!({ "path": train.samples[it.sample].source.name(), "distance": it.distance }));
    let described = described.collect();
    Ok((found, described))
}

/// All images side by side, each followed by its nearest training image if those were sought.
fn write_grid(out: &Path, made: &[RgbImage], nearest: Option<&[Nearest]>, across: u32) -> Result<()> {
    let large = |picture: &RgbImage| enlarged(picture, LEAST_SIDE);
    let Some(nearest) = nearest else {
        let tiles: Vec<RgbImage> = made.iter().map(large).collect();
        return png::write(out, &grid(&tiles, across));
    };
    let pairs = made.iter().zip(nearest).flat_map(|(made, nearest)| [large(made), large(&nearest.picture)]);
    let tiles: Vec<RgbImage> = pairs.collect();
    png::write(out, &grid(&tiles, square(tiles.len()).next_multiple_of(2)))
}

/// One file per image, in a folder per class if the networks are given classes; grey images in grey. A nearest training image
/// lies beside its made one.
fn write_single(
    args: &Generate,
    model: &GanModel,
    made: &[RgbImage],
    class: Option<usize>,
    nearest: Option<&[Nearest]>,
    report: Report,
) -> Result<()> {
    make_folder(&args.out).context("--out")?;
    let write = |path: &Path, picture: &RgbImage| match model.gan.image() {
        [1, ..] => png::write(path, &make::grey(picture)),
        _ => png::write(path, picture),
    };
    let mut bar = report.bar(made.len() as u64, "written");
    for (number, picture) in made.iter().enumerate() {
        bar.at(number as u64, "");
        let folder = match (model.gan.conditional, class) {
            (true, class) => {
                let number = args.interpolate.map_or(number, |images| number / images as usize);
                args.out.join(&model.classes[class.unwrap_or(number % model.classes.len())])
            }
            (false, _) => args.out.clone(),
        };
        fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be created", folder.display()))?;
        write(&folder.join(format!("{number:05}.png")), picture)?;
        if let Some(nearest) = nearest {
            write(&folder.join(format!("{number:05}-nearest.png")), &nearest[number].picture)?;
        }
    }
    bar.clear();
    Ok(())
}
