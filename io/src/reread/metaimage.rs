//! MetaImage as in the tables of MetaIO's documentation, lowest byte first.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::ZlibDecoder;

use super::{Number, Reason, Reread, beside, from_lps, numbers, sizes, unpacked, unreadable};

pub(super) fn open(path: &Path) -> Result<Reread, Reason> {
    let mut file = BufReader::new(unpacked(path)?);
    let mut fields = BTreeMap::new();
    while !fields.contains_key("ElementDataFile") {
        let mut line = Vec::new();
        if file.read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
            return Err("a header that names no voxels".to_owned());
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        let Some((key, value)) = line.split_once(" = ") else {
            return Err(format!("a header with the line {line:?}"));
        };
        fields.insert(key.to_owned(), value.trim_end_matches('\n').to_owned());
    }
    let field = |key: &str| fields.get(key).map_or("", String::as_str);
    let size = sizes(field("DimSize"))?;
    let number = match field("ElementType") {
        "MET_CHAR" => Number::Signed(1),
        "MET_UCHAR" => Number::Unsigned(1),
        "MET_SHORT" => Number::Signed(2),
        "MET_USHORT" => Number::Unsigned(2),
        "MET_INT" => Number::Signed(4),
        "MET_UINT" => Number::Unsigned(4),
        "MET_LONG_LONG" => Number::Signed(8),
        "MET_ULONG_LONG" => Number::Unsigned(8),
        "MET_FLOAT" => Number::Float(4),
        "MET_DOUBLE" => Number::Float(8),
        other => return Err(format!("voxels of type {other:?}")),
    };
    if field("BinaryDataByteOrderMSB") != "False" {
        return Err("voxels in an order that was not written".to_owned());
    }
    let placement = match fields.get("TransformMatrix") {
        None => None,
        Some(matrix) => {
            let (matrix, spacing) = (numbers(matrix)?, numbers(field("ElementSpacing"))?);
            let axes = spacing.len();
            if axes == 0 || matrix.len() != axes * axes {
                return Err("a header whose matrix is no matrix".to_owned());
            }
            let steps: Vec<Vec<f64>> = matrix
                .chunks(axes)
                .zip(&spacing)
                .map(|(row, step)| row.iter().map(|v| v * step).collect())
                .collect();
            Some(from_lps(&steps, &numbers(field("Offset"))?))
        }
    };
    let data: Box<dyn Read> = match field("ElementDataFile") {
        "LOCAL" => Box::new(file),
        name => Box::new(BufReader::new(File::open(beside(path, name)).map_err(unreadable)?)),
    };
    let voxels: Box<dyn Read> = match field("CompressedData") {
        "True" => Box::new(ZlibDecoder::new(data)),
        _ => data,
    };
    Ok(Reread { size, placement, picture: false, number, scale: [1.0, 0.0], voxels })
}
