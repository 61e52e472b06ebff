//! What `check` prints: a few lines on the whole, and some examples of everything that is wrong or odd.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::check::Findings;
use crate::check::copies::{Group, Kind};
use crate::check::layout::Part;
use crate::cli::Check;
use crate::data::listing::{LeftOut, Reason};
use crate::report::Report;
use crate::report::table::grouped;

/// How many examples of each kind are listed; `--json` has all.
const SHOWN: usize = 5;
/// The width of the longest bar of the histogram, in characters.
const BAR: usize = 40;

/// Prints the findings.
///
/// # Errors
/// Returns an error if standard output cannot be written to.
pub fn show(findings: &Findings, args: &Check, report: Report) -> Result<()> {
    let lines =
        [overview(findings, args), sizes(findings), colours(findings, args.lighting), wrong(findings), noted(findings)];
    lines.into_iter().flatten().try_for_each(|line| report.result(line))
}

fn overview(findings: &Findings, args: &Check) -> Vec<String> {
    let layout = &findings.layout;
    if let [part] = layout.parts.as_slice() {
        return vec![format!("{}: {}", part.dir.display(), contents(part))];
    }
    let mut lines = vec![format!("{}: {}", args.dir.display(), images(layout.items.len()))];
    let width = layout.parts.iter().map(|part| part.name.len()).max().unwrap_or(0);
    lines.extend(layout.parts.iter().map(|part| format!("  {:width$}  {}", part.name, contents(part))));
    lines
}

/// The images and class sizes of a part.
fn contents(part: &Part) -> String {
    let sizes = || part.class_sizes.iter().zip(&part.classes);
    let (count, classes) = (images(part.images), part.classes.len());
    match (sizes().min_by_key(|(size, _)| **size), sizes().max_by_key(|(size, _)| **size)) {
        (Some((least, _)), Some((most, _))) if least == most => format!("{count}, {classes} classes of {least}"),
        (Some((least, smallest)), Some((most, largest))) => {
            format!("{count}, {classes} classes of {least} (\"{smallest}\") to {most} (\"{largest}\")")
        }
        _ => format!("{count} without class folders"),
    }
}

fn images(count: usize) -> String {
    format!("{} {}", grouped(count as i64), if count == 1 { "image" } else { "images" })
}

fn sizes(findings: &Findings) -> Vec<String> {
    if let Some((width, height)) = findings.sizes.only() {
        return vec![format!("all images have {width}x{height} pixels")];
    }
    let bins = findings.sizes.bins();
    let most = bins.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let lines = bins.into_iter().map(|(sides, count)| {
        let bar = "#".repeat((BAR * count).div_ceil(most));
        format!("  {:>11}  {:>9}  {bar}", format!("{}-{}", sides.start(), sides.end()), grouped(count as i64))
    });
    ["shorter side in pixels:".to_string()].into_iter().chain(lines).collect()
}

fn colours(findings: &Findings, lighting: bool) -> Vec<String> {
    let (colours, part) = (&findings.colours, &findings.layout.parts[0].name);
    let (Some(mean), Some(deviation)) = (colours.mean(), colours.deviation()) else { return Vec::new() };
    let of = if part.is_empty() { String::new() } else { format!(" of {part}") };
    let (mean, std) = (list(&mean), list(&deviation));
    let mut lines = vec![match deviation.contains(&0.0) {
        false => format!("colours{of}: --set preprocess.mean={mean} --set preprocess.std={std}"),
        true => format!("colours{of}: mean {mean}, deviation {std}, which cannot be normalised"),
    }];
    if let (true, Some(components)) = (lighting, colours.components()) {
        let (values, vectors) =
            (list(&components.eigenvalues), components.eigenvectors.map(|row| list(&row)).join(","));
        lines.push(format!(
            "lighting{of}: --set 'training.augment=[{{\"lighting\":{{\"eigenvalues\":{values},\"eigenvectors\":[{vectors}]}}}}]'"
        ));
    }
    lines
}

/// Numbers as a JSON list, without blanks so that a shell takes it as one word.
fn list(values: &[f64]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("{value:.4}")).collect();
    format!("[{}]", values.join(","))
}

fn wrong(findings: &Findings) -> Vec<String> {
    if !findings.is_wrong() {
        return vec!["nothing is wrong".to_string()];
    }
    let mut lines = Vec::new();
    let unreadable = &findings.unreadable;
    let reason = |(number, reason): &(usize, String)| format!("{}: {reason}", findings.path(*number).display());
    lines.extend(section("wrong", &format!("{} cannot be read", images(unreadable.len())), unreadable, reason));
    lines.extend(left_out(findings, "wrong", Reason::is_loss));
    let faults = &findings.layout.faults;
    lines.extend(section("wrong", &format!("class folders ({})", faults.len()), faults, String::clone));
    for kind in [Kind::TwoClasses, Kind::TwoParts] {
        lines.extend(copies(findings, &findings.copies.exact, kind, "wrong", "the same image"));
    }
    lines
}

fn noted(findings: &Findings) -> Vec<String> {
    let mut lines = left_out(findings, "noted", |reason| !reason.is_loss());
    lines.extend(copies(findings, &findings.copies.exact, Kind::OneClass, "noted", "the same image"));
    for kind in [Kind::TwoClasses, Kind::TwoParts, Kind::OneClass] {
        lines.extend(copies(findings, &findings.copies.near, kind, "noted", "nearly the same image"));
    }
    for (oddity, numbers) in &findings.odd {
        let example = findings.path(numbers[0]);
        let example = example.display();
        let such = if numbers.len() == 1 { "" } else { "such as " };
        lines.push(format!("noted: {}: {}, {such}{example}", oddity.text(), images(numbers.len())));
    }
    lines
}

fn left_out(findings: &Findings, judgement: &str, is_meant: impl Fn(Reason) -> bool) -> Vec<String> {
    let mut reasons: BTreeMap<Reason, Vec<&LeftOut>> = BTreeMap::new();
    for it in findings.layout.left_out().filter(|it| is_meant(it.reason)) {
        reasons.entry(it.reason).or_default().push(it);
    }
    let lines = reasons.iter().flat_map(|(reason, found)| {
        section(judgement, &format!("{} x {reason}", found.len()), found, |it| it.path.display().to_string())
    });
    lines.collect()
}

fn copies(findings: &Findings, groups: &[Group], kind: Kind, judgement: &str, what: &str) -> Vec<String> {
    let groups: Vec<&Group> = groups.iter().filter(|group| group.kind == kind).collect();
    section(judgement, &format!("{} x {what}{}", groups.len(), kind.text()), &groups, |group| {
        let shown = group.images.iter().take(SHOWN).map(|&number| findings.path(number));
        let shown: Vec<String> = shown.map(|path| path.display().to_string()).collect();
        let more = group.images.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{more}", shown.join("  "))
    })
}

/// A heading and examples below it; nothing, if there are none.
fn section<T>(judgement: &str, heading: &str, found: &[T], line: impl Fn(&T) -> String) -> Vec<String> {
    if found.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("{judgement}: {heading}")];
    lines.extend(found.iter().take(SHOWN).map(|it| format!("  {}", line(it))));
    if found.len() > SHOWN {
        lines.push(format!("  and {} more (--json FILE lists all)", found.len() - SHOWN));
    }
    lines
}
