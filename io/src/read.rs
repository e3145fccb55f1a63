//! Reading volumes and label maps, and finding out about a file.
//!
//! This is where files come in; what the bytes of a format mean is left to its module.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::Array3;
use serde::{Deserialize, Serialize};

use crate::color::ColorSamples;
use crate::dicom::{self, SeriesChoice};
use crate::error::VolumeError;
use crate::format;
use crate::geometry::Geometry;
use crate::image::{Description, Image};
use crate::label::LabelVolume;
use crate::picture;
use crate::source::SourceHeader;
use crate::statistics::Tally;
use crate::viewing::{Padding, Window};
use crate::volume::{Modality, Rescale, Volume};
use crate::voxels::{Scalar, StoredType, with_type};

/// How much of a file is believed before memory is set aside for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes that one volume may take in memory, as it was stored.
    pub max_bytes: u64,
    /// Most bytes of voxels per byte of packed data, gzip or other...
    pub gzip_ratio: u64,
    /// ...once there are more than these. Small label maps may be almost nothing when
    /// compressed, a gigabyte of nothing is an attack.
    pub gzip_free_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 8 << 30, gzip_ratio: 250, gzip_free_bytes: 1 << 30 }
    }
}

/// What to read, and how much to believe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Which volume of a file that holds several, from 0. `None` refuses such a file.
    pub volume: Option<usize>,
    /// Which series of a folder that holds several. `None` refuses such a folder.
    pub series: Option<SeriesChoice>,
    /// Whether to take a DICOM series with flaws for an even stack of slices: where slices are
    /// missing their neighbors repeat, of several at one place the first counts, uneven ones
    /// are placed evenly from first to last, and a tilted gantry makes a sheared grid.
    pub accept_flaws: bool,
    /// Which segment of a DICOM segmentation, the others being background. `None` takes all,
    /// which must not overlap.
    pub segment: Option<u16>,
    /// What a file may declare.
    pub limits: Limits,
}

impl ReadOptions {
    /// The same options for volume `volume` of a file that holds several.
    #[must_use]
    pub fn with_volume(self, volume: usize) -> Self {
        Self { volume: Some(volume), ..self }
    }
}

/// Reads an image.
///
/// # Errors
/// If the file is missing, damaged, of another format, larger than the limits allow, holds
/// colors or complex numbers, or holds several volumes and none was chosen.
///
/// ```
/// use lamina_io::{ReadOptions, read_volume, synthetic, write_volume};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("case.nii.gz");
/// let (volume, _) = synthetic::ellipsoid([8, 10, 12], [0.5, 0.5, 3.0], [5.5, 4.5, 3.5], [2.0, 1.5, 6.0])?;
/// write_volume(&path, &volume)?;
/// let again = read_volume(&path, &ReadOptions::default())?;
/// assert_eq!(again.to_f32(), volume.to_f32());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_volume(path: &Path, options: &ReadOptions) -> Result<Volume, VolumeError> {
    read_volume_watched(path, options, &mut |_, _| true)
}

/// How far reading is.
#[derive(Debug)]
pub struct Arrived<'a> {
    /// Bytes of voxels that are there...
    pub bytes: u64,
    /// ...of this many.
    pub total: u64,
    /// Where the whole volume will lie.
    pub geometry: &'a Geometry,
    /// All slices that are there, a volume that ends with the last of them; nothing while the
    /// next slices come in.
    pub part: Option<&'a Volume>,
}

impl Arrived<'_> {
    /// How many slices are there, from the first on.
    pub fn slices(&self) -> usize {
        self.part.map_or(0, |part| part.shape()[0])
    }

    /// Slice `index` of the whole volume across a voxel axis (0 for x, 2 for z), as a volume of its
    /// own; what is not there yet is stored as zero. `None` where no slice is there.
    pub fn slab(&self, axis: usize, index: usize) -> Option<Volume> {
        let (part, [depth, ..]) = (self.part?, self.geometry.shape());
        Some(part.slab_of(axis, index, depth, self.geometry))
    }
}

/// [`read_volume`] of a file that may take a while: `watch` hears how many bytes of voxels of
/// how many are there, and answers whether to go on.
///
/// # Errors
/// As [`read_volume`], and [`VolumeError::Stopped`] when `watch` says so.
pub fn read_volume_watched(
    path: &Path,
    options: &ReadOptions,
    watch: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Volume, VolumeError> {
    read_volume_in_parts(path, options, &mut |arrived| watch(arrived.bytes, arrived.total))
}

/// [`read_volume`] whose slices can be looked at as they arrive: `watch` sees those that are
/// there, which are not copied for it, and answers whether to go on.
///
/// # Errors
/// As [`read_volume`], and [`VolumeError::Stopped`] when `watch` says so.
pub fn read_volume_in_parts(
    path: &Path,
    options: &ReadOptions,
    watch: &mut dyn FnMut(&Arrived<'_>) -> bool,
) -> Result<Volume, VolumeError> {
    let mut image = open_volume(path, options)?;
    if let Some(what) = image.description.labels_only {
        let found = format!("{what}, which are labels and no brightness");
        return Err(VolumeError::DataType { path: path.to_owned(), found });
    }
    let voxels = with_type!(image.description.stored, T => {
        let mut values: Vec<T> = reserve(&image, path, &options.limits)?;
        read_slices(&mut image, &mut values, path, watch)?;
        image.finish(&options.limits)?;
        Scalar::into_voxels(into_array(values, &image))
    });
    tracing::debug!(stored = image.description.stored.name(), shape = ?image.description.dims, "volume read");
    let Description { rescale, geometry, modality, source, viewing, .. } = image.description;
    Ok(Volume { voxels, rescale, geometry, modality, viewing, source })
}

/// Reads all slices into `values`, which is empty and has room for them.
fn read_slices<T: Scalar>(
    image: &mut Image,
    values: &mut Vec<T>,
    path: &Path,
    watch: &mut dyn FnMut(&Arrived<'_>) -> bool,
) -> Result<(), VolumeError> {
    let Description { geometry, rescale, modality, viewing, sizes, .. } = &image.description;
    let (geometry, total) = (geometry.clone(), sizes.volume_bytes);
    let [depth, height, width] = geometry.shape();
    let slice_bytes = total / depth as u64;
    let at_a_time = (image.voxels.chunk_bytes() as u64 / slice_bytes).max(1);
    // Slices that are there, as a volume while somebody looks at them.
    let mut part = Volume {
        voxels: T::into_voxels(Array3::from_shape_simple_fn([0, 0, 0], T::default)),
        rescale: *rescale,
        geometry: geometry.clone(),
        modality: modality.clone(),
        viewing: viewing.clone(),
        source: SourceHeader::default(),
    };
    let go_on = |answer| {
        if answer { Ok(()) } else { Err(VolumeError::Stopped { path: path.to_owned() }) }
    };
    let mut there = 0;
    while there < depth {
        let next = (depth - there).min(at_a_time as usize);
        let before = there as u64 * slice_bytes;
        image.read_into(next as u64 * slice_bytes, values, &mut |bytes| {
            let bytes = before + bytes;
            go_on(watch(&Arrived { bytes, total, geometry: &geometry, part: None }))
        })?;
        there += next;
        let shape = [there, height, width];
        let array = Array3::from_shape_vec(shape, std::mem::take(values));
        part.voxels = T::into_voxels(array.expect("whole slices were read"));
        part.geometry = geometry.part([0; 3], shape);
        let bytes = there as u64 * slice_bytes;
        let answer = watch(&Arrived { bytes, total, geometry: &geometry, part: Some(&part) });
        // Back as it was, with its room for the rest.
        let empty = T::into_voxels(Array3::from_shape_simple_fn([0, 0, 0], T::default));
        let array = T::from_voxels(std::mem::replace(&mut part.voxels, empty));
        *values = array.map_or_else(Vec::new, |array| array.into_raw_vec_and_offset().0);
        go_on(answer)?;
    }
    Ok(())
}

/// Reads slice `k` alone, or the middle one, as a volume of its own at its place. Of packed files
/// everything before it has to be unpacked; what is behind it is not looked at.
///
/// # Errors
/// As [`read_volume`].
pub fn read_slice(
    path: &Path,
    options: &ReadOptions,
    k: Option<usize>,
) -> Result<Volume, VolumeError> {
    let mut image = open_volume(path, options)?;
    let [depth, height, width] = image.description.geometry.shape();
    let k = k.unwrap_or(depth / 2).min(depth - 1);
    let slice_bytes = image.description.sizes.volume_bytes / depth as u64;
    let first = options.volume.unwrap_or(0) as u64 * image.description.sizes.volume_bytes;
    image.voxels.skip_to(first + k as u64 * slice_bytes)?;
    let shape = [1, height, width];
    let voxels = with_type!(image.description.stored, T => {
        let mut values: Vec<T> = Vec::new();
        image.read_into(slice_bytes, &mut values, &mut |_| Ok(()))?;
        let array = Array3::from_shape_vec(shape, values);
        Scalar::into_voxels(array.expect("one whole slice was read"))
    });
    let Description { rescale, geometry, modality, source, viewing, .. } = image.description;
    let geometry = geometry.part([k, 0, 0], shape);
    Ok(Volume { voxels, rescale, geometry, modality, viewing, source })
}

/// Reads a label map, stored as whatever type, whose values are whole and from 0 to 255.
///
/// # Errors
/// As [`read_volume`], and if a value is no label.
pub fn read_labels(path: &Path, options: &ReadOptions) -> Result<LabelVolume, VolumeError> {
    let image = open_volume(path, options)?;
    labels_of(image, path, options)
}

/// [`read_labels`] of numbers up to 65535, as tables of the brain's regions have them.
///
/// # Errors
/// As [`read_labels`].
pub fn read_wide_labels(
    path: &Path,
    options: &ReadOptions,
) -> Result<(Array3<u16>, Geometry), VolumeError> {
    let (labels, Description { geometry, .. }) = read_label_values(path, options)?;
    Ok((labels, geometry))
}

/// [`read_wide_labels`] with all that the file says of them.
pub(crate) fn read_label_values(
    path: &Path,
    options: &ReadOptions,
) -> Result<(Array3<u16>, Description), VolumeError> {
    let mut image = open_volume(path, options)?;
    let labels = numbers(&mut image, path, options)?;
    Ok((into_array(labels, &image), image.description))
}

/// A DICOM segmentation on the grid of a scan, where it lies on its slices.
pub(crate) fn read_labels_on(
    path: &Path,
    options: &ReadOptions,
    scan: &Geometry,
) -> Result<LabelVolume, VolumeError> {
    labels_of(dicom::open_on(path, options, scan)?, path, options)
}

fn labels_of(
    mut image: Image,
    path: &Path,
    options: &ReadOptions,
) -> Result<LabelVolume, VolumeError> {
    let labels = numbers(&mut image, path, options)?;
    Ok(LabelVolume {
        labels: into_array(labels, &image),
        geometry: image.description.geometry,
        source: image.description.source,
    })
}

/// The voxels of an image, all of which must be whole numbers that `L` has.
fn numbers<L: TryFrom<u16> + Copy + Into<u16>>(
    image: &mut Image,
    path: &Path,
    options: &ReadOptions,
) -> Result<Vec<L>, VolumeError> {
    if image.description.lossy {
        return Err(VolumeError::Lossy { path: path.to_owned() });
    }
    let mut labels: Vec<L> = reserve(image, path, &options.limits)?;
    let rescale = image.description.rescale;
    let [_, height, width] = image.description.geometry.shape();
    let bytes = image.description.sizes.volume_bytes;
    with_type!(image.description.stored, T => image.for_each_chunk(bytes, |chunk: &[T]| {
        for &stored in chunk {
            let value = rescale.apply(stored.to_f64());
            let whole = value as u16;
            let label = L::try_from(whole).ok().filter(|_| f64::from(whole) == value);
            let Some(label) = label else {
                let at = labels.len();
                let index = [at % width, at / width % height, at / width / height].map(|n| n as u64);
                let most = if size_of::<L>() == 1 { 255 } else { 65_535 };
                return Err(VolumeError::NotALabel { path: path.to_owned(), most, value, index });
            };
            labels.push(label);
        }
        Ok(())
    }))?;
    image.finish(&options.limits)?;
    Ok(labels)
}

/// Opens a file at the volume that the options ask for.
fn open_volume(path: &Path, options: &ReadOptions) -> Result<Image, VolumeError> {
    let mut image = format::open(path, options)?;
    let volumes = image.description.sizes.volumes;
    let chosen = match options.volume {
        None if volumes == 1 => 0,
        None => {
            let found = image.description.dims.len();
            return Err(VolumeError::Dimensions { path: path.to_owned(), found, volumes });
        }
        Some(chosen) if (chosen as u64) < volumes => chosen as u64,
        Some(chosen) => {
            return Err(VolumeError::VolumeIndex {
                path: path.to_owned(),
                last: volumes - 1,
                chosen,
            });
        }
    };
    let (limit, declared) = (options.limits.max_bytes, image.description.sizes.volume_bytes);
    if declared > limit {
        let reason = "the limit for one volume";
        return Err(VolumeError::TooLarge { path: path.to_owned(), reason, limit, declared });
    }
    image.seek_volume(chosen)?;
    Ok(image)
}

/// Room for one volume of `T`, or an error where the machine has none.
fn reserve<T>(image: &Image, path: &Path, limits: &Limits) -> Result<Vec<T>, VolumeError> {
    let count = image.description.geometry.shape().iter().product();
    let mut values = Vec::new();
    values.try_reserve_exact(count).map_err(|_| VolumeError::TooLarge {
        path: path.to_owned(),
        reason: "the memory of this machine",
        limit: limits.max_bytes,
        declared: image.description.sizes.volume_bytes,
    })?;
    Ok(values)
}

/// Voxels in the order of the file are an array `[depth, height, width]` as they are.
fn into_array<T>(values: Vec<T>, image: &Image) -> Array3<T> {
    let array = Array3::from_shape_vec(image.description.geometry.shape(), values);
    array.expect("as many voxels were read as the shape has")
}

/// What `lamina info` says about a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileInfo {
    /// The file, as the user gave it.
    pub path: String,
    /// `nifti-1`, `nifti-2`, `metaimage`, `nrrd`, `dicom`, `dicom-seg`, `png`, `jpeg`, `tiff`,
    /// `bmp` or `matlab`.
    pub format: String,
    /// Voxels along x, y, z, t and so on, as the file declares them.
    pub shape: Vec<u64>,
    /// Distance between neighbors along x, y and z.
    pub spacing_mm: Option<[f64; 3]>,
    /// From voxel index (x, y, z) to RAS millimeters, by rows.
    pub affine: [[f64; 4]; 4],
    /// Where the voxel axes run towards, as in "RAS".
    pub orientation: String,
    /// The stored type: `uint8`, `int16`, `float32` and so on.
    pub dtype: StoredType,
    /// Numbers at each voxel: 3 of a picture in color, absent where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub channels: Option<usize>,
    /// How it was taken, where the file says so: `ct`, `mr` and so on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub modality: Option<String>,
    /// What is no part of the picture, which the numbers below leave out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub padding: Option<PaddingInfo>,
    /// Ranges of values that the file says are worth a look.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub windows: Vec<Window>,
    /// Smallest finite value, after scaling.
    pub min: Option<f64>,
    /// Largest finite value, after scaling.
    pub max: Option<f64>,
    /// Mean of the finite values, after scaling.
    pub mean: Option<f64>,
    /// How many values are NaN or infinite.
    pub nonfinite: u64,
    /// How often each value occurs, where there are 60 or fewer and all are whole.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub labels: Option<BTreeMap<i64, u64>>,
}

/// Voxels that are no part of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaddingInfo {
    /// The smallest value that marks them, after scaling.
    pub from: f64,
    /// The largest.
    pub to: f64,
    /// How many there are.
    pub voxels: u64,
}

impl PaddingInfo {
    fn new(padding: Padding, rescale: Rescale, voxels: u64) -> Self {
        let (a, b) = (rescale.apply(padding.first), rescale.apply(padding.last));
        Self { from: a.min(b), to: a.max(b), voxels }
    }
}

/// Reads a file of three or more dimensions once through, holding no more than a piece of
/// it, and says what is in it.
///
/// # Errors
/// As [`read_volume`], but several volumes are fine.
pub fn read_info(path: &Path, limits: &Limits) -> Result<FileInfo, VolumeError> {
    read_info_of(path, &ReadOptions { limits: *limits, ..ReadOptions::default() })
}

/// [`read_info`] of the series that the options choose.
///
/// # Errors
/// As [`read_info`].
pub fn read_info_of(path: &Path, options: &ReadOptions) -> Result<FileInfo, VolumeError> {
    let limits = &options.limits;
    let mut image = match format::open(path, options) {
        Err(error @ VolumeError::DataType { .. }) => return color_info(path, options, error),
        image => image?,
    };
    let mut tally = Tally::new(image.description.rescale, image.description.viewing.padding);
    image.seek_volume(0)?;
    let bytes = image.description.sizes.all_bytes();
    with_type!(image.description.stored, T => image.for_each_chunk(bytes, |chunk: &[T]| {
        tally.add(chunk);
        Ok(())
    }))?;
    image.finish(limits)?;
    let statistics = tally.statistics();
    let header = image.description;
    Ok(FileInfo {
        path: path.display().to_string(),
        format: header.format.to_owned(),
        shape: header.dims,
        spacing_mm: header.geometry.spacing_mm(),
        affine: header.geometry.ras_from_index().rows(),
        orientation: header.geometry.orientation(),
        dtype: header.stored,
        channels: None,
        modality: header.modality.map(|modality| modality.name().to_owned()),
        padding: header
            .viewing
            .padding
            .map(|padding| PaddingInfo::new(padding, header.rescale, statistics.padding)),
        windows: header.viewing.windows,
        min: statistics.min,
        max: statistics.max,
        mean: statistics.mean,
        nonfinite: statistics.nonfinite,
        labels: tally.counts(),
    })
}

/// What is in a file whose voxels are no single numbers: a picture in color, or `error`.
fn color_info(
    path: &Path,
    options: &ReadOptions,
    error: VolumeError,
) -> Result<FileInfo, VolumeError> {
    let Some((format, picture)) = picture::read_color_as(path, &options.limits) else {
        return Err(error);
    };
    let mut tally = Tally::new(Rescale::IDENTITY, None);
    let dtype = match &picture.samples {
        ColorSamples::U8(samples) => {
            samples.as_slice().into_iter().for_each(|values| tally.add(values));
            StoredType::U8
        }
        ColorSamples::U16(samples) => {
            samples.as_slice().into_iter().for_each(|values| tally.add(values));
            StoredType::U16
        }
    };
    let statistics = tally.statistics();
    let [pages, channels, height, width] = picture.samples.shape().map(|size| size as u64);
    let shape = if pages == 1 { vec![width, height] } else { vec![width, height, pages] };
    Ok(FileInfo {
        path: path.display().to_string(),
        format: format.to_owned(),
        shape,
        spacing_mm: None,
        affine: picture.geometry.ras_from_index().rows(),
        orientation: picture.geometry.orientation(),
        dtype,
        channels: Some(channels as usize),
        modality: Some(Modality::Rgb.name().to_owned()),
        padding: None,
        windows: Vec::new(),
        min: statistics.min,
        max: statistics.max,
        mean: statistics.mean,
        nonfinite: 0,
        labels: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Affine, Voxels, write_volume};

    /// 5 slices of 3 x 4 voxels; (i, j, k) holds 100 k + 10 j + i + 1.
    fn numbered() -> Volume {
        let stored =
            Array3::from_shape_fn([5, 3, 4], |(k, j, i)| (100 * k + 10 * j + i + 1) as i16);
        let affine = Affine::from_spacing_origin([1.0, 2.0, 5.0], [7.0, -8.0, 9.0]);
        let geometry = Geometry::new([5, 3, 4], affine).unwrap();
        Volume::new(Voxels::I16(stored), Rescale::IDENTITY, geometry).unwrap()
    }

    #[test]
    fn slices_can_be_looked_at_as_they_arrive() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["case.nii", "case.nii.gz", "case.mha", "case.nrrd"] {
            let (path, volume) = (folder.path().join(name), numbered());
            write_volume(&path, &volume).unwrap();
            let mut seen = 0;
            let read = read_volume_in_parts(&path, &ReadOptions::default(), &mut |arrived| {
                assert_eq!(arrived.geometry.shape(), [5, 3, 4]);
                let Some(part) = arrived.part else { return true };
                seen = arrived.slices();
                for (k, j, i) in ndarray::indices([seen, 3, 4]) {
                    assert_eq!(part.value([k, j, i]), volume.value([k, j, i]));
                }
                let slab = arrived.slab(0, 2).unwrap();
                assert_eq!(slab.shape(), [5, 3, 1]);
                let place = slab.geometry.ras_from_index().apply([0.0, 1.0, 3.0]);
                assert_eq!(place, volume.geometry.ras_from_index().apply([2.0, 1.0, 3.0]));
                for k in 0..5 {
                    let expected = if k < seen { volume.value([k, 1, 2]) } else { 0.0 };
                    assert_eq!(slab.value([k, 1, 0]), expected, "{name}");
                }
                let slab = arrived.slab(2, 4).unwrap();
                let expected = if seen == 5 { volume.value([4, 2, 3]) } else { 0.0 };
                assert_eq!(slab.value([0, 2, 3]), expected);
                true
            });
            assert_eq!(seen, 5);
            assert_eq!(read.unwrap().voxels, volume.voxels, "{name}");
        }
    }

    #[test]
    fn whoever_looks_may_stop() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("case.nii");
        write_volume(&path, &numbered()).unwrap();
        let stopped = read_volume_in_parts(&path, &ReadOptions::default(), &mut |_| false);
        assert!(matches!(stopped, Err(VolumeError::Stopped { .. })));
    }

    #[test]
    fn one_slice_is_read_alone_and_knows_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let volume = numbered();
        for name in ["case.nii", "case.nii.gz"] {
            let path = folder.path().join(name);
            write_volume(&path, &volume).unwrap();
            let middle = read_slice(&path, &ReadOptions::default(), None).unwrap();
            assert_eq!(middle.shape(), [1, 3, 4]);
            assert_eq!(middle.value([0, 1, 3]), volume.value([2, 1, 3]));
            let place = middle.geometry.ras_from_index().apply([0.0; 3]);
            assert_eq!(place, volume.geometry.ras_from_index().apply([0.0, 0.0, 2.0]));
            let back = middle.geometry.index_from_ras().apply(place);
            assert!(back.iter().all(|index| index.abs() < 1e-12));
            let last = read_slice(&path, &ReadOptions::default(), Some(99)).unwrap();
            assert_eq!(last.value([0, 0, 0]), volume.value([4, 0, 0]));
        }
    }
}
