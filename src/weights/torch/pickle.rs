//! A pickle read as data. Nothing is executed.

use std::collections::HashMap;

use anyhow::Result;

use super::machine::Machine;
use super::object::{Id, Object, Storage};

/// The longest pickle that is read, in bytes. A tensor takes some 200; the rest leaves room for what a checkpoint holds
/// besides its network.
pub const PICKLE_LIMIT: u64 = 32 << 20;

/// One pickle: its objects, and the storages that they refer to.
pub struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    root: Id,
    /// All storages by their keys.
    pub storages: HashMap<String, Storage>,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle (protocols 2 to 5) at the start of `input` and advances `input` past it.
    ///
    /// # Errors
    /// Returns an error if the pickle is truncated, malformed or too long.
    pub fn read(input: &mut &'a [u8]) -> Result<Self> {
        let mut machine = Machine::new(input);
        let root = machine.run()?;
        *input = machine.input;
        Ok(Pickle { objects: machine.objects, root, storages: machine.storages })
    }

    /// The id of the object that the pickle stands for.
    pub fn root_id(&self) -> Id {
        self.root
    }

    /// How many objects it has; their ids count from 0.
    pub fn objects(&self) -> usize {
        self.objects.len()
    }

    /// The object that the pickle stands for.
    pub fn root(&self) -> &Object<'a> {
        self.get(self.root)
    }

    /// The object with this id.
    pub fn get(&self, id: Id) -> &Object<'a> {
        &self.objects[id.0]
    }

    /// The value under the string `key` in a dictionary with these `pairs`.
    pub fn value(&self, pairs: &[(Id, Id)], key: &str) -> Option<&Object<'a>> {
        let pair = pairs.iter().find(|(name, _)| matches!(self.get(*name), Object::Text(text) if *text == key));
        pair.map(|(_, value)| self.get(*value))
    }
}
