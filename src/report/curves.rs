//! The curves of a run, drawn from its log: losses and errors by epoch.

use anyhow::Result;
use plotters::prelude::*;
use serde_json::Value;

use super::svg::{Area, Drawn, TITLE, document};

/// A line of the drawing: the log's field, its name, its colour.
type Curve = (&'static str, &'static str, RGBColor);

const LOSSES: [Curve; 2] =
    [("training_loss", "training loss", RGBColor(31, 119, 180)), ("loss", "validation loss", RGBColor(214, 39, 40))];
const ERRORS: [Curve; 2] =
    [("top1_error", "top-1 error, %", RGBColor(214, 39, 40)), ("top5_error", "top-5 error, %", RGBColor(255, 127, 14))];

/// Draws the curves as SVG, from the log's lines of whole epochs.
///
/// # Errors
/// Returns an error if the picture cannot be drawn.
pub fn draw(epochs: &[Value]) -> Result<Vec<u8>> {
    document((960, 400), |area| {
        let (left, right) = area.split_horizontally(480);
        chart(&left, "loss", epochs, &LOSSES)?;
        chart(&right, "error on the validation images", epochs, &ERRORS)
    })
}

fn chart(area: &Area, title: &str, epochs: &[Value], curves: &[Curve]) -> Drawn {
    let points = |field: &str| -> Vec<(f64, f64)> {
        epochs.iter().filter_map(|epoch| Some((epoch["epoch"].as_f64()?, epoch[field].as_f64()?))).collect()
    };
    let highest = curves.iter().flat_map(|(field, ..)| points(field)).map(|(_, value)| value).fold(0.0, f64::max);
    let last = epochs.last().and_then(|epoch| epoch["epoch"].as_f64()).unwrap_or(1.0);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", TITLE))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..last.max(1.0) * 1.02, 0.0..(highest * 1.05).max(1e-3))?;
    chart
        .configure_mesh()
        .x_desc("epoch")
        .light_line_style(WHITE)
        .x_label_formatter(&|epoch| format!("{epoch:.0}"))
        .draw()?;
    // With five classes or fewer there is no top-5 error.
    for &(field, name, colour) in curves.iter().filter(|(field, ..)| !points(field).is_empty()) {
        let line = chart.draw_series(LineSeries::new(points(field), colour.stroke_width(2)).point_size(2))?;
        line.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
    Ok(())
}
