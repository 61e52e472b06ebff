//! Where the figures lie: a box for each image, as PASCAL VOC's XML and as a table.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result};

use super::Job;
use super::scene::Drawn;
use crate::geometry::Rect;

/// Writes the box of an image as `dir/boxes/<name>.xml`. VOC counts pixels from 1, and both ends belong to a box.
///
/// # Errors
/// Returns an error if the file cannot be written.
pub fn write_xml(dir: &Path, job: &Job, drawn: &Drawn) -> Result<()> {
    let (width, height) = drawn.image.dimensions();
    let [left, top, right, bottom] = sides(drawn.figure);
    let (name, class) = (&job.name, job.figure.name);
    let file = name.rsplit('/').next().unwrap_or(name);
    let text = format!(
        "<annotation>
  <filename>{file}.jpg</filename>
  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>
  <object>
    <name>{class}</name>
    <bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox>
  </object>
</annotation>
"
    );
    let path = dir.join("boxes").join(name).with_extension("xml");
    fs::write(&path, text).with_context(|| format!("{}: cannot be written. Free some space", path.display()))
}

/// Writes the boxes of all images as `dir/boxes/train.csv` and `dir/boxes/val.csv`.
///
/// # Errors
/// Returns an error if a file cannot be written.
pub fn write_tables(dir: &Path, jobs: &[Job], places: &[OnceLock<Rect>]) -> Result<()> {
    for part in ["train", "val"] {
        let mut table = "path,class,xmin,ymin,xmax,ymax\n".to_string();
        let prefix = format!("{part}/");
        for (job, place) in jobs.iter().zip(places) {
            if let (Some(name), Some(rect)) = (job.name.strip_prefix(&prefix), place.get()) {
                let [left, top, right, bottom] = sides(*rect);
                table.push_str(&format!("{name}.jpg,{},{left},{top},{right},{bottom}\n", job.figure.name));
            }
        }
        let path = dir.join("boxes").join(part).with_extension("csv");
        fs::write(&path, table).with_context(|| format!("{}: cannot be written. Free some space", path.display()))?;
    }
    Ok(())
}

fn sides(Rect { x, y, width, height }: Rect) -> [u32; 4] {
    [x + 1, y + 1, x + width, y + height]
}
