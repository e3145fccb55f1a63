//! Where in a file the weights of a network are, and which of them fit.
//!
//! Programs wrap a state dict: in a dictionary beside the optimizer, in `DataParallel`, in a
//! module that holds the loss too. Such wrappers are found by counting under which of them most
//! of the network's names are.

use std::collections::BTreeMap;

use crate::weights::{Misfit, NameMap, WrongShape};

/// What a file may wrap its weights in, one inside the other.
const WRAPPERS: [&str; 6] =
    ["state_dict", "model_state_dict", "model_state", "model", "network_weights", "module"];

/// How deep wrappers are looked for.
const DEPTH: usize = 3;

/// Shapes by name.
pub(super) type Shapes = BTreeMap<String, Vec<usize>>;

/// The weights of a file that are meant for a network.
pub(super) struct Scope<'a> {
    /// What is before the network's names: `state_dict.module.`, or nothing.
    pub prefix: String,
    /// Shapes by the network's names; where one lacks the innermost `module.`, by its own.
    pub shapes: BTreeMap<&'a str, &'a [usize]>,
    /// How many tensors lie elsewhere, such as those of an optimizer.
    pub elsewhere: usize,
}

impl<'a> Scope<'a> {
    /// Looks for the names of `expected` in those of a file.
    pub fn find(found: &'a Shapes, expected: &Shapes, names: &NameMap) -> Self {
        let prefix = prefix(found, expected);
        // What lies beside `module.` belongs to the state dict and is unexpected.
        let outer = prefix.strip_suffix("module.").unwrap_or(&prefix);
        let mut scope = Self { prefix: prefix.clone(), shapes: BTreeMap::new(), elsewhere: 0 };
        for (name, shape) in found {
            let inner = name.strip_prefix(&*prefix).or_else(|| name.strip_prefix(outer));
            match inner {
                None => scope.elsewhere += 1,
                // A counter of PyTorch's batch norm, which only matters without a momentum.
                Some(name) if name.ends_with("num_batches_tracked") => {}
                Some(name) if (names.is_alias)(name) => {}
                Some(name) => {
                    scope.shapes.insert(name, shape);
                }
            }
        }
        scope
    }

    /// What does not fit a network of these shapes.
    pub fn misfit(&self, expected: &Shapes) -> Misfit {
        let mut misfit = Misfit::default();
        for (name, expected) in expected {
            match self.shapes.get(name.as_str()) {
                None => misfit.missing.push(name.clone()),
                Some(&found) if found != expected.as_slice() => misfit.shapes.push(WrongShape {
                    name: name.clone(),
                    expected: expected.clone(),
                    found: found.to_vec(),
                }),
                Some(_) => {}
            }
        }
        let unexpected = self.shapes.keys().filter(|name| !expected.contains_key(**name));
        misfit.unexpected = unexpected.map(|name| (*name).to_owned()).collect();
        misfit
    }
}

/// The wrapper under which most of the `expected` names are; the outermost of equals.
fn prefix(found: &Shapes, expected: &Shapes) -> String {
    let below = |prefix: &str| {
        let first = found.range(prefix.to_owned()..).next();
        first.is_some_and(|(name, _)| name.starts_with(prefix))
    };
    let mut candidates = vec![String::new()];
    let mut innermost = 0..1;
    for _ in 0..DEPTH {
        let deeper: Vec<String> = candidates[innermost.clone()]
            .iter()
            .flat_map(|outer| WRAPPERS.map(|wrapper| format!("{outer}{wrapper}.")))
            .filter(|prefix| below(prefix))
            .collect();
        innermost = candidates.len()..candidates.len() + deeper.len();
        candidates.extend(deeper);
    }
    let fitting = |prefix: &String| {
        expected.keys().filter(|name| found.contains_key(&format!("{prefix}{name}"))).count()
    };
    // `max_by_key` takes the last of equals.
    let best = candidates.iter().rev().max_by_key(|prefix| fitting(prefix));
    let best = best.expect("at least no wrapper").clone();
    if fitting(&best) > 0 {
        return best;
    }
    // Weights of another network: the first wrapper there is, and what wraps all of that.
    let mut wrapped = String::new();
    while let Some(inner) = WRAPPERS.into_iter().find_map(|wrapper| {
        let inner = format!("{wrapped}{wrapper}.");
        let mut within = found.keys().filter(|name| name.starts_with(&wrapped));
        let all = wrapped.is_empty() || within.all(|name| name.starts_with(&inner));
        (all && below(&inner)).then_some(inner)
    }) {
        wrapped = inner;
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: NameMap =
        NameMap { reference_name: str::to_owned, is_alias: |name| name == "again" };

    fn shapes(names: &[&str]) -> Shapes {
        names.iter().map(|name| ((*name).to_owned(), vec![2])).collect()
    }

    #[track_caller]
    fn prefix_of(found: &[&str], prefix: &str, elsewhere: usize, unexpected: &[&str]) {
        let (found, expected) = (shapes(found), shapes(&["a.weight", "model.weight"]));
        let scope = Scope::find(&found, &expected, &NAMES);
        assert_eq!((scope.prefix.as_str(), scope.elsewhere), (prefix, elsewhere));
        let misfit = scope.misfit(&expected);
        assert_eq!(misfit.unexpected, unexpected);
        assert!(misfit.missing.is_empty(), "{misfit}");
    }

    #[test]
    fn wrappers_are_found_by_what_they_hold() {
        prefix_of(&["a.weight", "model.weight"], "", 0, &[]);
        prefix_of(&["module.a.weight", "module.model.weight"], "module.", 0, &[]);
        prefix_of(&["model.a.weight", "model.model.weight", "loss.weight"], "model.", 1, &[]);
        prefix_of(
            &[
                "state_dict.module.a.weight",
                "state_dict.module.model.weight",
                "optimizer.0.step",
                "epoch",
            ],
            "state_dict.module.",
            2,
            &[],
        );
    }

    #[test]
    fn what_lies_beside_the_wrapped_names_is_unexpected() {
        prefix_of(
            &["module.a.weight", "module.model.weight", "b.weight"],
            "module.",
            0,
            &["b.weight"],
        );
    }

    #[test]
    fn counters_and_aliases_are_passed_over() {
        prefix_of(
            &["a.weight", "model.weight", "again", "num_batches_tracked", "a.num_batches_tracked"],
            "",
            0,
            &[],
        );
    }

    #[test]
    fn weights_of_another_network_are_listed_without_their_wrapper() {
        let (found, expected) =
            (shapes(&["state_dict.module.x", "state_dict.module.y", "z"]), shapes(&["a"]));
        let misfit = Scope::find(&found, &expected, &NAMES).misfit(&expected);
        assert_eq!(
            (misfit.missing, misfit.unexpected),
            (vec!["a".into()], vec!["x".into(), "y".into()])
        );
    }
}
