//! The voxels of a volume, unpacked slice by slice and several of them at a time.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::file::{DicomFile, PixelSource};
use super::frames::Instance;
use super::pixels::{Pixels, look_up};
use super::series::Slice;
use super::syntax::Packing;
use crate::error::VolumeError;
use crate::geometry::Geometry;
use crate::image::{Description, Fault, Image, Sizes, VoxelBytes};
use crate::input::CHUNK_BYTES;
use crate::read::Limits;
use crate::source::SourceHeader;
use crate::viewing::{Padding, Viewing};
use crate::volume::Rescale;
use crate::voxels::{ByteOrder, Scalar, StoredType, with_type};

/// Most bytes of slices that are unpacked at a time.
const MOST_AT_A_TIME: usize = 16 << 20;

/// What decoders take for their own work on a pixel, and what they all together may take.
const DECODER_BYTES: usize = 16;
const DECODERS_BYTES: usize = 48 << 20;

/// How stored numbers become voxels.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meaning {
    /// As they are, with one rescaling for all.
    Stored,
    /// By the table of their file.
    Lookup,
    /// Rescaled here, since each slice has its own.
    Values,
}

/// The volume of these slices, up to its first voxel.
pub(super) fn image(
    path: &Path,
    instances: Vec<Instance>,
    slices: Vec<Slice>,
    geometry: Geometry,
    limits: &Limits,
) -> Result<Image, VolumeError> {
    let first = &instances[slices[0].instance];
    let rescale = |slice: &Slice| {
        let instance = &instances[slice.instance];
        instance.format.values(instance.frames[slice.frame].rescale)
    };
    let common = rescale(&slices[0]);
    let tables = slices.iter().filter(|slice| instances[slice.instance].lookup.is_some()).count();
    let (meaning, stored, common) = if tables == slices.len() {
        (Meaning::Lookup, StoredType::U16, Rescale::IDENTITY)
    } else if tables > 0 {
        let expected = "in all slices or in none";
        return Err(Fault::new("the modality LUT", expected, format!("{tables}")).at(path));
    } else if slices.iter().all(|slice| rescale(slice) == common) {
        (Meaning::Stored, first.format.stored(), common)
    } else {
        (Meaning::Values, StoredType::F32, Rescale::IDENTITY)
    };
    let [depth, height, width] = geometry.shape();
    let dims = vec![width as u64, height as u64, depth as u64];
    let sizes = Sizes::of(&dims, stored).ok_or_else(|| VolumeError::TooLarge {
        path: path.to_owned(),
        reason: "the memory of this machine",
        limit: limits.max_bytes,
        declared: u64::MAX,
    })?;
    let description = Description {
        format: "dicom",
        dims,
        stored,
        order: ByteOrder::Little,
        rescale: common,
        geometry,
        modality: first.modality(),
        source: SourceHeader::default(),
        sizes,
        labels_only: None,
        lossy: false,
        viewing: Viewing {
            padding: padding(&instances, &slices, meaning),
            windows: instances[slices[slices.len() / 2].instance].windows.clone(),
            is_unplaced: slices
                .iter()
                .all(|slice| instances[slice.instance].frames[slice.frame].plane.is_none()),
        },
    };
    let mut used = vec![false; instances.len()];
    for slice in &slices {
        used[slice.instance] = true;
    }
    // Looked at now, so that what is cut off is known before the first voxel.
    let open = |(instance, used): (&Instance, bool)| -> Result<Option<Pixels>, VolumeError> {
        if !used {
            return Ok(None);
        }
        let pixels = source(instance, limits)
            .and_then(|source| Pixels::new(instance, source, limits))
            .map_err(|error| error.about(path))?;
        Ok(Some(pixels))
    };
    let pixels: Result<Vec<Option<Pixels>>, VolumeError> =
        instances.iter().zip(used).map(open).collect();
    let slice_bytes = height * width * stored.bytes();
    let voxels = Slices {
        path: path.to_owned(),
        at_a_time: at_a_time(&instances[slices[0].instance], slice_bytes, depth),
        order: slices,
        instances,
        pixels: pixels?,
        meaning,
        slice_bytes,
        position: 0,
        loaded: None,
        slice: Vec::new(),
    };
    Ok(Image { description, voxels: Box::new(voxels) })
}

/// Stored numbers that mark padding in all slices alike.
fn padding(instances: &[Instance], slices: &[Slice], meaning: Meaning) -> Option<Padding> {
    let of = |slice: &Slice| instances[slice.instance].padding;
    let first = of(&slices[0]);
    let common = slices.iter().all(|slice| of(slice) == first);
    if meaning == Meaning::Stored && common {
        return first;
    }
    if slices.iter().any(|slice| of(slice).is_some()) {
        tracing::debug!("padding differs from slice to slice and is taken for values");
    }
    None
}

/// How many slices are unpacked at a time.
fn at_a_time(first: &Instance, slice_bytes: usize, slices: usize) -> usize {
    let mut most = (2 * rayon::current_num_threads()).min(slices).min(MOST_AT_A_TIME / slice_bytes);
    if first.syntax.packing != Packing::None {
        most = most.min(DECODERS_BYTES / (DECODER_BYTES * first.format.pixels()));
    }
    most.max(1)
}

fn source(instance: &Instance, limits: &Limits) -> Result<PixelSource, VolumeError> {
    if instance.syntax.deflated {
        return Ok(DicomFile::open(&instance.path, limits)?.into_source());
    }
    Ok(PixelSource::of(&instance.path))
}

struct Slices {
    /// As the user gave it: names of files in a folder may be names of patients.
    path: PathBuf,
    order: Vec<Slice>,
    instances: Vec<Instance>,
    pixels: Vec<Option<Pixels>>,
    meaning: Meaning,
    slice_bytes: usize,
    at_a_time: usize,
    position: u64,
    /// Which slice is in `slice`.
    loaded: Option<usize>,
    slice: Vec<u8>,
}

impl Slices {
    /// The voxels of slice `k`, into `place`, which has their size.
    fn unpack(&self, k: usize, place: &mut [u8]) -> Result<(), VolumeError> {
        let slice = self.order[k];
        let instance = &self.instances[slice.instance];
        let frame = &instance.frames[slice.frame];
        let pixels = self.pixels[slice.instance].as_ref().expect("opened for every slice");
        let read = |out: &mut [u8]| {
            pixels.frame(frame.index.into(), out).map_err(|error| error.about(&self.path))
        };
        if self.meaning == Meaning::Stored {
            return read(place);
        }
        let mut stored = vec![0; pixels.frame_bytes()];
        read(&mut stored)?;
        if let (Meaning::Lookup, Some(table)) = (self.meaning, &instance.lookup) {
            look_up(&stored, &instance.format, table, place);
        } else {
            let rescale = instance.format.values(frame.rescale);
            values(&stored, instance.format.stored(), rescale, place);
        }
        Ok(())
    }

    /// Lets go of the files of slices that were read, but for the last one: what follows may
    /// be in it.
    fn close(&self, from: usize, to: usize) {
        let last = self.order[to - 1].instance;
        for slice in &self.order[from..to] {
            if slice.instance != last
                && let Some(pixels) = &self.pixels[slice.instance]
            {
                pixels.close();
            }
        }
    }
}

/// Numbers of type `stored`, rescaled, as `float32`.
fn values(bytes: &[u8], stored: StoredType, rescale: Rescale, out: &mut [u8]) {
    with_type!(stored, T => {
        let mut numbers: Vec<T> = Vec::with_capacity(bytes.len() / size_of::<T>());
        T::extend_from_bytes(&mut numbers, bytes, ByteOrder::Little);
        for (place, number) in out.as_chunks_mut().0.iter_mut().zip(numbers) {
            *place = (rescale.apply(number.to_f64()) as f32).to_le_bytes();
        }
    });
}

impl VoxelBytes for Slices {
    fn skip_to(&mut self, target: u64) -> Result<(), VolumeError> {
        self.position = target;
        Ok(())
    }

    fn fill(&mut self, mut buffer: &mut [u8]) -> Result<(), VolumeError> {
        while !buffer.is_empty() {
            let k = (self.position / self.slice_bytes as u64) as usize;
            let within = (self.position % self.slice_bytes as u64) as usize;
            let whole = (buffer.len() / self.slice_bytes).min(self.at_a_time);
            let filled = if within == 0 && whole > 0 {
                let places = buffer[..whole * self.slice_bytes].par_chunks_mut(self.slice_bytes);
                let unpacked: Vec<Result<(), VolumeError>> =
                    places.enumerate().map(|(n, place)| self.unpack(k + n, place)).collect();
                // The first slice that fails, whichever thread was faster.
                unpacked.into_iter().collect::<Result<(), VolumeError>>()?;
                self.close(k, k + whole);
                whole * self.slice_bytes
            } else {
                if self.loaded != Some(k) {
                    self.loaded = None;
                    let mut slice = std::mem::take(&mut self.slice);
                    slice.resize(self.slice_bytes, 0);
                    self.unpack(k, &mut slice)?;
                    self.slice = slice;
                    self.loaded = Some(k);
                    self.close(k.saturating_sub(1), k + 1);
                }
                let rest = &self.slice[within..];
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                count
            };
            self.position += filled as u64;
            buffer = &mut buffer[filled..];
        }
        Ok(())
    }

    fn finish(&mut self, _: &Limits) -> Result<(), VolumeError> {
        Ok(())
    }

    fn chunk_bytes(&self) -> usize {
        if self.slice_bytes > MOST_AT_A_TIME {
            return CHUNK_BYTES; // one at a time, which is held as it is
        }
        self.at_a_time * self.slice_bytes
    }
}
