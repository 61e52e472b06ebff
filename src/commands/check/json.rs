//! What `check` writes for programs: everything.

use serde_json::{Map, Value, json};

use crate::check::Findings;
use crate::check::copies::Group;
use crate::check::layout::Part;
use crate::cli::Check;

/// The findings as JSON.
pub fn json(findings: &Findings, args: &Check) -> Value {
    let layout = &findings.layout;
    let path = |&number: &usize| findings.path(number).to_string_lossy().into_owned();
    let group = |group: &Group| json!({ "where": <&str>::from(group.kind), "paths": group.images.iter().map(path).collect::<Vec<_>>() });
    let unreadable =
        findings.unreadable.iter().map(|(number, reason)| json!({ "path": path(number), "error": reason }));
    let left_out = layout.left_out().map(|it| {
        json!({ "path": it.path.to_string_lossy(), "reason": it.reason.to_string(), "wrong": it.reason.is_loss() })
    });
    let odd = findings
        .odd
        .iter()
        .map(|(oddity, numbers)| (<&str>::from(oddity).to_string(), numbers.iter().map(path).collect()));
    let sizes = findings.sizes.bins().into_iter();
    let sizes = sizes.map(|(sides, count)| json!({ "from": sides.start(), "to": sides.end(), "images": count }));
    let mut json = json!({
        "dir": args.dir.to_string_lossy(), "wrong": findings.is_wrong(), "images": layout.items.len(),
        "parts": layout.parts.iter().map(part).collect::<Vec<_>>(), "class_faults": layout.faults,
        "unreadable": unreadable.collect::<Vec<_>>(), "left_out": left_out.collect::<Vec<_>>(),
        "same": findings.copies.exact.iter().map(group).collect::<Vec<_>>(),
        "nearly_same": findings.copies.near.iter().map(group).collect::<Vec<_>>(),
        "odd": odd.collect::<Map<String, Value>>(), "shorter_sides": sizes.collect::<Vec<_>>(),
        "preprocess": { "mean": findings.colours.mean(), "std": findings.colours.deviation() },
    });
    if let (true, Some(components)) = (args.lighting, findings.colours.components()) {
        json["lighting"] = json!({ "eigenvalues": components.eigenvalues, "eigenvectors": components.eigenvectors });
    }
    json
}

fn part(part: &Part) -> Value {
    let classes = part.classes.iter().zip(&part.class_sizes);
    let classes: Map<String, Value> = classes.map(|(class, size)| (class.clone(), (*size).into())).collect();
    json!({ "name": part.name, "dir": part.dir.to_string_lossy(), "images": part.images, "classes": classes })
}
