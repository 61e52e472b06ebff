//! The images of a `predict` or an `explain`: files, folders of images, shards, standard input, and lists of paths.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::commands::{SAME_IMAGES, say_left_out, say_stored};
use crate::data::dataset::Source;
use crate::data::{listing, shards};
use crate::digest::{self, digest};
use crate::experiment::builtin;
use crate::image::decode;
use crate::model::checkpoint;
use crate::processes::Processes;
use crate::report::Report;

/// What stands for standard input.
const STDIN: &str = "-";

/// Splits the arguments into models, which come first, and images. The first argument is always a model; further ones
/// are models if they are checkpoints, JSON files, run folders or built-in experiments. There must be images unless they
/// are listed elsewhere; the error then shows how `command` is used.
pub fn split<'a>(command: &str, inputs: &'a [PathBuf], are_listed: bool) -> Result<(&'a [PathBuf], &'a [PathBuf])> {
    let is_model = |path: &PathBuf| match path.extension().and_then(|ending| ending.to_str()) {
        Some("json" | "safetensors") => true,
        _ if path.exists() => path.is_dir() && checkpoint::of(path).is_ok(),
        _ => builtin::experiment(&path.to_string_lossy()).is_some(),
    };
    let models = inputs.iter().skip(1).take_while(|path| is_model(path)).count() + 1;
    let (models, images) = inputs.split_at(models);
    let is_wrong = |path: &&PathBuf| !path.exists() && path.extension().is_none() && *path != Path::new(STDIN);
    if let Some(path) = images.iter().find(is_wrong) {
        bail!("{}: no such file; expected an image, a folder of images, or a run folder", path.display());
    }
    ensure!(
        are_listed || !images.is_empty(),
        "expected images after the model; for example: topfive {command} {} photo.jpg",
        models[0].display()
    );
    Ok((models, images))
}

/// The given images, those in the given folders and shards, and those whose paths `list` has: in all processes the same.
///
/// # Errors
/// Returns an error if a folder or the list cannot be read or holds nothing, if standard input is to be read twice or by
/// several processes, or if these find different images.
pub fn found(named: &[PathBuf], list: Option<&Path>, processes: &Processes, report: Report) -> Result<Vec<Source>> {
    let of_stdin = named.iter().map(PathBuf::as_path).chain(list).filter(|path| *path == Path::new(STDIN)).count();
    ensure!(of_stdin <= 1, "standard input (-) is named {of_stdin} times, but can be read only once");
    ensure!(
        of_stdin == 0 || !processes.are_several(),
        "standard input (-) reaches only one of {} processes; name files, or start a single process",
        processes.count()
    );
    let mut images = Vec::new();
    for path in named {
        if path == Path::new(STDIN) {
            let bytes = decode::read_from(io::stdin().lock()).context("standard input")?;
            images.push(Source::memory(path.clone(), bytes));
        } else {
            push(path, &mut images, report)?;
        }
    }
    if let Some(list) = list {
        let paths = listed(list).with_context(|| format!("--files-from {}", list.display()))?;
        paths.iter().try_for_each(|path| push(path, &mut images, report))?;
    }
    let names = images.iter().fold(digest::START, |all, image| digest(all, image.name().as_bytes()));
    processes.check_same("the images", SAME_IMAGES, (images.len(), names))?;
    Ok(images)
}

fn push(path: &Path, images: &mut Vec<Source>, report: Report) -> Result<()> {
    if !path.is_dir() {
        if shards::is_shard(path) {
            return push_shards(path, images, report);
        }
        // A missing file is reported like any other unreadable one, and the remaining images are still processed.
        images.push(Source::file(path.to_path_buf()));
        return Ok(());
    }
    let listing = listing::list(path, &[])?;
    if listing.images.is_empty() && shards::are_at(path) {
        return push_shards(path, images, report);
    }
    say_left_out(&listing.left_out, path, report);
    ensure!(!listing.images.is_empty(), "{}: no images in this folder", path.display());
    images.extend(listing.images.into_iter().map(Source::file));
    Ok(())
}

fn push_shards(path: &Path, images: &mut Vec<Source>, report: Report) -> Result<()> {
    let dataset = shards::open(path)?;
    say_stored(&dataset, report);
    images.extend(dataset.samples.iter().map(|sample| sample.source.clone()));
    Ok(())
}

/// The paths in a list: one per line, or separated by NUL if there is one, as `find -print0` does.
fn listed(list: &Path) -> Result<Vec<PathBuf>> {
    let mut bytes = Vec::new();
    if list == Path::new(STDIN) {
        io::stdin().lock().read_to_end(&mut bytes).context("cannot be read")?;
    } else {
        bytes = fs::read(list).context("cannot be read")?;
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
    let separator = if bytes.contains(&0) { 0 } else { b'\n' };
    let paths = bytes.split(|byte| *byte == separator);
    let paths = paths.map(|path| if separator == b'\n' { path.strip_suffix(b"\r").unwrap_or(path) } else { path });
    let paths: Vec<PathBuf> =
        paths.filter(|path| !path.is_empty()).map(|path| OsStr::from_bytes(path).into()).collect();
    ensure!(!paths.is_empty(), "expected paths of images, one per line or separated by NUL, found none");
    Ok(paths)
}
