//! Fields that earlier versions kept elsewhere, so that their files and checkpoints keep working.

use serde_json::{Map, Value};

/// Old and new path.
const MOVED: [(&str, &str); 2] = [
    ("training.momentum", "training.optimizer.sgd.momentum"),
    ("training.nesterov", "training.optimizer.sgd.nesterov"),
];

/// The current path of a field.
pub fn path(path: &str) -> &str {
    MOVED.iter().find(|(old, _)| *old == path).map_or(path, |&(_, new)| new)
}

/// Moves the fields of an experiment to their current paths. If the current path already has a value, the old field
/// stays and is later refused as unknown.
pub fn upgrade(experiment: &mut Value) {
    for (old, new) in MOVED {
        let pointer = |path: &str| format!("/{}", path.replace('.', "/"));
        // Each place on the way is free or an object, and the last one is free.
        let places: Vec<&str> = new.match_indices('.').map(|(end, _)| &new[..end]).collect();
        let is_open = |path: &&str| experiment.pointer(&pointer(path)).is_none_or(Value::is_object);
        if experiment.pointer(&pointer(new)).is_some() || !places.iter().all(is_open) {
            continue;
        }
        let Some((section, field)) = old.rsplit_once('.') else { continue };
        let Some(Value::Object(fields)) = experiment.pointer_mut(&pointer(section)) else { continue };
        let Some(value) = fields.shift_remove(field) else { continue };
        let mut place = &mut *experiment;
        for key in new.split('.') {
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            place = &mut place[key];
        }
        *place = value;
    }
}
