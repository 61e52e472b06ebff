//! The answers to the images of a validation as a table: written beside the best weights of a run, and read back when its
//! page is made.

use std::collections::HashMap;
use std::iter::once;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::data::dataset::Sample;
use crate::metrics::Answer;
use crate::report::records::csv;

const COLUMNS: [&str; 6] = ["path", "label", "prediction", "probability", "label_probability", "rank"];

/// One row per image, in their order; an image that could not be read has only its path and label.
///
/// # Errors
/// Returns an error only if memory runs out: the table is written to memory.
pub fn table(samples: &[Sample], answers: &[Option<Answer>], classes: &[String]) -> Result<String> {
    let rows = samples.iter().zip(answers).map(|(sample, answer)| {
        let [prediction, probability, label_probability, rank] = answer.map_or_else(Default::default, |answer| {
            let Answer { prediction, probability, label_probability, rank, .. } = answer;
            [
                classes[prediction].clone(),
                probability.to_string(),
                label_probability.to_string(),
                (rank + 1).to_string(),
            ]
        });
        [sample.source.name(), classes[sample.label].clone(), prediction, probability, label_probability, rank]
    });
    csv(once(COLUMNS.map(String::from)).chain(rows))
}

/// Reads the answers to these images.
///
/// # Errors
/// Returns an error if the table cannot be read, or is not about these images.
pub fn read(path: &Path, samples: &[Sample], classes: &[String]) -> Result<Vec<Option<Answer>>> {
    let name = path.display();
    let indices: HashMap<&str, usize> = classes.iter().map(String::as_str).zip(0..).collect();
    let mut answers = Vec::with_capacity(samples.len());
    let rows = csv::Reader::from_path(path).with_context(|| format!("cannot read {name}"))?;
    for (row, sample) in rows.into_deserialize::<Row>().zip(samples) {
        let row: Row = row.with_context(|| format!("{name}: not the table of a validation"))?;
        ensure!(
            row.1 == classes[sample.label],
            "{name}: labels {} as {}, but it is an image of {}",
            row.0,
            row.1,
            classes[sample.label]
        );
        answers.push(row.answer(sample.label, &indices));
    }
    let (expected, found) = (samples.len(), answers.len());
    ensure!(found == expected, "{name}: expected a row for each of {expected} images, found {found}");
    Ok(answers)
}

/// A row: the columns in their order.
#[derive(serde::Deserialize)]
struct Row(String, String, String, Option<f32>, Option<f32>, Option<usize>);

impl Row {
    fn answer(&self, label: usize, classes: &HashMap<&str, usize>) -> Option<Answer> {
        Some(Answer {
            label,
            prediction: *classes.get(self.2.as_str())?,
            probability: self.3?,
            label_probability: self.4?,
            rank: self.5?.checked_sub(1)?,
            classes: classes.len(),
        })
    }
}
