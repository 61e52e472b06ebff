//! Compares the pixels of JPEG files with those that Pillow decodes, in a helper process (`scripts/fuzz_pillow.py`).

use std::collections::BTreeMap;
use std::env;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use image::{RgbImage, imageops};
use topfive::geometry::Rect;
use topfive::image::decode::{self, Regions};

/// A helper process, and how often the two disagreed whether a file can be read, by reason.
struct Helper {
    _process: Child,
    files: ChildStdin,
    answers: ChildStdout,
    disagreements: BTreeMap<String, u64>,
}

static HELPER: Mutex<Option<Helper>> = Mutex::new(None);

/// Decodes a file in both ways.
///
/// # Errors
/// Returns an error if neither or only one accepts it. Panics if both do and see other pixels: that is a failure.
pub fn compare(bytes: &[u8], _: &Path) -> Result<()> {
    let mut helper = HELPER.lock().unwrap_or_else(PoisonError::into_inner);
    let helper = match &mut *helper {
        Some(helper) => helper,
        none => none.insert(Helper::start()?),
    };
    let here = decode::decode(bytes, "x.jpg".as_ref(), false);
    match (here, helper.decode(bytes)?) {
        (Ok(here), Ok((size, pixels))) => {
            assert_eq!(here.dimensions(), size, "other dimensions than Pillow's");
            let differing = here.as_raw().iter().zip(&pixels).filter(|(here, there)| here != there).count();
            assert!(differing == 0, "{differing} of {} values are not Pillow's", pixels.len());
            compare_region(bytes, &here)
        }
        (Err(error), Ok(_)) => {
            *helper.disagreements.entry(format!("only Pillow reads: {error:#}")).or_default() += 1;
            Err(error)
        }
        (Ok(_), Err(reason)) => {
            *helper.disagreements.entry(format!("Pillow refuses: {reason}")).or_default() += 1;
            bail!(reason)
        }
        (Err(error), Err(_)) => Err(error),
    }
}

/// Compares a region, which depends on the bytes alone, with the same part of the whole image.
fn compare_region(bytes: &[u8], whole: &RgbImage) -> Result<()> {
    let choose = |length: u32, at: usize| {
        let byte = |at: usize| u32::from(bytes[at % bytes.len()]);
        let start = 257 * byte(at) % length;
        (start, 1 + 257 * byte(at + 1) % (length - start))
    };
    let (x, width) = choose(whole.width(), bytes.len() / 2);
    let (y, height) = choose(whole.height(), bytes.len() / 3);
    let picture = decode::open(bytes, "x.jpg".as_ref(), false)?;
    let (region, place) = picture.region(Rect { x, y, width, height });
    let region = imageops::crop_imm(&*region, place.x, place.y, width, height).to_image();
    let expected = imageops::crop_imm(whole, x, y, width, height).to_image();
    assert!(region == expected, "the region of {width}x{height} at ({x}, {y}) is not what the whole image has there");
    Ok(())
}

/// The disagreements, most frequent first.
pub fn disagreements() -> Vec<(String, u64)> {
    let helper = HELPER.lock().unwrap_or_else(PoisonError::into_inner);
    let mut counts: Vec<_> = helper.iter().flat_map(|helper| helper.disagreements.clone()).collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

type Pixels = ((u32, u32), Vec<u8>);

impl Helper {
    fn start() -> Result<Self> {
        let python = env::var("PYTHON").unwrap_or("python3".into());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/fuzz_pillow.py");
        let mut process = Command::new(&python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {python}; set PYTHON to one that has Pillow"))?;
        let (files, answers) = process.stdin.take().zip(process.stdout.take()).context("no pipes")?;
        Ok(Helper { _process: process, files, answers, disagreements: BTreeMap::new() })
    }

    /// Pillow's pixels, or why it has none.
    fn decode(&mut self, bytes: &[u8]) -> Result<Result<Pixels, String>> {
        self.files.write_all(&(bytes.len() as u32).to_le_bytes())?;
        self.files.write_all(bytes)?;
        self.files.flush()?;
        let [width, height] = [self.number()?, self.number()?];
        let length = if width == 0 { height } else { 3 * width * height };
        ensure!(length < 1 << 30, "the helper's answer has {length} bytes");
        let mut content = vec![0; length as usize];
        self.answers.read_exact(&mut content).context("the helper ended; does its Python have Pillow?")?;
        Ok(if width == 0 {
            Err(String::from_utf8_lossy(&content).into_owned())
        } else {
            Ok(((width, height), content))
        })
    }

    fn number(&mut self) -> Result<u32> {
        let mut four = [0; 4];
        self.answers.read_exact(&mut four).context("the helper ended; does its Python have Pillow?")?;
        Ok(u32::from_le_bytes(four))
    }
}
