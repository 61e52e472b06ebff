//! Images worth a look: confident mistakes, unsure hits and labels that are probably wrong.

use base64::prelude::{BASE64_STANDARD, Engine};

use super::Class;
use super::html::{escape, name, share};
use crate::metrics::Answer;

/// An image, small, with the evidence that was found in it.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The file's name below the folder of the data.
    pub path: String,
    /// What the model answered.
    pub answer: Answer,
    /// The image as a small JPEG; `None` if it cannot be read any more.
    pub image: Option<Thumbnail>,
    /// The evidence for the prediction, drawn over the image.
    pub evidence: Option<Thumbnail>,
}

/// A small JPEG.
#[derive(Clone, Debug)]
pub struct Thumbnail {
    /// Its bytes.
    pub jpeg: Vec<u8>,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
}

/// The images, by what is notable about them.
#[derive(Clone, Debug, Default)]
pub struct Pictures {
    /// Confident mistakes.
    pub mistakes: Vec<Picture>,
    /// Unsure hits.
    pub hits: Vec<Picture>,
    /// Images whose label is probably wrong.
    pub labels: Vec<Picture>,
    /// How the evidence was found, or why it was not.
    pub evidence: String,
}

/// Three galleries.
pub fn section(pictures: &Pictures, classes: &[Class]) -> String {
    let evidence = escape(&pictures.evidence);
    let mistakes = "Wrong, although the model is sure. A label that is wrong itself shows up here first.";
    let labels = "The model is as sure of another class as it is, on average, of that class’s own images (confident \
                  learning, arXiv:1911.00068); mistakes that are shown above are left out.";
    [
        format!("<p>{evidence}</p>\n"),
        gallery("The most confident mistakes", mistakes, &pictures.mistakes, classes),
        gallery("Labels that may be wrong", labels, &pictures.labels, classes),
        gallery("The least confident hits", "Right, but only just.", &pictures.hits, classes),
    ]
    .concat()
}

fn gallery(title: &str, says: &str, pictures: &[Picture], classes: &[Class]) -> String {
    if pictures.is_empty() {
        return String::new();
    }
    let cards: String = pictures.iter().map(|picture| card(picture, classes)).collect();
    format!("<h3>{title}</h3>\n<p>{says}</p>\n<div class=\"gallery\">\n{cards}</div>\n")
}

fn card(picture: &Picture, classes: &[Class]) -> String {
    let Answer { label, prediction, probability, label_probability, .. } = picture.answer;
    let [truth, guess] = [label, prediction].map(|class| classes[class].name.as_str());
    let path = &picture.path;
    let shown = picture.image.as_ref().map(|it| image(it, &format!("{path}, labelled {truth}")));
    let evidence = picture.evidence.as_ref().map(|it| image(it, &format!("Evidence for {guess} in {path}")));
    let shown = shown.unwrap_or_else(|| "<span class=\"absent\">cannot be read</span>".to_string());
    let answer = match label == prediction {
        true => format!("<b>{}</b> {}", name(truth), share(probability)),
        false => format!(
            "predicted <b>{}</b> {}<br>labelled <b>{}</b> {}",
            name(guess),
            share(probability),
            name(truth),
            share(label_probability)
        ),
    };
    format!(
        "<figure><div class=\"pair\">{shown}{}</div><figcaption>{answer}<br><span class=\"file\">{}</span></figcaption></figure>\n",
        evidence.unwrap_or_default(),
        name(path)
    )
}

fn image(thumbnail: &Thumbnail, says: &str) -> String {
    let Thumbnail { jpeg, width, height } = thumbnail;
    format!(
        "<img width=\"{width}\" height=\"{height}\" alt=\"{}\" src=\"data:image/jpeg;base64,{}\">",
        escape(says),
        BASE64_STANDARD.encode(jpeg)
    )
}
