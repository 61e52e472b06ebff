//! A pickle read as data: the objects that a PyTorch state dictionary is made of, and no other; nothing is executed.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::{self, Display, Formatter};

use anyhow::{Context, Result};
use safetensors::Dtype;

use super::machine::Machine;

/// Why a file is refused that may well be whole, with the way out.
#[derive(Debug)]
pub struct Refusal(pub String);

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let way_out = "Save it again with torch.save(model.state_dict(), ...) or as safetensors";
        write!(f, "{}. {way_out}", self.0)
    }
}

impl Error for Refusal {}

/// Gives up on a file with a [`Refusal`].
pub fn refuse<T>(why: impl Into<String>) -> Result<T> {
    Err(Refusal(why.into()).into())
}

/// Where an object lies among its pickle's objects. Objects hold each other by place, so that nothing recurses however
/// deep a hostile pickle nests them.
#[derive(Clone, Copy)]
pub struct Id(pub usize);

/// The values that a pickle of tensors can hold; `'a` is the life of the pickle's bytes.
pub enum Object<'a> {
    None,
    Bool(bool),
    /// Wide, because the magic number of the legacy format has ten bytes.
    Int(i128),
    Float,
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Storage<'a>),
    Tensor(Tensor<'a>),
}

/// The only names of Python that a state dictionary needs.
#[derive(Clone, Copy, Debug)]
pub enum Global {
    OrderedDict,
    RebuildTensor,
    /// The class or the function that rebuilds it; either way the tensor is the first argument.
    Parameter,
    Storage(Dtype),
}

/// The values, in one dimension, that one or more tensors look at.
#[derive(Clone, Copy, PartialEq)]
pub struct Storage<'a> {
    pub key: &'a str,
    pub dtype: Dtype,
    /// How many values, not bytes.
    pub numel: usize,
}

/// A tensor as the pickle states it, unchecked against its storage; offset and strides count values.
pub struct Tensor<'a> {
    pub storage: Storage<'a>,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// One pickle: its objects, and the storages that they name.
pub struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    root: Id,
    pub storages: HashMap<&'a str, Storage<'a>>,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle (protocols 2 to 5) at the start of `input` and moves `input` behind it.
    ///
    /// # Errors
    /// Where it ends early, is malformed or too long, or asks for a class, a function or a kind of value that a state
    /// dictionary does not need.
    pub fn read(input: &mut &'a [u8]) -> Result<Self> {
        let mut machine = Machine::new(input);
        let root = machine.run()?;
        *input = machine.input;
        Ok(Pickle { objects: machine.objects, root, storages: machine.storages })
    }

    pub fn root(&self) -> &Object<'a> {
        self.get(self.root)
    }

    pub fn get(&self, id: Id) -> &Object<'a> {
        &self.objects[id.0]
    }

    /// What a dictionary with these `pairs` holds under the text `key`.
    pub fn value(&self, pairs: &[(Id, Id)], key: &str) -> Option<&Object<'a>> {
        let pair = pairs.iter().find(|(name, _)| matches!(self.get(*name), Object::Text(text) if *text == key));
        pair.map(|(_, value)| self.get(*value))
    }
}

impl Storage<'_> {
    /// How many bytes the values take.
    ///
    /// # Errors
    /// Where that is more than any memory has.
    pub fn byte_length(&self) -> Result<usize> {
        let bytes = self.numel.checked_mul(self.value_width());
        bytes.with_context(|| format!("its storage {} claims {} values", self.key, self.numel))
    }

    /// The bytes of one value; torch has no storage class for values of less than a byte.
    pub fn value_width(&self) -> usize {
        self.dtype.bitsize() / 8
    }
}

impl Object<'_> {
    /// What the object is, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Object::None => "None",
            Object::Bool(_) => "a truth value",
            Object::Int(_) | Object::Float => "a number",
            Object::Text(_) => "a string",
            Object::Tuple(_) => "a tuple",
            Object::List(_) => "a list",
            Object::Dict(_) => "a dictionary",
            Object::Global(_) => "a class or function",
            Object::Storage(_) => "a storage",
            Object::Tensor(_) => "a tensor",
        }
    }
}

impl Global {
    /// # Errors
    /// Where the name is any other; the refusal says which.
    pub fn named(module: &str, name: &str) -> Result<Self> {
        let storage = |dtype| Ok(Global::Storage(dtype));
        match (module, name) {
            ("collections", "OrderedDict") => Ok(Global::OrderedDict),
            // Before PyTorch 0.4 the function was _rebuild_tensor, and parameters were made by their class.
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Ok(Global::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") | ("torch.nn.parameter", "Parameter") => Ok(Global::Parameter),
            // The legacy format names the CUDA class of what was saved from a GPU; the values lie alike.
            ("torch" | "torch.cuda", "FloatStorage") => storage(Dtype::F32),
            ("torch" | "torch.cuda", "DoubleStorage") => storage(Dtype::F64),
            ("torch" | "torch.cuda", "HalfStorage") => storage(Dtype::F16),
            ("torch" | "torch.cuda", "BFloat16Storage") => storage(Dtype::BF16),
            ("torch" | "torch.cuda", "LongStorage") => storage(Dtype::I64),
            ("torch" | "torch.cuda", "IntStorage") => storage(Dtype::I32),
            ("torch" | "torch.cuda", "ShortStorage") => storage(Dtype::I16),
            ("torch" | "torch.cuda", "CharStorage") => storage(Dtype::I8),
            ("torch" | "torch.cuda", "ByteStorage") => storage(Dtype::U8),
            ("torch" | "torch.cuda", "BoolStorage") => storage(Dtype::BOOL),
            _ => {
                let global = format!("{module:.80}.{name:.80}");
                refuse(format!(
                    "it asks for {}, which a state dictionary does not need; nothing of it was run",
                    global.escape_debug()
                ))
            }
        }
    }
}
