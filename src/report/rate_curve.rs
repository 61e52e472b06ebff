//! The picture of a search for the learning rate: the loss over the rate.

use anyhow::Result;
use plotters::prelude::*;

use super::svg::{TITLE, document};

/// Losses over rising learning rates.
#[derive(Clone, Copy, Debug)]
pub struct RateCurve<'a> {
    /// The rates.
    pub rates: &'a [f64],
    /// The loss at each.
    pub losses: &'a [f64],
    /// The same, smoothed.
    pub smoothed: &'a [f64],
    /// The rate that is suggested, if any.
    pub suggested: Option<f64>,
}

const POINTS: RGBColor = RGBColor(160, 190, 220);
const LINE: RGBColor = RGBColor(31, 119, 180);
const SUGGESTED: RGBColor = RGBColor(214, 39, 40);

/// Draws the curve as SVG. Losses far above the first one lie outside the picture.
///
/// # Errors
/// Returns an error if the picture cannot be drawn.
pub fn draw(curve: &RateCurve) -> Result<Vec<u8>> {
    let [first, last] = [curve.rates.first(), curve.rates.last()].map(|rate| rate.copied().unwrap_or(1.0));
    let start = curve.smoothed.first().copied().unwrap_or(1.0);
    let finite = || curve.losses.iter().copied().filter(|loss| loss.is_finite());
    let low = finite().fold(start, f64::min);
    let high = finite().fold(start, f64::max).min(start + (start - low).max(0.2 * start));
    let room = 0.05 * (high - low).max(1e-3);
    let (bottom, top) = ((low - room).max(0.0), high + room);
    document((720, 420), |area| {
        let mut chart = ChartBuilder::on(area)
            .caption("loss over the learning rate", ("sans-serif", TITLE))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(48)
            .build_cartesian_2d((first..last * 1.0001).log_scale(), bottom..top)?;
        chart
            .configure_mesh()
            .x_desc("learning rate")
            .light_line_style(WHITE)
            .x_label_formatter(&|rate| format!("{rate:.0e}"))
            .draw()?;
        let inside = |losses: &[f64]| -> Vec<(f64, f64)> {
            let points = curve.rates.iter().copied().zip(losses.iter().copied());
            points.filter(|(_, loss)| (bottom..=top).contains(loss)).collect()
        };
        let dots = inside(curve.losses).into_iter().map(|at| Circle::new(at, 2, POINTS.filled()));
        chart.draw_series(dots)?.label("each update").legend(|at| Circle::new((at.0 + 8, at.1), 2, POINTS.filled()));
        let line = chart.draw_series(LineSeries::new(inside(curve.smoothed), LINE.stroke_width(2)))?;
        line.label("smoothed").legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], LINE.stroke_width(2)));
        if let Some(rate) = curve.suggested {
            let line = LineSeries::new([(rate, bottom), (rate, top)], SUGGESTED.stroke_width(2));
            let line = chart.draw_series(line)?.label(format!("suggested: {rate}"));
            line.legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], SUGGESTED.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        Ok(())
    })
}
