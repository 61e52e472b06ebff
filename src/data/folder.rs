//! A data set on disk: one folder of images per class.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::dataset::{Dataset, Sample, Source};
use super::listing::{Kind, LeftOut, Listing, Reason, entries, judge, list};
use crate::text::composed;

/// The class folders in a folder.
#[derive(Debug, Default)]
pub struct ClassFolders {
    /// Sorted by name.
    pub classes: Vec<ClassFolder>,
    /// What lies beside them.
    pub left_out: Vec<LeftOut>,
}

/// The folder of a class.
#[derive(Debug)]
pub struct ClassFolder {
    /// The name of the class: that of the folder, composed as in Unicode's form NFC.
    pub name: String,
    /// The folder's path.
    pub path: PathBuf,
}

/// Reads the class folders in `dir`, sorted by name.
///
/// # Errors
/// Returns an error if the folder is missing or has no class folders, with the tree that was expected; if it holds the
/// parts of a data set instead; or if a class cannot be read or has no images.
pub fn open(dir: &Path) -> Result<Dataset> {
    ensure!(dir.is_dir(), "{}: not a folder; expected\n{}", dir.display(), expected_tree(dir));
    let folders = ClassFolders::of(dir)?;
    ensure!(
        !folders.classes.is_empty(),
        "{}: no class folders inside; expected\n{}",
        dir.display(),
        expected_tree(dir)
    );
    folders.refuse_parts(dir)?;
    let (mut samples, mut left_out) = (Vec::new(), Vec::new());
    for (label, listing) in folders.list()?.into_iter().enumerate() {
        ensure!(
            !listing.images.is_empty(),
            "{}: no images in this class folder{}; add some, or remove the folder if there is no such class",
            folders.classes[label].path.display(),
            listing.left_out.first().map_or(String::new(), |first| format!(
                " ({}: {})",
                first.path.file_name().unwrap_or_default().display(),
                first.reason
            ))
        );
        samples.extend(listing.images.into_iter().map(|path| Sample { source: Source::file(path), label }));
        left_out.extend(listing.left_out);
    }
    let count = samples.len();
    ensure!(u32::try_from(count).is_ok(), "{}: {count} images, more than the limit of {}", dir.display(), u32::MAX);
    left_out.extend(folders.left_out);
    let classes = folders.classes.into_iter().map(|class| class.name).collect();
    Ok(Dataset {
        root: dir.to_path_buf(),
        classes,
        samples: samples.into(),
        left_out: left_out.into(),
        notes: Vec::new(),
    })
}

/// Reads the images in `dir` and the folders below it as those of one class, named after the folder.
///
/// # Errors
/// Returns an error if there are none, or the folder cannot be read.
pub fn open_classless(dir: &Path) -> Result<Dataset> {
    let Listing { images, left_out } = list(dir, &[])?;
    ensure!(!images.is_empty(), "{}: no images inside", dir.display());
    let (count, name) = (images.len(), dir.file_name().unwrap_or_default().to_string_lossy());
    ensure!(u32::try_from(count).is_ok(), "{}: {count} images, more than the limit of {}", dir.display(), u32::MAX);
    Ok(Dataset {
        root: dir.to_path_buf(),
        classes: vec![composed(&name)],
        samples: images.into_iter().map(|path| Sample { source: Source::file(path), label: 0 }).collect(),
        left_out: left_out.into(),
        notes: Vec::new(),
    })
}

impl ClassFolders {
    /// Finds the class folders in `dir`.
    ///
    /// # Errors
    /// Returns an error if it cannot be read, or a folder's name is not UTF-8 or the same as another's.
    pub fn of(dir: &Path) -> Result<Self> {
        let mut found = ClassFolders::default();
        for entry in entries(dir)? {
            let reason = match entry.kind {
                Ok(Kind::Folder) => {
                    let name = entry.path.file_name().and_then(|name| name.to_str()).with_context(|| {
                        format!("{:?}: the name of this class folder is not valid UTF-8; rename the folder", entry.path)
                    })?;
                    found.classes.push(ClassFolder { name: composed(name), path: entry.path });
                    continue;
                }
                Ok(Kind::File) => judge(&entry.path).err().unwrap_or(Reason::Classless),
                Err(reason) => reason,
            };
            found.left_out.push(LeftOut { path: entry.path, reason });
        }
        found.classes.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = found.classes.windows(2).find(|pair| pair[0].name == pair[1].name) {
            bail!(
                "{}: two class folders are called \"{}\", in different Unicode forms ({:?} and {:?}); merge them",
                dir.display(),
                pair[0].name,
                pair[0].path.file_name().unwrap_or_default(),
                pair[1].path.file_name().unwrap_or_default()
            );
        }
        Ok(found)
    }

    /// Lists the images of each class. What cannot be read of a class is left out.
    ///
    /// # Errors
    /// Returns an error if a class folder is a link into another one.
    pub fn list(&self) -> Result<Vec<Listing>> {
        let place = |class: &ClassFolder| class.path.canonicalize().unwrap_or_else(|_| class.path.clone());
        let places: Vec<PathBuf> = self.classes.iter().map(place).collect();
        let classes: HashMap<&Path, usize> = places.iter().zip(0..).map(|(place, index)| (&**place, index)).collect();
        let mut listings = Vec::with_capacity(self.classes.len());
        for (index, (class, place)) in self.classes.iter().zip(&places).enumerate() {
            let mut around = place.ancestors().filter_map(|folder| classes.get(folder));
            if let Some(&other) = around.find(|other| **other != index) {
                bail!(
                    "{}: a link into the folder of another class, {}; remove the link",
                    class.path.display(),
                    self.classes[other].path.display()
                );
            }
            let unreadable = || LeftOut { path: class.path.clone(), reason: Reason::Unreadable };
            listings.push(
                list(&class.path, &places)
                    .unwrap_or_else(|_| Listing { left_out: vec![unreadable()], ..Listing::default() }),
            );
        }
        Ok(listings)
    }

    /// Checks that these are classes.
    ///
    /// # Errors
    /// Returns an error if these are the parts of a data set rather than classes, with the folder that was meant.
    pub fn refuse_parts(&self, dir: &Path) -> Result<()> {
        let (parts, others): (Vec<&ClassFolder>, Vec<_>) =
            self.classes.iter().partition(|class| part_of(&class.name).is_some());
        let nested: Vec<&ClassFolder> = parts.iter().copied().filter(|part| holds_folders(&part.path)).collect();
        let names = names(parts.iter().map(|part| part.name.as_str()));
        // Among classes that hold folders, too, one called "train" is a class.
        if !nested.is_empty()
            && are_parts(&nested, others.iter().all(|class| !holds_folders(&class.path)))
            && let Some(meant) = nested.iter().min_by_key(|part| part_of(&part.name))
        {
            bail!(
                "{root}: expected one folder per class, found the parts of a data set ({names}). Did you mean {}? Training takes both parts from {root} if they are called train and val",
                meant.path.display(),
                root = dir.display()
            );
        }
        ensure!(
            !others.is_empty() || !are_parts(&parts, true),
            "{}: found the parts of a data set ({names}), but no class folders in them; expected\n{}\nIf they are classes, give them other names",
            dir.display(),
            expected_splits(dir)
        );
        Ok(())
    }
}

/// A part of a data set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Train,
    Validation,
    Test,
}

/// What parts are called, in lower case.
const WORDS: [(&str, Part); 10] = [
    ("train", Part::Train),
    ("training", Part::Train),
    ("val", Part::Validation),
    ("valid", Part::Validation),
    ("validation", Part::Validation),
    ("dev", Part::Validation),
    ("eval", Part::Validation),
    ("evaluation", Part::Validation),
    ("test", Part::Test),
    ("testing", Part::Test),
];

/// Whether folders are parts of a data set: if there are different parts, "seg_train" and "seg_test" as well, or if one
/// alone would be enough and is called exactly like a part, as "bullet_train" is not.
fn are_parts(folders: &[&ClassFolder], one_is_enough: bool) -> bool {
    let is_exact = |folder: &&ClassFolder| WORDS.iter().any(|(word, _)| folder.name.eq_ignore_ascii_case(word));
    let different = folders.iter().any(|folder| part_of(&folder.name) != part_of(&folders[0].name));
    different || one_is_enough && folders.iter().any(is_exact)
}

/// The part of a data set that a folder's name speaks of: `train`, `seg_train`, `Training Set`, `testset`.
fn part_of(name: &str) -> Option<Part> {
    let name = name.to_lowercase();
    let words = name.split(|letter: char| !letter.is_alphabetic());
    let bare = |word| ["set", "data", "images"].iter().find_map(|end| str::strip_suffix(word, end)).unwrap_or(word);
    words.map(bare).find_map(|word| WORDS.iter().find(|(known, _)| *known == word)).map(|(_, part)| *part)
}

/// Whether a folder holds further folders, as a part of a data set does; a class called "train" holds images.
pub fn holds_folders(dir: &Path) -> bool {
    entries(dir).is_ok_and(|entries| entries.iter().any(|entry| entry.kind == Ok(Kind::Folder)))
}

/// How many names a message lists.
const SHOWN: usize = 5;

/// The first names of a list, for messages.
pub fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let more = names.len().saturating_sub(SHOWN);
    let shown = names[..names.len() - more].join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// The reason why a data set with a single class cannot be trained on, and the classes that were probably meant.
pub fn single_class(root: &Path, class: &str) -> String {
    let inside = ClassFolders::of(&root.join(class)).unwrap_or_default();
    let only = format!("{}: only one class folder, \"{class}\", and telling classes apart takes two", root.display());
    if inside.classes.is_empty() {
        return format!("{only}; training expects\n{}", expected_splits(root));
    }
    let root = root.display();
    let found = names(inside.classes.iter().map(|class| class.name.as_str()));
    format!("{only}. It holds the folders {found}: did you mean {root}/{class}? Otherwise move them up into {root}")
}

/// The tree that training expects, for messages.
pub fn expected_splits(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "  {dir}/train/cat/1.jpg\n  {dir}/train/dog/2.jpg  ...\n  {dir}/val/cat/3.jpg\n  {dir}/val/dog/4.jpg  ...\nor one folder per class, of which a part is then split off for validation\n  {dir}/cat/1.jpg\n  {dir}/dog/2.jpg  ...\nTo try topfive on a small drawn data set, run `topfive shapes DIR` with a new folder"
    )
}

fn expected_tree(dir: &Path) -> String {
    let dir = dir.display();
    format!("  {dir}/cat/1.jpg\n  {dir}/cat/2.jpg  ...\n  {dir}/dog/3.jpg  ...")
}
