//! NRRD as in teem's definition of the format, lowest byte first.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::GzDecoder;

use super::{Number, Reason, Reread, beside, from_lps, numbers, sizes, unpacked, unreadable};

pub(super) fn open(path: &Path) -> Result<Reread, Reason> {
    let mut file = BufReader::new(unpacked(path)?);
    let mut fields = BTreeMap::new();
    let mut first = true;
    loop {
        let mut line = Vec::new();
        let end = file.read_until(b'\n', &mut line).map_err(unreadable)? == 0;
        let line = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
        if first && line != "NRRD0004" {
            return Err(format!("a header that starts with {line:?}"));
        }
        if end || line.is_empty() {
            break;
        }
        if let Some((key, value)) = line.split_once(": ") {
            fields.insert(key.to_owned(), value.to_owned());
        } else if !first {
            return Err(format!("a header with the line {line:?}"));
        }
        first = false;
    }
    let field = |key: &str| fields.get(key).map_or("", String::as_str);
    let size = sizes(field("sizes"))?;
    let number = match field("type") {
        "signed char" => Number::Signed(1),
        "unsigned char" => Number::Unsigned(1),
        "short" => Number::Signed(2),
        "unsigned short" => Number::Unsigned(2),
        "int" => Number::Signed(4),
        "unsigned int" => Number::Unsigned(4),
        "long long int" => Number::Signed(8),
        "unsigned long long int" => Number::Unsigned(8),
        "float" => Number::Float(4),
        "double" => Number::Float(8),
        other => return Err(format!("voxels of type {other:?}")),
    };
    if field("endian") != "little" {
        return Err("voxels in an order that was not written".to_owned());
    }
    let placement = match (field("space"), field("space dimension")) {
        ("left-posterior-superior", _) | ("", "2") => {
            let steps = field("space directions").split_whitespace().map(numbers);
            Some(from_lps(&steps.collect::<Result<Vec<_>, _>>()?, &numbers(field("space origin"))?))
        }
        ("", "") => None,
        (other, _) => return Err(format!("coordinates in {other:?}")),
    };
    let data: Box<dyn Read> = match fields.get("data file") {
        None => Box::new(file),
        Some(name) => Box::new(BufReader::new(File::open(beside(path, name)).map_err(unreadable)?)),
    };
    let voxels: Box<dyn Read> = match field("encoding") {
        "raw" => data,
        "gzip" => Box::new(GzDecoder::new(data)),
        other => return Err(format!("voxels packed as {other:?}")),
    };
    Ok(Reread { size, placement, picture: false, number, scale: [1.0, 0.0], voxels })
}
