//! What records hold: a few facts in JSON, and labels or runs, packed.
//!
//! ```text
//! base = size: u32  facts: JSON  zlib(labels)      labels = (count: LEB128  label: u8)*
//! step = size: u32  facts: JSON  zlib(runs)        runs: see `RunReader`
//! undo, redo, end = facts: JSON
//! ```

use std::io::{self, BufReader, Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use lamina_io::{Affine, Geometry, Spacing};
use ndarray::Array3;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::frame::hex;
use crate::change::{RunReader, invalid, push_number, read_number};
use crate::step::{Action, Step};
use crate::time::Moment;
use crate::values::ImageId;

/// What a journal says of the labels that it begins with. No names, no paths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BaseFacts {
    /// Which program wrote it.
    pub program: String,
    pub created: Moment,
    /// Depth, height, width.
    pub shape: [usize; 3],
    /// Of an index (x, y, z), by rows.
    pub ras_from_index: Affine,
    /// Whether distances are millimeters.
    pub spacing_known: bool,
    /// Which image the labels belong to.
    pub image: Option<ImageId>,
    /// SHA-256 of the labels as they are coded here.
    pub labels: String,
}

impl BaseFacts {
    /// Where the labels are.
    pub(crate) fn geometry(&self) -> Result<Geometry, lamina_io::GeometryError> {
        let geometry = Geometry::new(self.shape, self.ras_from_index)?;
        Ok(if self.spacing_known { geometry } else { Geometry::pixels(self.shape) })
    }

    /// How many voxels there are, unless that is beyond counting.
    pub(crate) fn voxels(&self) -> Option<u64> {
        self.shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size as u64))
    }
}

/// Which step was undone or done again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct BackFacts {
    pub step: u64,
    pub time: Moment,
}

/// How work ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct EndFacts {
    pub action: Action,
    pub time: Moment,
}

/// The payload of the first record.
pub(crate) fn base(
    labels: &Array3<u8>,
    geometry: &Geometry,
    image: Option<ImageId>,
    created: Moment,
) -> io::Result<Vec<u8>> {
    let coded = code_labels(labels);
    let facts = BaseFacts {
        program: concat!("lamina-edit ", env!("CARGO_PKG_VERSION")).to_owned(),
        created,
        shape: geometry.shape(),
        ras_from_index: *geometry.ras_from_index(),
        spacing_known: geometry.spacing() != Spacing::Unknown,
        image,
        labels: hex(&Sha256::digest(&coded)),
    };
    with_facts(&facts, &coded, Compression::fast())
}

/// The payload of a step.
pub(crate) fn step(facts: &Step, runs: &[u8]) -> io::Result<Vec<u8>> {
    with_facts(facts, runs, Compression::fast())
}

/// The payload of any other record.
pub(crate) fn facts_alone(facts: &impl Serialize) -> io::Result<Vec<u8>> {
    Ok(serde_json::to_vec(facts)?)
}

fn with_facts(facts: &impl Serialize, bytes: &[u8], packed: Compression) -> io::Result<Vec<u8>> {
    let facts = serde_json::to_vec(facts)?;
    let mut payload = (facts.len() as u32).to_le_bytes().to_vec();
    payload.extend(facts);
    let mut encoder = ZlibEncoder::new(payload, packed);
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// The facts of a payload, and what is packed behind them.
pub(crate) fn split<T: DeserializeOwned>(payload: &[u8]) -> io::Result<(T, &[u8])> {
    let Some((size, rest)) = payload.split_first_chunk::<4>() else {
        return Err(invalid("a record without facts"));
    };
    let size = u32::from_le_bytes(*size) as usize;
    let Some((facts, packed)) = rest.split_at_checked(size) else {
        return Err(invalid("facts beyond the end of their record"));
    };
    Ok((serde_json::from_slice(facts)?, packed))
}

/// What is packed in a step.
pub(crate) fn packed_runs(payload: &[u8]) -> io::Result<&[u8]> {
    Ok(split::<Step>(payload)?.1)
}

/// The runs that are packed in a step, unpacked as they are asked for.
pub(crate) fn runs(packed: &[u8], voxels: u64) -> RunReader<impl Read> {
    RunReader::new(BufReader::new(ZlibDecoder::new(packed)), voxels)
}

/// The same as they are stored, unless they are more than `most` bytes.
pub(crate) fn run_bytes(packed: &[u8], most: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(packed).take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= most).then_some(bytes))
}

/// Counts and labels, one pair for each run of equal labels.
fn code_labels(labels: &Array3<u8>) -> Vec<u8> {
    let mut coded = Vec::new();
    let mut rest = labels.as_slice().unwrap_or_default();
    while let Some(&label) = rest.first() {
        let count = run_of(rest, label);
        push_number(&mut coded, count as u64);
        coded.push(label);
        rest = &rest[count..];
    }
    coded
}

/// How many labels at the beginning are `label`.
fn run_of(labels: &[u8], label: u8) -> usize {
    let (chunks, _) = labels.as_chunks::<64>();
    // A whole chunk at a time is what vector instructions do.
    let same = |chunk: &&[u8; 64]| chunk.iter().filter(|&&found| found != label).count() == 0;
    let first = chunks.iter().take_while(same).count() * 64;
    first + labels[first..].iter().take_while(|&&found| found == label).count()
}

/// The labels of a first record. `facts` were checked before: that many voxels may be had.
pub(crate) fn labels(facts: &BaseFacts, packed: &[u8]) -> io::Result<Array3<u8>> {
    let voxels = facts.shape.iter().product();
    let mut labels: Vec<u8> = Vec::new();
    labels.try_reserve_exact(voxels).map_err(io::Error::other)?;
    let mut source = BufReader::new(ZlibDecoder::new(packed));
    let mut hash = Sha256::new();
    let mut pair = Vec::new();
    let mut byte = || -> io::Result<Option<u8>> {
        let mut byte = [0];
        match source.read_exact(&mut byte) {
            Ok(()) => Ok(Some(byte[0])),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    };
    while let Some(first) = byte()? {
        pair.clear();
        pair.push(first);
        let mut next = || {
            let byte = byte()?.ok_or_else(|| invalid("half a run of labels"))?;
            pair.push(byte);
            Ok(byte)
        };
        let count = read_number(first, &mut next)?;
        let label = next()?;
        hash.update(&pair);
        if count == 0 || count > (voxels - labels.len()) as u64 {
            return Err(invalid("labels beyond the volume"));
        }
        labels.resize(labels.len() + count as usize, label);
    }
    if hex(&hash.finalize()) != facts.labels {
        return Err(invalid("labels that fail their checksum"));
    }
    if labels.len() != voxels {
        return Err(invalid("fewer labels than voxels"));
    }
    Array3::from_shape_vec(facts.shape, labels).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{blobs, geometry};

    #[test]
    fn labels_come_back() {
        let shape = [4, 30, 40];
        for array in [blobs(shape, 5, 1), Array3::zeros(shape), Array3::from_elem(shape, 255)] {
            let payload = base(&array, &geometry(shape), None, Moment::now()).unwrap();
            let (facts, packed) = split::<BaseFacts>(&payload).unwrap();
            assert_eq!(facts.geometry().unwrap(), geometry(shape));
            assert_eq!(labels(&facts, packed).unwrap(), array);
        }
    }

    #[test]
    fn labels_that_do_not_fill_the_volume_are_refused() {
        let shape = [2, 3, 4];
        let payload = base(&Array3::ones(shape), &geometry(shape), None, Moment::now()).unwrap();
        let (facts, packed) = split::<BaseFacts>(&payload).unwrap();
        for other in [[2, 3, 3], [2, 3, 5]] {
            let facts = BaseFacts { shape: other, ..facts.clone() };
            assert!(labels(&facts, packed).is_err());
        }
        let facts = BaseFacts { labels: String::new(), ..facts };
        assert!(labels(&facts, packed).is_err());
    }
}
