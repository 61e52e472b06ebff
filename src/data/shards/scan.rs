//! A scan of a shard: its members, put together to samples.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use tar::Archive;

use super::shard::{BLOCK, MOST_BYTES, Member, Shard};
use crate::data::listing::{LeftOut, Reason};
use crate::image::format;

/// The largest member that is read for a label, in bytes.
const MOST_LABEL_BYTES: u64 = 1 << 20;
/// The largest number of a class; more would be a mistake, and each takes memory.
const MOST_CLASSES: u32 = 1 << 20;

/// Reads the headers of a shard's members. Consecutive members with one key, their path up to the first dot of the file
/// name, are a sample. Its image is the member with the ending of an image format; its class is the number in `KEY.cls`,
/// `KEY.cls.txt`, or the field `label` or `cls` of `KEY.json`.
///
/// Reading ends where the tar file is corrupt or truncated; the samples before count.
///
/// # Errors
/// Returns an error if the file cannot be opened.
pub fn scan(path: &Path) -> Result<(Shard, Vec<LeftOut>)> {
    let unreadable = || format!("{}: this shard cannot be opened", path.display());
    let file = File::open(path).with_context(unreadable)?;
    let size = file.metadata().with_context(unreadable)?.len();
    let mut scan = Scan { shard: Shard::new(path.to_path_buf()), left_out: Vec::new(), sample: None };
    let end = scan.members(&file, size)?;
    let is_whole = ends_at(&file, end, size);
    // The damage may have taken part of the last sample.
    scan.finish_sample(is_whole)?;
    if !is_whole {
        let reason = Reason::Truncated { lost: size - end };
        scan.left_out.push(LeftOut { path: path.to_path_buf(), reason });
    }
    Ok((scan.shard, scan.left_out))
}

/// What may follow the last member: empty blocks, at least one, and not more than this many bytes.
const MOST_PADDING: u64 = 1 << 20;

/// Whether nothing but empty blocks follows the last member of a tar file, which ends at `end`.
fn ends_at(file: &File, end: u64, size: u64) -> bool {
    let rest = size - end;
    if !(BLOCK..=MOST_PADDING).contains(&rest) {
        return false;
    }
    let mut padding = vec![1; rest as usize];
    file.read_exact_at(&mut padding, end).is_ok() && padding.iter().all(|byte| *byte == 0)
}

/// A scan, as far as it has come.
struct Scan {
    shard: Shard,
    left_out: Vec<LeftOut>,
    /// The sample whose members are being read.
    sample: Option<Sample>,
}

/// What has been seen of a sample.
struct Sample {
    key: String,
    image: Option<Member>,
    label: Option<u32>,
}

impl Scan {
    /// Reads members up to the end of the tar file, or to what is corrupt; returns where the last whole one ends.
    fn members(&mut self, file: &File, size: u64) -> Result<u64> {
        let mut archive = Archive::new(file);
        let Ok(members) = archive.entries_with_seek() else { return Ok(0) };
        let mut end = 0;
        for member in members {
            let Ok(mut member) = member else { break };
            let (offset, length) = (member.raw_file_position(), member.size());
            let Some(next) = offset.checked_add(length).filter(|next| *next <= size) else { break };
            if member.header().entry_type().is_file() {
                let name = String::from_utf8_lossy(&member.path_bytes()).into_owned();
                self.take(Member { name, offset, length }, &mut member)?;
            }
            end = next.next_multiple_of(BLOCK).min(size);
        }
        Ok(end)
    }

    fn take(&mut self, member: Member, content: &mut impl Read) -> Result<()> {
        let Some((key, ending)) = key_and_ending(&member.name) else { return Ok(()) };
        if self.sample.as_ref().is_none_or(|sample| sample.key != key) {
            self.finish_sample(true)?;
            self.sample = Some(Sample { key: key.to_string(), image: None, label: None });
        }
        let Some(sample) = &mut self.sample else { return Ok(()) };
        match ending.as_str() {
            "cls" | "cls.txt" | "json" if member.length <= MOST_LABEL_BYTES => {
                let mut text = String::new();
                // What is not text is not a label either.
                let _ = content.read_to_string(&mut text);
                sample.label =
                    sample.label.or(if ending == "json" { of_json(&text) } else { text.trim().parse().ok() });
            }
            _ if format::of_name(Path::new(&member.name)).is_some() => {
                // Of `000.jpg` and `000.mask.png`, the former is the image.
                let is_plain = !ending.contains('.');
                if is_plain || sample.image.is_none() {
                    sample.image = Some(member);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds the sample to the shard, if it has an image and a class.
    fn finish_sample(&mut self, is_whole: bool) -> Result<()> {
        let Some(Sample { key, image, label }) = self.sample.take() else { return Ok(()) };
        let label = label.filter(|label| *label < MOST_CLASSES);
        let reason = match (image, label) {
            (Some(image), Some(label)) if (1..=MOST_BYTES).contains(&image.length) => {
                return self.shard.push(&image, label);
            }
            (Some(_), Some(_)) => Reason::Unreadable,
            (Some(_), None) => Reason::Unlabelled,
            (None, Some(_)) => Reason::Imageless,
            (None, None) => return Ok(()),
        };
        if is_whole {
            self.left_out.push(LeftOut { path: self.shard.path().join(key), reason });
        }
        Ok(())
    }
}

/// The key of a sample and the ending, in lower case, that says what the member is of it.
fn key_and_ending(name: &str) -> Option<(&str, String)> {
    let file = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = file + name[file..].find('.').filter(|dot| *dot > 0)?;
    Some((&name[..dot], name[dot + 1..].to_lowercase()))
}

/// The class in a sample's JSON.
fn of_json(text: &str) -> Option<u32> {
    let fields: Value = serde_json::from_str(text).ok()?;
    let label = ["label", "cls"].into_iter().find_map(|field| fields[field].as_u64())?;
    u32::try_from(label).ok()
}
