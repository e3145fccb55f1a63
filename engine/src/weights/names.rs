//! What weights are called: by their place in a module, and by the reference.

use std::fmt;

/// How a network's own paths and the names of its reference go together.
#[derive(Debug, Clone, Copy)]
pub struct NameMap {
    /// The reference's name of the weight at a path.
    pub reference_name: fn(&str) -> String,
    /// Whether a name in a reference's file repeats what another name holds.
    pub is_alias: fn(&str) -> bool,
}

impl NameMap {
    /// For a network whose fields are called as in its reference.
    pub const SAME: Self = Self { reference_name: str::to_owned, is_alias: |_| false };
}

/// Where a visitor of a module stands: the names of the fields from the outside in.
///
/// A variant of an enum is no part of it, so that a network is called the same by itself and as
/// one of several.
#[derive(Debug, Clone, Default)]
pub struct ModulePath(Vec<Option<String>>);

impl ModulePath {
    /// Into a field, as Burn's visitors and mappers tell.
    pub fn enter(&mut self, name: &str, container: &str) {
        self.0.push((!container.starts_with("Enum:")).then(|| name.to_owned()));
    }

    /// Out of it again.
    pub fn leave(&mut self) {
        self.0.pop();
    }

    /// The innermost field's name.
    pub fn last(&self) -> Option<&str> {
        self.0.last()?.as_deref()
    }
}

impl fmt::Display for ModulePath {
    /// Names with points between.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().flatten().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}
