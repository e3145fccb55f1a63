//! What every format comes down to: a [`Description`], and voxels as bytes.
//!
//! A format reads a header, checks it, and hands over both; how they become a volume, a
//! label map or statistics is left to `read.rs`, which knows no format.

use std::path::{Path, PathBuf};

use crate::error::VolumeError;
use crate::geometry::Geometry;
use crate::input::CHUNK_BYTES;
use crate::read::Limits;
use crate::source::SourceHeader;
use crate::viewing::Viewing;
use crate::volume::{Modality, Rescale};
use crate::voxels::{ByteOrder, Scalar, StoredType};

/// What a header says, checked.
#[derive(Debug)]
pub(crate) struct Description {
    /// The format's name for users: `nifti-1`, `metaimage`, `nrrd`.
    pub(crate) format: &'static str,
    /// Voxels along x, y, z, t and so on, as declared.
    pub(crate) dims: Vec<u64>,
    pub(crate) stored: StoredType,
    pub(crate) order: ByteOrder,
    pub(crate) rescale: Rescale,
    /// Of one volume, in RAS whatever the file has.
    pub(crate) geometry: Geometry,
    pub(crate) modality: Option<Modality>,
    /// What an export carries over.
    pub(crate) source: SourceHeader,
    pub(crate) sizes: Sizes,
    /// What its numbers are where they may be labels but are no brightness.
    pub(crate) labels_only: Option<&'static str>,
    /// Whether its numbers are only close to what was stored.
    pub(crate) lossy: bool,
    /// How it is to be looked at.
    pub(crate) viewing: Viewing,
}

/// How much of it there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Bytes of one three-dimensional volume.
    pub(crate) volume_bytes: u64,
    /// How many of them there are.
    pub(crate) volumes: u64,
}

impl Sizes {
    /// The first three of `dims` make a volume; `None` where memory could not hold it all.
    pub(crate) fn of(dims: &[u64], stored: StoredType) -> Option<Self> {
        let product =
            |dims: &[u64]| dims.iter().try_fold(1_u64, |product, &n| product.checked_mul(n));
        let (spatial, rest) = dims.split_at(dims.len().min(3));
        let volume_bytes = product(spatial)?.checked_mul(stored.bytes() as u64)?;
        let volumes = product(rest)?;
        // Room for an offset, and for `usize` and `isize` of this machine.
        let all = volume_bytes.checked_mul(volumes)?;
        (isize::try_from(all).is_ok() && all < u64::MAX / 4)
            .then_some(Self { volume_bytes, volumes })
    }

    /// Bytes of all volumes.
    pub(crate) fn all_bytes(self) -> u64 {
        self.volume_bytes * self.volumes // `of` has checked that
    }
}

/// Shape `[depth, height, width]` of the volumes of a file of these `dims`.
pub(crate) fn array_shape(dims: &[u64]) -> [usize; 3] {
    [2, 1, 0].map(|axis: usize| dims.get(axis).copied().unwrap_or(1) as usize)
}

/// The voxels of an image as bytes: volume after volume, x fastest, nothing between.
pub(crate) trait VoxelBytes {
    /// Goes on to byte `target`, or to the end if that comes first.
    fn skip_to(&mut self, target: u64) -> Result<(), VolumeError>;

    /// Fills `buffer`, or says that voxels are missing.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), VolumeError>;

    /// Reads on to the end, to know that all of the file is sound and there.
    fn finish(&mut self, limits: &Limits) -> Result<(), VolumeError>;

    /// How many bytes are best asked for at a time: a multiple of every voxel's size.
    fn chunk_bytes(&self) -> usize {
        CHUNK_BYTES
    }
}

/// Voxels that are in memory already.
pub(crate) struct InMemory {
    path: PathBuf,
    bytes: Vec<u8>,
    at: usize,
}

impl InMemory {
    pub(crate) fn new(path: &Path, bytes: Vec<u8>) -> Self {
        Self { path: path.to_owned(), bytes, at: 0 }
    }
}

impl VoxelBytes for InMemory {
    fn skip_to(&mut self, target: u64) -> Result<(), VolumeError> {
        self.at = usize::try_from(target).unwrap_or(usize::MAX).min(self.bytes.len());
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), VolumeError> {
        let rest = &self.bytes[self.at..];
        let Some(next) = rest.get(..buffer.len()) else {
            return Err(VolumeError::Truncated {
                path: self.path.clone(),
                part: "voxels",
                expected: (self.at + buffer.len()) as u64,
                found: self.bytes.len() as u64,
            });
        };
        buffer.copy_from_slice(next);
        self.at += buffer.len();
        Ok(())
    }

    fn finish(&mut self, _: &Limits) -> Result<(), VolumeError> {
        Ok(()) // all of it is there
    }
}

/// An image whose header is read and whose voxels are about to be.
pub(crate) struct Image {
    pub(crate) description: Description,
    pub(crate) voxels: Box<dyn VoxelBytes>,
}

impl Image {
    /// Goes to the start of volume `volume`.
    pub(crate) fn seek_volume(&mut self, volume: u64) -> Result<(), VolumeError> {
        self.voxels.skip_to(volume * self.description.sizes.volume_bytes)
    }

    /// Reads `bytes` of voxels and hands them on in chunks.
    pub(crate) fn for_each_chunk<T: Scalar>(
        &mut self,
        bytes: u64,
        mut take: impl FnMut(&[T]) -> Result<(), VolumeError>,
    ) -> Result<(), VolumeError> {
        let order = self.description.order;
        let mut chunk: Vec<T> = Vec::new();
        self.for_each_piece(bytes, |piece| {
            // Pieces may be many slices; what is done with a chunk is best done near the core.
            for part in piece.chunks(CHUNK_BYTES) {
                chunk.clear();
                T::extend_from_bytes(&mut chunk, part, order);
                take(&chunk)?;
            }
            Ok(())
        })
    }

    /// Appends `bytes` of voxels to `values`; `watch` hears how many of them are there and
    /// answers whether to go on.
    pub(crate) fn read_into<T: Scalar>(
        &mut self,
        bytes: u64,
        values: &mut Vec<T>,
        watch: &mut dyn FnMut(u64) -> Result<(), VolumeError>,
    ) -> Result<(), VolumeError> {
        let order = self.description.order;
        let mut done = 0;
        self.for_each_piece(bytes, |piece| {
            T::extend_from_bytes(values, piece, order);
            done += piece.len() as u64;
            watch(done)
        })
    }

    fn for_each_piece(
        &mut self,
        bytes: u64,
        mut take: impl FnMut(&[u8]) -> Result<(), VolumeError>,
    ) -> Result<(), VolumeError> {
        let most = self.voxels.chunk_bytes();
        let mut buffer = vec![0; most.min(usize::try_from(bytes).unwrap_or(usize::MAX))];
        let mut left = bytes;
        while left > 0 {
            let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.voxels.fill(&mut buffer[..wanted])?;
            take(&buffer[..wanted])?;
            left -= wanted as u64;
        }
        Ok(())
    }

    /// Reads on to the end, to know that all of the file is sound and there.
    pub(crate) fn finish(&mut self, limits: &Limits) -> Result<(), VolumeError> {
        self.voxels.finish(limits)
    }
}

/// A field that does not hold what it must.
#[derive(Debug)]
pub(crate) struct Fault {
    field: String,
    expected: String,
    found: String,
}

impl Fault {
    pub(crate) fn new(
        field: &str,
        expected: impl Into<String>,
        found: impl std::fmt::Display,
    ) -> Self {
        Self { field: field.to_owned(), expected: expected.into(), found: format!("{found}") }
    }

    pub(crate) fn at(self, path: &Path) -> VolumeError {
        let Self { field, expected, found } = self;
        VolumeError::Header { path: path.to_owned(), field, expected, found }
    }
}
