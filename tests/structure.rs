//! The dependency rules that `lib.rs` states, as far as a text search can enforce them.

use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust file of `src/` below a name, without its tests and comments.
fn code(below: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut open = vec![root.join(below), root.join(format!("{below}.rs"))];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|ending| ending == "rs") && path.is_file() {
            let text = fs::read_to_string(&path).expect("text");
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            found.push((path, lines.collect::<Vec<_>>().join("\n")));
        }
    }
    assert!(!found.is_empty(), "src/{below} does not exist, but lib.rs mentions it");
    found
}

#[track_caller]
fn never(rooms: &[&str], words: &[&str]) {
    for (path, text) in rooms.iter().flat_map(|room| code(room)) {
        for word in words {
            assert!(!text.contains(word), "{} knows {word}", path.display());
        }
    }
}

#[test]
fn sizes_schedules_views_and_geometry_do_not_use_tensors() {
    never(
        &["network/spec", "network/shape", "network/rows", "network/bounds", "network/node", "network/dense"],
        &["tch::", "Tensor"],
    );
    never(&["training/schedule", "views", "geometry"], &["tch::", "Tensor"]);
}

#[test]
fn image_depends_on_neither_networks_nor_experiments_and_data_not_on_networks() {
    never(&["image"], &["crate::network", "crate::experiment"]);
    never(&["data", "check", "pack"], &["crate::network"]);
}

#[test]
fn only_cli_and_commands_know_command_line_arguments() {
    let rooms = [
        "adversarial",
        "atomic",
        "check",
        "data",
        "device",
        "evaluation",
        "experiment",
        "fidelity",
        "geometry",
        "image",
        "imagenet",
        "memory",
        "metrics",
        "model",
        "native",
        "nearest",
        "network",
        "pack",
        "processes",
        "random",
        "range",
        "remedy",
        "report",
        "shapes",
        "training",
        "views",
        "weights",
    ];
    never(&rooms, &["crate::cli", "crate::commands", " --", "'--", "\"--", "(--"]);
}

#[test]
fn report_shows_numbers_and_depends_on_neither_tensors_nor_networks() {
    never(&["report"], &["tch::", "Tensor", "crate::network", "crate::training"]);
}

#[test]
fn evaluation_does_not_depend_on_training() {
    never(&["evaluation", "model", "metrics"], &["crate::training"]);
}

#[test]
fn only_checkpoints_and_weights_know_the_layout_of_files_with_weights() {
    let rooms =
        ["cli", "commands", "data", "evaluation", "experiment", "image", "metrics", "network", "report", "views"];
    never(&rooms, &["safetensors::", "zip::"]);
}

#[test]
fn random_numbers_come_from_streams_that_are_keyed_by_what_they_are_for() {
    let rooms = [
        "adversarial",
        "commands",
        "data",
        "evaluation",
        "fidelity",
        "image",
        "model",
        "network",
        "pack",
        "training",
        "views",
        "weights",
    ];
    never(&rooms, &["seed_from_u64", "rand::rng", "Tensor::rand", ".f_normal", ".f_uniform", "thread_rng"]);
}
