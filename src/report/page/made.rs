//! The page of a generator's training: what was run, the images that it made from the first epoch to the last, and the curves.

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};

use super::what::{self, About};
use super::{Section, document};
use crate::report::table::significant;

/// What a page shows.
#[derive(Clone, Debug)]
pub struct MadePage<'a> {
    /// What was run.
    pub about: &'a About,
    /// The images that were made after some epochs, counted from 1, as PNG.
    pub grids: &'a [(u64, Vec<u8>)],
    /// The curves as SVG.
    pub curves: &'a [u8],
    /// The lines of all epochs.
    pub epochs: &'a [Value],
}

impl MadePage<'_> {
    /// The page.
    pub fn html(&self) -> String {
        let sections: [Section; 3] = [
            ("What was run", what::section(self.about)),
            ("Made images", self.gallery()),
            ("Progress", image("image/svg+xml", self.curves, "Losses and outputs of the discriminator by step")),
        ];
        let record = json!({ "about": self.about, "epochs": self.epochs });
        let introduction = match self.epochs.last() {
            Some(last) => format!(
                "After {}, the discriminator outputs {:.2} for real images and {:.2} for made ones.{}",
                epoch(last),
                last["real"].as_f64().unwrap_or_default(),
                last["made"].as_f64().unwrap_or_default(),
                self.best()
            ),
            None => "No epoch is complete.".to_string(),
        };
        document(&self.about.title, &introduction, &sections, &record)
    }

    /// Which generator is the best, if they are measured.
    fn best(&self) -> String {
        let best = self.epochs.iter().rfind(|line| line["best"] == true);
        best.map_or(String::new(), |best| {
            let distance = best["frechet_distance"].as_f64().unwrap_or_default();
            format!(
                " The images made after {} are closest to real ones: their Fréchet distance is {}.",
                epoch(best),
                significant(distance)
            )
        })
    }

    /// The same latent vectors throughout.
    fn gallery(&self) -> String {
        let figure = |(epoch, png): &(u64, Vec<u8>)| {
            let shown = image("image/png", png, &format!("Images made after epoch {epoch}"));
            format!("<figure><figcaption>After epoch {epoch}</figcaption>{shown}</figure>\n")
        };
        let figures: String = self.grids.iter().map(figure).collect();
        format!("<p>Each picture is made of the same latent vectors.</p>\n<div class=\"charts\">{figures}</div>\n")
    }
}

/// `epoch 3` or, at the end of a run within one, `epoch 2.54`.
fn epoch(line: &Value) -> String {
    match line["epoch"].as_u64() {
        Some(whole) => format!("epoch {whole}"),
        None => format!("epoch {:.2}", line["epoch"].as_f64().unwrap_or_default()),
    }
}

fn image(kind: &str, bytes: &[u8], description: &str) -> String {
    format!("<img alt=\"{description}\" src=\"data:{kind};base64,{}\">\n", BASE64_STANDARD.encode(bytes))
}
