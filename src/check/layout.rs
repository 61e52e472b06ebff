//! The parts of a data set as they lie on the disk, and what is wrong with their folders. Unlike training, this takes
//! everything as it is.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use crate::data::dataset::{Sample, Source};
use crate::data::folder::{ClassFolders, names, single_class};
use crate::data::listing::{Kind, LeftOut, entries, list};
use crate::data::shards;
use crate::data::split::parts;
use crate::data::stored::is_part;
use crate::nearest::did_you_mean;

/// All parts.
#[derive(Debug, Default)]
pub struct Layout {
    /// The part to train on comes first.
    pub parts: Vec<Part>,
    /// The images of all parts, part by part and class by class.
    pub items: Vec<Item>,
    /// What is wrong with folders, each a sentence.
    pub faults: Vec<String>,
}

/// A part of a data set.
#[derive(Debug)]
pub struct Part {
    /// Its folder.
    pub dir: PathBuf,
    /// "train", "val" or the like; empty if the data set has no parts.
    pub name: String,
    /// The names of its classes, sorted; empty for a flat folder of images.
    pub classes: Vec<String>,
    /// The number of images of each class.
    pub class_sizes: Vec<usize>,
    /// The number of images.
    pub images: usize,
    /// What its folders hold besides images.
    pub left_out: Vec<LeftOut>,
}

/// An image.
#[derive(Debug)]
pub struct Item {
    /// Where its bytes come from.
    pub source: Source,
    /// The index of its part.
    pub part: usize,
    /// The index of its class in the part, if that has classes.
    pub class: Option<usize>,
}

impl Layout {
    /// Finds the parts of `dir`: its folders `train`, `val`, `valid`, `validation` and `test`, or `dir` itself, each with
    /// one folder per class or with images alone.
    ///
    /// # Errors
    /// Returns an error if the folder cannot be read or holds no images.
    pub fn of(dir: &Path) -> Result<Self> {
        ensure!(
            dir.is_dir() || shards::are_at(dir),
            "{}: not a folder; expected a folder of images, of class folders or of shards",
            dir.display()
        );
        let mut layout = Layout::default();
        let parts: Vec<&str> = parts().filter(|name| dir.join(name).is_dir()).collect();
        // A class may be called "train": its folder holds no folders, and lies beside others.
        if parts.iter().any(|name| is_part(&dir.join(name))) {
            parts.into_iter().try_for_each(|name| layout.add(dir.join(name), name))?;
        } else {
            layout.add(dir.to_path_buf(), "")?;
        }
        if layout.items.is_empty() {
            match layout.left_out().find(|it| it.reason.is_loss()) {
                Some(LeftOut { path, reason }) => {
                    bail!("{}: no images that can be read; the first is {}: {reason}", dir.display(), path.display())
                }
                None => bail!("{}: no images in this folder", dir.display()),
            }
        }
        layout.compare_classes();
        Ok(layout)
    }

    fn add(&mut self, dir: PathBuf, name: &str) -> Result<()> {
        let mut part = Part {
            dir,
            name: name.to_string(),
            classes: Vec::new(),
            class_sizes: Vec::new(),
            images: 0,
            left_out: Vec::new(),
        };
        let (before, index) = (self.items.len(), self.parts.len());
        if shards::are_at(&part.dir) {
            self.add_shards(&mut part, index)?;
        } else if entries(&part.dir)?.iter().all(|entry| entry.kind != Ok(Kind::Folder)) {
            let listing = list(&part.dir, &[])?;
            part.left_out = listing.left_out;
            self.items.extend(listing.images.into_iter().map(|path| Item {
                source: Source::file(path),
                part: index,
                class: None,
            }));
        } else {
            self.add_classes(&mut part, index)?;
        }
        part.images = self.items.len() - before;
        self.parts.push(part);
        Ok(())
    }

    fn add_shards(&mut self, part: &mut Part, index: usize) -> Result<()> {
        let dataset = shards::open(&part.dir)?;
        part.class_sizes = dataset.class_sizes();
        part.left_out = dataset.left_out.to_vec();
        let item = |sample: &Sample| Item { source: sample.source.clone(), part: index, class: Some(sample.label) };
        self.items.extend(dataset.samples.iter().map(item));
        part.classes = dataset.classes;
        Ok(())
    }

    fn add_classes(&mut self, part: &mut Part, index: usize) -> Result<()> {
        let folders = ClassFolders::of(&part.dir)?;
        self.faults.extend(folders.refuse_parts(&part.dir).err().map(|error| error.to_string()));
        for (class, (folder, listing)) in folders.classes.iter().zip(folders.list()?).enumerate() {
            if listing.images.is_empty() {
                self.faults.push(format!("{}: no images in this class folder", folder.path.display()));
            }
            part.classes.push(folder.name.clone());
            part.class_sizes.push(listing.images.len());
            part.left_out.extend(listing.left_out);
            let item = |path| Item { source: Source::file(path), part: index, class: Some(class) };
            self.items.extend(listing.images.into_iter().map(item));
        }
        part.left_out.extend(folders.left_out);
        Ok(())
    }

    /// There must be two classes in the first part that nobody would confuse, and the same ones in the others.
    fn compare_classes(&mut self) {
        let [train, others @ ..] = self.parts.as_slice() else { return };
        match train.classes.as_slice() {
            [] => return,
            [only] => self.faults.push(single_class(&train.dir, only)),
            _ => {}
        }
        let mut seen: HashMap<String, &str> = HashMap::new();
        for class in &train.classes {
            if let Some(earlier) = seen.insert(class.trim().to_lowercase(), class) {
                let dir = train.dir.display();
                self.faults.push(format!(
                    "{dir}: the class folders \"{earlier}\" and \"{class}\" differ in case or blanks alone; if they are one class, merge them"
                ));
            }
        }
        let lacks = |part: &Part, class: &String| !part.classes.contains(class);
        for part in others {
            for class in part.classes.iter().filter(|class| lacks(train, class)) {
                let near = did_you_mean(class, train.classes.iter().map(String::as_str));
                let (folder, train) = (part.dir.join(class), train.dir.display());
                self.faults.push(format!("{}: not one of the classes in {train}{near}", folder.display()));
            }
            let missing = train.classes.iter().filter(|class| lacks(part, class));
            let missing: Vec<&str> = missing.map(String::as_str).collect();
            if !part.classes.is_empty() && !missing.is_empty() {
                let missing = names(missing.into_iter());
                self.faults.push(format!("{}: no images of {missing}", part.dir.display()));
            }
        }
    }

    /// What the folders hold besides images.
    pub fn left_out(&self) -> impl Iterator<Item = &LeftOut> {
        self.parts.iter().flat_map(|part| &part.left_out)
    }
}
