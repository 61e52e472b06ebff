//! Boxes around the objects in images: ILSVRC's and PASCAL VOC's XML files, or a table.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use roxmltree::{Document, Node};

use super::names::{Found, Names};
use crate::geometry::Rect;
use crate::text::{self, composed};

/// For each of some images, the boxes around the objects of its class: those of the class's name, or all if none of the
/// image's objects has that name, as class folders may be called otherwise.
///
/// `path` is a folder of XML files, each called after its image, with an `object` for each box (its `name`, and its `bndbox`
/// from `xmin`, `ymin` to `xmax`, `ymax`, counted from 1, both ends included), or a CSV file with the columns `path`,
/// `xmin`, `ymin`, `xmax`, `ymax` and perhaps `class`. Images without boxes have none. `classes` has the name of each
/// image's class.
///
/// # Errors
/// Returns an error if the files cannot be read, a box is empty, or none of them belongs to one of the images.
pub fn open(path: &Path, images: &[PathBuf], classes: &[&str], dir: &Path) -> Result<Vec<Vec<Rect>>> {
    let rows = if path.is_dir() { of_folder(path)? } else { of_table(path)? };
    let names = Names::of(images, dir);
    let mut boxes: Vec<Vec<&Object>> = vec![Vec::new(); images.len()];
    let mut named: Vec<Option<&str>> = vec![None; images.len()];
    for Row { image, object } in &rows {
        match names.find(image) {
            Found::One(index) => {
                let earlier = named[index].replace(image);
                ensure!(
                    earlier.is_none_or(|earlier| earlier == image),
                    "{}: {} and {image} both name {}; choose the part of it that belongs to these images",
                    path.display(),
                    earlier.unwrap_or_default(),
                    images[index].display()
                );
                boxes[index].push(object);
            }
            Found::Several(first, second) => bail!(
                "{}: {image} may be {} or {}; name images by their paths",
                path.display(),
                images[first].display(),
                images[second].display()
            ),
            Found::None => {}
        }
    }
    ensure!(
        boxes.iter().any(|boxes| !boxes.is_empty()),
        "{}: none of its {} boxes belongs to an image in {}; expected XML files called after the images, or a table with the columns path, xmin, ymin, xmax, ymax",
        path.display(),
        rows.len(),
        dir.display()
    );
    Ok(boxes.into_iter().zip(classes).map(|(objects, class)| of_class(&objects, class)).collect())
}

fn of_class(objects: &[&Object], class: &str) -> Vec<Rect> {
    let is_it = |object: &&&Object| object.class.as_deref() == Some(class);
    let own: Vec<Rect> = objects.iter().filter(is_it).map(|object| object.rect).collect();
    if own.is_empty() { objects.iter().map(|object| object.rect).collect() } else { own }
}

/// An object, and the image that it is in.
struct Row {
    image: String,
    object: Object,
}

/// A box, and what is in it.
struct Object {
    class: Option<String>,
    rect: Rect,
}

fn of_folder(folder: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for file in xml_files(folder)? {
        let inner = file.strip_prefix(folder).unwrap_or(&file).with_extension("");
        let image = inner.to_string_lossy().into_owned();
        let objects = of_xml(&text::read(&file)?).with_context(|| file.display().to_string())?;
        rows.extend(objects.into_iter().map(|object| Row { image: image.clone(), object }));
    }
    ensure!(!rows.is_empty(), "{}: no XML files with boxes in this folder", folder.display());
    Ok(rows)
}

/// The XML files in a folder and those below it, sorted.
fn xml_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = entries.with_context(|| format!("{}: cannot be read", folder.display()))?;
    entries.sort_by_key(fs::DirEntry::path);
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.path();
        // A link to a folder could lead back up.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files.extend(xml_files(&path)?);
        } else if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("xml")) {
            files.push(path);
        }
    }
    Ok(files)
}

/// The objects, without their parts, which PASCAL VOC's files have boxes for, too.
fn of_xml(text: &str) -> Result<Vec<Object>> {
    let document = Document::parse(text).context("not XML")?;
    let mut objects = Vec::new();
    for object in document.descendants().filter(|node| node.has_tag_name("object")) {
        let child = |name: &str| object.children().find(|child| child.has_tag_name(name));
        let class = child("name").and_then(|name| name.text()).map(|name| composed(name.trim()));
        if let Some(node) = child("bndbox") {
            objects.push(Object { class, rect: rect(|side| side_of(&node, side))? });
        }
    }
    Ok(objects)
}

fn side_of(node: &Node, side: &str) -> Result<f64> {
    let found = node.children().find(|child| child.has_tag_name(side)).and_then(|child| child.text());
    let found = found.with_context(|| format!("a bndbox without {side}"))?;
    found.trim().parse().with_context(|| format!("{side}: expected a number of pixels, found \"{found}\""))
}

fn of_table(file: &Path) -> Result<Vec<Row>> {
    let text = text::read(file)?;
    let name = file.display();
    let mut table = csv::Reader::from_reader(text.as_bytes());
    let header = table.headers().with_context(|| name.to_string())?.clone();
    let place = |wanted: &str| header.iter().position(|found| found.trim().eq_ignore_ascii_case(wanted));
    let column = |wanted: &str| {
        place(wanted).with_context(|| {
            format!("{name}: expected the columns path, xmin, ymin, xmax, ymax in the first line, found no {wanted}")
        })
    };
    let (path, class) = (column("path")?, place("class"));
    for side in SIDES {
        column(side)?;
    }
    let mut rows = Vec::new();
    for (line, record) in (2..).zip(table.records()) {
        let record = record.with_context(|| name.to_string())?;
        let side = |wanted: &str| {
            let found = record.get(column(wanted)?).unwrap_or_default();
            found.trim().parse().with_context(|| format!("{wanted}: expected a number of pixels, found \"{found}\""))
        };
        let rect = rect(side).with_context(|| format!("{name} line {line}"))?;
        let class = class.and_then(|class| record.get(class)).map(|class| composed(class.trim()));
        rows.push(Row { image: record.get(path).unwrap_or_default().to_string(), object: Object { class, rect } });
    }
    Ok(rows)
}

/// The sides of a box.
const SIDES: [&str; 4] = ["xmin", "ymin", "xmax", "ymax"];

/// A box from the sides of this name, which count pixels from 1. ILSVRC has a few that begin at 0.
fn rect(side: impl Fn(&str) -> Result<f64>) -> Result<Rect> {
    let [left, top, right, bottom] = SIDES.map(&side);
    let [left, top, right, bottom] = [left?, top?, right?, bottom?];
    let limits = 0.0..=f64::from(u32::MAX >> 1);
    ensure!(
        right >= left && bottom >= top && [left, top, right, bottom].iter().all(|side| limits.contains(side)),
        "a box from ({left}, {top}) to ({right}, {bottom}); expected xmin <= xmax and ymin <= ymax, in pixels"
    );
    let first = |side: f64| (side.round() as u32).saturating_sub(1);
    let (x, y) = (first(left), first(top));
    Ok(Rect { x, y, width: (right.round() as u32).max(1) - x, height: (bottom.round() as u32).max(1) - y })
}

/// The overlap of two boxes: their intersection over their union.
pub fn overlap(one: Rect, other: Rect) -> f64 {
    let along = |start: u32, length: u32, other_start: u32, other_length: u32| {
        let end = (start + length).min(other_start + other_length);
        u64::from(end.saturating_sub(start.max(other_start)))
    };
    let common = along(one.x, one.width, other.x, other.width) * along(one.y, one.height, other.y, other.height);
    let union = one.size().area() + other.size().area() - common;
    common as f64 / union as f64
}
