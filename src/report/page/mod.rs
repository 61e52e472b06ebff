//! `report.html`: a run or an evaluation on one page that needs nothing else. Each section is a file; the style sheet is
//! `style.css`, and the script, which only sorts tables, is `sort.js`.

mod calibration;
mod chart;
mod classes;
mod confusion;
mod curves;
mod errors;
mod html;
mod images;
mod made;
mod what;

use serde_json::{Value, json};

use crate::metrics::{Answer, Calibration, ClassErrors, Confusion};
pub use chart::thinned;

pub use curves::Progress;
pub use errors::Row;
pub use images::{Picture, Pictures, Thumbnail};
pub use made::MadePage;
pub use what::About;

/// What a page shows.
#[derive(Clone, Debug)]
pub struct Page<'a> {
    /// What was run.
    pub about: &'a About,
    /// The progress of a training run.
    pub progress: Option<Progress>,
    /// The measured errors.
    pub errors: Vec<Row>,
    /// What was measured image by image.
    pub measured: Option<Measured<'a>>,
    /// The results as the command gives them to programs.
    pub results: Value,
}

/// What was measured image by image, under one protocol.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'a> {
    /// The protocol.
    pub views: &'a str,
    /// The answers to the images that could be read.
    pub answers: &'a [Option<Answer>],
    /// All classes, in the order of the model's.
    pub classes: &'a [Class],
    /// The images that are shown.
    pub pictures: &'a Pictures,
}

/// A class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// The name of its folder.
    pub id: String,
    /// Its readable name.
    pub name: String,
}

/// The most epochs, classes and cells of a confusion matrix that a page holds: it stays small however long a run is, and
/// however many classes it has.
const MOST_EPOCHS: usize = 1000;
const MOST_CLASSES: usize = 1000;
const MOST_CELLS: usize = 10_000;

/// A heading and its section; the heading is what the contents link to.
type Section = (&'static str, String);

impl Page<'_> {
    /// The page.
    pub fn html(&self) -> String {
        let mut sections: Vec<Section> = vec![("What was run", what::section(self.about))];
        if !self.errors.is_empty() {
            sections.push(("Errors", errors::section(&self.errors)));
        }
        let progress = self.progress.as_ref().map(|progress| Progress {
            epochs: thinned(&progress.epochs, MOST_EPOCHS).cloned().collect(),
            rates: thinned(&progress.rates, MOST_EPOCHS).copied().collect(),
        });
        sections.extend(progress.as_ref().map(|progress| ("Progress", curves::section(progress))));
        let counted = self.measured.map(Counted::new);
        if let (Some(measured), Some(counted)) = (self.measured, &counted) {
            let classes = measured.classes;
            sections.extend([
                ("Confusion", confusion::section(&counted.confusion, classes)),
                ("Classes", classes::section(&counted.worst, counted.confusion.labels().count(), classes)),
                ("Calibration", calibration::section(&counted.calibration)),
                ("Images", images::section(measured.pictures, classes)),
            ]);
        }
        let errors: Vec<Value> = self.errors.iter().map(Row::record).collect();
        let mut record = json!({ "about": self.about, "results": self.results, "errors": errors });
        if let Some(Progress { epochs, rates }) = &progress {
            record["epochs"] = json!(epochs);
            record["rates"] = json!(rates);
        }
        if let (Some(measured), Some(counted)) = (self.measured, &counted) {
            record["measured"] = counted.record(measured);
        }
        document(&self.about.title, &self.introduction(), &sections, &record)
    }

    /// The result in a sentence.
    fn introduction(&self) -> String {
        let first = self.errors.first().and_then(|row| Some((row, row.tally.errors()?)));
        let Some((row, errors)) = first else {
            return "The run is not over. Images, confusion and calibration are added at its end.".to_string();
        };
        let text = errors.text(", ");
        format!(
            "{text} on {} images ({}, {} view).",
            row.tally.images,
            html::name(&row.model),
            html::escape(&row.views)
        )
    }
}

/// What the answers add up to.
struct Counted {
    confusion: Confusion,
    calibration: Calibration,
    /// The classes with the greatest errors.
    worst: Vec<ClassErrors>,
}

impl Counted {
    fn new(measured: Measured) -> Self {
        let (mut confusion, mut calibration) = (Confusion::default(), Calibration::default());
        for answer in measured.answers.iter().flatten() {
            confusion.add(answer);
            calibration.add(answer);
        }
        let worst = classes::worst(&confusion, MOST_CLASSES);
        Counted { confusion, calibration, worst }
    }

    /// The numbers of the sections, for programs.
    fn record(&self, measured: Measured) -> Value {
        let id = |class: usize| measured.classes[class].id.as_str();
        let class = |&ClassErrors { class, images, errors, mistaken_for }: &ClassErrors| {
            let (other, times) = mistaken_for.map_or((None, 0), |(other, times)| (Some(id(other)), times));
            json!({ "class": id(class), "images": images, "errors": errors, "mistaken_for": other, "times": times })
        };
        let mut cells: Vec<_> = self.confusion.cells().collect();
        cells.sort_by_key(|&(.., count)| std::cmp::Reverse(count));
        let cells = cells.iter().take(MOST_CELLS).map(|&(label, predicted, count)| json!([label, predicted, count]));
        let pictures = |pictures: &[Picture]| -> Vec<Value> { pictures.iter().map(|it| picture(it, &id)).collect() };
        let Measured { views, pictures: Pictures { mistakes, hits, labels, .. }, .. } = measured;
        json!({
            "views": views,
            "class_names": measured.classes.iter().map(|class| &class.id).collect::<Vec<_>>(),
            "confusion": cells.collect::<Vec<_>>(),
            "classes": self.worst.iter().map(class).collect::<Vec<_>>(),
            "calibration": { "expected_error": self.calibration.error(), "bins": self.calibration.bins() },
            "images": {
                "confident_mistakes": pictures(mistakes), "doubtful_labels": pictures(labels), "unsure_hits": pictures(hits),
            },
        })
    }
}

fn picture<'a>(picture: &Picture, id: &impl Fn(usize) -> &'a str) -> Value {
    let Answer { label, prediction, probability, label_probability, .. } = picture.answer;
    json!({
        "path": picture.path, "label": id(label), "prediction": id(prediction), "probability": probability,
        "label_probability": label_probability,
    })
}

/// Nothing is loaded from anywhere: the policy forbids it, should a name ever become markup after all.
const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
    <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; \
    script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<link rel=\"icon\" href=\"data:,\">\n";

fn document(title: &str, introduction: &str, sections: &[Section], record: &Value) -> String {
    let (title, record) = (html::escape(title), html::json(record));
    let [mut contents, mut body] = [String::new(), String::new()];
    for (heading, section) in sections.iter().filter(|(_, section)| !section.is_empty()) {
        let id = heading.to_lowercase().replace(' ', "-");
        contents += &format!("<li><a href=\"#{id}\">{heading}</a></li>\n");
        body += &format!("<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{heading}</h2>\n{section}</section>\n");
    }
    format!(
        "{HEAD}<title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n<header>\n<h1><bdi>{title}</bdi></h1>\n\
         <p>{introduction}</p>\n<nav aria-label=\"Contents\"><ul>\n{contents}</ul></nav>\n</header>\n<main>\n{body}</main>\n\
         <footer><p>Written by topfive. The numbers of this page are also in it as JSON (<code>report-data</code>).</p></footer>\n\
         <script type=\"application/json\" id=\"report-data\">{record}</script>\n<script>\n{}</script>\n</body>\n</html>\n",
        include_str!("style.css"),
        include_str!("sort.js")
    )
}
