//! The fields of an NRRD header, as text.

use std::collections::BTreeMap;

use crate::error::VolumeError;
use crate::fields::{LONGEST_HEADER, shown};
use crate::image::Fault;
use crate::input::Input;

/// Every field of the format, without spaces.
const KNOWN: [&str; 31] = [
    "axismaxs",
    "axismins",
    "blocksize",
    "byteskip",
    "centerings",
    "centers",
    "content",
    "datafile",
    "dimension",
    "encoding",
    "endian",
    "kinds",
    "labels",
    "lineskip",
    "max",
    "measurementframe",
    "min",
    "number",
    "oldmax",
    "oldmin",
    "sampleunits",
    "sizes",
    "space",
    "spacedimension",
    "spacedirections",
    "spaceorigin",
    "spaceunits",
    "spacings",
    "thicknesses",
    "type",
    "units",
];

/// Fields by their names, in small letters and without spaces.
#[derive(Debug)]
pub(crate) struct Fields {
    values: BTreeMap<String, String>,
    /// The field `data file` as it is, where there is one.
    pub(crate) data_file: Option<Vec<u8>>,
}

impl Fields {
    /// Reads up to the empty line that ends a header, to the end of the file, or to the
    /// list of files that follows.
    pub(crate) fn read(input: &mut Input) -> Result<Self, VolumeError> {
        let mut fields = Self { values: BTreeMap::new(), data_file: None };
        let path = input.path().to_owned();
        let mut number = 1;
        while let Some(line) = input.line()? {
            number += 1;
            if input.position() > LONGEST_HEADER {
                let expected = format!("at most {LONGEST_HEADER} bytes");
                return Err(Fault::new("the header", expected, "more").at(&path));
            }
            if line.trim_ascii().is_empty() {
                break;
            }
            if line[0] == b'#' {
                continue;
            }
            let fault = || {
                let expected = "a field or a key and its value";
                Fault::new(&format!("line {number} of the header"), expected, "something else")
            };
            let colon =
                line.iter().position(|&byte| byte == b':').ok_or_else(|| fault().at(&path))?;
            let name: String = String::from_utf8_lossy(&line[..colon])
                .chars()
                .filter(|c| !c.is_whitespace())
                .flat_map(char::to_lowercase)
                .collect();
            if line.get(colon + 1) == Some(&b'=') {
                continue; // a key and its value
            }
            if !KNOWN.contains(&name.as_str()) {
                if line.windows(2).any(|two| two == b":=") {
                    continue; // a key with a colon in it
                }
                return Err(fault().at(&path));
            }
            let value = line[colon + 1..].trim_ascii();
            if name == "datafile" {
                fields.data_file = Some(value.to_owned());
                if value.starts_with(b"LIST") {
                    break;
                }
                continue;
            }
            let value = String::from_utf8_lossy(value).into_owned();
            if fields.values.insert(name.clone(), value).is_some() {
                return Err(Fault::new(&name, "once in the header", "twice").at(&path));
            }
        }
        Ok(fields)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str, Fault> {
        self.get(name).ok_or_else(|| Fault::new(name, "in the header", "nothing"))
    }

    /// One number for each of `count` axes, NaN where it is not known.
    pub(crate) fn per_axis(&self, name: &str, count: usize) -> Result<Option<Vec<f64>>, Fault> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let words = value.split_whitespace().map(number);
        let numbers: Option<Vec<f64>> = words.collect();
        match numbers.filter(|numbers| numbers.len() == count) {
            Some(numbers) => Ok(Some(numbers)),
            None => Err(Fault::new(name, format!("{count} numbers"), shown(value))),
        }
    }

    /// Vectors as in `(1,0,0) none (0,0,2)`; nothing where it says `none`.
    pub(crate) fn vectors(&self, name: &str) -> Result<Option<Vec<Option<Vec<f64>>>>, Fault> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let fault = || Fault::new(name, "vectors such as (1,0,0), or none", shown(value));
        let mut vectors = Vec::new();
        let mut rest = value.trim();
        while !rest.is_empty() {
            if let Some(behind) = rest.strip_prefix("none") {
                vectors.push(None);
                rest = behind.trim_start();
            } else {
                let inner = rest.strip_prefix('(').ok_or_else(fault)?;
                let (inner, behind) = inner.split_once(')').ok_or_else(fault)?;
                let vector: Option<Vec<f64>> = inner.split(',').map(|n| number(n.trim())).collect();
                vectors.push(Some(vector.ok_or_else(fault)?));
                rest = behind.trim_start();
            }
        }
        Ok(Some(vectors))
    }
}

/// A number; unlike Rust, teem takes "-nan" for one that is not known.
fn number(word: &str) -> Option<f64> {
    match word.to_ascii_lowercase().as_str() {
        "nan" | "-nan" | "???" => Some(f64::NAN),
        word => word.parse().ok(),
    }
}
