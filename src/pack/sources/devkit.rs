//! ILSVRC's development kit: the classes of the images to validate on, as numbers, and the synsets that it numbers so.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use flate2::read::{GzDecoder, ZlibDecoder};
use tar::Archive;

/// The name of its archive.
pub const ARCHIVE: &str = "ILSVRC2012_devkit_t12.tar.gz";
/// The list of the images' classes in it, one number from 1 per line.
const TRUTH: &str = "data/ILSVRC2012_validation_ground_truth.txt";
/// The list of synsets in it, a file of MATLAB's.
const META: &str = "data/meta.mat";
/// A file of the kit is not larger than this when it is unpacked, in bytes.
const MOST: u64 = 1 << 28;

/// The classes of the images to validate on, in the order of their names, as places in `classes`.
///
/// # Errors
/// Returns an error if the archive lacks a file, or its synsets are not those of `classes`.
pub fn labels(archive: &Path, classes: &[String]) -> Result<Vec<usize>> {
    let name = archive.display();
    let truth = String::from_utf8_lossy(&file(archive, TRUTH)?).into_owned();
    let synsets: Vec<String> = synsets(&file(archive, META)?)
        .with_context(|| format!("{name}/{META}: not a file of MATLAB's version 5"))?
        .into_iter()
        .take(classes.len())
        .collect();
    let distinct: HashSet<&String> = synsets.iter().collect();
    ensure!(
        distinct.len() == classes.len() && classes.iter().all(|class| distinct.contains(class)),
        "{name}/{META}: its first {} synsets are not the classes of the training images",
        classes.len()
    );
    let places: HashMap<&String, usize> = classes.iter().zip(0..).collect();
    let label = |line: &str| {
        let synset = line.trim().parse().ok().and_then(|number: usize| synsets.get(number.checked_sub(1)?));
        let label = synset.and_then(|synset| places.get(synset)).copied();
        label
            .with_context(|| format!("{name}/{TRUTH}: expected a number from 1 to {}, found \"{line}\"", classes.len()))
    };
    truth.lines().filter(|line| !line.trim().is_empty()).map(label).collect()
}

/// The content of a file in the archive, which lies in a folder of its name.
fn file(archive: &Path, wanted: &str) -> Result<Vec<u8>> {
    let name = archive.display();
    let corrupt = || format!("{name}: corrupt or truncated");
    let file = File::open(archive).with_context(|| format!("{name}: cannot be opened"))?;
    for member in Archive::new(GzDecoder::new(file)).entries().with_context(corrupt)? {
        let member = member.with_context(corrupt)?;
        if member.path().is_ok_and(|path| path.ends_with(wanted)) {
            let mut bytes = Vec::new();
            member.take(MOST).read_to_end(&mut bytes).with_context(corrupt)?;
            return Ok(bytes);
        }
    }
    None.with_context(|| format!("{name}: holds no {wanted}"))
}

/// The header of a MAT-file of version 5.
const MAT_HEADER: usize = 128;
/// The type of an element that is compressed.
const COMPRESSED: u32 = 15;

/// The synset ids in a MAT-file, in their order, each as often as it occurs. MATLAB numbers synsets in this order, and writes
/// text with one or two bytes per letter; of the file nothing else is read. MAT-File Format, "Level 5 MAT-File Format".
fn synsets(mat: &[u8]) -> Option<Vec<String>> {
    let mut content = Vec::new();
    let mut rest = mat.get(MAT_HEADER..)?;
    while let Some((header, after)) = rest.split_first_chunk::<8>() {
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let element = after.get(..word(4) as usize)?;
        match word(0) {
            COMPRESSED => _ = ZlibDecoder::new(element).take(MOST).read_to_end(&mut content).ok()?,
            _ => content.extend_from_slice(element),
        }
        rest = &after[element.len()..];
    }
    content.retain(|byte| *byte != 0);
    let is_id = |id: &[u8]| id[0] == b'n' && id[1..].iter().all(u8::is_ascii_digit);
    let ids = content.windows(9).filter(|window| is_id(window));
    Some(ids.map(|id| String::from_utf8_lossy(id).into_owned()).collect())
}
