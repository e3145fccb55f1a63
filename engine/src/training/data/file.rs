//! The form of a prepared case in a file, of which any slice can be read alone.
//!
//! Behind [`MAGIC`] stand the length of the header and its checksum, the header as JSON, and then
//! slice after slice: its samples, channel by channel, and its labels. Every piece has a checksum
//! that is looked at with each reading. Numbers are little-endian. No name of a case or file is
//! in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ndarray::{Array2, Array4, ArrayView2, ArrayView4, Axis, s};
use serde::{Deserialize, Serialize};

use super::set::{LoadedPlanes, LoadedSlice};
use crate::fingerprint::CaseTraits;
use crate::preprocess::ColorScale;
use crate::training::{Samples, TrainingCase};

/// How such a file begins; the number is that of the form.
const MAGIC: &[u8; 16] = b"LAMINA-CASE-0001";

/// More than any header has; a longer one is a mistake.
const LONGEST_HEADER: u64 = 1 << 28;

/// What samples are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Numbers as the network takes them.
    Numbers,
    /// Colors as bytes.
    Bytes(ColorScale),
    /// Colors from 0 to 1.
    Unit(ColorScale),
}

impl Kind {
    pub(super) fn of(samples: &Samples) -> Self {
        match samples {
            Samples::Numbers(_) => Self::Numbers,
            Samples::Bytes(_, scale) => Self::Bytes(*scale),
            Samples::Unit(_, scale) => Self::Unit(*scale),
        }
    }

    pub(super) fn color_scale(&self) -> Option<&ColorScale> {
        match self {
            Self::Numbers => None,
            Self::Bytes(scale) | Self::Unit(scale) => Some(scale),
        }
    }

    fn sample_bytes(self) -> usize {
        match self {
            Self::Bytes(_) => 1,
            Self::Numbers | Self::Unit(_) => 4,
        }
    }
}

/// What is known of a prepared case without its voxels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Facts {
    pub(super) kind: Kind,
    /// Slices, channels, height, width.
    pub(super) shape: [usize; 4],
    /// For each slice how many pixels have which label.
    pub(super) counts: Vec<BTreeMap<u8, u64>>,
    pub(super) traits: CaseTraits,
}

impl Facts {
    pub(super) fn of(case: &TrainingCase, traits: CaseTraits) -> Self {
        let count = |slice: ArrayView2<'_, u8>| {
            let mut counts = [0_u64; 256];
            slice.iter().for_each(|label| counts[usize::from(*label)] += 1);
            (0..=255).zip(counts).filter(|(_, count)| *count > 0).collect()
        };
        Self {
            kind: Kind::of(&case.samples),
            shape: case.samples.shape(),
            counts: case.labels.outer_iter().map(count).collect(),
            traits,
        }
    }

    /// Bytes of the samples and of the labels of a slice.
    fn slice_bytes(&self) -> [usize; 2] {
        let [_, channels, height, width] = self.shape;
        [channels * height * width * self.kind.sample_bytes(), height * width]
    }

    /// Bytes of all slices.
    pub(super) fn bytes(&self) -> u64 {
        (self.shape[0] * self.slice_bytes().iter().sum::<usize>()) as u64
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    key: String,
    facts: Facts,
    /// Of the samples and of the labels of each slice.
    checksums: Vec<[u32; 2]>,
}

/// A prepared case in a file.
#[derive(Debug, Clone)]
pub(super) struct CachedCase {
    path: PathBuf,
    /// Where the first slice begins.
    start: u64,
    checksums: Vec<[u32; 2]>,
    pub(super) facts: Facts,
}

/// Writes a prepared case.
pub(super) fn write(
    file: &mut impl Write,
    key: &str,
    case: &TrainingCase,
    facts: &Facts,
) -> io::Result<()> {
    let slices = 0..facts.shape[0];
    let pieces = |slice: usize| [samples_of(&case.samples, slice), labels_of(case, slice)];
    let checksums = slices.clone().map(|slice| pieces(slice).map(|bytes| crc32fast::hash(&bytes)));
    let header =
        Header { key: key.to_owned(), facts: facts.clone(), checksums: checksums.collect() };
    let header = serde_json::to_vec(&header).map_err(io::Error::other)?;
    file.write_all(MAGIC)?;
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&crc32fast::hash(&header).to_le_bytes())?;
    file.write_all(&header)?;
    for slice in slices {
        for piece in pieces(slice) {
            file.write_all(&piece)?;
        }
    }
    Ok(())
}

fn samples_of(samples: &Samples, slice: usize) -> Vec<u8> {
    match samples {
        Samples::Numbers(samples) | Samples::Unit(samples, _) => samples
            .index_axis(Axis(0), slice)
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
        Samples::Bytes(samples, _) => samples.index_axis(Axis(0), slice).iter().copied().collect(),
    }
}

fn labels_of(case: &TrainingCase, slice: usize) -> Vec<u8> {
    case.labels.index_axis(Axis(0), slice).iter().copied().collect()
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

impl CachedCase {
    /// Opens the file of the case that is known by `key`.
    ///
    /// # Errors
    /// Where it is not there, or is not what [`write`] leaves.
    pub(super) fn open(path: &Path, key: &str) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut start = [0; 28];
        file.read_exact(&mut start)?;
        let length = u64::from_le_bytes(start[16..24].try_into().expect("eight bytes"));
        let checksum = u32::from_le_bytes(start[24..].try_into().expect("four bytes"));
        if start[..16] != MAGIC[..] || length > LONGEST_HEADER {
            return Err(damaged("no prepared case of this form"));
        }
        let mut header = Vec::new();
        (&mut file).take(length).read_to_end(&mut header)?;
        if crc32fast::hash(&header) != checksum {
            return Err(damaged("the header is damaged"));
        }
        let Header { key: found, facts, checksums } =
            serde_json::from_slice(&header).map_err(io::Error::other)?;
        if found != key {
            return Err(damaged("another case"));
        }
        let [slices, ..] = facts.shape;
        let start = start.len() as u64 + length;
        if checksums.len() != slices
            || facts.counts.len() != slices
            || file.metadata()?.len() != start + facts.bytes()
        {
            return Err(damaged("too short or too long"));
        }
        Ok(Self { path: path.to_owned(), start, checksums, facts })
    }

    /// Reads the samples of some slices, and the labels of one.
    ///
    /// # Errors
    /// Where the file is gone, cannot be read or is damaged.
    pub(super) fn read(&self, slices: &[usize], labeled: usize) -> io::Result<LoadedSlice> {
        let [_, channels, height, width] = self.facts.shape;
        let [sample_bytes, label_bytes] = self.facts.slice_bytes();
        let mut file = File::open(&self.path)?;
        let mut piece = |slice: usize, labels: usize, bytes: &mut [u8]| {
            let at = slice * (sample_bytes + label_bytes) + labels * sample_bytes;
            file.seek(SeekFrom::Start(self.start + at as u64))?;
            file.read_exact(bytes)?;
            if crc32fast::hash(bytes) == self.checksums[slice][labels] {
                Ok(())
            } else {
                Err(damaged("a slice is damaged"))
            }
        };
        let mut labels = vec![0; label_bytes];
        piece(labeled, 1, &mut labels)?;
        let mut samples = vec![0; slices.len() * sample_bytes];
        for (target, &slice) in samples.chunks_exact_mut(sample_bytes).zip(slices) {
            piece(slice, 0, target)?;
        }
        let shape = [slices.len(), channels, height, width];
        let planes = if let Kind::Bytes(_) = self.facts.kind {
            LoadedPlanes::Bytes(shaped(shape, samples))
        } else {
            let (numbers, _) = samples.as_chunks();
            let numbers = numbers.iter().map(|&number| f32::from_le_bytes(number)).collect();
            LoadedPlanes::Numbers(shaped(shape, numbers))
        };
        let labels = Array2::from_shape_vec([height, width], labels);
        Ok(LoadedSlice { planes, labels: labels.expect("as many labels as pixels") })
    }

    /// Reads all slices.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(super) fn read_all(&self) -> io::Result<TrainingCase> {
        let [slices, channels, height, width] = self.facts.shape;
        let mut labels = ndarray::Array3::zeros([slices, height, width]);
        let mut numbers = Array4::zeros([0, channels, height, width]);
        let mut bytes = Array4::zeros([0, channels, height, width]);
        match self.facts.kind {
            Kind::Bytes(_) => bytes = Array4::zeros(self.facts.shape),
            Kind::Numbers | Kind::Unit(_) => numbers = Array4::zeros(self.facts.shape),
        }
        for slice in 0..slices {
            let loaded = self.read(&[slice], slice)?;
            labels.index_axis_mut(Axis(0), slice).assign(&loaded.labels);
            match loaded.planes {
                LoadedPlanes::Numbers(planes) => assign(&mut numbers, slice, planes.view()),
                LoadedPlanes::Bytes(planes) => assign(&mut bytes, slice, planes.view()),
            }
        }
        let samples = match self.facts.kind {
            Kind::Numbers => Samples::Numbers(numbers),
            Kind::Bytes(scale) => Samples::Bytes(bytes, scale),
            Kind::Unit(scale) => Samples::Unit(numbers, scale),
        };
        Ok(TrainingCase { samples, labels })
    }
}

fn shaped<T>(shape: [usize; 4], values: Vec<T>) -> Array4<T> {
    Array4::from_shape_vec(shape, values).expect("as many samples as the shape says")
}

fn assign<T: Copy>(all: &mut Array4<T>, slice: usize, planes: ArrayView4<'_, T>) {
    all.slice_mut(s![slice..=slice, .., .., ..]).assign(&planes);
}
