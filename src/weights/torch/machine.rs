//! The stack machine that a pickle is written for, with its calls replaced by the few that a state dictionary makes.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};

use super::pickle::{Id, Object, Storage, refuse};

/// A tensor takes some 40 opcodes, so this is room for 26,000 of them. It bounds the memory too: an opcode makes one
/// object and one entry of the memo at most, some 300 bytes, and a container takes over what others put on the stack.
const OPCODE_LIMIT: usize = 1 << 20;

/// The opcodes that torch.save writes in protocols 2 to 5, and Python 2 wrote; Python's pickletools documents each.
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

/// A pickle in the course of being read.
pub struct Machine<'a> {
    /// What is still to be read; behind the pickle once it has run.
    pub input: &'a [u8],
    pub objects: Vec<Object<'a>>,
    pub storages: HashMap<&'a str, Storage<'a>>,
    stack: Vec<Id>,
    /// The heights that the stack had at the MARKs which are still open.
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
}

impl<'a> Machine<'a> {
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

    /// Runs up to the opcode STOP; returns the object that the pickle stands for.
    pub fn run(&mut self) -> Result<Id> {
        for _ in 0..OPCODE_LIMIT {
            match self.take(1)?[0] {
                opcode::STOP => return self.pop(),
                code => self.step(code)?,
            }
        }
        refuse(format!("its pickle has more than {OPCODE_LIMIT} opcodes"))
    }

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

    /// Does what the opcodes do that change or name objects rather than make one.
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
            _ => refuse(format!("its pickle has opcode {code:#04x}, which torch.save never writes")),
        }
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let left = self.input.len();
        let (taken, rest) = self
            .input
            .split_at_checked(count)
            .with_context(|| format!("its pickle ends early: {count} bytes expected, {left} left"))?;
        self.input = rest;
        Ok(taken)
    }

    fn unsigned(&mut self, bytes: usize) -> Result<usize> {
        let digits = self.take(bytes)?.iter().rev();
        Ok(digits.fold(0, |value, digit| value << 8 | usize::from(*digit)))
    }

    fn signed(&mut self, bytes: usize) -> Result<Object<'a>> {
        let given = self.take(bytes)?;
        let negative = given.last().is_some_and(|top| top >> 7 == 1);
        let mut wide = [if negative { 0xff } else { 0 }; size_of::<i128>()];
        let low = wide.get_mut(..bytes);
        low.with_context(|| format!("its pickle has an integer of {bytes} bytes, expected 16 at most"))?
            .copy_from_slice(given);
        Ok(Object::Int(i128::from_le_bytes(wide)))
    }

    fn text(&mut self, length_bytes: usize) -> Result<Object<'a>> {
        let length = self.unsigned(length_bytes)?;
        let text = str::from_utf8(self.take(length)?);
        text.map(Object::Text).context("its pickle has a string that is not UTF-8")
    }

    pub fn get(&self, id: Id) -> &Object<'a> {
        &self.objects[id.0]
    }

    pub fn push(&mut self, object: Object<'a>) {
        self.stack.push(Id(self.objects.len()));
        self.objects.push(object);
    }

    pub fn push_again(&mut self, id: Id) {
        self.stack.push(id);
    }

    pub fn pop(&mut self) -> Result<Id> {
        self.pop_many(1).map(|ids| ids[0])
    }

    /// The last `count` values of the stack, none of them from below the innermost open mark.
    pub fn pop_many(&mut self, count: usize) -> Result<Vec<Id>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let start = self.stack.len().checked_sub(count).filter(|start| *start >= floor);
        let start = start.context("its pickle uses a value that it did not make")?;
        Ok(self.stack.split_off(start))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>> {
        let start = self.marks.pop().context("its pickle closes a group that it did not open")?;
        Ok(self.stack.split_off(start))
    }

    /// The object on top of the stack, which stays there.
    pub fn top(&mut self) -> Result<&mut Object<'a>> {
        let id = self.pop()?;
        self.stack.push(id);
        Ok(&mut self.objects[id.0])
    }

    /// Moves the items of a list out of it.
    pub fn take_list(&mut self, list: Id) -> Result<Vec<Id>> {
        match &mut self.objects[list.0] {
            Object::List(items) => Ok(std::mem::take(items)),
            other => bail!("its pickle has {} where a list should be", other.kind()),
        }
    }

    fn append(&mut self, mut items: Vec<Id>) -> Result<()> {
        match self.top()? {
            Object::List(list) => list.append(&mut items),
            other => bail!("its pickle appends to {}", other.kind()),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<()> {
        let (pairs, rest) = items.as_chunks::<2>();
        match self.top()? {
            Object::Dict(dict) if rest.is_empty() => dict.extend(pairs.iter().map(|[key, value]| (*key, *value))),
            other => bail!("its pickle sets {} items of {}", items.len(), other.kind()),
        }
        Ok(())
    }

    fn remember(&mut self, place: usize) -> Result<()> {
        let id = self.pop()?;
        self.stack.push(id);
        self.memo.insert(place, id);
        Ok(())
    }

    fn recall(&mut self, place: usize) -> Result<()> {
        let id = self.memo.get(&place).copied();
        self.stack.push(id.with_context(|| format!("its pickle asks for value {place} and has none"))?);
        Ok(())
    }
}
