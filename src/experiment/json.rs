//! Strict JSON: duplicate keys are refused, and errors name the JSON path and the nearest known word.

use std::fmt;
use std::marker::PhantomData;

use anyhow::{Result, anyhow};
use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::{Map, Number, Value};

use crate::nearest::nearest;

/// Parses JSON.
///
/// # Errors
/// Returns an error with line and column if it is not JSON, with the JSON path if an object has a duplicate key.
pub fn parse(text: &str) -> Result<Value> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
    let Strict(value) = Strict::deserialize(tracked).map_err(|error| match error.classify() {
        Category::Data => located(&track.path().to_string(), &error.to_string()),
        _ => anyhow!("not valid JSON: {error}"),
    })?;
    deserializer.end().map_err(|error| anyhow!("not valid JSON: {error}"))?;
    Ok(value)
}

/// Reads a value of the type `T`.
///
/// # Errors
/// Returns what was expected and found, with the JSON path; for an unknown word also the nearest known one.
pub fn read<T: DeserializeOwned>(value: &Value) -> Result<T> {
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
    T::deserialize(tracked).map_err(|error| located(&track.path().to_string(), &error.to_string()))
}

/// One of serde's errors with its JSON path and, for an unknown word, the nearest known one: serde names both between
/// backticks, the unknown one first.
fn located(path: &str, message: &str) -> anyhow::Error {
    let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let near = match words.split_first() {
        Some((wrong, known)) if message.starts_with("unknown") => nearest(wrong, known.iter().copied()),
        _ => None,
    };
    if message == "invalid type: unit variant, expected newtype variant" {
        return anyhow!("{path}: {}", without_value(path.rsplit('.').next().unwrap_or(path)));
    }
    let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    let message = plain(message);
    let at = if path == "." { String::new() } else { format!("{path}: ") };
    anyhow!("{at}{message}{hint}")
}

/// The message about a word that stands alone where it needs a value.
fn without_value(word: &str) -> String {
    format!("expected a value, as in {{ \"{word}\": VALUE }}, found the word alone")
}

/// One of serde's messages in the words of JSON instead of Rust's.
fn plain(message: &str) -> String {
    let wrong = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    let Some((found, expected)) = wrong.and_then(|wrong| wrong.rsplit_once(", expected ")) else {
        return message.to_string();
    };
    let found = match found {
        "unit variant" => "a word",
        "struct variant" | "newtype variant" | "map" => "an object",
        "sequence" => "a list",
        value => ["floating point ", "integer ", "boolean ", "string "]
            .into_iter()
            .find_map(|kind| value.strip_prefix(kind))
            .unwrap_or(value),
    };
    let expected = match expected {
        "u64" | "u32" | "usize" | "i64" | "i32" | "u8" => "a whole number",
        "f64" => "a number",
        "a sequence" => "a list",
        "struct variant" | "newtype variant" | "a map" => "an object",
        other if other.starts_with("struct ") => "an object",
        other if other.starts_with("enum ") => "one of its words",
        other => other,
    };
    format!("expected {expected}, found {found}")
}

/// Reads an enum whose variants are objects; a bare word is the variant of this name with an empty object.
///
/// # Errors
/// Returns serde's error.
pub fn word_or_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(WordOrObject(PhantomData))
}

/// The same for a field that is usually left out.
///
/// # Errors
/// Returns serde's error.
pub fn optional_word_or_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_any(Optional(WordOrObject(PhantomData)))
}

/// The same for each item of a list.
///
/// # Errors
/// Returns serde's error.
pub fn words_or_objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let items: Vec<Item<T>> = Vec::deserialize(deserializer)?;
    Ok(items.into_iter().map(|Item(value)| value).collect())
}

struct Item<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Item<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word_or_object(deserializer).map(Item)
    }
}

struct WordOrObject<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for WordOrObject<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a word, or an object with one key")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<T, E> {
        let none = std::iter::empty::<(&str, &str)>();
        let variant = std::iter::once((word, MapDeserializer::new(none)));
        T::deserialize(MapAccessDeserializer::new(MapDeserializer::new(variant))).map_err(|error: E| {
            // The variant holds a number or a word, for which an empty object does not do.
            let lacks_value = error.to_string().starts_with("invalid type: map");
            if lacks_value { E::custom(without_value(word)) } else { error }
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(object))
    }
}

/// `null` is a field that is left out: `--set` can take away what a recipe gives.
struct Optional<T>(WordOrObject<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Optional<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_unit<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Option<T>, E> {
        self.0.visit_str(word).map(Some)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Option<T>, A::Error> {
        self.0.visit_map(object).map(Some)
    }
}

/// A value without duplicate keys.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("expected a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if fields.contains_key(&key) {
                return Err(A::Error::custom(format!("duplicate key `{key}`; remove one of the two")));
            }
            let Strict(value) = entries.next_value()?;
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}
