//! The state dictionaries in a pickle: dictionaries that hold tensors, wherever they lie.

use std::collections::HashSet;

use anyhow::Result;

use super::object::{Id, Object, Tensor};
use super::pickle::Pickle;
use super::refusal::refuse;
use crate::weights::rename::Named;

/// A dictionary that holds tensors.
pub struct Dictionary {
    /// Its path from the file's root: keys and positions joined by dots; empty for the root itself.
    pub key: String,
    /// Its tensors by name, in the file's order.
    pub tensors: Vec<(String, Tensor)>,
}

impl Dictionary {
    /// The names and shapes of its tensors.
    pub fn named(&self) -> Vec<Named<'_>> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice())).collect()
    }
}

/// Where trainers keep the weights that they evaluate, the likeliest first.
pub const PLAIN: [&str; 7] = ["state_dict", "model", "model_state_dict", "net", "network", "weights", "params"];

/// Trainers nest state dictionaries two or three levels deep.
const DEPTH_LIMIT: usize = 8;
/// An optimiser's state is a dictionary for each parameter.
const COUNT_LIMIT: usize = 100_000;

/// A container that is still to be searched.
struct Place {
    id: Id,
    key: String,
    depth: usize,
}

/// All dictionaries of a pickle that hold tensors, outer ones first. Whatever else they hold is passed over.
///
/// # Errors
/// Returns an error if there are none, or a dictionary has two tensors of one name.
pub fn dictionaries(pickle: &Pickle) -> Result<Vec<Dictionary>> {
    let (mut found, mut visited) = (Vec::new(), Vec::new());
    // Objects may contain each other in circles.
    let mut seen = vec![false; pickle.objects()];
    let mut level = vec![Place { id: pickle.root_id(), key: String::new(), depth: 0 }];
    while !level.is_empty() {
        let mut inner = Vec::new();
        for place in level {
            if std::mem::replace(&mut seen[place.id.0], true) || found.len() == COUNT_LIMIT {
                continue;
            }
            let tensors = tensors(pickle, place.id)?;
            if place.depth < DEPTH_LIMIT {
                inner.extend(children(pickle, &place));
            }
            visited.push(place.id);
            if !tensors.is_empty() {
                found.push(Dictionary { key: place.key, tensors });
            }
        }
        level = inner;
    }
    match (found.is_empty(), pickle.root()) {
        (false, _) => Ok(found),
        (true, Object::Opaque(module, name)) => refuse(format!(
            "it holds a whole object of the class {}, whose code would have to be run, and nothing in it was run",
            format!("{module:.80}.{name:.80}").trim_start_matches('.').escape_debug()
        )),
        (true, root) => {
            let instead = foreign(pickle, &visited).map_or(String::new(), |(key, maker)| {
                format!(" (\"{key}\" in it is made by {maker}, whose code would have to be run)")
            });
            refuse(format!("it holds {} without tensors by name{instead}, expected a state dictionary", root.kind()))
        }
    }
}

/// What probably is a network in another form: the key of an opaque object in one of these containers, and what makes it.
fn foreign(pickle: &Pickle, containers: &[Id]) -> Option<(String, String)> {
    let pairs = containers.iter().filter_map(|id| match pickle.get(*id) {
        Object::Dict(pairs) => Some(pairs),
        _ => None,
    });
    let opaque = pairs.flatten().filter_map(|(key, value)| match (pickle.get(*key), pickle.get(*value)) {
        (Object::Text(key), Object::Opaque(module, name)) if !module.is_empty() => Some((*key, *module, *name)),
        _ => None,
    });
    let (key, module, name) =
        opaque.min_by_key(|(key, ..)| PLAIN.iter().position(|word| word == key).unwrap_or(PLAIN.len()))?;
    Some((format!("{key:.80}"), format!("{module:.80}.{name:.80}").escape_debug().to_string()))
}

/// The tensors of a dictionary; none if it is another object.
fn tensors(pickle: &Pickle, id: Id) -> Result<Vec<(String, Tensor)>> {
    let Object::Dict(pairs) = pickle.get(id) else { return Ok(Vec::new()) };
    let mut names = HashSet::new();
    let mut tensors = Vec::new();
    for (key, value) in pairs {
        if let (Object::Text(name), Object::Tensor(tensor)) = (pickle.get(*key), pickle.get(*value)) {
            if !names.insert(*name) {
                return refuse(format!("it has two tensors named {name}"));
            }
            tensors.push(((*name).to_string(), tensor.clone()));
        }
    }
    Ok(tensors)
}

/// The containers in a container.
fn children(pickle: &Pickle, place: &Place) -> Vec<Place> {
    let is_container = |id: Id| matches!(pickle.get(id), Object::Dict(_) | Object::List(_) | Object::Tuple(_));
    let inner = |key: String, id: Id| {
        let key = if place.key.is_empty() { key } else { format!("{}.{key}", place.key) };
        Place { id, key, depth: place.depth + 1 }
    };
    match pickle.get(place.id) {
        Object::Dict(pairs) => {
            let named = pairs.iter().filter(|(_, value)| is_container(*value));
            let key = |key: Id| match pickle.get(key) {
                Object::Text(text) => text.chars().take(80).collect(),
                Object::Int(number) => number.to_string(),
                other => other.kind().to_string(),
            };
            named.map(|(name, value)| inner(key(*name), *value)).collect()
        }
        Object::List(items) | Object::Tuple(items) => {
            let containers = items.iter().enumerate().filter(|(_, item)| is_container(**item));
            containers.map(|(index, item)| inner(index.to_string(), *item)).collect()
        }
        _ => Vec::new(),
    }
}
