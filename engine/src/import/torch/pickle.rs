//! A reader of pickles that makes values of them and runs nothing.
//!
//! Values lie on a [`Heap`] and name each other by [`Id`], so a dictionary that is filled after it
//! was mentioned is full at each mention, and one that holds itself is no trouble. Every opcode
//! takes a byte or more and makes at most one value, and what calls copy is counted, so a pickle
//! makes no more than it is long. What calls mean is left to `calls`.

use std::collections::HashMap;
use std::sync::Arc;

use super::TorchError;
use super::tensor::{Storage, Tensor};

/// Most values and entries of containers in one pickle.
const MOST_VALUES: usize = 1 << 24;

/// Text, or the name of a class; shared, as a pickle names both again and again.
pub(super) type Text = Arc<str>;

/// What is wrong, in words.
pub(super) type Problem = String;

/// A value on a [`Heap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Id(u32);

/// What a pickle describes.
#[derive(Debug)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// Something without parts that is of no use here, by its type.
    Plain(&'static str),
    Text(Text),
    Tuple(Vec<Id>),
    /// A list or a set.
    List(Vec<Id>),
    /// Entries, and attributes of the dictionary itself.
    Dict(Vec<(Id, Id)>, Vec<Id>),
    /// A class or a function, by module and name.
    Global(Text, Text),
    Storage(Storage),
    Tensor(Tensor),
    /// Something that only running the pickle would make.
    Object(Box<Object>),
}

/// An object that was not made.
#[derive(Debug)]
pub(super) struct Object {
    /// Its class, or the function that would make it.
    pub class: Id,
    /// What that would be called with.
    pub args: Id,
    /// What it would hold as a list, as a dictionary, and as attributes.
    pub items: Vec<Id>,
    pub entries: Vec<(Id, Id)>,
    pub states: Vec<Id>,
}

/// The values of a pickle.
#[derive(Debug, Default)]
pub(super) struct Heap {
    values: Vec<Value>,
    /// Entries of containers.
    entries: usize,
    /// Bytes of a number in each storage that was mentioned.
    pub storages: HashMap<Text, usize>,
}

impl Heap {
    pub fn get(&self, id: Id) -> &Value {
        &self.values[id.0 as usize]
    }

    pub fn get_mut(&mut self, id: Id) -> &mut Value {
        &mut self.values[id.0 as usize]
    }

    /// A place for `value`.
    pub fn put(&mut self, value: Value) -> Result<Id, Problem> {
        if self.values.len() >= MOST_VALUES {
            return Err(format!("expected at most {MOST_VALUES} values"));
        }
        self.values.push(value);
        Ok(Id((self.values.len() - 1) as u32))
    }

    /// Counts entries that are about to be put into containers.
    pub fn count(&mut self, entries: usize) -> Result<(), Problem> {
        self.entries = self.entries.saturating_add(entries);
        if self.entries > MOST_VALUES {
            return Err(format!("expected at most {MOST_VALUES} entries"));
        }
        Ok(())
    }

    /// The items of a tuple or a list.
    pub fn sequence(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::Tuple(items) | Value::List(items) => Some(items),
            _ => None,
        }
    }
}

/// A pickle that was read.
#[derive(Debug)]
pub(super) struct Pickle {
    pub heap: Heap,
    pub root: Id,
    /// Its bytes; what follows is none of it.
    pub length: usize,
}

impl Pickle {
    /// Reads the pickle that `bytes` begin with.
    pub fn read(bytes: &[u8]) -> Result<Self, TorchError> {
        let mut machine = Machine {
            bytes,
            place: 0,
            heap: Heap::default(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        loop {
            let place = machine.place;
            match machine.step() {
                Ok(None) => {}
                Ok(Some(root)) => {
                    return Ok(Self { heap: machine.heap, root, length: machine.place });
                }
                Err(problem) => return Err(TorchError::Pickle { place, problem }),
            }
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    place: usize,
    heap: Heap,
    stack: Vec<Id>,
    /// How high the stack was at each mark.
    marks: Vec<usize>,
    /// By an index that the file chooses freely.
    memo: HashMap<u64, Id>,
}

impl<'a> Machine<'a> {
    /// Follows one opcode; answers with the result after the last.
    fn step(&mut self) -> Result<Option<Id>, Problem> {
        let [opcode] = self.number()?;
        match opcode {
            b'.' => return self.pop().map(Some),
            0x80 => {
                let [protocol] = self.number()?;
                if protocol > 5 {
                    return Err(format!("expected protocol 2 to 5, found {protocol}"));
                }
            }
            // The length of a frame, which readers of streams want to know.
            0x95 => {
                self.take(8)?;
            }
            b'(' => self.marks.push(self.stack.len()),
            b'0' if self.marks.last() == Some(&self.stack.len()) => {
                self.marks.pop();
            }
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.above_mark()?;
            }
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.push(Value::None)?,
            0x88 | 0x89 => self.push(Value::Bool(opcode == 0x88))?,
            b'I' | b'J' | b'K' | b'L' | b'M' | 0x8a | 0x8b => self.integer(opcode)?,
            b'F' => {
                self.line()?;
                self.push(Value::Plain("float"))?;
            }
            b'G' => {
                self.take(8)?;
                self.push(Value::Plain("float"))?;
            }
            b'S' | b'V' => {
                let line = self.line()?;
                let text = if opcode == b'S' { line.trim_matches(['\'', '"']) } else { &line };
                self.push(Value::Text(text.into()))?;
            }
            b'T' | b'U' | b'X' | 0x8c | 0x8d => {
                let length = self.length(opcode)?;
                let text = String::from_utf8_lossy(self.take(length)?);
                self.push(Value::Text(text.into()))?;
            }
            b'B' | b'C' | 0x8e | 0x96 => {
                let length = self.length(opcode)?;
                self.take(length)?;
                self.push(Value::Plain("bytes"))?;
            }
            b')' | b'}' | b']' | 0x8f | b't' | b'l' | b'd' | 0x91 | 0x85..=0x87 => {
                self.container(opcode)?;
            }
            b'a' | b'e' | 0x90 | b's' | b'u' => self.fill(opcode)?,
            b'c' | 0x93 | b'i' | b'o' | b'R' | 0x81 | 0x92 | b'b' | b'Q' => self.call(opcode)?,
            b'p' | b'q' | b'r' | 0x94 => {
                let index = match opcode {
                    b'p' => self.line()?.parse().map_err(|_| "expected an index")?,
                    0x94 => self.memo.len() as u64,
                    _ => self.index(opcode == b'r')?,
                };
                let top = self.top()?;
                self.memo.insert(index, top);
            }
            b'g' | b'h' | b'j' => {
                let index = match opcode {
                    b'g' => self.line()?.parse().map_err(|_| "expected an index")?,
                    _ => self.index(opcode == b'j')?,
                };
                let id = self.memo.get(&index);
                let id = *id.ok_or_else(|| format!("nothing was stored under {index}"))?;
                self.stack.push(id);
            }
            other => return Err(format!("opcode {other:#04x} is not known")),
        }
        Ok(None)
    }

    fn integer(&mut self, opcode: u8) -> Result<(), Problem> {
        let value = match opcode {
            b'J' => Value::Int(i32::from_le_bytes(self.number()?).into()),
            b'K' => Value::Int(u8::from_le_bytes(self.number()?).into()),
            b'M' => Value::Int(u16::from_le_bytes(self.number()?).into()),
            b'I' | b'L' => match (opcode, &*self.line()?) {
                (b'I', "00") => Value::Bool(false),
                (b'I', "01") => Value::Bool(true),
                (_, line) => {
                    line.trim_end_matches('L').parse().map_or(Value::Plain("int"), Value::Int)
                }
            },
            _ => {
                let length = self.length(opcode)?;
                let bytes = self.take(length)?;
                let sign = bytes.last().map_or(0, |last| if *last < 128 { 0 } else { 255 });
                let mut word = [sign; 8];
                match word.get_mut(..bytes.len()) {
                    Some(start) => {
                        start.copy_from_slice(bytes);
                        Value::Int(i64::from_le_bytes(word))
                    }
                    None => Value::Plain("int"),
                }
            }
        };
        self.push(value)
    }

    fn container(&mut self, opcode: u8) -> Result<(), Problem> {
        let items = match opcode {
            b')' | b'}' | b']' | 0x8f => Vec::new(),
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let base = self.stack.len().checked_sub(count).filter(|base| *base >= self.floor());
                self.stack.split_off(base.ok_or_else(low)?)
            }
            _ => self.above_mark()?,
        };
        self.heap.count(items.len())?;
        let value = match opcode {
            b')' | b't' | 0x85..=0x87 => Value::Tuple(items),
            b'}' | b'd' => Value::Dict(pairs(&items)?, Vec::new()),
            _ => Value::List(items),
        };
        self.push(value)
    }

    fn fill(&mut self, opcode: u8) -> Result<(), Problem> {
        let items = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.above_mark()?,
        };
        self.heap.count(items.len())?;
        let container = self.top()?;
        if matches!(opcode, b's' | b'u') {
            let pairs = pairs(&items)?;
            match self.heap.get_mut(container) {
                Value::Dict(entries, _) => entries.extend(pairs),
                Value::Object(object) => object.entries.extend(pairs),
                _ => return Err("entries for what is no dictionary".to_owned()),
            }
        } else {
            match self.heap.get_mut(container) {
                Value::List(own) => own.extend(items),
                Value::Object(object) => object.items.extend(items),
                _ => return Err("items for what is no list".to_owned()),
            }
        }
        Ok(())
    }

    fn call(&mut self, opcode: u8) -> Result<(), Problem> {
        match opcode {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                return self.push(Value::Global(module.into(), name.into()));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) =
                    (self.heap.get(module), self.heap.get(name))
                else {
                    return Err("expected the name of a class".to_owned());
                };
                let global = Value::Global(module.clone(), name.clone());
                return self.push(global);
            }
            b'b' => {
                let state = self.pop()?;
                let object = self.top()?;
                return self.heap.build(object, state);
            }
            _ => {}
        }
        let made = match opcode {
            b'Q' => {
                let name = self.pop()?;
                self.heap.stored(name)?
            }
            b'i' | b'o' => {
                let class = if opcode == b'i' {
                    let (module, name) = (self.line()?, self.line()?);
                    Some(self.heap.put(Value::Global(module.into(), name.into()))?)
                } else {
                    None
                };
                let mut args = self.above_mark()?.into_iter();
                let class = class.or_else(|| args.next()).ok_or_else(low)?;
                let args: Vec<Id> = args.collect();
                self.heap.count(args.len())?;
                let args = self.heap.put(Value::Tuple(args))?;
                self.heap.called(class, args)?
            }
            _ => {
                if opcode == 0x92 {
                    self.pop()?; // arguments with names
                }
                let (args, class) = (self.pop()?, self.pop()?);
                self.heap.called(class, args)?
            }
        };
        self.stack.push(made);
        Ok(())
    }

    fn push(&mut self, value: Value) -> Result<(), Problem> {
        let id = self.heap.put(value)?;
        self.stack.push(id);
        Ok(())
    }

    /// How high the stack was at the last mark, below which nothing is taken.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, Problem> {
        self.stack[self.floor()..].last().copied().ok_or_else(low)
    }

    fn pop(&mut self) -> Result<Id, Problem> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn above_mark(&mut self) -> Result<Vec<Id>, Problem> {
        let mark = self.marks.pop().ok_or("expected a mark")?;
        Ok(self.stack.split_off(mark))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Problem> {
        let end = usize::try_from(length).ok().and_then(|length| self.place.checked_add(length));
        let taken = end.and_then(|end| self.bytes.get(self.place..end)).ok_or_else(cut)?;
        self.place += taken.len();
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        self.take(N as u64)?.try_into().map_err(|_| cut())
    }

    /// The length that stands before text, bytes or a long number.
    fn length(&mut self, opcode: u8) -> Result<u64, Problem> {
        Ok(match opcode {
            b'U' | b'C' | 0x8c | 0x8a => u8::from_le_bytes(self.number()?).into(),
            b'T' | 0x8b => u64::try_from(i32::from_le_bytes(self.number()?))
                .map_err(|_| "expected a length, found a negative number")?,
            b'X' | b'B' => u32::from_le_bytes(self.number()?).into(),
            _ => u64::from_le_bytes(self.number()?),
        })
    }

    fn index(&mut self, wide: bool) -> Result<u64, Problem> {
        Ok(if wide {
            u32::from_le_bytes(self.number()?).into()
        } else {
            u8::from_le_bytes(self.number()?).into()
        })
    }

    fn line(&mut self) -> Result<String, Problem> {
        let rest = &self.bytes[self.place..];
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(cut)?;
        self.place += end + 1;
        Ok(String::from_utf8_lossy(&rest[..end]).trim_end_matches('\r').to_owned())
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, Problem> {
    let (pairs, rest) = items.as_chunks::<2>();
    if rest.is_empty() {
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    } else {
        Err("a key without a value".to_owned())
    }
}

fn cut() -> Problem {
    "it is cut off".to_owned()
}

fn low() -> Problem {
    "expected a value before".to_owned()
}
