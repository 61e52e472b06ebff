//! The calls that a state dictionary's pickle asks for: each is understood as data, and none is made.

use anyhow::{Context, Result, bail, ensure};

use super::machine::Machine;
use super::pickle::{Global, Id, Object, Storage, Tensor, refuse};

/// Convolutions over video have five axes, the most that torchvision's models use.
const RANK_LIMIT: usize = 8;
/// Bounds the search for the end of a name.
const NAME_LIMIT: usize = 256;

impl<'a> Machine<'a> {
    pub fn global(&mut self) -> Result<Object<'a>> {
        let (module, name) = (self.line()?, self.line()?);
        Global::named(module, name).map(Object::Global)
    }

    pub fn stack_global(&mut self) -> Result<Object<'a>> {
        let ids = self.pop_many(2)?;
        let (Object::Text(module), Object::Text(name)) = (self.get(ids[0]), self.get(ids[1])) else {
            bail!("its pickle names a class by something else than two strings");
        };
        Global::named(module, name).map(Object::Global)
    }

    fn line(&mut self) -> Result<&'a str> {
        let end = self.input.iter().take(NAME_LIMIT).position(|byte| *byte == b'\n');
        let text = self.take(end.context("its pickle names a class without end")?)?;
        self.take(1)?;
        str::from_utf8(text).context("its pickle names a class in another encoding than UTF-8")
    }

    /// What a persistent id means: ('storage', class, key, location, count of values), and in the legacy format a sixth
    /// part, the view of the storage, which is None in all that PyTorch has written since 0.4.
    pub fn storage(&mut self) -> Result<Object<'a>> {
        let id = self.pop()?;
        let parts: Vec<&Object> = match self.get(id) {
            Object::Tuple(ids) => ids.iter().take(7).map(|id| self.get(*id)).collect(),
            _ => Vec::new(),
        };
        let parts = match parts.as_slice() {
            [parts @ .., Object::None] => parts,
            parts => parts,
        };
        let [Object::Text("storage"), Object::Global(Global::Storage(dtype)), Object::Text(key), _, numel] = parts
        else {
            return refuse("its pickle refers to something else than a whole storage");
        };
        let (key, dtype, numel) = (*key, *dtype, count(numel)?);
        let storage = Storage { key, dtype, numel };
        let known = *self.storages.entry(key).or_insert(storage);
        ensure!(
            known == storage,
            "its storage {key} has {} values of {} at first, then {} of {}",
            known.numel,
            known.dtype,
            storage.numel,
            storage.dtype
        );
        Ok(Object::Storage(storage))
    }

    /// Puts what a call would return in the place of a function and its arguments.
    pub fn reduce(&mut self) -> Result<()> {
        let ids = self.pop_many(2)?;
        let (Object::Global(global), Object::Tuple(arguments)) = (self.get(ids[0]), self.get(ids[1])) else {
            bail!("its pickle calls {} with {}", self.get(ids[0]).kind(), self.get(ids[1]).kind());
        };
        let returned = match (global, arguments.as_slice()) {
            (Global::OrderedDict, []) => Object::Dict(Vec::new()),
            (Global::OrderedDict, [pairs]) => self.ordered_dictionary(*pairs)?,
            // _rebuild_tensor has four arguments and _rebuild_tensor_v2 adds requires_grad and hooks; a seventh marks
            // values that differ from those of the storage, such as negated ones.
            (Global::RebuildTensor, [parts @ .., _, _] | parts) if parts.len() == 4 => {
                self.tensor(parts[0], parts[1], parts[2], parts[3])?
            }
            (Global::Parameter, [tensor, ..]) if matches!(self.get(*tensor), Object::Tensor(_)) => {
                self.push_again(*tensor);
                return Ok(());
            }
            (global, arguments) => {
                return refuse(format!("its pickle calls {global:?} with {} arguments", arguments.len()));
            }
        };
        self.push(returned);
        Ok(())
    }

    /// A dictionary from a list of two-item lists, which is how Python 2 wrote an OrderedDict.
    fn ordered_dictionary(&mut self, pairs: Id) -> Result<Object<'a>> {
        // Nothing else uses the list; a copy would let a hostile file have a long one copied a million times.
        let pairs = self.take_list(pairs)?;
        let pair = |id: &Id| match self.get(*id) {
            Object::List(pair) | Object::Tuple(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
            other => bail!("its pickle makes an item of an OrderedDict from {}", other.kind()),
        };
        pairs.iter().map(pair).collect::<Result<_>>().map(Object::Dict)
    }

    fn tensor(&self, storage: Id, offset: Id, shape: Id, strides: Id) -> Result<Object<'a>> {
        let Object::Storage(storage) = self.get(storage) else {
            bail!("its pickle makes a tensor from {}", self.get(storage).kind());
        };
        Ok(Object::Tensor(Tensor {
            storage: *storage,
            offset: count(self.get(offset))?,
            shape: self.counts(shape)?,
            strides: self.counts(strides)?,
        }))
    }

    fn counts(&self, tuple: Id) -> Result<Vec<usize>> {
        match self.get(tuple) {
            Object::Tuple(ids) if ids.len() <= RANK_LIMIT => ids.iter().map(|id| count(self.get(*id))).collect(),
            Object::Tuple(ids) => {
                refuse(format!("it has a tensor of {} axes, expected {RANK_LIMIT} at most", ids.len()))
            }
            other => bail!("its pickle gives a tensor {} for a shape or strides", other.kind()),
        }
    }

    /// Leaves out the state to set: the _metadata of a state dictionary, or the flags of a Parameter before 0.4.
    pub fn build(&mut self) -> Result<()> {
        self.pop()?;
        match self.top()? {
            Object::Dict(_) | Object::Tensor(_) => Ok(()),
            other => bail!("its pickle sets the state of {}", other.kind()),
        }
    }
}

/// A length, an offset or a stride.
fn count(object: &Object) -> Result<usize> {
    match object {
        Object::Int(value) => usize::try_from(*value).with_context(|| format!("its pickle counts values by {value}")),
        other => bail!("its pickle counts values by {}", other.kind()),
    }
}
