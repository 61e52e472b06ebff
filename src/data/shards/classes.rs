//! The classes of shards: the file `classes.json` beside them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::text::{self, composed};

/// The name of the file.
pub const NAME: &str = "classes.json";

/// What a folder of shards holds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Contents {
    /// The names of the classes, in the order of their numbers.
    pub classes: Vec<String>,
    /// The number of images of each class; empty if that is not known.
    #[serde(default)]
    pub counts: Vec<u64>,
    /// What the shards were packed from, and how; nothing for those of other programs.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub packed: Value,
}

/// The file of the classes in a folder of shards.
pub fn path(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

impl Contents {
    /// Reads the classes of the shards in `folder`: an object with the list `classes`, or such a list alone; `None` if there
    /// is no such file.
    ///
    /// # Errors
    /// Returns an error if the file is something else.
    pub fn of(folder: &Path) -> Result<Option<Self>> {
        let path = path(folder);
        if !path.exists() {
            return Ok(None);
        }
        let expected = || {
            format!(
                "{}: expected {{\"classes\": [\"cat\", \"dog\", ...]}} with the names of the shards' classes",
                path.display()
            )
        };
        let value: Value = serde_json::from_str(&text::read(&path)?).with_context(expected)?;
        let contents = match value {
            Value::Array(_) => serde_json::from_value(value).map(|classes| Contents {
                classes,
                counts: Vec::new(),
                packed: Value::Null,
            }),
            value => serde_json::from_value(value),
        };
        let mut contents = contents.with_context(expected)?;
        contents.classes.iter_mut().for_each(|class| *class = composed(class));
        ensure!(!contents.classes.is_empty(), "{}: names no classes", path.display());
        Ok(Some(contents))
    }

    /// The number of images, as far as it is known.
    pub fn images(&self) -> u64 {
        self.counts.iter().copied().fold(0, u64::saturating_add)
    }
}
