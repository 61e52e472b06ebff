//! Numbers with two notations in JSON.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

/// A number of channels or features; "classes" stands for the network's number of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// As many as there are classes.
    Classes,
    /// This many.
    Fixed(i64),
}

impl Serialize for Width {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Width::Classes => serializer.serialize_str("classes"),
            Width::Fixed(width) => serializer.serialize_i64(*width),
        }
    }
}

impl<'de> Deserialize<'de> for Width {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match (value.as_i64(), value.as_str()) {
            (Some(width), _) => Ok(Width::Fixed(width)),
            (_, Some("classes")) => Ok(Width::Classes),
            _ => Err(de::Error::custom(format!("expected an integer or \"classes\", found {value}"))),
        }
    }
}

/// Height and width; written as one number if both are the same, as `[height, width]` otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pair(
    /// Height and width.
    pub [i64; 2],
);

impl Pair {
    /// The same height and width.
    pub fn square(side: i64) -> Self {
        Pair([side, side])
    }

    /// One by one.
    pub fn one() -> Self {
        Pair::square(1)
    }
}

impl Serialize for Pair {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            [height, width] if height == width => serializer.serialize_i64(height),
            pair => pair.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Pair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if let Some(side) = value.as_i64() {
            return Ok(Pair::square(side));
        }
        serde_json::from_value(value.clone())
            .map(Pair)
            .map_err(|_| de::Error::custom(format!("expected an integer or [height, width], found {value}")))
    }
}
