//! Differences between two experiments, field by field.

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

/// A field that differs.
#[derive(Debug)]
pub struct Difference {
    /// Its JSON path.
    pub path: String,
    /// Its earlier value; null if it had none.
    pub then: Value,
    /// Its present value; null if it has none.
    pub now: Value,
}

/// The fields in which two experiments differ.
pub fn between<T: Serialize>(then: &T, now: &T) -> Result<Vec<Difference>> {
    let mut found = Vec::new();
    collect("", &serde_json::to_value(then)?, &serde_json::to_value(now)?, &mut found);
    Ok(found)
}

fn collect(path: &str, then: &Value, now: &Value, found: &mut Vec<Difference>) {
    match (then, now) {
        (Value::Object(before), Value::Object(after)) => {
            let added = after.keys().filter(|key| !before.contains_key(*key));
            for key in before.keys().chain(added) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(&path, &then[key], &now[key], found);
            }
        }
        _ if then != now => found.push(Difference { path: path.to_string(), then: then.clone(), now: now.clone() }),
        _ => {}
    }
}
