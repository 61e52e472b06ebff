//! A workspace for a test: a temporary folder, the program itself, and its output.
#![allow(dead_code, clippy::unwrap_used)] // each test file uses its own share

pub mod events;
pub mod formula;
#[cfg(unix)]
pub mod launch;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

pub struct Workplace {
    folder: PathBuf,
    /// Removes the folder at the end.
    _temporary: Option<tempfile::TempDir>,
}

/// What a run of the program left.
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Workplace {
    pub fn new() -> Self {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        Workplace { folder: temporary.path().to_path_buf(), _temporary: Some(temporary) }
    }

    /// A workplace that stays until the next run of the tests: what is never dropped cannot remove its folder.
    pub fn lasting(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("a folder removed");
        }
        fs::create_dir_all(&folder).expect("a folder made");
        Workplace { folder, _temporary: None }
    }

    /// A workplace with a data set of 12 classes of shapes in `shapes`.
    pub fn with_shapes(train: usize, val: usize) -> Self {
        let place = Workplace::new();
        place.draw_shapes(train, val);
        place
    }

    pub fn draw_shapes(&self, train: usize, val: usize) {
        let [train, val] = [train, val].map(|count| count.to_string());
        self.run(&["shapes", "shapes", "--train", &train, "--val", &val, "--size", "40"]).succeeds();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder made");
        fs::write(&path, content).expect("a file written");
        path
    }

    /// The names of what lies in the workplace's own folder.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    /// Adds thousands of images to `shapes/val`: enough work that a test can meet the program in the middle of it.
    pub fn add_thousands_of_images(&self) {
        for index in 0..3000 {
            let link = self.path(&format!("shapes/val/ring/{index}.jpg"));
            fs::hard_link(self.path("shapes/val/ring/ring-0001.jpg"), link).expect("a link");
        }
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn read_json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.read(name)).expect("JSON")
    }

    /// The program, to be run inside the workplace.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_topfive"));
        command.current_dir(&self.folder).args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().expect("the program runs"))
    }

    /// Trains the tiny network on `shapes` into `out`, with further arguments.
    pub fn train(&self, out: &str, arguments: &[&str]) -> Ran {
        let config = config("tiny");
        let fixed = ["train", &config, "--data", "shapes", "--out", out, "--threads", "1", "--device", "cpu"];
        self.run(&[&fixed, arguments].concat())
    }
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Ran {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }

    pub fn succeeds(self) -> Self {
        assert_eq!(self.status, 0, "{}{}", self.stdout, self.stderr);
        self
    }

    /// Could not do the work, and says each of these words; never by a panic or with libtorch's own stack trace.
    pub fn fails_saying(self, words: &[&str]) -> Self {
        assert_eq!(self.status, 2, "{}{}", self.stdout, self.stderr);
        self.says(words)
    }

    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "no '{word}' in:\n{}", self.stderr);
        }
        for sign in ["panicked", "Exception raised from", "RUST_BACKTRACE"] {
            assert!(!self.stderr.contains(sign), "{}", self.stderr);
        }
        self
    }
}

/// The path of a config that the project ships.
pub fn config(name: &str) -> String {
    root().join(format!("configs/{name}.json")).to_str().expect("text").to_string()
}

/// The path of a fixture.
pub fn fixture(name: &str) -> PathBuf {
    root().join("tests/fixtures").join(name)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
