//! A look at every image of a data set: `layout` finds its parts, each image is read once (`photo`), and what was read is
//! put together: odd images (`oddity`), copies of each other (`copies`, on `similar`), sizes (`sizes`) and colours
//! (`colours`).

pub mod colours;
pub mod copies;
mod eigen;
mod header;
pub mod layout;
pub mod oddity;
pub mod photo;
mod similar;
pub mod sizes;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use crate::data::loader::Loader;
use colours::Colours;
use copies::Copies;
use layout::{Item, Layout};
use oddity::Oddity;
use photo::Photo;
use sizes::Sizes;

/// What was found, image by image. Images are numbered as in the layout.
#[derive(Debug)]
pub struct Findings {
    /// The parts of the data set and their images.
    pub layout: Arc<Layout>,
    /// The images that cannot be read, and why.
    pub unreadable: Vec<(usize, String)>,
    /// The odd images, by what is odd about them.
    pub odd: BTreeMap<Oddity, Vec<usize>>,
    /// Groups of images that are the same, or nearly.
    pub copies: Copies,
    /// How many images have which size.
    pub sizes: Sizes,
    /// The colours of the first part, which is the one to train on.
    pub colours: Colours,
}

/// Reads images one after another; memory holds about 300 bytes of each.
pub struct Reading {
    layout: Arc<Layout>,
    loader: Loader<Result<Photo, String>>,
    findings: Findings,
    /// The number, content and appearance of each image that could be read.
    read: Vec<copies::Image>,
    next: usize,
}

impl Reading {
    /// Starts reading the images of `layout` with so many threads.
    ///
    /// # Errors
    /// Returns an error if threads cannot be started.
    pub fn start(layout: Layout, workers: usize) -> Result<Self> {
        let layout = Arc::new(layout);
        let shared = layout.clone();
        let loader = Loader::start(layout.items.len(), workers, 2 * workers, move |index| {
            Photo::read(&shared.items[index].source).map_err(|error| format!("{error:#}"))
        })?;
        let findings = Findings {
            layout: layout.clone(),
            unreadable: Vec::new(),
            odd: BTreeMap::new(),
            copies: Copies::default(),
            sizes: Sizes::default(),
            colours: Colours::default(),
        };
        Ok(Reading { layout, loader, findings, read: Vec::new(), next: 0 })
    }

    /// Reads the next image; returns how many have been read, or `None` after the last.
    ///
    /// # Errors
    /// Returns an error if a worker panicked.
    pub fn step(&mut self) -> Result<Option<usize>> {
        let Some(photo) = self.loader.next() else { return Ok(None) };
        let number = self.next;
        self.next += 1;
        match photo? {
            Ok(photo) => self.count(number, photo),
            Err(reason) => self.findings.unreadable.push((number, reason)),
        }
        Ok(Some(self.next))
    }

    fn count(&mut self, number: usize, photo: Photo) {
        let findings = &mut self.findings;
        for oddity in photo.oddities {
            findings.odd.entry(oddity).or_default().push(number);
        }
        findings.sizes.count(photo.size);
        if self.layout.items[number].part == 0 {
            findings.colours.add(&photo.moments);
        }
        self.read.push(copies::Image { number, digest: photo.digest, look: photo.look });
    }

    /// Looks for copies among the images that were read.
    pub fn finish(self) -> Findings {
        let copies = Copies::find(&self.layout, self.read);
        Findings { copies, ..self.findings }
    }
}

impl Findings {
    /// The path of an image.
    pub fn path(&self, number: usize) -> Cow<'_, Path> {
        self.layout.items[number].source.path()
    }

    /// Whether something is wrong: images that cannot be read or were left out, classes without images or that training
    /// does not know, or the same image in two classes or in two parts.
    pub fn is_wrong(&self) -> bool {
        !self.unreadable.is_empty()
            || self.layout.left_out().any(|it| it.reason.is_loss())
            || !self.layout.faults.is_empty()
            || self.copies.exact.iter().any(|group| group.kind.is_wrong())
    }
}

impl Item {
    /// The name of its class, if the part has classes.
    pub fn class<'a>(&self, layout: &'a Layout) -> Option<&'a str> {
        self.class.map(|class| layout.parts[self.part].classes[class].as_str())
    }
}
