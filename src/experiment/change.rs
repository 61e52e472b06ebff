//! Changes to an experiment before it is read: recipes and single fields.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::{builtin, json, moved};

/// One change. Changes are applied in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A recipe, by its built-in name or as a file: a part of an experiment that is laid over the whole. Sections
    /// merge; a field inside a section is replaced as a whole.
    Recipe(PathBuf),
    /// `KEY=VALUE`, for example `training.epochs=5`, `network.input=[3,64,64]` or `network.layers[0].conv.kernel=7`.
    Set(String),
}

/// The keys of a recipe file that describe the recipe itself.
const OF_THE_RECIPE: [&str; 2] = ["name", "notes"];

/// Objects whose fields a recipe replaces one by one; everything else it replaces as a whole.
const SECTIONS: [&str; 9] = [
    "network",
    "network.start",
    "preprocess",
    "training",
    "training.optimizer",
    "training.optimizer.sgd",
    "training.optimizer.adamw",
    "training.optimizer.rmsprop",
    "evaluation",
];

/// An object whose keys are the names of layers.
const RATE_SCALE: &str = "training.rate_scale";

/// Objects with one field, which says what they are: a change that names another field replaces them. A word may stand
/// for the object: `"adamw"` is `{"adamw": {}}`.
const CHOICES: [&str; 6] =
    ["training.optimizer", "training.schedule", "training.average", "training.crop", "training.mix", "training.loss"];

impl Change {
    /// Applies the change to an experiment's JSON.
    ///
    /// # Errors
    /// Returns an error if the recipe cannot be read or the key does not name a field.
    pub fn apply(&self, experiment: &mut Value) -> Result<()> {
        match self {
            Change::Recipe(name) => {
                let text = builtin::read_recipe(name)?;
                let mut recipe = json::parse(&text).with_context(|| format!("recipe {}", name.display()))?;
                moved::upgrade(&mut recipe);
                let Value::Object(fields) = recipe else {
                    bail!("recipe {}: expected an object with parts of an experiment", name.display());
                };
                note(experiment, fields.get("name"), name);
                let fields = fields.into_iter().filter(|(key, _)| !OF_THE_RECIPE.contains(&key.as_str())).collect();
                lay_over(experiment, fields, "").with_context(|| format!("recipe {}", name.display()))
            }
            Change::Set(change) => set(experiment, change).with_context(|| format!("cannot set {change}")),
        }
    }
}

/// Adds a recipe to those that the experiment lists: by its own name, or that of its file.
fn note(experiment: &mut Value, own: Option<&Value>, file: &Path) {
    let name = own.cloned().unwrap_or_else(|| file.to_string_lossy().into());
    if experiment["recipes"].is_null() {
        experiment["recipes"] = Value::Array(Vec::new());
    }
    if let Value::Array(recipes) = &mut experiment["recipes"] {
        recipes.push(name);
    }
}

fn lay_over(experiment: &mut Value, fields: Map<String, Value>, at: &str) -> Result<()> {
    spell_out(experiment, at);
    let Value::Object(own) = experiment else { bail!("{at}: expected an object, found {experiment}") };
    for (key, value) in fields {
        if CHOICES.contains(&at) && !own.contains_key(&key) {
            own.clear();
        }
        let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        match (value, own.get_mut(&key)) {
            (Value::Object(inner), Some(section)) if SECTIONS.contains(&path.as_str()) => {
                lay_over(section, inner, &path)?;
            }
            (value, _) => drop(own.insert(key, value)),
        }
    }
    Ok(())
}

/// The keys of a path. What follows `training.rate_scale` is one key: the name of a layer, which may have dots.
fn keys(path: &str) -> Vec<&str> {
    match path.strip_prefix(RATE_SCALE).and_then(|rest| rest.strip_prefix('.')) {
        Some(layer) => RATE_SCALE.split('.').chain([layer]).collect(),
        None => path.split('.').collect(),
    }
}

/// Replaces the word that stands for an object by the object.
fn spell_out(place: &mut Value, at: &str) {
    if let Some(word) = place.as_str().filter(|_| CHOICES.contains(&at)) {
        *place = json!({ word: {} });
    }
}

fn set(experiment: &mut Value, change: &str) -> Result<()> {
    let (path, text) = change.split_once('=').context("expected KEY=VALUE, found no '='")?;
    // Anything that is not JSON is a bare word: training.schedule=cosine
    let value = match json::parse(text) {
        Err(error) if text.trim_start().starts_with(['{', '[', '"']) => return Err(error),
        parsed => parsed.unwrap_or_else(|_| Value::String(text.to_string())),
    };
    let path = path.trim().replace('[', ".").replace(']', "");
    ensure!(!path.is_empty(), "expected KEY=VALUE, found no key before '='");
    let path = moved::path(&path);
    let mut place = experiment;
    let mut walked = String::new();
    for key in keys(path) {
        spell_out(place, &walked);
        place = match place {
            Value::Object(fields) => {
                if CHOICES.contains(&walked.as_str()) && !fields.contains_key(key) {
                    fields.clear();
                }
                fields.entry(key).or_insert(Value::Null)
            }
            Value::Array(items) => {
                let length = items.len();
                let index = key.parse().ok().filter(|&index: &usize| index < length);
                let index =
                    index.with_context(|| format!("{walked}: expected an index below {length}, found '{key}'"))?;
                &mut items[index]
            }
            Value::Null => {
                *place = Value::Object(Map::new());
                &mut place[key]
            }
            other => {
                bail!("{walked}: expected an object or a list, found {other}; set it as a whole: '{walked}={{...}}'")
            }
        };
        walked = if walked.is_empty() { key.to_string() } else { format!("{walked}.{key}") };
    }
    *place = value;
    Ok(())
}
