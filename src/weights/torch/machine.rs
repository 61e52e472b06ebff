//! The stack machine that executes pickles in Python, except that it calls nothing.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};

use super::object::{Id, Object, Storage};
use super::opcode;
use super::refusal::refuse;

/// A tensor takes some 40 opcodes, so this is enough for 26,000 tensors. It also bounds memory: an opcode makes at most
/// one object and one memo entry, some 300 bytes, and a container takes over what other opcodes put on the stack.
const OPCODE_LIMIT: usize = 1 << 20;

/// The state of reading a pickle.
pub struct Machine<'a> {
    /// The bytes still to be read; after the run, those after the pickle.
    pub input: &'a [u8],
    /// Every object made so far; an [`Id`] is an index into them.
    pub objects: Vec<Object<'a>>,
    /// Every storage made so far, by its key.
    pub storages: HashMap<String, Storage>,
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
    /// Returns an error if the pickle is truncated, malformed or too long, or has an opcode of no protocol from 2 to 5.
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
            opcode::BININT => self.integer(4)?,
            opcode::LONG1 => {
                let length = self.unsigned(1)?;
                self.integer(length)?
            }
            opcode::LONG4 => {
                let length = self.unsigned(4)?;
                self.integer(length)?
            }
            opcode::BINFLOAT => self.take(8).map(|_| Object::Float)?,
            opcode::SHORT_BINUNICODE | opcode::SHORT_BINSTRING => self.text(1)?,
            opcode::BINUNICODE | opcode::BINSTRING => self.text(4)?,
            opcode::BINUNICODE8 => self.text(8)?,
            opcode::SHORT_BINBYTES => self.bytes(1)?,
            opcode::BINBYTES => self.bytes(4)?,
            opcode::BINBYTES8 | opcode::BYTEARRAY8 => self.bytes(8)?,
            opcode::EMPTY_TUPLE => Object::Tuple(Vec::new()),
            opcode::TUPLE1 => Object::Tuple(self.pop_many(1)?),
            opcode::TUPLE2 => Object::Tuple(self.pop_many(2)?),
            opcode::TUPLE3 => Object::Tuple(self.pop_many(3)?),
            opcode::TUPLE => Object::Tuple(self.pop_to_mark()?),
            opcode::EMPTY_LIST => Object::List(Vec::new()),
            opcode::EMPTY_DICT => Object::Dict(Vec::new()),
            opcode::EMPTY_SET => Object::Opaque("", "set"),
            opcode::FROZENSET => self.pop_to_mark().map(|_| Object::Opaque("", "frozenset"))?,
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
            opcode::POP => self.discard(),
            opcode::POP_MARK => self.pop_to_mark().map(|_| ()),
            opcode::DUP => self.pop().map(|id| self.stack.extend([id, id])),
            // A set's items and a class's keyword arguments are of no interest.
            opcode::ADDITEMS => self.pop_to_mark().map(|_| ()),
            opcode::NEWOBJ_EX => self.pop().and_then(|_| self.call()),
            opcode::REDUCE | opcode::NEWOBJ => self.call(),
            opcode::BUILD => self.build(),
            _ => refuse(format!("the pickle has the unknown opcode {code:#04x}")),
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

    /// Reads a little-endian integer of so many bytes in two's complement. One of more than 16 bytes is opaque.
    fn integer(&mut self, bytes: usize) -> Result<Object<'a>> {
        let digits = self.take(bytes)?;
        let negative = digits.last().is_some_and(|top| top >> 7 == 1);
        let mut wide = [if negative { 0xff } else { 0 }; size_of::<i128>()];
        let Some(low) = wide.get_mut(..bytes) else { return Ok(Object::Opaque("", "int")) };
        low.copy_from_slice(digits);
        Ok(Object::Int(i128::from_le_bytes(wide)))
    }

    /// Passes over bytes after their length, a number of `length_bytes` bytes.
    fn bytes(&mut self, length_bytes: usize) -> Result<Object<'a>> {
        let length = self.unsigned(length_bytes)?;
        self.take(length).map(|_| Object::Opaque("", "bytes"))
    }

    /// Takes the top of the stack off it, or an open mark that is higher.
    fn discard(&mut self) -> Result<()> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(|_| ())
    }

    /// Reads a string after its length, a number of `length_bytes` bytes.
    fn text(&mut self, length_bytes: usize) -> Result<Object<'a>> {
        let length = self.unsigned(length_bytes)?;
        // A string of Python 2, or with surrogates, may hold any bytes; no tensor has such a name.
        let text = str::from_utf8(self.take(length)?);
        Ok(text.map_or(Object::Opaque("", "str"), Object::Text))
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
            Object::Opaque(..) => {}
            other => bail!("the pickle appends to {}, expected a list", other.kind()),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<()> {
        let (pairs, rest) = items.as_chunks::<2>();
        match self.top()? {
            Object::Dict(dict) if rest.is_empty() => dict.extend(pairs.iter().map(|[key, value]| (*key, *value))),
            Object::Opaque(..) => {}
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
