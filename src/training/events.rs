//! A run's event file: the numbers of its log and, for every epoch, histograms of the weights and the confusion matrix, all
//! by step.
//!
//! Every process that trains begins a file of its own, since TensorBoard may be reading the one before. A run's state says
//! how far its files belong to it; what a process wrote afterwards is cut off when the run is resumed.

use std::fs::File;
use std::io::{Cursor, ErrorKind};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use image::ImageFormat;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tch::Tensor;

use super::appended::Appended;
use super::histogram;
use super::run::RunFolder;
use crate::metrics::{Answer, Confusion};
use crate::network::Network;
use crate::network::parameter::Parameter;
use crate::report::confusion_raster;
use crate::report::event_file::{Event, Quantity, record};

/// A place in a run's event files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Position {
    /// The number of the file, from 1.
    file: u64,
    /// The bytes of the file up to here.
    length: u64,
}

/// Cuts off what follows the position, whether it is whole or not.
///
/// # Errors
/// Returns an error if a file cannot be shortened or removed.
pub fn cut(run: &RunFolder, at: Position) -> Result<()> {
    run.remove_events_after(at.file)?;
    let path = run.events(at.file);
    let shorten = || match File::options().write(true).open(&path) {
        Ok(file) if file.metadata()?.len() > at.length => file.set_len(at.length),
        // Somebody has removed it.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.map(drop),
    };
    shorten().with_context(|| {
        format!("{}: cannot be cut back to the last checkpoint; make it writable, or remove it", path.display())
    })
}

/// Tags, and where a line of the log about a step has their numbers.
const OF_A_STEP: [(&str, &str); 2] = [("training/loss", "/loss"), ("training/learning_rate", "/rate")];
/// The same for a line about an epoch.
const OF_AN_EPOCH: [(&str, &str); 7] = [
    ("training/epoch_loss", "/training_loss"),
    ("validation/loss", "/loss"),
    ("validation/top1_error", "/top1_error"),
    ("validation/top5_error", "/top5_error"),
    ("averaged/loss", "/averaged/loss"),
    ("averaged/top1_error", "/averaged/top1_error"),
    ("averaged/top5_error", "/averaged/top5_error"),
];

/// The event file of a process. Events that cannot be written are kept for the next try.
#[derive(Debug)]
pub struct Events {
    file: Appended,
    number: u64,
    /// The steps that had been trained when the process began.
    first: u64,
    end: Position,
}

impl Events {
    /// The file that follows the position, of a process that goes on after `step` steps. It appears with its first event.
    pub fn after(run: &RunFolder, at: Position, step: u64) -> Self {
        let number = at.file + 1;
        Events { file: Appended::at(run.events(number)), number, first: step, end: at }
    }

    /// The end of all events so far.
    pub fn end(&self) -> Position {
        self.end
    }

    /// Adds the numbers of a line of the log.
    ///
    /// # Errors
    /// Returns an error if they cannot be written.
    pub fn add_line(&mut self, line: &Value) -> Result<()> {
        let numbers: &[_] = match line["kind"].as_str() {
            Some("step") => &OF_A_STEP,
            Some("epoch") => &OF_AN_EPOCH,
            _ => &[],
        };
        let number = |&(tag, place): &(&str, &str)| {
            Some((tag.to_string(), Quantity::Scalar(line.pointer(place).and_then(Value::as_f64)?)))
        };
        let scalars: Vec<_> = numbers.iter().filter_map(number).collect();
        self.add(line["step"].as_u64().unwrap_or(0), &scalars)
    }

    /// Makes sure that all events last through a power cut, also those that could not be written before.
    ///
    /// # Errors
    /// Returns an error if they cannot be written; nothing is then lost.
    pub fn sync(&mut self) -> Result<()> {
        if self.end.file == self.number { self.file.sync() } else { Ok(()) }
    }

    /// Adds quantities after a step.
    ///
    /// # Errors
    /// Returns an error if they cannot be written; nothing is then lost.
    pub fn add(&mut self, step: u64, quantities: &[(String, Quantity)]) -> Result<()> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut bytes = Vec::new();
        if self.end.file != self.number {
            self.end = Position { file: self.number, length: 0 };
            bytes.extend(record(time, 0, Event::Version));
            if self.first > 0 {
                // TensorBoard forgets what it has read of the steps that are trained again.
                bytes.extend(record(time, self.first + 1, Event::Restart));
            }
        }
        bytes.extend(record(time, step, Event::Summary(quantities)));
        self.end.length += bytes.len() as u64;
        self.file.add(&bytes)
    }
}

/// What an epoch shows besides numbers: the distribution of each tensor that is trained, and the confusion matrix of the
/// answers to the validation images.
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn pictures(network: &Network, answers: &[Option<Answer>]) -> Result<Vec<(String, Quantity)>> {
    let histogram = |(parameter, tensor): (Parameter, &Tensor)| {
        Ok((format!("weights/{}", parameter.name), Quantity::Histogram(histogram::of(tensor)?)))
    };
    let mut pictures = network.trainable().map(histogram).collect::<Result<Vec<_>>>()?;
    let mut confusion = Confusion::default();
    answers.iter().flatten().for_each(|answer| confusion.add(answer));
    let classes = answers.iter().flatten().map(|answer| answer.classes).max().unwrap_or(0);
    let matrix = confusion_raster::draw(&confusion, classes);
    let mut png = Cursor::new(Vec::new());
    matrix.write_to(&mut png, ImageFormat::Png).context("the confusion matrix cannot be drawn")?;
    let (width, height) = matrix.dimensions();
    pictures.push(("validation/confusion".to_string(), Quantity::Image { png: png.into_inner(), width, height }));
    Ok(pictures)
}
