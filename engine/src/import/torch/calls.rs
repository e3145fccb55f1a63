//! What calls in a pickle mean: containers and tensors are made, and all else stays an
//! [`Object`] that says what it would be.

use super::pickle::{Heap, Id, Object, Problem, Text, Value};
use super::tensor::{Dtype, Storage, Tensor};

/// Most axes of a tensor, which is PyTorch's own limit.
const MOST_AXES: usize = 64;

/// How many tensor types may be wrapped in one another.
const WRAPPED_TYPES: usize = 4;

impl Heap {
    /// What a class or function gives when it is called.
    pub fn called(&mut self, callable: Id, args: Id) -> Result<Id, Problem> {
        let (mut callable, mut args) = (callable, args);
        for _ in 0..WRAPPED_TYPES {
            let Value::Global(module, name) = self.get(callable) else { break };
            let given = self.sequence(args).unwrap_or_default();
            match (&**module, &**name) {
                ("collections", "OrderedDict") | ("builtins" | "__builtin__", "dict") => {
                    if let Some(entries) = self.entries_of(given) {
                        self.count(entries.len())?;
                        return self.put(Value::Dict(entries, Vec::new()));
                    }
                }
                ("collections", "defaultdict") if given.len() < 2 => {
                    return self.put(Value::Dict(Vec::new(), Vec::new()));
                }
                ("builtins" | "__builtin__", "set" | "frozenset" | "list" | "tuple")
                | ("torch", "Size") => {
                    let items = match given {
                        [] => Some(Vec::new()),
                        [items] => self.sequence(*items).map(<[Id]>::to_vec),
                        _ => None,
                    };
                    let is_tuple = matches!(&**name, "tuple" | "Size");
                    if let Some(items) = items {
                        self.count(items.len())?;
                        let value = if is_tuple { Value::Tuple(items) } else { Value::List(items) };
                        return self.put(value);
                    }
                }
                (
                    "torch._utils",
                    function @ ("_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3"),
                ) => {
                    let tensor = self.tensor(function, given)?;
                    return self.put(Value::Tensor(tensor));
                }
                ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                    if let Some(data) = given.first() {
                        return Ok(*data);
                    }
                }
                // A kind of tensor that somebody made: a function, the kind, what to call it with.
                ("torch._tensor", "_rebuild_from_type_v2") => {
                    if let [function, _, inner, ..] = *given {
                        (callable, args) = (function, inner);
                        continue;
                    }
                }
                _ => {}
            }
            break;
        }
        let [items, states] = [Vec::new(), Vec::new()];
        let object = Object { class: callable, args, items, entries: Vec::new(), states };
        self.put(Value::Object(Box::new(object)))
    }

    /// Gives an object its attributes.
    pub fn build(&mut self, object: Id, state: Id) -> Result<(), Problem> {
        self.count(1)?;
        match self.get_mut(object) {
            Value::Dict(_, states) => states.push(state),
            Value::Object(object) => object.states.push(state),
            Value::Tensor(_) => {}
            _ => return Err("attributes for what has none".to_owned()),
        }
        Ok(())
    }

    /// What lies outside the pickle under this name: a storage.
    pub fn stored(&mut self, name: Id) -> Result<Id, Problem> {
        let fields = self.sequence(name).unwrap_or_default();
        let tag = fields.first().map(|tag| self.get(*tag));
        let storage = match (tag, fields) {
            (Some(Value::Text(tag)), [_, class, ..]) if **tag == *"module" => return Ok(*class),
            (Some(Value::Text(tag)), [_, class, key, _, numel, view @ ..])
                if **tag == *"storage" =>
            {
                self.storage(*class, *key, *numel, view.first().copied())?
            }
            _ => return Err("expected the name of a storage".to_owned()),
        };
        let size = storage.dtype.map_or(1, Dtype::size);
        self.storages.entry(storage.key.clone()).or_insert(size);
        self.put(Value::Storage(storage))
    }

    fn storage(&self, class: Id, key: Id, numel: Id, view: Option<Id>) -> Result<Storage, Problem> {
        let class = match self.get(class) {
            Value::Global(module, name) if module.starts_with("torch") => name,
            Value::Text(name) => name,
            _ => return Err("expected the class of a storage".to_owned()),
        };
        let dtype = match &**class {
            "UntypedStorage" => None,
            name => Some(
                Dtype::of_storage(name)
                    .ok_or_else(|| format!("storage torch.{name} is not known"))?,
            ),
        };
        let key: Text = match self.get(key) {
            Value::Text(key) => key.clone(),
            Value::Int(key) => key.to_string().into(),
            _ => return Err("expected the key of a storage".to_owned()),
        };
        let numel = self.size(numel)?;
        let mut part = 0..numel;
        if let Some(view) = view.filter(|view| !matches!(self.get(*view), Value::None)) {
            let Some(&[_, start, length]) = self.sequence(view).filter(|_| dtype.is_some()) else {
                return Err("expected a part of a storage".to_owned());
            };
            let (start, length) = (self.size(start)?, self.size(length)?);
            let end = start.checked_add(length).filter(|end| *end <= numel);
            part = start..end.ok_or_else(|| format!("a part ends behind storage {key}"))?;
        }
        let size = dtype.map_or(1, Dtype::size);
        if numel.checked_mul(size).is_none() {
            return Err(format!("storage {key} has {numel} numbers"));
        }
        Ok(Storage { key, dtype, part })
    }

    fn tensor(&self, function: &str, args: &[Id]) -> Result<Tensor, Problem> {
        let &[storage, offset, shape, strides, ref rest @ ..] = args else {
            return Err(format!("{function} with {} arguments", args.len()));
        };
        let Value::Storage(storage) = self.get(storage) else {
            return Err(format!("{function} without a storage"));
        };
        let named = if function == "_rebuild_tensor_v3" {
            let Some(Value::Global(_, name)) = rest.get(2).map(|dtype| self.get(*dtype)) else {
                return Err(format!("{function} without a type"));
            };
            let dtype = Dtype::named(name);
            Some(dtype.ok_or_else(|| format!("type torch.{name} is not known"))?)
        } else {
            None
        };
        let dtype = match (storage.dtype, named) {
            (None, Some(dtype)) | (Some(dtype), None) => dtype,
            (Some(stored), Some(named)) if stored == named => named,
            _ => return Err(format!("the type of storage {} is not clear", storage.key)),
        };
        Tensor::new(storage, dtype, self.size(offset)?, self.sizes(shape)?, self.sizes(strides)?)
    }

    fn sizes(&self, id: Id) -> Result<Vec<usize>, Problem> {
        let sizes = self.sequence(id).ok_or("expected the sizes of a tensor")?;
        if sizes.len() > MOST_AXES {
            return Err(format!("expected at most {MOST_AXES} axes, found {}", sizes.len()));
        }
        sizes.iter().map(|size| self.size(*size)).collect()
    }

    /// A count or a place.
    fn size(&self, id: Id) -> Result<usize, Problem> {
        match self.get(id) {
            Value::Int(size) => usize::try_from(*size)
                .map_err(|_| format!("expected a size or a place in a storage, found {size}")),
            _ => Err(format!("expected a number, found {}", self.kind(id))),
        }
    }

    /// The entries that a dictionary is made of.
    fn entries_of(&self, given: &[Id]) -> Option<Vec<(Id, Id)>> {
        let pair = |item: &Id| match self.sequence(*item) {
            Some(&[key, value]) => Some((key, value)),
            _ => None,
        };
        match *given {
            [] => Some(Vec::new()),
            [from] => match self.get(from) {
                Value::Dict(entries, _) => Some(entries.clone()),
                _ => self.sequence(from)?.iter().map(pair).collect(),
            },
            _ => None,
        }
    }

    /// The type of a value as Python names it.
    pub fn kind(&self, id: Id) -> String {
        let mut id = id;
        // What makes an object may be an object itself.
        for _ in 0..WRAPPED_TYPES {
            let Value::Object(object) = self.get(id) else { break };
            id = object.class;
        }
        let kind = match self.get(id) {
            Value::None => "None",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Plain(kind) => kind,
            Value::Text(_) => "str",
            Value::Tuple(_) => "tuple",
            Value::List(_) => "list",
            Value::Dict(..) => "dict",
            Value::Global(module, name) => return format!("{module}.{name}"),
            Value::Storage(_) => "torch.TypedStorage",
            Value::Tensor(_) => "torch.Tensor",
            Value::Object(_) => "object",
        };
        kind.to_owned()
    }
}
