//! What a checkpoint holds: its tensors by the keys that lead to them, and objects that were not
//! made.
//!
//! Dictionaries and lists are followed at each place where they are mentioned, and so are modules,
//! which give what their `state_dict` would. What an object that was not made holds is looked
//! through once, afterwards.

use std::collections::{BTreeMap, HashSet};

use super::TorchError;
use super::pickle::{Heap, Id, Object, Pickle, Value};
use super::tensor::Tensor;

/// Most containers inside one another.
const DEEPEST: usize = 100;

/// Most letters of keys on the way to all that is found, with one for each value.
const MOST_STEPS: usize = 1 << 26;

/// The tables of a `torch.nn.Module`.
const TABLES: [&str; 3] = ["_parameters", "_buffers", "_modules"];

type Entries = Vec<(Id, Id)>;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub tensors: BTreeMap<String, Tensor>,
    /// Where objects lie, and what they would be.
    pub objects: Vec<String>,
}

/// Looks through what a pickle holds.
pub(super) fn walk(pickle: &Pickle) -> Result<Found, TorchError> {
    let Pickle { heap, root, .. } = pickle;
    let mut walk = Walk {
        heap,
        found: Found::default(),
        inside: false,
        steps: 0,
        above: Vec::new(),
        seen: HashSet::new(),
        foreign: Vec::new(),
    };
    let strange = || TorchError::Root { found: heap.kind(*root) };
    if !matches!(heap.get(*root), Value::Dict(..) | Value::Object(_)) {
        return Err(strange());
    }
    walk.visit(*root, &mut String::new())?;
    walk.inside = true;
    for (mut place, id) in std::mem::take(&mut walk.foreign) {
        walk.visit(id, &mut place)?;
    }
    if matches!(heap.get(*root), Value::Object(_)) && walk.found.tensors.is_empty() {
        return Err(strange());
    }
    Ok(walk.found)
}

struct Walk<'a> {
    heap: &'a Heap,
    found: Found,
    /// Whether this is inside of an object that was not made.
    inside: bool,
    steps: usize,
    /// The containers in which the current one lies.
    above: Vec<Id>,
    /// All containers so far.
    seen: HashSet<Id>,
    /// Objects that were not made, to be looked into last.
    foreign: Vec<(String, Id)>,
}

/// What leads to a value.
#[derive(Clone, Copy)]
enum Key {
    /// A key, or the how manieth it is if it is neither text nor a number.
    Of(Id, usize),
    Place(usize),
}

impl Walk<'_> {
    fn visit(&mut self, id: Id, path: &mut String) -> Result<(), TorchError> {
        match self.heap.get(id) {
            Value::Tensor(tensor) => {
                self.step(path.len())?;
                if self.inside {
                    self.found.tensors.entry(path.clone()).or_insert_with(|| tensor.clone());
                } else {
                    self.found.tensors.insert(path.clone(), tensor.clone());
                }
            }
            Value::Tuple(_) | Value::List(_) | Value::Dict(..) => self.enter(id, path)?,
            Value::Object(object) => {
                self.step(object.states.len())?;
                if self.inside || self.module(object)?.is_some() {
                    self.enter(id, path)?;
                } else {
                    // What PyTorch has besides tensors, such as devices, is no loss.
                    self.name(id, path, self.has_tensors(object.args))?;
                    self.foreign.push((path.clone(), id));
                }
            }
            Value::Global(..) if !self.inside => self.name(id, path, false)?,
            _ => {}
        }
        Ok(())
    }

    /// Looks into a container, unless it is inside itself.
    fn enter(&mut self, id: Id, path: &mut String) -> Result<(), TorchError> {
        let again = !self.seen.insert(id);
        if self.above.contains(&id) || (self.inside && again) {
            return Ok(());
        }
        if self.above.len() >= DEEPEST {
            // An object may hold chains of any length.
            return if self.inside { Ok(()) } else { Err(TorchError::Deep) };
        }
        self.above.push(id);
        let heap = self.heap;
        match heap.get(id) {
            Value::Tuple(items) | Value::List(items) => self.items(items, path)?,
            Value::Dict(entries, states) => {
                self.entries(entries, path)?;
                self.attributes(states, path)?;
            }
            Value::Object(object) => {
                if let Some(tables) = self.module(object)? {
                    tables.iter().try_for_each(|table| self.entries(table, path))?;
                } else {
                    self.items(&object.items, path)?;
                    self.entries(&object.entries, path)?;
                    self.attributes(&object.states, path)?;
                }
            }
            _ => {}
        }
        self.above.pop();
        Ok(())
    }

    fn items(&mut self, items: &[Id], path: &mut String) -> Result<(), TorchError> {
        let mut items = items.iter().enumerate();
        items.try_for_each(|(place, item)| self.child(Key::Place(place), *item, path))
    }

    fn entries(&mut self, entries: &[(Id, Id)], path: &mut String) -> Result<(), TorchError> {
        let mut entries = entries.iter().enumerate();
        entries.try_for_each(|(place, (key, value))| self.child(Key::Of(*key, place), *value, path))
    }

    /// Attributes are a dictionary, or two of them where a class has slots.
    fn attributes(&mut self, states: &[Id], path: &mut String) -> Result<(), TorchError> {
        for &state in states {
            match self.heap.get(state) {
                Value::Tuple(both) if both.len() == 2 => {
                    both.clone().into_iter().try_for_each(|one| match self.heap.get(one) {
                        Value::Dict(..) => self.enter(one, path),
                        _ => Ok(()),
                    })?;
                }
                _ => self.visit(state, path)?,
            }
        }
        Ok(())
    }

    fn child(&mut self, key: Key, value: Id, path: &mut String) -> Result<(), TorchError> {
        self.step(1)?;
        if matches!(
            self.heap.get(value),
            Value::None | Value::Bool(_) | Value::Int(_) | Value::Plain(_) | Value::Text(_)
        ) {
            return Ok(());
        }
        let before = path.len();
        if !path.is_empty() {
            path.push('.');
        }
        match key {
            Key::Place(place) => *path += &place.to_string(),
            Key::Of(key, place) => match self.heap.get(key) {
                Value::Text(key) => {
                    self.step(key.len())?;
                    *path += key;
                }
                Value::Int(key) => *path += &key.to_string(),
                _ => *path += &place.to_string(),
            },
        }
        self.visit(value, path)?;
        path.truncate(before);
        Ok(())
    }

    fn name(&mut self, id: Id, path: &str, whatever: bool) -> Result<(), TorchError> {
        let kind = self.heap.kind(id);
        if whatever || !kind.starts_with("torch.") {
            self.step(path.len() + kind.len())?;
            let named = if path.is_empty() { kind } else { format!("{path}: {kind}") };
            self.found.objects.push(named);
        }
        Ok(())
    }

    /// Whether an object would be made of tensors, in plain sight.
    fn has_tensors(&self, args: Id) -> bool {
        const LOOKED_AT: usize = 16;
        let within = |id: Id| self.heap.sequence(id).unwrap_or_default().iter().take(LOOKED_AT);
        let is_one = |id: &Id| matches!(self.heap.get(*id), Value::Tensor(_) | Value::Storage(_));
        within(args).any(|arg| is_one(arg) || within(*arg).any(is_one))
    }

    /// The tables of a module, without what its `state_dict` leaves out.
    fn module(&mut self, object: &Object) -> Result<Option<Vec<Entries>>, TorchError> {
        let &[.., state] = &*object.states else { return Ok(None) };
        let Value::Dict(attributes, _) = self.heap.get(state) else { return Ok(None) };
        self.step(attributes.len())?;
        let heap = self.heap;
        let attribute = |name: &str| {
            let named = |key: Id| matches!(heap.get(key), Value::Text(key) if **key == *name);
            attributes.iter().rev().find(|(key, _)| named(*key)).map(|(_, value)| heap.get(*value))
        };
        let mut tables = Vec::new();
        for name in TABLES {
            let Some(Value::Dict(entries, _)) = attribute(name) else { return Ok(None) };
            self.step(entries.len())?;
            tables.push(entries.clone());
        }
        if let Some(Value::List(left_out)) = attribute("_non_persistent_buffers_set") {
            let text = |id: Id| match heap.get(id) {
                Value::Text(text) => Some(&**text),
                _ => None,
            };
            self.step(left_out.len())?;
            let left_out: HashSet<&str> = left_out.iter().filter_map(|id| text(*id)).collect();
            tables[1].retain(|(key, _)| text(*key).is_none_or(|key| !left_out.contains(key)));
        }
        Ok(Some(tables))
    }

    fn step(&mut self, steps: usize) -> Result<(), TorchError> {
        self.steps += steps;
        if self.steps > MOST_STEPS { Err(TorchError::Wide) } else { Ok(()) }
    }
}
