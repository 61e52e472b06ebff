//! Copies: groups of images with the same content, and of images that look nearly the same.

use std::collections::BTreeMap;

use strum::IntoStaticStr;

use super::layout::Layout;
use super::photo::Digest;
use super::similar::{self, Look};

/// An image to be compared.
#[derive(Debug)]
pub struct Image {
    /// Its number in the layout.
    pub number: usize,
    /// The same for files with the same content.
    pub digest: Digest,
    /// What it looks like.
    pub look: Look,
}

/// All groups: those in two classes first, then those in two parts.
#[derive(Debug, Default)]
pub struct Copies {
    /// Files with the same content.
    pub exact: Vec<Group>,
    /// Images that look nearly the same; of files with the same content, only the first is among them.
    pub near: Vec<Group>,
}

/// A group of at least two images.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    /// Where they lie.
    pub kind: Kind,
    /// Their numbers, sorted.
    pub images: Vec<usize>,
}

/// Where the images of a group lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// In two or more classes: at least one label is wrong.
    TwoClasses,
    /// In two or more parts: what is validated on was trained on.
    TwoParts,
    /// In one class of one part, or in one folder without classes.
    OneClass,
}

impl Kind {
    /// Whether the same image in such places is wrong, rather than a waste.
    pub fn is_wrong(self) -> bool {
        self != Kind::OneClass
    }

    /// The places, in words to be put after "the same image".
    pub fn text(self) -> &'static str {
        match self {
            Kind::TwoClasses => " in two classes",
            Kind::TwoParts => " in two parts of the data set",
            Kind::OneClass => "",
        }
    }
}

impl Copies {
    /// Finds the copies among `images`, which are sorted by number.
    pub fn find(layout: &Layout, images: Vec<Image>) -> Self {
        let mut same: BTreeMap<Digest, Vec<usize>> = BTreeMap::new();
        let mut distinct = Vec::with_capacity(images.len());
        for image in &images {
            let files = same.entry(image.digest).or_default();
            if files.is_empty() {
                distinct.push(image);
            }
            files.push(image.number);
        }
        let looks: Vec<&Look> = distinct.iter().map(|image| &image.look).collect();
        let near = similar::groups(&looks).into_iter();
        let near = near.map(|group| group.into_iter().map(|index| distinct[index].number).collect());
        Copies { exact: sorted(layout, same.into_values().filter(|files| files.len() > 1)), near: sorted(layout, near) }
    }
}

fn sorted(layout: &Layout, groups: impl Iterator<Item = Vec<usize>>) -> Vec<Group> {
    let mut groups: Vec<Group> = groups.map(|images| Group { kind: kind(layout, &images), images }).collect();
    groups.sort_by(|a, b| (a.kind, &a.images).cmp(&(b.kind, &b.images)));
    groups
}

fn kind(layout: &Layout, images: &[usize]) -> Kind {
    let items = || images.iter().map(|&number| &layout.items[number]);
    let mut classes = items().filter_map(|item| item.class(layout));
    let mut parts = items().map(|item| item.part);
    match (classes.next(), parts.next()) {
        (Some(first), _) if classes.any(|class| class != first) => Kind::TwoClasses,
        (_, Some(first)) if parts.any(|part| part != first) => Kind::TwoParts,
        _ => Kind::OneClass,
    }
}
