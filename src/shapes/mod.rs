//! A data set of drawn shapes: small labelled JPEG files in class folders, to try topfive on.

mod boxes;
mod figure;
mod scene;

pub use figure::{FIGURES, Figure};

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, thread};

use anyhow::{Context, Result, ensure};
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;

use crate::atomic::check_unused;
use crate::geometry::Rect;

/// How many images of each class to draw, and how.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Images per class under `train/`, at least 1.
    pub train_per_class: usize,
    /// Images per class under `val/`, at least 1.
    pub val_per_class: usize,
    /// The shorter side of an image in pixels, 16 to 1024.
    pub size: u32,
    /// Equal seeds draw equal images.
    pub seed: u64,
}

/// An image still to be drawn and written.
struct Job {
    figure: Figure,
    key: [u64; 4],
    /// Its path below the folder without the ending: `train/disc/disc-0001`.
    name: String,
}

/// Draws the data set and writes it as `dir/train/<class>/<class>-0001.jpg` and so on, likewise under `dir/val`; and where
/// in each image the figure lies, as `dir/boxes/train/<class>/<class>-0001.xml` and as tables, `dir/boxes/train.csv`.
/// Returns the number of images.
///
/// `progress` is called after each image, from the threads that draw, one per core. Neither their number nor the number
/// of images affects what any one image shows.
///
/// # Errors
/// Returns an error if an option is out of range or `dir` exists and is not an empty folder, in both cases before
/// anything is created, or if a folder or file cannot be written.
pub fn write(dir: &Path, options: &Options, progress: impl Fn() + Sync) -> Result<usize> {
    check(dir, options)?;
    let jobs = make_folders(dir, options)?;
    let (next, failure) = (AtomicUsize::new(0), OnceLock::new());
    let places: Vec<OnceLock<Rect>> = jobs.iter().map(|_| OnceLock::new()).collect();
    let work = || {
        while failure.get().is_none()
            && let index = next.fetch_add(1, Ordering::Relaxed)
            && let (Some(job), Some(place)) = (jobs.get(index), places.get(index))
        {
            let drawn = scene::draw(&job.figure, job.key, options.size);
            let path = dir.join(&job.name);
            match save(&drawn.image, &path.with_extension("jpg")).and_then(|()| boxes::write_xml(dir, job, &drawn)) {
                Ok(()) => {
                    _ = place.set(drawn.figure);
                    progress();
                }
                // Later failures most likely have the same cause as the first.
                Err(error) => _ = failure.set(error),
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..threads).for_each(|_| _ = scope.spawn(work)));
    failure.into_inner().map_or(Ok(()), Err)?;
    boxes::write_tables(dir, &jobs, &places)?;
    Ok(jobs.len())
}

/// Refuses options out of range, and a `dir` that exists and is not an empty folder.
fn check(dir: &Path, options: &Options) -> Result<()> {
    let (train, val, size) = (options.train_per_class, options.val_per_class, options.size);
    ensure!(
        train > 0 && val > 0,
        "expected at least 1 image per class, found {train} for training and {val} for validation"
    );
    ensure!((16..=1024).contains(&size), "expected a size of 16 to 1024 pixels, found {size}");
    check_unused(dir)
}

/// Makes all folders and lists the images to draw in them.
fn make_folders(dir: &Path, options: &Options) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for (split, (part, count)) in (0..).zip([("train", options.train_per_class), ("val", options.val_per_class)]) {
        for (class, figure) in (0..).zip(FIGURES) {
            let folder = dir.join(part).join(figure.name);
            // A class folder that appeared since the check belongs to another run, and this one fails.
            fs::create_dir_all(dir.join(part))
                .and_then(|()| fs::create_dir(&folder))
                .and_then(|()| fs::create_dir_all(dir.join("boxes").join(part).join(figure.name)))
                .with_context(|| format!("{}: cannot be created. Choose a new folder", folder.display()))?;
            jobs.extend((0..count).map(|index| Job {
                figure,
                key: [options.seed, split, class, index as u64],
                name: format!("{part}/{0}/{0}-{1:04}", figure.name, index + 1),
            }));
        }
    }
    Ok(jobs)
}

/// Writes a JPEG file of quality 90, under another name until it is complete. It is not synced: whoever loses it can
/// draw it again.
fn save(image: &RgbImage, path: &Path) -> Result<()> {
    let mut bytes = Vec::new();
    image
        .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 90))
        .with_context(|| format!("{}: cannot be encoded. Try another size", path.display()))?;
    let partial = path.with_extension("part");
    fs::write(&partial, bytes)
        .and_then(|()| fs::rename(&partial, path))
        .with_context(|| format!("{}: cannot be written. Free some space, then choose a new folder", path.display()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const FEW: Options = Options { train_per_class: 2, val_per_class: 1, size: 16, seed: 1 };

    /// A folder for one test, which does not exist yet.
    fn scratch(test: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("shapes-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        dir
    }

    #[test]
    fn images_are_written_and_counted_and_drawing_more_keeps_the_earlier_ones() -> Result<()> {
        let (few, more) = (scratch("few"), scratch("more"));
        let calls = AtomicUsize::new(0);
        let written = write(&few, &FEW, || _ = calls.fetch_add(1, Ordering::Relaxed))?;
        assert_eq!((written, calls.into_inner()), (36, 36));
        write(&more, &Options { train_per_class: 3, ..FEW }, || ())?;
        for Figure { name, .. } in FIGURES {
            assert_eq!(fs::read_dir(few.join("train").join(name))?.count(), 2);
            let last = format!("train/{name}/{name}-0002.jpg");
            assert_eq!(fs::read(few.join(&last))?, fs::read(more.join(&last))?);
            let (width, height) = image::image_dimensions(few.join(last))?;
            assert!(width.min(height) == 16 && width.max(height) <= 20);
        }
        fs::remove_dir_all(few)?;
        Ok(fs::remove_dir_all(more)?)
    }

    #[test]
    fn no_two_images_are_alike_across_splits_and_seeds() -> Result<()> {
        let (first, second) = (scratch("first"), scratch("second"));
        write(&first, &FEW, || ())?;
        write(&second, &Options { seed: 2, ..FEW }, || ())?;
        let mut seen = std::collections::HashSet::new();
        for dir in [&first, &second] {
            for name in ["train/disc/disc-0001.jpg", "train/disc/disc-0002.jpg", "val/disc/disc-0001.jpg"] {
                assert!(seen.insert(fs::read(dir.join(name))?), "{name}");
            }
        }
        fs::remove_dir_all(first)?;
        Ok(fs::remove_dir_all(second)?)
    }

    #[test]
    fn a_folder_that_is_not_empty_is_refused_by_name_and_left_alone() -> Result<()> {
        let dir = scratch("full");
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("notes.txt"), "mine")?;
        let refusal = write(&dir, &FEW, || ()).map_err(|error| error.to_string());
        assert!(refusal.is_err_and(|error| error.contains(&*dir.to_string_lossy())));
        assert_eq!(fs::read(dir.join("notes.txt"))?, b"mine");
        assert_eq!(fs::read_dir(&dir)?.count(), 1);
        Ok(fs::remove_dir_all(dir)?)
    }

    #[test]
    fn options_out_of_range_are_refused_before_a_folder_is_made() {
        let dir = scratch("options");
        let none = [Options { train_per_class: 0, ..FEW }, Options { val_per_class: 0, ..FEW }];
        for options in none.into_iter().chain([15, 1025].map(|size| Options { size, ..FEW })) {
            assert!(write(&dir, &options, || ()).is_err());
            assert!(!dir.exists());
        }
    }
}
