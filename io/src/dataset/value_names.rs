//! Values of classes by their names, in a file that comes with the data set: `1: accordion`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::values::LabelTable;
use super::{DatasetConfig, DatasetError};

/// What `other_names` says where other names are neither learned nor measured.
pub(super) const IGNORED_NAMES: &str = "ignored";

/// What is wrong with the keys.
pub(super) fn wrong(config: &DatasetConfig) -> Option<String> {
    match (&config.value_names, &config.other_names) {
        (None, Some(_)) => {
            Some("expected `value_names` where `other_names` is, found none".to_owned())
        }
        (Some(_), _) if config.colored_labels => {
            Some("expected `value_names` or `colored_labels`, found both".to_owned())
        }
        (Some(_), _) if config.says_dataset_json() => {
            Some("expected `value_names` beside `images` and `labels`, or `lists`".to_owned())
        }
        (Some(_), Some(name)) if name != IGNORED_NAMES && label_of(config, name).is_none() => {
            Some(format!("expected a class or \"ignored\" in `other_names`, found {name:?}"))
        }
        _ => None,
    }
}

/// The label of a class, by its name.
pub(super) fn label_of(config: &DatasetConfig, name: &str) -> Option<u8> {
    let mut labels = config.classes.iter().zip(0..=u8::MAX);
    labels.find(|(class, _)| class.name == name).map(|(_, label)| label)
}

/// The description with a value for each class, if a file in `folder` has them.
pub(super) fn resolve(
    config: &DatasetConfig,
    folder: &Path,
) -> Result<DatasetConfig, DatasetError> {
    let mut config = config.clone();
    let Some(name) = &config.value_names else { return Ok(config) };
    let path = folder.join(name);
    let text = std::fs::read_to_string(&path)
        .map_err(|source| DatasetError::Read { path: path.clone(), source })?;
    match with_names(&mut config, &text) {
        Ok(()) => Ok(config),
        Err(message) => Err(DatasetError::Content { message, path }),
    }
}

fn with_names(config: &mut DatasetConfig, text: &str) -> Result<(), String> {
    let mut values = read(text)?;
    for class in &mut config.classes {
        let named = values.remove(class.name.as_str());
        match (class.value, named) {
            (None, Some(value)) => class.value = Some(value),
            (None, None) => {
                return Err(format!("expected the value of {:?}, found no such name", class.name));
            }
            (Some(value), Some(named)) if value != named => {
                let name = &class.name;
                return Err(format!("expected {value} as the value of {name:?}, found {named}"));
            }
            (Some(_), _) => {}
        }
    }
    if config.other_names.is_some() {
        let ignored = &config.ignored;
        config.other_values =
            values.into_values().filter(|value| !ignored.contains(value)).collect();
        config.other_values.sort_unstable();
    }
    match LabelTable::ambiguous(config) {
        Some(value) => Err(format!("expected one meaning for each value, found more for {value}")),
        None => Ok(()),
    }
}

/// The value of each name.
fn read(text: &str) -> Result<BTreeMap<&str, u16>, String> {
    let mut values = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let text = text.trim_start_matches('\u{feff}');
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let pair = line.split_once(':').map(|(value, name)| (value.trim().parse(), name.trim()));
        let (value, name) = match pair {
            Some((Ok(value), name)) if !name.is_empty() => (value, name),
            _ => {
                return Err(format!(
                    "expected a value up to 65535, a colon and a name in line {number}, found {line:?}"
                ));
            }
        };
        if values.insert(name, value).is_some() {
            return Err(format!("expected each name once, found {name:?} again in line {number}"));
        }
        if !seen.insert(value) {
            return Err(format!("expected each value once, found {value} again in line {number}"));
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::super::Class;
    use super::*;

    const NAMES: &str = "1: accordion\n2: aeroplane\r\n\n397: table\n 255 : hat\n";

    fn config(classes: &[(&str, Option<u16>)], other: Option<&str>) -> DatasetConfig {
        let class = |&(name, value): &(&str, Option<u16>)| Class {
            name: name.to_owned(),
            value,
            ..Class::default()
        };
        DatasetConfig {
            classes: classes.iter().map(class).collect(),
            value_names: Some("labels.txt".to_owned()),
            other_names: other.map(str::to_owned),
            images: "images".to_owned(),
            labels: "labels".to_owned(),
            ..DatasetConfig::default()
        }
    }

    fn labels(config: &DatasetConfig, values: [u16; 7]) -> [Option<u8>; 7] {
        let table = LabelTable::of(config).unwrap();
        values.map(|value| table.label(value))
    }

    #[test]
    fn classes_have_the_values_of_their_names() {
        let values = [0, 1, 2, 397, 255, 3, 65535];
        let classes = [("table", None), ("aeroplane", None)];
        let mut plain = config(&classes, None);
        with_names(&mut plain, NAMES).unwrap();
        let expected = [None, None, Some(1), Some(0), Some(255), None, None];
        assert_eq!(labels(&plain, values), expected);
        // Again, as where a description is used twice.
        with_names(&mut plain, NAMES).unwrap();
        assert_eq!(labels(&plain, values), expected);

        let mut ignored = config(&classes, Some("ignored"));
        with_names(&mut ignored, NAMES).unwrap();
        let expected = [None, Some(255), Some(1), Some(0), Some(255), None, None];
        assert_eq!(labels(&ignored, values), expected);

        let mut rest = config(&[("rest", Some(0)), ("table", None)], Some("rest"));
        with_names(&mut rest, NAMES).unwrap();
        let expected = [Some(0), Some(0), Some(0), Some(1), Some(0), None, None];
        assert_eq!(labels(&rest, values), expected);
    }

    #[test]
    fn what_has_no_value_is_refused() {
        let refused = |classes: &[(&str, Option<u16>)], names: &str| {
            with_names(&mut config(classes, Some("ignored")), names).unwrap_err()
        };
        let table = [("table", None)];
        for (classes, names, expected) in [
            (&[("diningtable", None)][..], NAMES, "the value of \"diningtable\""),
            (&[("table", Some(3))], NAMES, "expected 3 as the value of \"table\", found 397"),
            (&[("rest", Some(1))], NAMES, "one meaning for each value, found more for 1"),
            (&table, "1: table\n2: table\n", "found \"table\" again in line 2"),
            (&table, "1: table\n1: chair\n", "found 1 again in line 2"),
            (&table, "table\n", "a colon and a name in line 1, found \"table\""),
            (&table, "65536: table\n", "in line 1"),
            (&table, "-1: table\n", "in line 1"),
            (&table, "1:  \n", "in line 1"),
        ] {
            let message = refused(classes, names);
            assert!(message.contains(expected), "{message:?} does not say {expected:?}");
        }
    }

    #[test]
    fn keys_have_to_fit_each_other() {
        let classes = [("a", None), ("b", None)];
        assert_eq!(wrong(&config(&classes, Some("b"))), None);
        assert_eq!(wrong(&config(&classes, None)), None);
        assert!(wrong(&config(&classes, Some("c"))).unwrap().contains("found \"c\""));
        let alone = DatasetConfig { value_names: None, ..config(&classes, Some("b")) };
        assert!(wrong(&alone).unwrap().contains("expected `value_names`"));
        let colored = DatasetConfig { colored_labels: true, ..config(&classes, None) };
        assert!(wrong(&colored).unwrap().contains("found both"));
    }
}
