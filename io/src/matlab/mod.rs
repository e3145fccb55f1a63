//! MATLAB files of level 5 (`-v6`, `-v7`) that hold a label map, as some data sets come.
//!
//! Labels only: the variable `S` (COCO-Stuff), `LabelMap` (Pascal Context), or the only array of
//! numbers with two dimensions. An image in such a file would need its author to say what it is.
//! Level 4 and HDF5 (`-v7.3`) are refused by name.

mod element;
mod variable;

use std::path::Path;

pub(crate) use element::is_header;
use variable::{Shape, Variable};

use crate::error::VolumeError;
use crate::geometry::Geometry;
use crate::image::{Description, Image, InMemory, Sizes};
use crate::read::Limits;
use crate::source::SourceHeader;
use crate::viewing::Viewing;
use crate::volume::Rescale;

/// What the authors of data sets call their label maps.
const NAMES: [&str; 2] = ["S", "LabelMap"];

/// Most variables that an error lists.
const LISTED: usize = 12;

/// Whether `path` is called after the format.
pub(crate) fn is_name(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("mat"))
}

/// Opens the label map of a file.
pub(crate) fn open(path: &Path, limits: &Limits) -> Result<Image, VolumeError> {
    let variables = element::variables(path)?;
    let (variable, [height, width]) = choose(&variables).map_err(|found| VolumeError::Header {
        path: path.to_owned(),
        field: "the label map".to_owned(),
        expected: "variable S or LabelMap, or the only array of numbers with two dimensions"
            .to_owned(),
        found,
    })?;
    let numbers = element::numbers(path, variable, [height, width], limits)?;
    let dims = vec![width as u64, height as u64];
    let sizes = Sizes::of(&dims, numbers.stored).ok_or_else(|| VolumeError::DataType {
        path: path.to_owned(),
        found: "more of them than memory holds".to_owned(),
    })?;
    let description = Description {
        format: "matlab",
        dims,
        stored: numbers.stored,
        order: numbers.order,
        rescale: Rescale::IDENTITY,
        geometry: Geometry::pixels([1, height, width]),
        modality: None,
        source: SourceHeader::default(),
        sizes,
        labels_only: Some("a label map of MATLAB"),
        lossy: false,
        viewing: Viewing::default(),
    };
    let bytes = rows_of(&numbers.bytes, [height, width], numbers.stored.bytes());
    Ok(Image { description, voxels: Box::new(InMemory::new(path, bytes)) })
}

/// The variable that is the label map, and its height and width; or what is there.
fn choose(variables: &[Variable]) -> Result<(&Variable, [usize; 2]), String> {
    let by_name: Vec<&Variable> =
        variables.iter().filter(|variable| NAMES.contains(&variable.name.as_str())).collect();
    let candidates: Vec<_> = if by_name.is_empty() {
        variables.iter().filter(|variable| !variable.name.is_empty()).collect()
    } else {
        by_name
    };
    let mut maps = candidates.into_iter().filter_map(|variable| match variable.shape {
        Shape::Numbers { height, width } => Some((variable, [height, width])),
        Shape::Other => None,
    });
    match (maps.next(), maps.next()) {
        (Some(map), None) => Ok(map),
        _ => Err(list(variables)),
    }
}

/// The variables in words.
fn list(variables: &[Variable]) -> String {
    let named: Vec<&Variable> =
        variables.iter().filter(|variable| !variable.name.is_empty()).collect();
    if named.is_empty() {
        return "no variable".to_owned();
    }
    let mut list: Vec<String> = named.iter().take(LISTED).map(ToString::to_string).collect();
    if named.len() > LISTED {
        list.push(format!("{} more", named.len() - LISTED));
    }
    list.join(", ")
}

/// MATLAB stores column after column.
fn rows_of(columns: &[u8], [height, width]: [usize; 2], bytes: usize) -> Vec<u8> {
    let mut rows = Vec::with_capacity(columns.len());
    for y in 0..height {
        for x in 0..width {
            let at = (x * height + y) * bytes;
            rows.extend_from_slice(&columns[at..at + bytes]);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_become_rows() {
        // 1 2 3
        // 4 5 6
        let columns = [1, 0, 4, 0, 2, 0, 5, 0, 3, 0, 6, 0];
        assert_eq!(rows_of(&columns, [2, 3], 2), [1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0]);
    }
}
