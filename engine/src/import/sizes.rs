//! How many channels and classes weights are made for, read off their shapes.
//!
//! No network tells which of its shapes depend on them; building it once with one channel more
//! and once with one class more does.

use std::collections::BTreeMap;

use burn::tensor::Device;

use super::names::{Scope, Shapes};
use crate::bundle::LARGEST_COUNT;
use crate::networks::NetworkConfig;
use crate::weights::reference_shapes;

/// Channels that come in and classes that go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Channels of the input.
    pub channels: usize,
    /// Classes, background included.
    pub classes: usize,
}

/// From which differences are taken.
const BASE: Sizes = Sizes { channels: 3, classes: 19 };

/// The shapes of the weights of a network.
pub(super) fn shapes_of(config: &NetworkConfig, sizes: Sizes) -> Shapes {
    let network = config.init(sizes.channels, sizes.classes, &Device::flex());
    reference_shapes(&network, &config.name_map())
}

/// The sizes for which most weights in `scope` would fit; absent where none tells.
pub(super) fn infer(config: &NetworkConfig, scope: &Scope<'_>) -> [Option<usize>; 2] {
    let base = shapes_of(config, BASE);
    let more_channels = shapes_of(config, Sizes { channels: BASE.channels + 1, ..BASE });
    let more_classes = shapes_of(config, Sizes { classes: BASE.classes + 1, ..BASE });
    [
        vote(&base, &more_channels, BASE.channels, scope),
        vote(&base, &more_classes, BASE.classes, scope),
    ]
}

/// What the most shapes say that are another with `size + 1`.
fn vote(base: &Shapes, more: &Shapes, size: usize, scope: &Scope<'_>) -> Option<usize> {
    let mut votes: BTreeMap<usize, usize> = BTreeMap::new();
    for (name, base) in base {
        let (Some(more), Some(found)) = (more.get(name), scope.shapes.get(name.as_str())) else {
            continue;
        };
        if found.len() != base.len() || more.len() != base.len() {
            continue;
        }
        for ((&base, &more), &found) in base.iter().zip(more).zip(*found) {
            // An axis holds `step` numbers for each of them, and a few besides.
            let Some(step) = more.checked_sub(base).filter(|step| *step > 0) else {
                continue;
            };
            let Some(besides) = base.checked_sub(step * size) else {
                continue;
            };
            if let Some(of_all) = found.checked_sub(besides)
                && of_all % step == 0
                && (1..=LARGEST_COUNT).contains(&(of_all / step))
            {
                *votes.entry(of_all / step).or_default() += 1;
            }
        }
    }
    // The smallest of equals.
    votes.into_iter().rev().max_by_key(|(_, count)| *count).map(|(size, _)| size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::catalogue;

    #[test]
    fn every_form_is_found_by_name_in_its_own_weights_and_tells_its_sizes() {
        for entry in catalogue() {
            let sizes = Sizes { channels: 5, classes: 7 };
            let own = shapes_of(&entry.config, sizes);
            let file = own.iter().map(|(name, shape)| (format!("module.{name}"), shape.clone()));
            let file: Shapes = file.collect();
            let names = entry.config.name_map();
            let scope = Scope::find(&file, &shapes_of(&entry.config, BASE), &names);
            assert_eq!(scope.prefix, "module.", "{}", entry.name);
            assert_eq!(infer(&entry.config, &scope), [Some(5), Some(7)], "{}", entry.name);
            assert!(scope.misfit(&own).is_empty(), "{}: {}", entry.name, scope.misfit(&own));
        }
    }
}
