//! The objects in a pickle: those that a PyTorch state dictionary is made of, as the pickle states them, and everything
//! else as opaque.

use anyhow::{Context, Result};
use safetensors::Dtype;

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
    Global(Global<'a>),
    /// The values of one or more tensors.
    Storage(Storage),
    /// A tensor.
    Tensor(Tensor),
    /// Anything else (an object of another class, bytes, a set), by the module and the name of its class or of the function
    /// that makes it, which is never called.
    Opaque(&'a str, &'a str),
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
            Object::Opaque(..) => "an object of another class",
        }
    }
}

/// A Python class or function.
#[derive(Clone, Copy, Debug)]
pub enum Global<'a> {
    /// `collections.OrderedDict`, or another class of dictionaries.
    Dictionary,
    /// The function that makes a tensor from its storage.
    RebuildTensor,
    /// The class `Parameter`, or the function that rebuilds one; either way the first argument is the tensor.
    Parameter,
    /// The function that calls another one and sets attributes of what it returns.
    RebuildFromType,
    /// The class of storages with values of this type.
    Storage(Dtype),
    /// Any other, by its module and name. A state dictionary needs none of them.
    Other(&'a str, &'a str),
}

impl<'a> Global<'a> {
    /// The class or function of this name.
    pub fn named(module: &'a str, name: &'a str) -> Self {
        match (module, name) {
            ("collections", "OrderedDict" | "defaultdict") => Global::Dictionary,
            // Before PyTorch 0.4, the function was _rebuild_tensor and parameters were made by their class.
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Global::RebuildTensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
            | ("torch.nn.parameter", "Parameter") => Global::Parameter,
            ("torch._tensor", "_rebuild_from_type_v2") => Global::RebuildFromType,
            // For tensors saved from a GPU, the legacy format names the CUDA class; the values are laid out alike.
            ("torch" | "torch.cuda", "FloatStorage") => Global::Storage(Dtype::F32),
            ("torch" | "torch.cuda", "DoubleStorage") => Global::Storage(Dtype::F64),
            ("torch" | "torch.cuda", "HalfStorage") => Global::Storage(Dtype::F16),
            ("torch" | "torch.cuda", "BFloat16Storage") => Global::Storage(Dtype::BF16),
            ("torch" | "torch.cuda", "LongStorage") => Global::Storage(Dtype::I64),
            ("torch" | "torch.cuda", "IntStorage") => Global::Storage(Dtype::I32),
            ("torch" | "torch.cuda", "ShortStorage") => Global::Storage(Dtype::I16),
            ("torch" | "torch.cuda", "CharStorage") => Global::Storage(Dtype::I8),
            ("torch" | "torch.cuda", "ByteStorage" | "QUInt8Storage") => Global::Storage(Dtype::U8),
            // Never a network's weights, but their lengths must be known to find others behind them.
            ("torch" | "torch.cuda", "ComplexFloatStorage") => Global::Storage(Dtype::C64),
            ("torch" | "torch.cuda", "QInt8Storage") => Global::Storage(Dtype::I8),
            ("torch" | "torch.cuda", "QInt32Storage") => Global::Storage(Dtype::I32),
            ("torch.storage", "UntypedStorage") => Global::Storage(Dtype::U8),
            ("torch" | "torch.cuda", "BoolStorage") => Global::Storage(Dtype::BOOL),
            _ => Global::Other(module, name),
        }
    }
}

/// The one-dimensional values that one or more tensors view.
#[derive(Clone)]
pub struct Storage {
    /// The name by which the file refers to the values.
    pub key: String,
    /// The type of the values.
    pub dtype: Dtype,
    /// The number of values, not bytes.
    pub numel: usize,
}

impl Storage {
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
#[derive(Clone)]
pub struct Tensor {
    /// The values that it views.
    pub storage: Storage,
    /// The index of its first value in the storage.
    pub offset: usize,
    /// Its size along each axis.
    pub shape: Vec<usize>,
    /// For each axis, the distance between neighbours in the storage, in values.
    pub strides: Vec<usize>,
}
