//! What `torch.save` wrote before PyTorch 1.6: pickles in a row, then the storages.

use std::collections::HashMap;
use std::ops::Range;

use super::TorchError;
use super::pickle::{Heap, Id, Pickle, Text, Value};

/// The number that such a file begins with, 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// How far into the file the number may stand.
const MAGIC_WITHIN: usize = 64;

/// The version of the form, which never changed.
const VERSION: i64 = 1001;

/// Whether a file is of this form.
pub(super) fn is_legacy(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(MAGIC_WITHIN)].windows(MAGIC.len()).any(|word| word == MAGIC)
}

/// The pickle that matters, and where each storage lies.
pub(super) fn read(bytes: &[u8]) -> Result<(Pickle, HashMap<Text, Range<usize>>), TorchError> {
    let mut place = 0;
    let mut next = || {
        let pickle = Pickle::read(&bytes[place..]).map_err(|error| error.behind(place))?;
        place += pickle.length;
        Ok::<_, TorchError>(pickle)
    };
    let (_magic, version, system, main, keys) = (next()?, next()?, next()?, next()?, next()?);
    if !matches!(version.heap.get(version.root), Value::Int(VERSION)) {
        return Err(TorchError::Legacy("expected version 1001".to_owned()));
    }
    if !is_little_endian(&system) {
        return Err(TorchError::Legacy("expected little-endian numbers".to_owned()));
    }
    let strange = || TorchError::Legacy("expected the keys of its storages".to_owned());
    let Value::List(ids) = keys.heap.get(keys.root) else { return Err(strange()) };
    let mut storages = HashMap::new();
    for id in ids {
        let key = key(&keys.heap, *id).ok_or_else(strange)?;
        let Some(size) = main.heap.storages.get(&key) else {
            return Err(TorchError::Legacy(format!("storage {key} is not used")));
        };
        let cut = || TorchError::Legacy(format!("storage {key} is cut off"));
        let rest = bytes.get(place..).ok_or_else(cut)?;
        let numel = rest.first_chunk().map(|word| u64::from_le_bytes(*word)).ok_or_else(cut)?;
        let length = usize::try_from(numel).ok().and_then(|numel| numel.checked_mul(*size));
        let start = place + 8;
        let end = length.and_then(|length| start.checked_add(length));
        let end = end.filter(|end| *end <= bytes.len()).ok_or_else(cut)?;
        storages.insert(key, start..end);
        place = end;
    }
    Ok((main, storages))
}

fn key(heap: &Heap, id: Id) -> Option<Text> {
    match heap.get(id) {
        Value::Text(key) => Some(key.clone()),
        Value::Int(key) => Some(key.to_string().into()),
        _ => None,
    }
}

fn is_little_endian(system: &Pickle) -> bool {
    let Value::Dict(entries, _) = system.heap.get(system.root) else { return false };
    entries.iter().any(|(key, value)| {
        matches!(system.heap.get(*key), Value::Text(key) if &**key == "little_endian")
            && matches!(system.heap.get(*value), Value::Bool(true))
    })
}
