//! From a volume to slices that a network takes, and labels back again.
//!
//! [`Preprocessor::prepare`] turns the volume so that slices lie in the wanted
//! plane, crops, resamples in plane, and normalizes; the [`Prepared`] slices
//! remember how, and [`Prepared::undo`] puts labels back on the grid that the
//! volume came with, bit-exactly where nothing was resampled. Batches and tensors
//! are left to `inference` and `training`.

mod color;
mod crop;
mod normalize;
mod resample;

use lamina_io::{
    AxisOrder, CaseImage, Channels, ColorVolume, Geometry, LabelVolume, SourceHeader, Volume,
};
use ndarray::{Array3, Array4, ArrayView2, ArrayView3, ArrayViewMut2, ArrayViewMut3, Axis, s};
use serde::{Deserialize, Serialize};

pub use color::{ColorScale, IMAGENET, normalized, unit_samples};
pub use crop::{Box3, Crop};
pub use normalize::Normalization;
pub use resample::{Resampling, resample_linear, resample_nearest};

use crate::error::EngineError;

/// The plane that slices lie in. Follows the patient, not the file: a volume that is
/// stored in another order is turned first, by its affine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plane {
    /// Rows run to the patient's right, columns to anterior.
    #[default]
    Axial,
    /// Rows run to the right, columns to superior.
    Coronal,
    /// Rows run to anterior, columns to superior.
    Sagittal,
    /// As stored: for photographs and other images without a patient.
    Stored,
}

impl Plane {
    /// The voxel axis (0 for x, 1 for y, 2 for z) across which slices in this plane follow each
    /// other.
    pub fn slice_axis(self, geometry: &Geometry) -> usize {
        self.axis_order(geometry).axes()[2]
    }

    /// The order of a volume's axes that puts slices in this plane.
    pub(crate) fn axis_order(self, geometry: &Geometry) -> AxisOrder {
        // World axes (0 right, 1 anterior, 2 superior) that become x, y and z.
        let world = match self {
            Self::Axial => [0, 1, 2],
            Self::Coronal => [0, 2, 1],
            Self::Sagittal => [1, 2, 0],
            Self::Stored => return AxisOrder::identity(),
        };
        let ras = geometry.to_ras_axes();
        let axes = world.map(|axis| ras.axes()[axis]);
        let flipped = world.map(|axis| ras.flipped()[axis]);
        AxisOrder::new(axes, flipped).expect("a permutation of the three world axes")
    }
}

/// What a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// One number at each voxel.
    #[default]
    Gray,
    /// Pictures in color: red, green and blue. A gray picture is widened.
    Rgb,
}

impl Input {
    /// How many channels a slice has.
    pub fn channels(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb => 3,
        }
    }

    /// How its images are read.
    pub fn to_read(self) -> Channels {
        match self {
            Self::Gray => Channels::Gray,
            Self::Rgb => Channels::Rgb,
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What is done to a volume before a network sees it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PreprocessConfig {
    /// What images have at each voxel.
    #[serde(skip_serializing_if = "Input::is_default")]
    pub input: Input,
    /// The plane that slices lie in.
    pub plane: Plane,
    /// Part of the volume that is looked at; the rest is background.
    pub crop: Crop,
    /// In-plane spacing that slices are resampled to, (x, y) in millimeters; absent: as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spacing_mm: Option<[f64; 2]>,
    /// How intensities become numbers around zero.
    pub normalization: Normalization,
    /// Neighbors on either side that a slice brings along as channels (2.5D).
    pub neighbors: usize,
}

impl PreprocessConfig {
    /// Channels that the network gets: those of the slice and of its neighbors.
    pub fn channels(&self) -> usize {
        self.input.channels() * (2 * self.neighbors + 1)
    }

    /// Whether these settings can work.
    ///
    /// # Errors
    /// [`EngineError::Config`] names the key, its value and what would be right.
    pub fn validate(&self) -> Result<(), EngineError> {
        if self.neighbors > 8 {
            let expected = "expected 0 to 8 neighbors on either side";
            return Err(EngineError::config("preprocessing.neighbors", self.neighbors, expected));
        }
        if let Some(spacing_mm) = self.spacing_mm
            && !spacing_mm.iter().all(|mm| mm.is_finite() && (0.01..=100.0).contains(mm))
        {
            let value = format!("{spacing_mm:?}");
            let expected = "expected two spacings between 0.01 and 100 mm";
            return Err(EngineError::config("preprocessing.spacing_mm", value, expected));
        }
        self.validate_input()?;
        self.normalization.validate()
    }

    /// Pictures have neither millimeters nor a patient, and colors a scale of their own.
    fn validate_input(&self) -> Result<(), EngineError> {
        use Normalization::{Channels, Imagenet, Percentile, Unit, Window};

        let refuse = |key: &str, value: String, expected: &str| {
            Err(EngineError::config(format!("preprocessing.{key}"), value, expected))
        };
        let name = self.normalization.name().to_owned();
        match (self.input, self.normalization) {
            (Input::Gray, Unit | Imagenet | Channels { .. }) => {
                let expected = "expected z_score, percentile or window, where input is gray";
                refuse("normalization", name, expected)
            }
            (Input::Rgb, Percentile { .. } | Window { .. }) => {
                let expected = "expected z_score, unit, imagenet or channels, where input is rgb";
                refuse("normalization", name, expected)
            }
            (Input::Rgb, _) if matches!(self.plane, Plane::Coronal | Plane::Sagittal) => {
                let value = format!("{:?}", self.plane).to_lowercase();
                refuse("plane", value, "expected stored, as pictures in color are")
            }
            (Input::Rgb, _) if self.crop != Crop::None => {
                refuse("crop", "nonzero".to_owned(), "expected none, where input is rgb")
            }
            (Input::Rgb, _) if self.spacing_mm.is_some() => refuse(
                "spacing_mm",
                format!("{:?}", self.spacing_mm.unwrap_or_default()),
                "expected none: pictures in color have no millimeters",
            ),
            _ => Ok(()),
        }
    }
}

/// Pixels a side that a slice may have after resampling; more is a wrong spacing.
const LARGEST_SLICE: f64 = 8192.0;

/// Prepares volumes as its configuration says.
#[derive(Debug, Clone)]
pub struct Preprocessor {
    config: PreprocessConfig,
}

/// Slices as a network takes them, and the way back.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Normalized intensities: `[slice, channel, height, width]`, of one channel or of red, green
    /// and blue.
    pub slices: Array4<f32>,
    /// In-plane size before resampling, and how the two relate.
    pub resampling: Resampling,
    placement: Placement,
    geometry: Geometry,
    source: SourceHeader,
    neighbors: usize,
}

/// Where prepared slices lie among the voxels that they came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    order: AxisOrder,
    /// Shape after turning, before cropping.
    turned_shape: [usize; 3],
    bounds: Box3,
}

impl Placement {
    /// The voxel axis (0 for x, 1 for y, 2 for z) across which slices follow each other.
    pub fn slice_axis(&self) -> usize {
        self.order.axes()[2]
    }

    /// Where slice `index` lies on that axis of the source.
    pub fn voxel_of_slice(&self, index: usize) -> usize {
        let turned = self.bounds.start()[0] + index;
        if self.order.flipped()[2] { self.turned_shape[0] - 1 - turned } else { turned }
    }

    /// The slice that lies at place `voxel` of that axis; none where it was cropped away.
    pub fn slice_of_voxel(&self, voxel: usize) -> Option<usize> {
        let from_end = (self.turned_shape[0] - 1).checked_sub(voxel)?;
        let turned = if self.order.flipped()[2] { from_end } else { voxel };
        let index = turned.checked_sub(self.bounds.start()[0])?;
        (index < self.bounds.shape()[0]).then_some(index)
    }

    /// Writes one slice into an array on the grid of the source.
    ///
    /// # Shapes
    /// - `slice`: `[height, width]` before resampling
    /// - `array`: `[depth, height, width]` of the source
    pub fn write_slice<T: Clone>(
        &self,
        index: usize,
        slice: ArrayView2<'_, T>,
        array: ArrayViewMut3<'_, T>,
    ) {
        self.slice_mut(index, array).assign(&slice);
    }

    /// One slice of an array on the grid of the source.
    ///
    /// # Shapes
    /// - `array`: `[depth, height, width]` of the source
    /// - output: `[height, width]` before resampling
    pub fn slice_mut<'a, T>(
        &self,
        index: usize,
        array: ArrayViewMut3<'a, T>,
    ) -> ArrayViewMut2<'a, T> {
        let turned = self.bounds.of_mut(self.order.view(array));
        turned.index_axis_move(Axis(0), index)
    }

    /// How many slices there are.
    pub fn slices(&self) -> usize {
        self.bounds.shape()[0]
    }

    /// Whether nothing was cropped away.
    pub fn is_whole(&self) -> bool {
        self.bounds.shape() == self.turned_shape
    }
}

impl Preprocessor {
    /// A preprocessor for settings that have been validated.
    pub fn new(config: PreprocessConfig) -> Self {
        Self { config }
    }

    /// Its settings.
    pub fn config(&self) -> &PreprocessConfig {
        &self.config
    }

    /// Turns, crops, resamples and normalizes `volume`.
    ///
    /// # Errors
    /// [`EngineError::Input`] for voxels that are not numbers, for a volume without
    /// contrast, where a spacing is wanted and the volume has none or a far larger one, or where
    /// colors are wanted.
    pub fn prepare(&self, volume: &Volume) -> Result<Prepared, EngineError> {
        if self.config.input == Input::Rgb {
            let message = "expected a picture in color, found one number at each voxel".to_owned();
            return Err(EngineError::Input { message });
        }
        // What is no part of the picture must not set the scale, nor bleed into its neighbors.
        let mut voxels = volume.to_f32_without_padding();
        refuse_non_finite(&voxels)?;
        let order = self.config.plane.axis_order(&volume.geometry);
        if order != AxisOrder::identity() {
            voxels = order.turn(&voxels);
        } // [slice, height, width]
        let turned_shape = dims(&voxels);
        let bounds = self.config.crop.bounds(voxels.view());
        let resampling = self.resampling(&volume.geometry, order, bounds)?;
        let mut slices = if bounds.shape() == turned_shape && resampling.is_identity() {
            voxels // nothing to do, and a large volume is not copied
        } else {
            resample_linear(bounds.of(voxels.view()), resampling)
        };
        self.config.normalization.apply(&mut slices)?;
        Ok(Prepared {
            slices: slices.insert_axis(Axis(1)),
            resampling,
            placement: Placement { order, turned_shape, bounds },
            geometry: volume.geometry.clone(),
            source: volume.source.clone(),
            neighbors: self.config.neighbors,
        })
    }

    /// Normalizes the colors of `picture`; its pages are slices.
    ///
    /// # Errors
    /// [`EngineError::Input`] for a picture without contrast, where its scale is to come from
    /// itself, or where one number at each voxel is wanted.
    pub fn prepare_color(&self, picture: &ColorVolume) -> Result<Prepared, EngineError> {
        if self.config.input == Input::Gray {
            let message = "expected one number at each voxel, found red, green and blue".to_owned();
            return Err(EngineError::Input { message });
        }
        let scale = self.config.normalization.color_scale(&picture.samples)?;
        let slices = normalized(unit_samples(&picture.samples).view(), &scale);
        Ok(self.unmoved(slices, &picture.geometry, &picture.source))
    }

    /// [`prepare`](Self::prepare) or [`prepare_color`](Self::prepare_color).
    ///
    /// # Errors
    /// As these.
    pub fn prepare_image(&self, image: &CaseImage) -> Result<Prepared, EngineError> {
        match image {
            CaseImage::Gray(volume) => self.prepare(volume),
            CaseImage::Color(picture) => self.prepare_color(picture),
        }
    }

    /// Slices that lie as they are stored.
    fn unmoved(&self, slices: Array4<f32>, geometry: &Geometry, source: &SourceHeader) -> Prepared {
        let shape @ [_, height, width] = geometry.shape();
        let placement = Placement {
            order: AxisOrder::identity(),
            turned_shape: shape,
            bounds: Box3::whole(shape),
        };
        Prepared {
            slices,
            resampling: Resampling::none([height, width]),
            placement,
            geometry: geometry.clone(),
            source: source.clone(),
            neighbors: self.config.neighbors,
        }
    }

    fn resampling(
        &self,
        geometry: &Geometry,
        order: AxisOrder,
        bounds: Box3,
    ) -> Result<Resampling, EngineError> {
        let [_, height, width] = bounds.shape();
        let Some([target_x, target_y]) = self.config.spacing_mm else {
            return Ok(Resampling::none([height, width]));
        };
        let Some(spacing_mm) = geometry.spacing_mm() else {
            return Err(EngineError::Input {
                message: format!(
                    "the model works at {target_x} x {target_y} mm, but this image has no \
                     spacing in millimeters"
                ),
            });
        };
        let [x, y, _] = order.axes().map(|axis| spacing_mm[axis]);
        let target = |size: usize, from: f64, to: f64| (size as f64 * from / to).round().max(1.0);
        let [rows, columns] = [target(height, y, target_y), target(width, x, target_x)];
        if rows.max(columns) > LARGEST_SLICE {
            return Err(EngineError::Input {
                message: format!(
                    "expected slices of at most {LARGEST_SLICE} pixels a side, found {columns} x \
                     {rows} at the {target_x} x {target_y} mm that the model works at"
                ),
            });
        }
        Ok(Resampling::new([height, width], [rows as usize, columns as usize]))
    }
}

impl Prepared {
    /// Where the slices lie among the voxels of the source.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// How many slices there are.
    pub fn len(&self) -> usize {
        self.slices.dim().0
    }

    /// Whether there is no slice at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Height and width of the prepared slices.
    pub fn slice_shape(&self) -> [usize; 2] {
        let (_, _, height, width) = self.slices.dim();
        [height, width]
    }

    /// Writes slice `index` and its neighbors into the middle of `input`, which is
    /// `[channel, height, width]` and at least as large; the edge slices repeat. Neighbors follow
    /// each other, each with all of its channels.
    /// Answers the row and column at which the slice begins.
    pub fn write_input(&self, index: usize, mut input: ArrayViewMut3<'_, f32>) -> [usize; 2] {
        let (_, padded_height, padded_width) = input.dim();
        let [height, width] = self.slice_shape();
        let [top, left] = [(padded_height - height) / 2, (padded_width - width) / 2];
        let channels = self.slices.dim().1;
        for (at, source) in neighbors(index, self.neighbors, self.len()).enumerate() {
            input
                .slice_mut(s![
                    at * channels..(at + 1) * channels,
                    top..top + height,
                    left..left + width
                ])
                .assign(&self.slices.slice(s![source, .., .., ..]));
        }
        [top, left]
    }

    /// Labels of the cropped slices at the resolution of the source, back on its grid.
    ///
    /// # Shapes
    /// - `labels`: `[slice, height, width]` before resampling, [`Resampling::from`]
    pub fn undo(&self, labels: ArrayView3<'_, u8>) -> LabelVolume {
        let Placement { order, turned_shape, bounds } = self.placement;
        let mut turned = Array3::zeros(turned_shape);
        bounds.of_mut(turned.view_mut()).assign(&labels);
        let mut volume = LabelVolume::new(order.inverse().turn(&turned), self.geometry.clone())
            .expect("labels were turned back to the shape of their geometry");
        volume.source = self.source.clone();
        volume
    }

    /// Reference labels on the prepared grid, for training.
    ///
    /// # Errors
    /// [`EngineError::Input`] when `labels` lie on another grid than the volume.
    pub fn prepare_labels(&self, labels: &LabelVolume) -> Result<Array3<u8>, EngineError> {
        self.geometry.same_grid(&labels.geometry).map_err(|mismatch| EngineError::Input {
            message: format!("image and labels differ: {mismatch}"),
        })?;
        let turned = self.placement.order.turn(&labels.labels);
        Ok(resample_nearest(self.placement.bounds.of(turned.view()), self.resampling))
    }
}

/// The slices that make the channels of slice `index`, the edge slices repeated.
pub fn neighbors(index: usize, reach: usize, slices: usize) -> impl Iterator<Item = usize> {
    (0..=2 * reach).map(move |step| (index + step).saturating_sub(reach).min(slices - 1))
}

fn dims<T>(array: &Array3<T>) -> [usize; 3] {
    let (depth, height, width) = array.dim();
    [depth, height, width]
}

fn refuse_non_finite(voxels: &Array3<f32>) -> Result<(), EngineError> {
    let Some(((k, j, i), value)) = voxels.indexed_iter().find(|(_, value)| !value.is_finite())
    else {
        return Ok(());
    };
    let count = voxels.iter().filter(|value| !value.is_finite()).count();
    Err(EngineError::Input {
        message: format!(
            "expected finite voxels, found {count} that are not, the first is {value} at \
             (x, y, z) = ({i}, {j}, {k})"
        ),
    })
}

/// One slice of a stack.
pub fn slice_of<T>(stack: &Array3<T>, index: usize) -> ArrayView2<'_, T> {
    stack.slice(s![index, .., ..])
}
