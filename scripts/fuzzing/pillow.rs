//! Compares the pixels of JPEG files with those that Pillow decodes, in a helper process (`scripts/fuzz_pillow.py`).

use std::env;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Result, bail};
use image::imageops;
use topfive::geometry::Rect;
use topfive::image::decode::{self, Regions};

use crate::counts;
use crate::seeds::root;

/// Larger images are not compared: that would take most of the time.
const MOST_PIXELS: usize = 1 << 22;

/// Reads a JPEG file, and compares its pixels with Pillow's, and those of a region with those of the whole image.
///
/// # Errors
/// Returns an error if it cannot be read here, or Pillow refuses it. Panics where pixels differ: that is a failure.
pub fn compare(bytes: &[u8], _: &Path) -> Result<()> {
    let here = decode::decode(bytes, "x.jpg".as_ref(), false);
    let large = here.as_ref().is_ok_and(|here| here.len() > 3 * MOST_PIXELS);
    if let (Some(helper), false) = (&*HELPER, large) {
        let there =
            helper.lock().unwrap_or_else(PoisonError::into_inner).decode(bytes).expect("Pillow's helper answers");
        match (&here, there) {
            (Ok(here), Ok((size, pixels))) => {
                assert_eq!(here.dimensions(), size, "other dimensions than Pillow's");
                let differing = here.as_raw().iter().zip(&pixels).filter(|(here, there)| here != there).count();
                assert!(differing == 0, "{differing} of {} values are not Pillow's", pixels.len());
                counts::add("with Pillow's pixels");
            }
            (Err(error), Ok(_)) => counts::add(&format!("read by Pillow only: {}", kind(&format!("{error:#}")))),
            (Ok(_), Err(reason)) => {
                counts::add(&format!("refused by Pillow only: {}", kind(&reason)));
                bail!(reason)
            }
            (Err(_), Err(_)) => {}
        }
    }
    // An image keeps its share of the memory until it is dropped.
    drop(here?);
    if large { Ok(()) } else { compare_region(bytes) }
}

/// A reason without its numbers.
fn kind(reason: &str) -> String {
    reason.split(|letter: char| letter.is_ascii_digit()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("N")
}

/// Compares a region, which depends on the bytes alone, with the same part of the whole image.
fn compare_region(bytes: &[u8]) -> Result<()> {
    let whole = decode::decode(bytes, "x.jpg".as_ref(), true)?;
    let choose = |length: u32, at: usize| {
        let byte = |at: usize| u32::from(bytes[at % bytes.len()]);
        let start = 257 * byte(at) % length;
        (start, 1 + 257 * byte(at + 1) % (length - start))
    };
    let (x, width) = choose(whole.width(), bytes.len() / 2);
    let (y, height) = choose(whole.height(), bytes.len() / 3);
    let expected = imageops::crop_imm(&*whole, x, y, width, height).to_image();
    drop(whole);
    let picture = decode::open(bytes, "x.jpg".as_ref(), true)?;
    let (region, place) = picture.region(Rect { x, y, width, height });
    let region = imageops::crop_imm(&*region, place.x, place.y, width, height).to_image();
    assert!(region == expected, "the region of {width}x{height} at ({x}, {y}) is not what the whole image has there");
    Ok(())
}

/// The helper process; `None` if there is no Pillow.
static HELPER: LazyLock<Option<Mutex<Helper>>> = LazyLock::new(|| match Helper::start() {
    Ok(helper) => Some(Mutex::new(helper)),
    Err(error) => {
        println!("without Pillow, pixels are not compared: {error}; set PYTHON to a Python that has it");
        None
    }
});

struct Helper {
    _process: Child,
    files: ChildStdin,
    answers: ChildStdout,
}

type Pixels = ((u32, u32), Vec<u8>);

impl Helper {
    fn start() -> io::Result<Self> {
        let python = env::var("PYTHON").unwrap_or("python3".into());
        let mut process = Command::new(python)
            .arg(root().join("scripts/fuzz_pillow.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (files, answers) = pipes.ok_or(io::ErrorKind::BrokenPipe)?;
        let mut helper = Helper { _process: process, files, answers };
        // It ends at once if it cannot import Pillow.
        helper.decode(&[]).map(|_| helper)
    }

    /// Pillow's pixels, or why it has none.
    fn decode(&mut self, bytes: &[u8]) -> io::Result<Result<Pixels, String>> {
        self.files.write_all(&(bytes.len() as u32).to_le_bytes())?;
        self.files.write_all(bytes)?;
        self.files.flush()?;
        let [width, height] = [self.number()?, self.number()?];
        let length = if width == 0 { height as usize } else { 3 * width as usize * height as usize };
        let mut content = vec![0; length];
        self.answers.read_exact(&mut content)?;
        Ok(if width == 0 {
            Err(String::from_utf8_lossy(&content).into_owned())
        } else {
            Ok(((width, height), content))
        })
    }

    fn number(&mut self) -> io::Result<u32> {
        let mut four = [0; 4];
        self.answers.read_exact(&mut four)?;
        Ok(u32::from_le_bytes(four))
    }
}
