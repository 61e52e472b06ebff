//! Calibration: whether the model is right as often as its probabilities say.

use super::html::{Column, percent, scrolling, table};
use crate::metrics::{BINS, Bin, Calibration};

const SIDE: f64 = 220.0;
const LEFT: f64 = 46.0;
const TOP: f64 = 10.0;

/// The reliability diagram, the expected calibration error, and the bins as a table to unfold.
pub fn section(calibration: &Calibration) -> String {
    let Some(error) = calibration.error() else { return String::new() };
    let error = percent(100.0 * error);
    let bins = calibration.bins();
    format!(
        "<p>Expected calibration error: <strong>{error}</strong> ({BINS} bins): how far, on average, the model’s \
         probability lies from how often it is right. Where a bar ends above the diagonal the model is right more often than \
         it says, where it ends below, less often.</p>\n\
         <figure class=\"chart narrow\"><figcaption>Share of images that are right, by the probability of the \
         prediction</figcaption>{}</figure>\n\
         <details><summary>The bins as a table</summary>{}</details>\n",
        diagram(&bins),
        scrolling("Bins", "", &bin_table(&bins))
    )
}

fn diagram(bins: &[Bin]) -> String {
    let (right, bottom) = (LEFT + SIDE, TOP + SIDE);
    let across = |share: f64| LEFT + SIDE * share;
    let up = |share: f64| bottom - SIDE * share;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"Reliability diagram; its numbers are in the table below\">",
        right + 16.0,
        bottom + 44.0
    );
    for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let text = format!("{:.0}", 100.0 * tick);
        svg += &format!("<path class=\"grid\" d=\"M{LEFT} {:.1}H{right}\"/>", up(tick));
        svg += &format!("<text class=\"end\" x=\"{}\" y=\"{:.1}\">{text}</text>", LEFT - 6.0, up(tick) + 4.0);
        svg += &format!("<text class=\"middle\" x=\"{:.1}\" y=\"{}\">{text}</text>", across(tick), bottom + 16.0);
    }
    let most = bins.iter().map(|bin| bin.images).max().unwrap_or(1) as f64;
    for bin in bins {
        let (x, width) = (across(bin.from) + 1.0, SIDE / BINS as f64 - 2.0);
        // Bins of few images are pale.
        let opacity = 0.3 + 0.7 * (bin.images as f64 / most).sqrt();
        svg += &format!(
            "<rect class=\"bar\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill-opacity=\"{opacity:.2}\"/>",
            up(bin.accuracy),
            SIDE * bin.accuracy
        );
    }
    svg += &format!("<path class=\"diagonal\" d=\"M{LEFT} {bottom}L{right} {TOP}\"/>");
    svg += &format!(
        "<text class=\"middle\" x=\"{}\" y=\"{}\">probability, %; darker bars: more images</text></svg>",
        (LEFT + right) / 2.0 - 12.0,
        bottom + 36.0
    );
    svg
}

fn bin_table(bins: &[Bin]) -> String {
    let columns: [Column; 4] =
        [("Probability", false), ("Images", true), ("Mean probability", true), ("Share that is right", true)];
    let row = |bin: &Bin| {
        vec![
            format!("{:.1} to {:.1}&nbsp;%", 100.0 * bin.from, 100.0 * bin.to),
            bin.images.to_string(),
            percent(100.0 * bin.confidence),
            percent(100.0 * bin.accuracy),
        ]
    };
    table("Images by the probability of their prediction", "", &columns, bins.iter().map(row))
}
