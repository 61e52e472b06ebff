//! The objects that a PyTorch state dictionary is made of, as its pickle states them.

use anyhow::{Context, Result};
use safetensors::Dtype;

use super::refusal::refuse;

/// The index of an object among its pickle's objects. Objects contain each other by index, so that nothing recurses
/// however deeply a hostile pickle nests them.
#[derive(Clone, Copy)]
pub struct Id(pub usize);

/// A value in a pickle; `'a` is the lifetime of the pickle's bytes.
pub enum Object<'a> {
    /// Python's `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer; 128 bits wide because the magic number of the legacy format has ten bytes.
    Int(i128),
    /// A floating-point number, whose value is never used.
    Float,
    /// A string.
    Text(&'a str),
    /// A tuple of the objects with these ids.
    Tuple(Vec<Id>),
    /// A list of the objects with these ids.
    List(Vec<Id>),
    /// A dictionary of these keys and values, in the order of their insertion.
    Dict(Vec<(Id, Id)>),
    /// A class or a function.
    Global(Global),
    /// The values of one or more tensors.
    Storage(Storage<'a>),
    /// A tensor.
    Tensor(Tensor<'a>),
}

impl Object<'_> {
    /// What kind of object it is, for messages.
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

/// The only Python classes and functions that a state dictionary needs.
#[derive(Clone, Copy, Debug)]
pub enum Global {
    /// `collections.OrderedDict`.
    OrderedDict,
    /// The function that makes a tensor from its storage.
    RebuildTensor,
    /// The class `Parameter`, or the function that rebuilds one; either way the first argument is the tensor.
    Parameter,
    /// The class of storages with values of this type.
    Storage(Dtype),
}

impl Global {
    /// The class or function of this name.
    ///
    /// # Errors
    /// Refuses any other name and says which it is.
    pub fn named(module: &str, name: &str) -> Result<Self> {
        let storage = |dtype| Ok(Global::Storage(dtype));
        match (module, name) {
            ("collections", "OrderedDict") => Ok(Global::OrderedDict),
            // Before PyTorch 0.4, the function was _rebuild_tensor and parameters were made by their class.
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Ok(Global::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") | ("torch.nn.parameter", "Parameter") => Ok(Global::Parameter),
            // For tensors saved from a GPU, the legacy format names the CUDA class; the values are laid out alike.
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
                    "it asks for {}, which a state dictionary does not need; nothing in it was run",
                    global.escape_debug()
                ))
            }
        }
    }
}

/// The one-dimensional values that one or more tensors view.
#[derive(Clone, Copy, PartialEq)]
pub struct Storage<'a> {
    /// The name by which the file refers to the values.
    pub key: &'a str,
    /// The type of the values.
    pub dtype: Dtype,
    /// The number of values, not bytes.
    pub numel: usize,
}

impl Storage<'_> {
    /// How many bytes the values take.
    ///
    /// # Errors
    /// Returns an error if the number overflows.
    pub fn byte_length(&self) -> Result<usize> {
        let bytes = self.numel.checked_mul(self.value_width());
        bytes.with_context(|| format!("storage {} claims {} values, more than any memory holds", self.key, self.numel))
    }

    /// The bytes of one value; PyTorch has no storage class for values of less than a byte.
    pub fn value_width(&self) -> usize {
        self.dtype.bitsize() / 8
    }
}

/// A tensor as the pickle states it, not yet checked against its storage.
pub struct Tensor<'a> {
    /// The values that it views.
    pub storage: Storage<'a>,
    /// The index of its first value in the storage.
    pub offset: usize,
    /// Its size along each axis.
    pub shape: Vec<usize>,
    /// For each axis, the distance between neighbours in the storage, in values.
    pub strides: Vec<usize>,
}
