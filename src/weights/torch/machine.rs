//! The stack machine that executes pickles in Python, reduced to the opcodes and calls that a state dictionary needs.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};

use super::object::{Id, Object, Storage};
use super::refusal::refuse;

/// A tensor takes some 40 opcodes, so this is enough for 26,000 tensors. It also bounds memory: an opcode makes at most
/// one object and one memo entry, some 300 bytes, and a container takes over what other opcodes put on the stack.
const OPCODE_LIMIT: usize = 1 << 20;

/// The opcodes that torch.save writes in protocols 2 to 5, and those of Python 2. Python's pickletools documents each.
mod opcode {
    pub const APPEND: u8 = b'a';
    pub const APPENDS: u8 = b'e';
    pub const BINFLOAT: u8 = b'G';
    pub const BINGET: u8 = b'h';
    pub const BININT: u8 = b'J';
    pub const BININT1: u8 = b'K';
    pub const BININT2: u8 = b'M';
    pub const BINPERSID: u8 = b'Q';
    pub const BINPUT: u8 = b'q';
    pub const BINSTRING: u8 = b'T';
    pub const BINUNICODE: u8 = b'X';
    pub const BUILD: u8 = b'b';
    pub const EMPTY_DICT: u8 = b'}';
    pub const EMPTY_LIST: u8 = b']';
    pub const EMPTY_TUPLE: u8 = b')';
    pub const FRAME: u8 = 0x95;
    pub const GLOBAL: u8 = b'c';
    pub const LONG1: u8 = 0x8a;
    pub const LONG_BINGET: u8 = b'j';
    pub const LONG_BINPUT: u8 = b'r';
    pub const MARK: u8 = b'(';
    pub const MEMOIZE: u8 = 0x94;
    pub const NEWFALSE: u8 = 0x89;
    pub const NEWTRUE: u8 = 0x88;
    pub const NONE: u8 = b'N';
    pub const PROTO: u8 = 0x80;
    pub const REDUCE: u8 = b'R';
    pub const SETITEM: u8 = b's';
    pub const SETITEMS: u8 = b'u';
    pub const SHORT_BINSTRING: u8 = b'U';
    pub const SHORT_BINUNICODE: u8 = 0x8c;
    pub const STACK_GLOBAL: u8 = 0x93;
    pub const STOP: u8 = b'.';
    pub const TUPLE: u8 = b't';
    pub const TUPLE1: u8 = 0x85;
    pub const TUPLE2: u8 = 0x86;
    pub const TUPLE3: u8 = 0x87;
}

/// The state of reading a pickle.
pub struct Machine<'a> {
    /// The bytes still to be read; after the run, those after the pickle.
    pub input: &'a [u8],
    /// Every object made so far; an [`Id`] is an index into them.
    pub objects: Vec<Object<'a>>,
    /// Every storage made so far, by its key.
    pub storages: HashMap<&'a str, Storage<'a>>,
    stack: Vec<Id>,
    /// The height of the stack at each MARK that is still open.
    marks: Vec<usize>,
    /// Objects stored for later, by the number that the pickle gives them.
    memo: HashMap<usize, Id>,
}

impl<'a> Machine<'a> {
    /// A machine that will read the pickle at the start of `input`.
    pub fn new(input: &'a [u8]) -> Self {
        Machine {
            input,
            objects: Vec::new(),
            storages: HashMap::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        }
    }

    /// Reads up to the opcode STOP and returns the object that the pickle stands for.
    ///
    /// # Errors
    /// Returns an error if the pickle is truncated, malformed or too long, or has an opcode that torch.save never
    /// writes.
    pub fn run(&mut self) -> Result<Id> {
        for _ in 0..OPCODE_LIMIT {
            match self.take(1)?[0] {
                opcode::STOP => return self.pop(),
                code => self.step(code)?,
            }
        }
        refuse(format!("the pickle has more than {OPCODE_LIMIT} opcodes"))
    }

    /// Executes one opcode, if it makes an object; leaves the others to [`Machine::rearrange`].
    fn step(&mut self, code: u8) -> Result<()> {
        let made = match code {
            opcode::NONE => Object::None,
            opcode::NEWTRUE => Object::Bool(true),
            opcode::NEWFALSE => Object::Bool(false),
            opcode::BININT1 => Object::Int(self.unsigned(1)? as i128),
            opcode::BININT2 => Object::Int(self.unsigned(2)? as i128),
            opcode::BININT => self.signed(4)?,
            opcode::LONG1 => {
                let length = self.unsigned(1)?;
                self.signed(length)?
            }
            opcode::BINFLOAT => self.take(8).map(|_| Object::Float)?,
            opcode::SHORT_BINUNICODE | opcode::SHORT_BINSTRING => self.text(1)?,
            opcode::BINUNICODE | opcode::BINSTRING => self.text(4)?,
            opcode::EMPTY_TUPLE => Object::Tuple(Vec::new()),
            opcode::TUPLE1 => Object::Tuple(self.pop_many(1)?),
            opcode::TUPLE2 => Object::Tuple(self.pop_many(2)?),
            opcode::TUPLE3 => Object::Tuple(self.pop_many(3)?),
            opcode::TUPLE => Object::Tuple(self.pop_to_mark()?),
            opcode::EMPTY_LIST => Object::List(Vec::new()),
            opcode::EMPTY_DICT => Object::Dict(Vec::new()),
            opcode::GLOBAL => self.global()?,
            opcode::STACK_GLOBAL => self.stack_global()?,
            opcode::BINPERSID => self.storage()?,
            _ => return self.rearrange(code),
        };
        self.push(made);
        Ok(())
    }

    /// Executes the opcodes that change, store or recall objects rather than make one.
    fn rearrange(&mut self, code: u8) -> Result<()> {
        match code {
            opcode::PROTO => self.take(1).map(|_| ()),
            opcode::FRAME => self.take(8).map(|_| ()),
            opcode::MARK => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            opcode::APPEND => self.pop_many(1).and_then(|items| self.append(items)),
            opcode::APPENDS => self.pop_to_mark().and_then(|items| self.append(items)),
            opcode::SETITEM => self.pop_many(2).and_then(|items| self.set_items(&items)),
            opcode::SETITEMS => self.pop_to_mark().and_then(|items| self.set_items(&items)),
            opcode::BINPUT => self.unsigned(1).and_then(|place| self.remember(place)),
            opcode::LONG_BINPUT => self.unsigned(4).and_then(|place| self.remember(place)),
            opcode::MEMOIZE => self.remember(self.memo.len()),
            opcode::BINGET => self.unsigned(1).and_then(|place| self.recall(place)),
            opcode::LONG_BINGET => self.unsigned(4).and_then(|place| self.recall(place)),
            opcode::REDUCE => self.reduce(),
            opcode::BUILD => self.build(),
            _ => refuse(format!("the pickle has the opcode {code:#04x}, which torch.save never writes")),
        }
    }

    /// Reads the next `count` bytes.
    ///
    /// # Errors
    /// Returns an error if fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let left = self.input.len();
        let (taken, rest) = self
            .input
            .split_at_checked(count)
            .with_context(|| format!("the pickle is truncated: expected {count} more bytes, found {left}"))?;
        self.input = rest;
        Ok(taken)
    }

    /// Reads a little-endian number of so many bytes.
    fn unsigned(&mut self, bytes: usize) -> Result<usize> {
        let digits = self.take(bytes)?.iter().rev();
        Ok(digits.fold(0, |value, digit| value << 8 | usize::from(*digit)))
    }

    /// Reads a little-endian number of so many bytes in two's complement.
    fn signed(&mut self, bytes: usize) -> Result<Object<'a>> {
        let digits = self.take(bytes)?;
        let negative = digits.last().is_some_and(|top| top >> 7 == 1);
        let mut wide = [if negative { 0xff } else { 0 }; size_of::<i128>()];
        let low = wide.get_mut(..bytes);
        low.with_context(|| format!("the pickle has an integer of {bytes} bytes, expected at most 16"))?
            .copy_from_slice(digits);
        Ok(Object::Int(i128::from_le_bytes(wide)))
    }

    /// Reads a string after its length, a number of `length_bytes` bytes.
    fn text(&mut self, length_bytes: usize) -> Result<Object<'a>> {
        let length = self.unsigned(length_bytes)?;
        let text = str::from_utf8(self.take(length)?);
        text.map(Object::Text).context("the pickle has a string that is not UTF-8")
    }

    /// The object with this id.
    pub fn get(&self, id: Id) -> &Object<'a> {
        &self.objects[id.0]
    }

    /// Adds an object and puts it on the stack.
    pub fn push(&mut self, object: Object<'a>) {
        self.stack.push(Id(self.objects.len()));
        self.objects.push(object);
    }

    /// Puts an existing object on the stack.
    pub fn push_again(&mut self, id: Id) {
        self.stack.push(id);
    }

    /// Takes the top value off the stack.
    ///
    /// # Errors
    /// Returns an error if there is none above the innermost open mark.
    pub fn pop(&mut self) -> Result<Id> {
        self.pop_many(1).map(|ids| ids[0])
    }

    /// Takes the top `count` values off the stack, the lowest one first.
    ///
    /// # Errors
    /// Returns an error if there are fewer above the innermost open mark.
    pub fn pop_many(&mut self, count: usize) -> Result<Vec<Id>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let start = self.stack.len().checked_sub(count).filter(|start| *start >= floor);
        let start = start.context("the pickle uses a value that it never made")?;
        Ok(self.stack.split_off(start))
    }

    /// Takes all values above the innermost mark off the stack, and closes the mark.
    fn pop_to_mark(&mut self) -> Result<Vec<Id>> {
        let start = self.marks.pop().context("the pickle closes a group that it never opened")?;
        Ok(self.stack.split_off(start))
    }

    /// The object on top of the stack, which stays there.
    ///
    /// # Errors
    /// Returns an error if there is none above the innermost open mark.
    pub fn top(&mut self) -> Result<&mut Object<'a>> {
        let id = self.pop()?;
        self.stack.push(id);
        Ok(&mut self.objects[id.0])
    }

    /// Moves the items out of a list.
    ///
    /// # Errors
    /// Returns an error if the object is not a list.
    pub fn take_list(&mut self, list: Id) -> Result<Vec<Id>> {
        match &mut self.objects[list.0] {
            Object::List(items) => Ok(std::mem::take(items)),
            other => bail!("the pickle has {}, expected a list", other.kind()),
        }
    }

    fn append(&mut self, mut items: Vec<Id>) -> Result<()> {
        match self.top()? {
            Object::List(list) => list.append(&mut items),
            other => bail!("the pickle appends to {}, expected a list", other.kind()),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<()> {
        let (pairs, rest) = items.as_chunks::<2>();
        match self.top()? {
            Object::Dict(dict) if rest.is_empty() => dict.extend(pairs.iter().map(|[key, value]| (*key, *value))),
            other => bail!(
                "the pickle sets {} keys and values of {}, expected pairs of a dictionary",
                items.len(),
                other.kind()
            ),
        }
        Ok(())
    }

    /// Stores the top of the stack in the memo.
    fn remember(&mut self, place: usize) -> Result<()> {
        let id = self.pop()?;
        self.stack.push(id);
        self.memo.insert(place, id);
        Ok(())
    }

    /// Puts an object from the memo on the stack.
    fn recall(&mut self, place: usize) -> Result<()> {
        let id = self.memo.get(&place).copied();
        self.stack.push(id.with_context(|| format!("the pickle recalls value {place}, which it never stored"))?);
        Ok(())
    }
}
