//! The curves of a run, drawn from its log: losses and errors by epoch; or losses of a generator and a discriminator, and what
//! the latter outputs, by step.

use anyhow::Result;
use plotters::prelude::*;
use serde_json::Value;

use super::page::thinned;
use super::svg::{Area, Drawn, TITLE, document};

/// A line of the drawing: the log's field, its name, its colour.
type Curve = (&'static str, &'static str, RGBColor);

const LOSSES: [Curve; 2] =
    [("training_loss", "training loss", RGBColor(31, 119, 180)), ("loss", "validation loss", RGBColor(214, 39, 40))];
const ERRORS: [Curve; 2] =
    [("top1_error", "top-1 error, %", RGBColor(214, 39, 40)), ("top5_error", "top-5 error, %", RGBColor(255, 127, 14))];

const ADVERSARIAL_LOSSES: [Curve; 2] = [
    ("discriminator_loss", "discriminator", RGBColor(31, 119, 180)),
    ("generator_loss", "generator", RGBColor(214, 39, 40)),
];
const OPINIONS: [Curve; 2] =
    [("real", "on real images", RGBColor(31, 119, 180)), ("made", "on made images", RGBColor(214, 39, 40))];
const DISTANCE: [Curve; 1] = [("frechet_distance", "of made images", RGBColor(44, 160, 44))];
/// The most points of a line: more could not be seen.
const MOST_POINTS: usize = 400;

/// Draws the curves as SVG, from the log's lines of whole epochs.
///
/// # Errors
/// Returns an error if the picture cannot be drawn.
pub fn draw(epochs: &[Value]) -> Result<Vec<u8>> {
    let epochs: Vec<&Value> = epochs.iter().collect();
    document((960, 400), |area| {
        let (left, right) = area.split_horizontally(480);
        chart(&left, "loss", "epoch", &epochs, &LOSSES)?;
        chart(&right, "error on the validation images", "epoch", &epochs, &ERRORS)
    })
}

/// Draws those of a generator and a discriminator, from the log's lines of steps, and the distances that its lines of epochs
/// have.
///
/// # Errors
/// Returns an error if the picture cannot be drawn.
pub fn draw_adversarial(steps: &[Value], epochs: &[Value]) -> Result<Vec<u8>> {
    let steps: Vec<&Value> = thinned(steps, MOST_POINTS).collect();
    let measured: Vec<&Value> = epochs.iter().filter(|line| line[DISTANCE[0].0].is_number()).collect();
    let width = if measured.is_empty() { 960 } else { 1440 };
    document((width, 400), |area| {
        let (left, rest) = area.split_horizontally(480);
        let (middle, right) = rest.split_horizontally(480);
        chart(&left, "loss", "step", &steps, &ADVERSARIAL_LOSSES)?;
        chart(&middle, "what the discriminator outputs", "step", &steps, &OPINIONS)?;
        if measured.is_empty() {
            return Ok(());
        }
        chart(&right, "Fréchet distance from real images", "epoch", &measured, &DISTANCE)
    })
}

/// A chart of these curves, from lines of the log, by its field `by`.
fn chart(area: &Area, title: &str, by: &str, lines: &[&Value], curves: &[Curve]) -> Drawn {
    let points = |field: &str| -> Vec<(f64, f64)> {
        lines.iter().filter_map(|line| Some((line[by].as_f64()?, line[field].as_f64()?))).collect()
    };
    let values = || curves.iter().flat_map(|(field, ..)| points(field)).map(|(_, value)| value);
    let (lowest, highest) = (values().fold(0.0, f64::min), values().fold(0.0, f64::max));
    let last = lines.last().and_then(|line| line[by].as_f64()).unwrap_or(1.0);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", TITLE))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..last.max(1.0) * 1.02, lowest * 1.05..(highest * 1.05).max(1e-3))?;
    chart
        .configure_mesh()
        .x_desc(by)
        .light_line_style(WHITE)
        .x_label_formatter(&|epoch| format!("{epoch:.0}"))
        .draw()?;
    // With five classes or fewer there is no top-5 error.
    for &(field, name, colour) in curves.iter().filter(|(field, ..)| !points(field).is_empty()) {
        let line =
            chart.draw_series(LineSeries::new(points(field), colour.stroke_width(2)).point_size(if by == "epoch" {
                2
            } else {
                0
            }))?;
        line.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
    Ok(())
}
