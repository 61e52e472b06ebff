//! `predict` between pipes and on odd terminals.
#![cfg(unix)]

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::process::{Command, Stdio};
use std::ptr;

use common::{Ran, Workplace, fixture};
use serde_json::Value;

const NETWORK: &str = "checkpoints/network.json";
const WEIGHTS: &str = "checkpoints/plain.pth";

/// The arguments of a `predict` with the network of the fixtures.
fn arguments(more: &[&str]) -> Vec<String> {
    let [network, weights] = [NETWORK, WEIGHTS].map(|name| fixture(name).to_string_lossy().into_owned());
    let fixed = ["predict".to_string(), network, "--weights".into(), weights, "--device".into(), "cpu".into()];
    fixed.into_iter().chain(more.iter().map(|word| (*word).to_string())).collect()
}

fn predict(place: &Workplace, more: &[&str]) -> Command {
    let mut command = place.command(&[]);
    command.args(arguments(more));
    command
}

/// Runs a command on this standard input.
fn fed(mut command: Command, input: &[u8]) -> Ran {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    // A program that fails early does not read it all.
    let _ = child.stdin.take().expect("standard input").write_all(input);
    Ran::of(child.wait_with_output().expect("it ends"))
}

/// The paths and the best classes in JSON lines.
fn best(lines: &str) -> Vec<(String, String)> {
    let line = |line: &str| -> (String, String) {
        let value: Value = serde_json::from_str(line).expect("JSON");
        let text = |value: &Value| value.as_str().unwrap_or("none").to_string();
        (text(&value["path"]), text(&value["predictions"][0]["class"]))
    };
    lines.lines().map(line).collect()
}

/// A workplace with two images, one of which has a line break in its name.
fn images() -> Workplace {
    let place = Workplace::new();
    let png = std::fs::read(fixture("decode/rgb.png")).expect("a file");
    place.write("a b.png", &png);
    place.write("two\nlines.png", &png);
    place
}

#[test]
fn an_image_is_read_from_standard_input() {
    let place = images();
    let png = place.read("a b.png");
    let ran = fed(predict(&place, &["a b.png", "-", "--format", "jsonl"]), &png).succeeds();
    let [file, stdin] = best(&ran.stdout).try_into().expect("two images");
    assert_eq!((stdin.0.as_str(), stdin.1), ("-", file.1));

    let ran = fed(predict(&place, &["-", "a b.png"]), b"");
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    ran.says(&["-: the file is empty (0 bytes)"]);
    let program = env!("CARGO_BIN_EXE_topfive");
    let quoted: Vec<String> = arguments(&["-"]).iter().map(|word| format!("'{word}'")).collect();
    let closed = Command::new("bash").args(["-c", &format!("{program} {} <&-", quoted.join(" "))]).output();
    assert_eq!(Ran::of(closed.expect("bash runs")).says(&["-: "]).status, 1);
    fed(predict(&place, &["-", "-"]), &png).fails_saying(&["standard input (-) is named 2 times"]);
    fed(predict(&place, &["-", "--files-from", "-"]), &png).fails_saying(&["standard input (-) is named 2 times"]);
}

#[test]
fn paths_are_read_from_lists_of_lines_or_separated_by_nul() {
    let place = images();
    let jsonl = ["--format", "jsonl", "--files-from"];
    let with = |list: &str, more: &[&str]| predict(&place, &[&jsonl[..], &[list], more].concat());
    let names = |ran: Ran| best(&ran.stdout).into_iter().map(|(path, _)| path).collect::<Vec<_>>();

    place.write("lines", "\u{feff}a b.png\r\n\na b.png\n");
    assert_eq!(names(fed(with("lines", &[]), b"").succeeds()), ["a b.png", "a b.png"]);
    assert_eq!(names(fed(with("-", &["a b.png"]), b"two\nlines.png\0").succeeds()), ["a b.png", "two\nlines.png"]);
    // Folders are searched, and missing files reported like any others.
    let ran = fed(with("-", &[]), b".\nmissing.png\n");
    assert_eq!(ran.status, 1);
    assert_eq!(names(ran.says(&["missing.png: cannot be opened"])).len(), 3);

    fed(with("-", &[]), b"\n").fails_saying(&["--files-from -", "expected paths of images", "found none"]);
    fed(with("nowhere", &[]), b"").fails_saying(&["--files-from nowhere", "cannot be read"]);
    fed(predict(&place, &[]), b"").fails_saying(&["expected images after the model"]);
}

/// Runs a command on a terminal of so many columns; returns what appears there.
fn on_terminal(command: &mut Command, columns: u16) -> (i32, String) {
    let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let (mut master, mut slave) = (0, 0);
    // SAFETY: both descriptors are written to variables that live here, and the size is only read.
    let made = unsafe { libc::openpty(&raw mut master, &raw mut slave, ptr::null_mut(), ptr::null(), &raw const size) };
    assert_eq!(made, 0, "a terminal");
    // SAFETY: openpty opened both, and nothing else owns them.
    let (mut master, slave) = unsafe { (File::from_raw_fd(master), File::from_raw_fd(slave)) };
    let stdout = slave.try_clone().expect("a descriptor");
    let mut child = command.stdin(Stdio::null()).stdout(stdout).stderr(slave).spawn().expect("it runs");
    // The command keeps the terminal open until it is dropped.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut seen = Vec::new();
    // A terminal that nobody holds open any more ends in an error on Linux.
    let _ = master.read_to_end(&mut seen);
    (child.wait().expect("it ends").code().unwrap_or(-1), String::from_utf8_lossy(&seen).into_owned())
}

#[test]
fn narrow_plain_and_colourless_terminals_show_every_result() {
    let place = images();
    for (columns, variable, value) in
        [(20, "LANG", "C"), (80, "TERM", "dumb"), (80, "NO_COLOR", "1"), (1, "TERM", "xterm")]
    {
        let mut command = predict(&place, &["a b.png", "missing.png", "a b.png", "--top", "1"]);
        let (status, seen) = on_terminal(command.env(variable, value), columns);
        assert_eq!(status, 1, "{seen}");
        assert_eq!(seen.matches("a b.png (center view)").count(), 2, "{columns} columns, {variable}={value}: {seen}");
        assert!(seen.contains("missing.png: cannot be opened") && !seen.contains("panicked"), "{seen}");
        // NO_COLOR forbids colours, and a dumb terminal knows no escape sequences.
        let has_colour = seen.contains("\u{1b}[3") || seen.contains("\u{1b}[0m");
        assert!(!has_colour || variable == "LANG", "{variable}={value}: {seen:?}");
        assert!(variable != "TERM" || value != "dumb" || !seen.contains('\u{1b}'), "{seen:?}");
    }
    let (status, help) = on_terminal(&mut place.command(&["predict", "--help"]), 20);
    assert!(status == 0 && help.contains("--files-from"), "{help}");
}
