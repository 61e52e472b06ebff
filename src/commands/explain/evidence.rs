//! The evidence for a class in images, written as pictures and arrays.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::data::dataset::Source;
use crate::explain::evidence::Method;
use crate::explain::finder::Finder;
use crate::explain::overlay::overlay;
use crate::image::png;
use crate::model::Model;
use crate::report::npy;
use crate::views::Views;

/// Draws the evidence that a model finds into a folder.
#[derive(Debug)]
pub struct Explainer<'a> {
    finder: Finder<'a>,
    out: PathBuf,
    /// The names of files so far, without their endings.
    taken: HashSet<String>,
}

/// What was drawn of an image.
#[derive(Clone, Debug, Serialize)]
pub struct Drawn {
    /// How the evidence was found.
    pub method: String,
    /// The file with the picture.
    pub picture: String,
    /// The file with the array.
    pub array: String,
}

impl<'a> Explainer<'a> {
    /// # Errors
    /// Returns an error if the model does not support the views or the method, or the network has no such layer.
    pub fn new(
        model: &'a Model,
        views: Views,
        method: Option<Method>,
        layer: Option<&str>,
        out: &Path,
    ) -> Result<Self> {
        Ok(Explainer {
            finder: Finder::new(&model.network, &model.experiment, views, method, layer)?,
            out: out.to_path_buf(),
            taken: HashSet::new(),
        })
    }

    /// How the evidence is found.
    pub fn method(&self) -> String {
        self.finder.to_string()
    }

    /// The folder.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// Keeps images from files of this name, without its ending.
    pub fn reserve(&mut self, name: String) {
        self.taken.insert(name);
    }

    /// A name for the files of an image that no other image has: that of its file without the ending.
    pub fn name(&mut self, source: &Source) -> String {
        let stem = Path::new(&source.name()).file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let stem = stem.filter(|stem| stem != "-").unwrap_or("image".to_string());
        let numbered = |number: u32| if number == 1 { stem.clone() } else { format!("{stem}-{number}") };
        let name = (1..).map(numbered).find(|name| !self.taken.contains(name)).unwrap_or_default();
        self.taken.insert(name.clone());
        name
    }

    /// Draws the evidence for a class in an image over it (NAME.png), and writes it as an array of the image's size, NaN
    /// where no view shows a pixel (NAME.npy).
    ///
    /// # Errors
    /// Returns an error if the image cannot be read, the device is out of memory, or a file cannot be written.
    pub fn draw(&self, source: &Source, name: &str, class: usize) -> Result<Drawn> {
        let (image, mut heats) = self.finder.find(source, &[class])?;
        let heat = heats.next().context("expected evidence for the class")??;
        let [drawn, array] = ["png", "npy"].map(|ending| self.out.join(format!("{name}.{ending}")));
        png::write(&drawn, &overlay(&image, &heat))?;
        let values: Vec<f32> = heat.values().map(|value| value.unwrap_or(f32::NAN)).collect();
        npy::write(&array, &[image.height() as usize, image.width() as usize], &values)?;
        let [picture, array] = [drawn, array].map(|path| path.to_string_lossy().into_owned());
        Ok(Drawn { method: self.method(), picture, array })
    }
}
