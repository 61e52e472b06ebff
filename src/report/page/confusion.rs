//! The confusion matrix: whole if there are few classes, otherwise the classes that are confused at all, and the most
//! confused pairs.

use std::collections::BTreeSet;

use super::Class;
use super::html::{Column, escape, name, percent, scrolling, table};
use crate::metrics::Confusion;

/// The most classes of a matrix with numbers, as a table.
const MOST_NUMBERED: usize = 16;
/// The most classes of a matrix that is drawn.
const MOST_DRAWN: usize = 60;
/// The most pairs.
const MOST_PAIRS: usize = 50;

/// The matrix, and the most confused pairs where it does not show them all.
pub fn section(confusion: &Confusion, classes: &[Class]) -> String {
    let labels: Vec<usize> = confusion.labels().collect();
    let pairs = pairs(confusion);
    let is_complete = confusion.predicted().all(|predicted| labels.binary_search(&predicted).is_ok());
    let matrix = match labels.len() <= MOST_NUMBERED {
        true => numbered(confusion, &labels, classes, !is_complete),
        false => drawn(confusion, &confused(&labels, &pairs), classes),
    };
    match labels.len() <= MOST_NUMBERED && is_complete {
        true => matrix,
        false => matrix + &pair_table(confusion, &pairs, classes),
    }
}

/// A true class, another one that was predicted, and how often; the most frequent ones first.
type Pair = (usize, usize, u64);

fn pairs(confusion: &Confusion) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = confusion.cells().filter(|(label, predicted, _)| label != predicted).collect();
    pairs.sort_by_key(|&(label, predicted, count)| (std::cmp::Reverse(count), label, predicted));
    pairs
}

fn pair_table(confusion: &Confusion, pairs: &[Pair], classes: &[Class]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let columns: [Column; 4] =
        [("True class", false), ("Predicted class", false), ("Images", true), ("Share of the class", true)];
    let images = |label: usize| confusion.row(label).map(|(_, count)| count).sum::<u64>();
    let rows = pairs.iter().take(MOST_PAIRS).map(|&(label, predicted, count)| {
        let share = 100.0 * count as f64 / images(label) as f64;
        vec![name(&classes[label].name), name(&classes[predicted].name), count.to_string(), percent(share)]
    });
    let caption = format!("The most confused pairs ({} of {})", pairs.len().min(MOST_PAIRS), pairs.len());
    scrolling("The most confused pairs", "long", &table(&caption, "sortable", &columns, rows))
}

/// How to read a matrix.
const COLOURS: &str = "True classes in rows, predicted ones in columns. Blue is right, red is wrong; the darker, the larger \
                       the share of the row.";

/// The matrix with numbers. A last column counts predictions of classes that have no images.
fn numbered(confusion: &Confusion, labels: &[usize], classes: &[Class], has_others: bool) -> String {
    let mut html = String::from(
        "<table class=\"matrix\"><caption>Numbers of images</caption><thead><tr><th scope=\"col\">True class</th>",
    );
    let titles = labels.iter().map(|&label| name(&classes[label].name));
    for title in titles.chain(has_others.then(|| "other classes".to_string())) {
        html += &format!("<th scope=\"col\" class=\"upright\"><span>{title}</span></th>");
    }
    html += "</tr></thead>\n<tbody>";
    for &label in labels {
        html += &format!("<tr><th scope=\"row\">{}</th>", name(&classes[label].name));
        let images: u64 = confusion.row(label).map(|(_, count)| count).sum();
        let counts: Vec<u64> = labels.iter().map(|&predicted| confusion.taken(label, predicted)).collect();
        let others = images - counts.iter().sum::<u64>();
        let own = labels.iter().position(|&other| other == label);
        for (column, count) in counts.into_iter().chain(has_others.then_some(others)).enumerate() {
            let kind = if Some(column) == own { "right" } else { "wrong" };
            // Even one image must be visible: the style sheet has a faintest colour and five stronger ones.
            let strength = (6 * count).div_ceil(images);
            html += &format!("<td class=\"{kind} strength-{strength}\">{count}</td>");
        }
        html += "</tr>\n";
    }
    format!("<p>{COLOURS}</p>\n") + &scrolling("Confusion matrix", "", &(html + "</tbody></table>"))
}

/// The classes of the most confused pairs, as many as can be drawn, in order; if nothing is confused, the first ones.
fn confused(labels: &[usize], pairs: &[Pair]) -> Vec<usize> {
    let mut found = BTreeSet::new();
    for &(label, predicted, _) in pairs {
        let both = [label, predicted].map(|class| usize::from(!found.contains(&class)));
        if labels.binary_search(&predicted).is_ok() && found.len() + both.iter().sum::<usize>() <= MOST_DRAWN {
            found.extend([label, predicted]);
        }
    }
    if found.is_empty() { labels.iter().copied().take(MOST_DRAWN).collect() } else { found.into_iter().collect() }
}

/// Pixels of a cell, and of the room for names.
const CELL: usize = 12;
const NAMES: usize = 142;
/// The most characters of a name that fit in that room.
const LONGEST: usize = 22;

/// The matrix of some classes without numbers.
fn drawn(confusion: &Confusion, shown: &[usize], classes: &[Class]) -> String {
    let side = NAMES + CELL * shown.len() + 4;
    let mut svg = format!(
        "<svg class=\"matrix\" width=\"{side}\" height=\"{side}\" viewBox=\"0 0 {side} {side}\" role=\"img\" \
         aria-label=\"Confusion matrix of {} classes\">",
        shown.len()
    );
    let end = NAMES + CELL * shown.len();
    svg += &format!("<path class=\"grid\" d=\"M{NAMES} {NAMES}H{end}V{end}H{NAMES}Z\"/>");
    for (row, &label) in shown.iter().enumerate() {
        let y = NAMES + CELL * row;
        let title = escape(&shortened(&classes[label].name));
        let baseline = y + CELL - 3;
        svg += &format!("<text class=\"end\" x=\"{}\" y=\"{baseline}\">{title}</text>", NAMES - 5);
        svg += &format!("<text transform=\"translate({baseline} {}) rotate(-90)\">{title}</text>", NAMES - 5);
        let images: u64 = confusion.row(label).map(|(_, count)| count).sum();
        for (predicted, count) in confusion.row(label) {
            let Ok(column) = shown.binary_search(&predicted) else { continue };
            let kind = if predicted == label { "right" } else { "wrong" };
            let opacity = 0.2 + 0.8 * (count as f64 / images as f64).sqrt();
            svg += &format!(
                "<rect class=\"{kind}\" x=\"{}\" y=\"{y}\" width=\"{CELL}\" height=\"{CELL}\" fill-opacity=\"{opacity:.2}\"/>",
                NAMES + CELL * column
            );
        }
    }
    let all = confusion.labels().count();
    let which = match shown.len() < all {
        true => format!("{} of {all} classes, those of the most confused pairs first", shown.len()),
        false => format!("All {all} classes"),
    };
    format!(
        "<figure><figcaption>{which}. {COLOURS}</figcaption>{}</figure>\n",
        scrolling("Confusion matrix", "", &(svg + "</svg>"))
    )
}

fn shortened(name: &str) -> String {
    match name.chars().count() <= LONGEST {
        true => name.to_string(),
        false => name.chars().take(LONGEST - 1).chain(['…']).collect(),
    }
}
