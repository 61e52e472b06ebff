//! The calls that a pickle asks for: those that make tensors and dictionaries are read as data, and none is made.

use anyhow::{Context, Result, bail, ensure};

use super::machine::Machine;
use super::object::{Global, Id, Object, Storage, Tensor};
use super::refusal::refuse;

/// The most axes of a tensor. Convolutions over video, with five, have the most among torchvision's models.
const RANK_LIMIT: usize = 8;
/// The longest name in bytes, which bounds the search for its end.
const NAME_LIMIT: usize = 256;

impl<'a> Machine<'a> {
    /// Reads a class or function that is named by two lines of the input.
    ///
    /// # Errors
    /// Returns an error if the names are truncated or too long.
    pub fn global(&mut self) -> Result<Object<'a>> {
        let (module, name) = (self.line()?, self.line()?);
        Ok(Object::Global(Global::named(module, name)))
    }

    /// Makes a class or function from the two strings on top of the stack.
    ///
    /// # Errors
    /// Returns an error if they are not strings.
    pub fn stack_global(&mut self) -> Result<Object<'a>> {
        let ids = self.pop_many(2)?;
        let (Object::Text(module), Object::Text(name)) = (self.get(ids[0]), self.get(ids[1])) else {
            bail!("the pickle names a class by something other than two strings");
        };
        Ok(Object::Global(Global::named(module, name)))
    }

    fn line(&mut self) -> Result<&'a str> {
        let end = self.input.iter().take(NAME_LIMIT).position(|byte| *byte == b'\n');
        let text =
            self.take(end.with_context(|| {
                format!("the pickle has a class name that does not end within {NAME_LIMIT} bytes")
            })?)?;
        self.take(1)?;
        str::from_utf8(text).context("the pickle names a class in an encoding other than UTF-8")
    }

    /// Makes the storage that a persistent id stands for: ('storage', class, key, location, number of values). The
    /// legacy format adds a sixth part, a view of the storage, which PyTorch has always written as None since version
    /// 0.4. A storage of an unknown class is opaque, and so is what the legacy format says of a module: ('module', class,
    /// file, code).
    ///
    /// # Errors
    /// Returns an error if the id is anything else, or contradicts an earlier one with the same key.
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
        let (dtype, key, numel) = match parts {
            [Object::Text("storage"), Object::Global(Global::Storage(dtype)), Object::Text(key), _, numel] => {
                (*dtype, *key, count(numel)?)
            }
            [Object::Text("storage"), Object::Global(Global::Other(module, name)), Object::Text(_), _, _] => {
                return Ok(Object::Opaque(module, name));
            }
            [Object::Text("module"), Object::Global(Global::Other(module, name)), ..] => {
                return Ok(Object::Global(Global::Other(module, name)));
            }
            _ => return refuse("the pickle refers to something other than a complete storage"),
        };
        let storage = Storage { key: key.to_string(), dtype, numel };
        let known = self.storages.entry(key.to_string()).or_insert_with(|| storage.clone());
        // One may be untyped, a storage of bytes.
        ensure!(
            known.byte_length()? == storage.byte_length()?,
            "storage {key} first has {} values of type {}, then {} of type {}",
            known.numel,
            known.dtype,
            storage.numel,
            storage.dtype
        );
        Ok(Object::Storage(storage))
    }

    /// Replaces a class or function and its arguments on the stack by what the call would return.
    ///
    /// # Errors
    /// Returns an error if a tensor or a dictionary is made from something else than PyTorch makes it from.
    pub fn call(&mut self) -> Result<()> {
        let ids = self.pop_many(2)?;
        let Object::Tuple(arguments) = self.get(ids[1]) else {
            bail!("the pickle calls something with {} as its arguments", self.get(ids[1]).kind());
        };
        let Object::Global(global) = self.get(ids[0]) else {
            self.push(Object::Opaque("", "object"));
            return Ok(());
        };
        let (mut global, mut arguments) = (*global, arguments.clone());
        if let (Global::RebuildFromType, [function, _, inner, _]) = (global, arguments.as_slice())
            && let (Object::Global(function), Object::Tuple(inner)) = (self.get(*function), self.get(*inner))
        {
            (global, arguments) = (*function, inner.clone());
        }
        let returned = match (global, arguments.as_slice()) {
            (Global::Dictionary, [pairs]) if matches!(self.get(*pairs), Object::List(_)) => {
                self.ordered_dictionary(*pairs)?
            }
            // What a defaultdict is made with is the function that makes its missing values.
            (Global::Dictionary, _) => Object::Dict(Vec::new()),
            // _rebuild_tensor has four arguments, to which _rebuild_tensor_v2 adds requires_grad and hooks. A seventh
            // would mark values that differ from those of the storage, such as negated ones.
            (Global::RebuildTensor, [parts @ .., _, _] | parts) if parts.len() == 4 => {
                self.tensor(parts[0], parts[1], parts[2], parts[3])?
            }
            (Global::Parameter, [tensor, ..]) if matches!(self.get(*tensor), Object::Tensor(_)) => {
                self.push_again(*tensor);
                return Ok(());
            }
            (Global::Other(module, name), _) => Object::Opaque(module, name),
            _ => Object::Opaque("torch", "Tensor"),
        };
        self.push(returned);
        Ok(())
    }

    /// Makes a dictionary from a list of two-item lists, as Python 2 wrote an OrderedDict.
    fn ordered_dictionary(&mut self, pairs: Id) -> Result<Object<'a>> {
        // The list is moved, as nothing else uses it: a hostile file could have a long one copied a million times.
        let pairs = self.take_list(pairs)?;
        let pair = |id: &Id| match self.get(*id) {
            Object::List(pair) | Object::Tuple(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
            other => bail!("the pickle makes an item of an OrderedDict from {}, expected a pair", other.kind()),
        };
        pairs.iter().map(pair).collect::<Result<_>>().map(Object::Dict)
    }

    fn tensor(&self, storage: Id, offset: Id, shape: Id, strides: Id) -> Result<Object<'a>> {
        let storage = match self.get(storage) {
            Object::Storage(storage) => storage.clone(),
            Object::Opaque(module, name) => return Ok(Object::Opaque(module, name)),
            other => bail!("the pickle makes a tensor from {}, expected a storage", other.kind()),
        };
        // Not a network's.
        if matches!(self.get(shape), Object::Tuple(axes) if axes.len() > RANK_LIMIT) {
            return Ok(Object::Opaque("torch", "Tensor"));
        }
        Ok(Object::Tensor(Tensor {
            storage,
            offset: count(self.get(offset))?,
            shape: self.counts(shape)?,
            strides: self.counts(strides)?,
        }))
    }

    fn counts(&self, tuple: Id) -> Result<Vec<usize>> {
        match self.get(tuple) {
            Object::Tuple(ids) if ids.len() <= RANK_LIMIT => ids.iter().map(|id| count(self.get(*id))).collect(),
            Object::Tuple(ids) => refuse(format!("a tensor has {} axes, expected at most {RANK_LIMIT}", ids.len())),
            other => bail!("the shape or strides of a tensor are {}, expected a tuple", other.kind()),
        }
    }

    /// Drops the state that the pickle sets: the `_metadata` of a state dictionary, the flags of a `Parameter` before
    /// PyTorch 0.4, or all that an object of another class consists of.
    ///
    /// # Errors
    /// Returns an error if the stack lacks the state or the object.
    pub fn build(&mut self) -> Result<()> {
        self.pop()?;
        self.top().map(|_| ())
    }
}

/// The object as a length, an offset or a stride.
fn count(object: &Object) -> Result<usize> {
    match object {
        Object::Int(value) => usize::try_from(*value)
            .with_context(|| format!("the pickle has {value} as a length, an offset or a stride")),
        other => bail!("the pickle has {} as a length, an offset or a stride", other.kind()),
    }
}
