//! The parts: valid files of a kind, and the reader that gets their mutants.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use image::{DynamicImage, ImageFormat, RgbImage};
use serde_json::{Value, json};
use topfive::data::labels;
use topfive::experiment::Experiment;
use topfive::image::decode;
use topfive::model::checkpoint;
use topfive::report::curves;
use topfive::training::log::Log;
use topfive::training::state::State;
use topfive::weights::{self, safetensors};

use crate::pillow;

/// A kind of files.
pub struct Part {
    pub name: &'static str,
    /// The endings of the fixtures that are valid files of this kind, below `tests/fixtures` or `configs`.
    fixtures: &'static [&'static str],
    /// The image format of further valid files.
    format: Option<ImageFormat>,
    /// Whether a mutant's words are taken from the valid files.
    pub is_text: bool,
    /// Reads a mutant, which is also the file at this path.
    pub read: fn(&[u8], &Path) -> Result<()>,
}

const fn images(name: &'static str, fixtures: &'static [&'static str], format: Option<ImageFormat>) -> Part {
    Part {
        name,
        fixtures,
        format,
        is_text: false,
        read: |bytes, _| decode::decode(bytes, "x".as_ref(), true).map(drop),
    }
}

const fn texts(name: &'static str, fixtures: &'static [&'static str], read: fn(&[u8], &Path) -> Result<()>) -> Part {
    Part { name, fixtures, format: None, is_text: true, read }
}

const fn tensors(name: &'static str, fixtures: &'static [&'static str]) -> Part {
    Part { name, fixtures, format: None, is_text: false, read: |_, path| weights::read(path).map(drop) }
}

/// All parts.
pub const PARTS: &[Part] = &[
    images("jpeg", &["jpg"], None),
    images("png", &["png"], Some(ImageFormat::Png)),
    images("gif", &["gif"], Some(ImageFormat::Gif)),
    images("webp", &["webp"], Some(ImageFormat::WebP)),
    images("bmp", &["bmp"], Some(ImageFormat::Bmp)),
    images("tiff", &["tif", "tiff"], Some(ImageFormat::Tiff)),
    images("ico", &["ico"], Some(ImageFormat::Ico)),
    Part {
        read: |bytes, _| decode::decode(bytes, "x.tga".as_ref(), true).map(drop),
        ..images("tga", &["tga"], Some(ImageFormat::Tga))
    },
    images("pnm", &[], Some(ImageFormat::Pnm)),
    images("hdr", &[], Some(ImageFormat::Hdr)),
    images("qoi", &[], Some(ImageFormat::Qoi)),
    images("farbfeld", &[], Some(ImageFormat::Farbfeld)),
    texts("configs", &["json"], |bytes, _| Experiment::parse(std::str::from_utf8(bytes)?, &[]).map(drop)),
    tensors("safetensors", &["safetensors"]),
    tensors("zip.pth", &["zip.pth"]),
    tensors("legacy.pth", &["legacy.pth"]),
    texts("notes", &["note"], note),
    texts("labels", &["csv"], list),
    texts("logs", &["jsonl"], |_, path| {
        let mut log = Log::at(path.to_path_buf());
        curves::draw(&log.epochs()?)?;
        log.resume(&State { step: 2, ..State::default() })
    }),
    Part { read: pillow::compare, ..images("pillow", &["jpg"], None) },
];

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

/// Reads the mutant as the labels of three images.
fn list(_: &[u8], path: &Path) -> Result<()> {
    let folder = path.with_extension("images");
    if !folder.exists() {
        fs::create_dir_all(folder.join("a"))?;
        for name in ["1.jpg", "2.jpg", "a/1.jpg"] {
            fs::write(folder.join(name), "")?;
        }
    }
    let classes = ["cat", "dog", "n01440764"].map(String::from);
    labels::open(&folder, path, None).and(labels::open(&folder, path, Some(&classes))).map(drop)
}

impl Part {
    /// The valid files.
    pub fn seeds(&self) -> Result<Vec<Vec<u8>>> {
        let mut seeds = match self.name {
            "labels" => LABELS.iter().map(|text| text.as_bytes().to_vec()).collect(),
            "notes" => notes()?,
            "safetensors" => vec![plain_tensors()],
            _ => Vec::new(),
        };
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for path in files(&root.join("tests/fixtures"))?.into_iter().chain(files(&root.join("configs"))?) {
            let name = path.to_string_lossy();
            if self.fixtures.iter().any(|ending| name.ends_with(&format!(".{ending}"))) {
                seeds.push(fs::read(&path)?);
            }
        }
        // Large files are mutated slowly, and hardly contain anything that small ones do not.
        seeds.retain(|seed| seed.len() <= 1 << 16);
        if let Some(format) = self.format {
            seeds.extend(encoded(format));
        }
        ensure!(!seeds.is_empty(), "{}: no valid files", self.name);
        Ok(seeds)
    }

    /// What may be put anywhere in a file.
    pub fn words(&self, seeds: &[Vec<u8>]) -> Vec<Vec<u8>> {
        if !self.is_text {
            let numbers = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, u64::MAX];
            let of = |number: u64| {
                [2, 4, 8].map(|width| {
                    [&number.to_le_bytes()[..width], &number.to_be_bytes()[8 - width..]].map(<[u8]>::to_vec)
                })
            };
            return numbers.into_iter().flat_map(of).flatten().collect();
        }
        let mut words: Vec<Vec<u8>> = WORDS.iter().map(|word| word.as_bytes().to_vec()).collect();
        for seed in seeds {
            words.extend(seed.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_').map(<[u8]>::to_vec));
        }
        words.sort();
        words.dedup();
        words
    }
}

const WORDS: &[&str] = &[
    "-1",
    "0",
    "0.5",
    "65536",
    "1000000",
    "4294967296",
    "9223372036854775807",
    "18446744073709551616",
    "1e308",
    "1e-308",
    "null",
    "true",
    "\"\"",
    "[]",
    "{}",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "\\u0000",
    "\n",
    "\r\n",
    "\t",
    ";",
    " ",
    "\u{feff}",
    "\u{0301}",
    "NaN",
    "[1,1]",
    "{\"relu\":{}}",
];

const LABELS: &[&str] = &[
    "file,label\n1.jpg,cat\n2.jpg,dog\na/1.jpg,cat\n",
    "1.jpg 0\n2.jpg 1\na/1.jpg 2\n",
    "cat\ndog\ncat\n",
    "ImageId,PredictionString\n1,n01440764 1 2 3 4\n2,n01440764 1 2 3 4\na/1,n01440764 5 6 7 8\n",
    "\u{feff}\"1.jpg\";\"cat\"\r\n2.jpg;dog\r\na\\1.jpg;cat\r\n",
];

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    found.sort();
    Ok(found)
}

/// A small image in the kinds of pixels that the format has.
fn encoded(format: ImageFormat) -> Vec<Vec<u8>> {
    let rgb = RgbImage::from_fn(19, 11, |x, y| image::Rgb([(x * 13) as u8, (y * 23) as u8, (x * y) as u8]));
    let rgb = DynamicImage::from(rgb);
    let kinds: [DynamicImage; 6] = [
        rgb.to_luma8().into(),
        rgb.to_rgba8().into(),
        rgb.to_rgb16().into(),
        rgb.to_rgba16().into(),
        rgb.to_rgb32f().into(),
        rgb,
    ];
    let encode = |image: &DynamicImage| {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).ok().map(|()| bytes.into_inner())
    };
    kinds.iter().filter_map(encode).collect()
}

fn plain_tensors() -> Vec<u8> {
    let header = json!({ "a": { "dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24] }, "b": { "dtype": "I64", "shape": [], "data_offsets": [24, 32] } }).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 32]].concat()
}

/// The notes of a checkpoint and of a state.
fn notes() -> Result<Vec<Vec<u8>>> {
    let experiment = serde_json::to_value(Experiment::load("tiny".as_ref(), &[])?)?;
    let classes = ["cat", "dog"];
    let note = json!({ "version": "0.1.0", "experiment": experiment, "classes": classes, "epoch": 1, "step": 2 });
    Ok(vec![serde_json::to_vec(&note)?, serde_json::to_vec(&State::default())?])
}
