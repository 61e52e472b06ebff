//! The parts: each has a kind of files or several, and for each kind the reader that gets its mutants.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, Result, bail, ensure};
use image::ImageFormat;
use serde_json::Value;
use tch::Device;
use topfive::check::photo::Photo;
use topfive::data::dataset::Source;
use topfive::data::shards::index;
use topfive::data::{boxes, labels, shards};
use topfive::experiment::Experiment;
use topfive::model::{checkpoint, classes};
use topfive::network::parameter::{Parameter, parameters};
use topfive::report::curves;
use topfive::training::log::Log;
use topfive::training::state::State;
use topfive::weights::fit::fit;
use topfive::weights::location::Location;
use topfive::weights::safetensors;

use crate::mutator::{numbers, words};
use crate::pillow;
use crate::seeds::{self, encoded, files, fixtures};

/// A kind of files.
pub struct Kind {
    pub name: &'static str,
    /// Valid files.
    pub seeds: Vec<Vec<u8>>,
    /// What may be put anywhere in a file.
    pub words: Vec<Vec<u8>>,
    /// Reads a mutant, which is also the file at this path.
    pub read: Read,
}

type Read = fn(&[u8], &Path) -> Result<()>;

/// The names of all parts.
pub const PARTS: [&str; 6] = ["jpeg", "images", "configs", "weights", "notes-and-logs", "shards"];

/// The kinds of a part.
pub fn kinds(part: &str) -> Result<Vec<Kind>> {
    let kinds = match part {
        "jpeg" => vec![binary("jpeg", fixtures(&["jpg"])?, pillow::compare)],
        "images" => images()?,
        "configs" => vec![text("config", files("configs", &["json"])?, config)],
        "weights" => vec![
            binary("safetensors", seeds::safetensors()?, weights),
            binary("zip", seeds::zips()?, weights),
            binary("legacy", seeds::legacy()?, weights),
        ],
        "notes-and-logs" => vec![
            text("note", seeds::notes()?, note),
            text("labels", seeds::LABELS.map(Vec::from).into(), list),
            text("classes", seeds::CLASSES.map(Vec::from).into(), |_, path| classes::read(path).map(drop)),
            text("boxes", seeds::BOXES.map(Vec::from).into(), table),
            text("log", fixtures(&["jsonl"])?, log),
        ],
        "shards" => vec![
            binary("tar", fixtures(&["tar"])?, |bytes, path| shard(bytes, path, seeds::SHARD)),
            binary("tar, checksums right", fixtures(&["tar"])?, |bytes, path| {
                shard(&seeds::with_checksums(bytes), path, seeds::SHARD)
            }),
            binary("index", vec![seeds::index()?], |bytes, path| {
                shard(&seeds::with_checksum(bytes), path, &format!("{}.index", seeds::SHARD))
            }),
            text("classes.json", seeds::CONTENTS.map(Vec::from).into(), |bytes, path| {
                shard(bytes, path, "classes.json")
            }),
        ],
        other => bail!("{other}: not a part; the parts are {}", PARTS.join(", ")),
    };
    kinds.iter().try_for_each(|kind| {
        ensure!(!kind.seeds.is_empty(), "{}: no valid files", kind.name);
        Ok(())
    })?;
    Ok(kinds)
}

fn binary(name: &'static str, seeds: Vec<Vec<u8>>, read: Read) -> Kind {
    Kind { name, seeds, words: numbers(), read }
}

fn text(name: &'static str, seeds: Vec<Vec<u8>>, read: Read) -> Kind {
    Kind { name, words: words(&seeds), seeds, read }
}

/// All image formats but JPEG.
fn images() -> Result<Vec<Kind>> {
    let formats: [(&str, &[&str], ImageFormat); 11] = [
        ("png", &["png"], ImageFormat::Png),
        ("gif", &["gif"], ImageFormat::Gif),
        ("webp", &["webp"], ImageFormat::WebP),
        ("bmp", &["bmp"], ImageFormat::Bmp),
        ("tiff", &["tif", "tiff"], ImageFormat::Tiff),
        ("ico", &["ico"], ImageFormat::Ico),
        ("tga", &["tga"], ImageFormat::Tga),
        ("pnm", &["pbm", "pgm", "ppm"], ImageFormat::Pnm),
        ("hdr", &[], ImageFormat::Hdr),
        ("qoi", &[], ImageFormat::Qoi),
        ("farbfeld", &[], ImageFormat::Farbfeld),
    ];
    let kind = |(name, endings, format): (&'static str, &[&str], ImageFormat)| {
        let seeds = fixtures(endings)?.into_iter().chain(encoded(format)).collect();
        Ok(binary(name, seeds, if name == "tga" { tga } else { image }))
    };
    let mut kinds: Vec<Kind> = formats.into_iter().map(kind).collect::<Result<_>>()?;
    kinds.push(binary("png, checksums right", fixtures(&["png"])?, |bytes, path| {
        image(&seeds::with_chunk_checksums(bytes), path)
    }));
    Ok(kinds)
}

/// Reads the mutant as `topfive check` does, which looks at the header, too.
fn image(bytes: &[u8], _: &Path) -> Result<()> {
    Photo::read(&Source::memory("x".into(), bytes.to_vec())).map(drop)
}

/// TGA has no signature.
fn tga(bytes: &[u8], _: &Path) -> Result<()> {
    Photo::read(&Source::memory("x.tga".into(), bytes.to_vec())).map(drop)
}

fn config(bytes: &[u8], _: &Path) -> Result<()> {
    Experiment::parse(std::str::from_utf8(bytes)?, &[]).map(drop)
}

/// Reads the mutant for the network of most of the valid files.
fn weights(_: &[u8], path: &Path) -> Result<()> {
    static NETWORK: LazyLock<Vec<Parameter>> = LazyLock::new(|| {
        let file = seeds::root().join("tests/fixtures/checkpoints/network.json");
        parameters(Experiment::load(&file, &[]).expect("an experiment").nodes())
    });
    let loaded = Location::of(path.to_path_buf()).read(&NETWORK, &[])?;
    fit(&NETWORK, loaded.tensors, &HashSet::new(), path)?.into_tensors(Device::Cpu).map(drop)
}

/// Reads the mutant as the note of a checkpoint, or of a state, in a file whose checksum is right.
fn note(bytes: &[u8], path: &Path) -> Result<()> {
    let note: Value = serde_json::from_slice(bytes)?;
    ensure!(note.is_object(), "expected an object");
    let file = path.with_extension("safetensors");
    safetensors::write(&file, &[], &note)?;
    let text = safetensors::note_of(&safetensors::read(&file)?, &file)?;
    let state = serde_json::from_str::<State>(&text).context("not the state of a run");
    checkpoint::open(&file).and_then(|(note, _)| note.experiment(&[])).map(drop).or(state.map(drop))
}

const IMAGES: [&str; 3] = ["1.jpg", "2.jpg", "a/1.jpg"];

/// Reads the mutant as the labels of three images.
fn list(_: &[u8], path: &Path) -> Result<()> {
    let folder = path.with_extension("images");
    if !folder.exists() {
        fs::create_dir_all(folder.join("a"))?;
        IMAGES.iter().try_for_each(|name| fs::write(folder.join(name), ""))?;
    }
    let classes = ["cat", "dog", "n01440764"].map(String::from);
    labels::open(&folder, path, None).and(labels::open(&folder, path, Some(&classes))).map(drop)
}

/// Reads the mutant as a table of boxes, or as an XML file of them.
fn table(bytes: &[u8], path: &Path) -> Result<()> {
    let images = IMAGES.map(PathBuf::from);
    let open = |path: &Path| boxes::open(path, &images, &["cat", "dog", "cat"], "".as_ref()).map(drop);
    if !bytes.contains(&b'<') {
        return open(path);
    }
    let folder = path.with_extension("boxes");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("1.xml"), bytes)?;
    open(&folder)
}

fn log(_: &[u8], path: &Path) -> Result<()> {
    let mut log = Log::at(path.to_path_buf());
    curves::draw(&log.epochs()?)?;
    log.resume(&State { step: 2, ..State::default() })
}

/// Reads a shard with its index and its classes, of which the mutant takes the place of the one called `name`.
fn shard(mutant: &[u8], path: &Path, name: &str) -> Result<()> {
    let folder = path.with_extension("shards");
    fs::create_dir_all(&folder)?;
    let shard = folder.join(seeds::SHARD);
    // An index that the mutant before has left.
    let _ = fs::remove_file(index::path(&shard));
    fs::write(&shard, seeds::shard()?)?;
    fs::write(folder.join("classes.json"), seeds::CONTENTS[0])?;
    fs::write(folder.join(name), mutant)?;
    let dataset = shards::open(&folder)?;
    dataset.samples.iter().try_for_each(|sample| sample.source.bytes().map(drop))
}
