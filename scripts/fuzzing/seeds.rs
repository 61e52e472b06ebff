//! Valid files, of which mutants are made.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::Result;
use image::{DynamicImage, ImageFormat, RgbImage};
use serde_json::json;
use topfive::data::shards::{index, scan};
use topfive::experiment::Experiment;
use topfive::training::state::State;

/// Large files are mutated slowly, and hardly contain anything that small ones do not.
const LONGEST: u64 = 1 << 16;

/// The folder of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The fixtures with one of these endings, but for those that are made to take much time.
pub fn fixtures(endings: &[&str]) -> Result<Vec<Vec<u8>>> {
    files("tests/fixtures", endings)
}

/// The small files below a folder of the project with one of these endings.
pub fn files(folder: &str, endings: &[&str]) -> Result<Vec<Vec<u8>>> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let (path, length) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?.len())))?;
            let ending = path.extension().and_then(|ending| ending.to_str());
            if path.is_dir() {
                folders.extend((!path.ends_with("bombs")).then_some(path));
            } else if length <= LONGEST && ending.is_some_and(|ending| endings.contains(&ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found.iter().map(fs::read).collect::<Result<_, _>>()?)
}

/// A small image in the kinds of pixels that the format has.
pub fn encoded(format: ImageFormat) -> Vec<Vec<u8>> {
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

/// A PNG file with the right checksum in each chunk, as far as the lengths lead from one to the next.
pub fn with_chunk_checksums(png: &[u8]) -> Vec<u8> {
    let (mut png, mut at) = (png.to_vec(), 8usize);
    while let Some(length) = png.get(at..).and_then(|rest| rest.first_chunk()) {
        let end = at.saturating_add(8).saturating_add(u32::from_be_bytes(*length) as usize);
        let Some(checksum) = png.get(at + 4..end).map(crc32fast::hash) else { break };
        let Some(place) = png.get_mut(end..end + 4) else { break };
        place.copy_from_slice(&checksum.to_be_bytes());
        at = end + 4;
    }
    png
}

/// Files of safetensors.
pub fn safetensors() -> Result<Vec<Vec<u8>>> {
    let tensor =
        |kind: &str, shape: &[u64], ends: [u64; 2]| json!({ "dtype": kind, "shape": shape, "data_offsets": ends });
    let header = json!({ "a": tensor("F32", &[2, 3], [0, 24]), "b": tensor("I64", &[], [24, 32]) }).to_string();
    let plain = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 32]].concat();
    Ok(fixtures(&["safetensors"])?.into_iter().chain([plain]).collect())
}

/// torch.save's files of either format begin with these bytes.
fn torch_files(first: &[u8]) -> Result<Vec<Vec<u8>>> {
    let files = fixtures(&["pth", "pt", "tar", "ckpt"])?.into_iter();
    Ok(files.filter(|file| file.starts_with(first)).collect())
}

/// torch.save's zip files: as they are, and without checksums, so that mutants of their pickles are read, too.
pub fn zips() -> Result<Vec<Vec<u8>>> {
    let files = torch_files(b"PK")?;
    let without = files.iter().map(|file| {
        let mut file = file.clone();
        let entries: Vec<usize> = (0..file.len()).filter(|&at| file[at..].starts_with(b"PK\x01\x02")).collect();
        // In the central directory (APPNOTE.TXT, section 4.3.12).
        entries.into_iter().for_each(|at| file[at + 16..at + 20].fill(0));
        file
    });
    Ok(files.iter().cloned().chain(without).collect())
}

/// torch.save's files of before version 1.6.
pub fn legacy() -> Result<Vec<Vec<u8>>> {
    torch_files(&[0x80])
}

/// The notes of a checkpoint and of a state.
pub fn notes() -> Result<Vec<Vec<u8>>> {
    let experiment = serde_json::to_value(Experiment::load("tiny".as_ref(), &[])?)?;
    let classes = ["cat", "dog"];
    let note = json!({ "version": "0.1.0", "experiment": experiment, "classes": classes, "epoch": 1, "step": 2 });
    Ok(vec![serde_json::to_vec(&note)?, serde_json::to_vec(&State::default())?])
}

pub const LABELS: [&str; 5] = [
    "file,label\n1.jpg,cat\n2.jpg,dog\na/1.jpg,cat\n",
    "1.jpg 0\n2.jpg 1\na/1.jpg 2\n",
    "cat\ndog\ncat\n",
    "ImageId,PredictionString\n1,n01440764 1 2 3 4\n2,n01440764 1 2 3 4\na/1,n01440764 5 6 7 8\n",
    "\u{feff}\"1.jpg\";\"cat\"\r\n2.jpg;dog\r\na\\1.jpg;cat\r\n",
];

pub const CLASSES: [&str; 4] = [
    "tench\ngreat white shark\ncock\n",
    r#"["tench", ["great white shark", "Carcharodon carcharias"], "cock"]"#,
    r#"{"0": ["n01440764", "tench"], "2": ["n01514668", "cock"], "1": ["n01484850", "great white shark"]}"#,
    r#"{"cock": 2, "tench": 0, "great white shark": 1}"#,
];

pub const BOXES: [&str; 2] = [
    "path,xmin,ymin,xmax,ymax,class\n1.jpg,1,2,30,40,cat\n2.jpg,5,5,6,6,dog\na/1.jpg,1,1,500,375,cat\n",
    "<annotation><filename>1</filename><size><width>500</width><height>375</height></size><object><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>",
];

pub const CONTENTS: [&str; 3] = [
    r#"{"classes": ["ant", "bee", "cat"], "counts": [2, 1, 1]}"#,
    r#"{"classes": ["ant", "bee", "cat"], "packed": {"from": "a folder", "shorter_side": 256}}"#,
    r#"["ant", "bee", "cat"]"#,
];

/// The name of the shard that is read.
pub const SHARD: &str = "plain-000000.tar";

/// The valid shard.
pub fn shard() -> Result<Vec<u8>> {
    Ok(fs::read(shard_path())?)
}

fn shard_path() -> PathBuf {
    root().join("tests/fixtures/shards").join(SHARD)
}

/// The index of the valid shard, without its checksum.
pub fn index() -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let shard = folder.path().join(SHARD);
    fs::copy(shard_path(), &shard)?;
    index::write(&scan::scan(&shard)?.0)?;
    let mut index = fs::read(index::path(&shard))?;
    index.truncate(index.len() - 4);
    Ok(index)
}

/// An index with its checksum.
pub fn with_checksum(index: &[u8]) -> Vec<u8> {
    [index, &crc32fast::hash(index).to_le_bytes()].concat()
}

/// A tar file's block.
const BLOCK: usize = 512;

/// A tar file with the right checksum in each header, as far as the sizes lead from one to the next.
pub fn with_checksums(tar: &[u8]) -> Vec<u8> {
    let (mut tar, mut at) = (tar.to_vec(), 0usize);
    while let Some(header) = tar.get_mut(at..at.saturating_add(BLOCK)) {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = tar::Header::from_byte_slice(header).entry_size().unwrap_or(0);
        at = at
            .saturating_add(BLOCK)
            .saturating_add((size as usize).checked_next_multiple_of(BLOCK).unwrap_or(usize::MAX));
    }
    tar
}
