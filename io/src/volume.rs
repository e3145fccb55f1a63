//! A three-dimensional image: stored voxels, what they mean, and where they are.

use ndarray::{Array2, Array3, Axis, s};
use serde::{Deserialize, Serialize};

use crate::axes::AxisOrder;
use crate::geometry::{Geometry, GeometryError};
use crate::source::SourceHeader;
use crate::statistics::{Statistics, Tally};
use crate::viewing::Viewing;
use crate::voxels::{Scalar, Voxels, with_voxels};

/// What stored numbers stand for: `slope * stored + intercept`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rescale {
    /// Factor.
    pub slope: f64,
    /// What is added after.
    pub intercept: f64,
}

impl Rescale {
    /// Stored numbers are the values.
    pub const IDENTITY: Self = Self { slope: 1.0, intercept: 0.0 };

    /// The value of a stored number.
    pub fn apply(&self, stored: f64) -> f64 {
        self.slope * stored + self.intercept
    }

    /// Whether values are the stored numbers.
    pub fn is_identity(&self) -> bool {
        *self == Self::IDENTITY
    }
}

impl Default for Rescale {
    fn default() -> Self {
        Self::IDENTITY
    }
}

/// How a picture was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Modality {
    /// Computed tomography, in Hounsfield units.
    Ct,
    /// Magnetic resonance.
    Mr,
    /// A color picture.
    Rgb,
    /// Something else, by its name.
    Other(String),
}

impl Modality {
    /// Its name: `ct`, `mr`, `rgb`, or what the file calls it.
    pub fn name(&self) -> &str {
        match self {
            Self::Ct => "ct",
            Self::Mr => "mr",
            Self::Rgb => "rgb",
            Self::Other(name) => name,
        }
    }
}

/// A scan.
///
/// ```
/// use lamina_io::{Affine, Geometry, Volume};
/// use ndarray::Array3;
///
/// let geometry = Geometry::new([2, 3, 4], Affine::from_spacing_origin([1.0, 2.0, 5.0], [0.0; 3]))?;
/// let volume = Volume::from_array(Array3::from_elem([2, 3, 4], 7.5), geometry)?;
/// assert_eq!(volume.value([1, 2, 3]), 7.5);
/// # Ok::<(), lamina_io::GeometryError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    /// Numbers as they were stored.
    pub voxels: Voxels,
    /// What they stand for.
    pub rescale: Rescale,
    /// Where they are.
    pub geometry: Geometry,
    /// How they were taken, where the file says so (NIfTI does not).
    pub modality: Option<Modality>,
    /// How they are to be looked at, where the file says so.
    pub viewing: Viewing,
    /// What an export carries over from the file they came from.
    pub source: SourceHeader,
}

impl Volume {
    /// A volume made by a program.
    ///
    /// # Errors
    /// If `values` and `geometry` differ in shape.
    pub fn from_array(values: Array3<f32>, geometry: Geometry) -> Result<Self, GeometryError> {
        Self::new(Voxels::F32(values), Rescale::IDENTITY, geometry)
    }

    /// A volume of stored numbers.
    ///
    /// # Errors
    /// If `voxels` and `geometry` differ in shape.
    pub fn new(
        voxels: Voxels,
        rescale: Rescale,
        geometry: Geometry,
    ) -> Result<Self, GeometryError> {
        if voxels.shape() != geometry.shape() {
            return Err(GeometryError::Shape { expected: geometry.shape(), found: voxels.shape() });
        }
        Ok(Self {
            voxels,
            rescale,
            geometry,
            modality: None,
            viewing: Viewing::default(),
            source: SourceHeader::default(),
        })
    }

    /// Depth, height, width.
    pub fn shape(&self) -> [usize; 3] {
        self.geometry.shape()
    }

    /// The value at `[depth, height, width]`.
    pub fn value(&self, index: [usize; 3]) -> f64 {
        self.rescale.apply(self.voxels.get(index))
    }

    /// The values of slice `k`.
    ///
    /// # Shapes
    /// - output: `[height, width]`
    pub fn slice_f32(&self, k: usize) -> Array2<f32> {
        with_voxels!(&self.voxels, array => {
            let slice = array.index_axis(Axis(0), k);
            if self.rescale.is_identity() {
                slice.mapv(|stored| stored.to_f64() as f32)
            } else {
                slice.mapv(|stored| self.rescale.apply(stored.to_f64()) as f32)
            }
        })
    }

    /// All values.
    ///
    /// # Shapes
    /// - output: `[depth, height, width]`
    pub fn to_f32(&self) -> Array3<f32> {
        with_voxels!(&self.voxels, array => {
            if self.rescale.is_identity() {
                array.mapv(|stored| stored.to_f64() as f32)
            } else {
                array.mapv(|stored| self.rescale.apply(stored.to_f64()) as f32)
            }
        })
    }

    /// All values, with the smallest one of the picture in place of padding: for programs that
    /// would take what padding is stored as, often far below anything real, for a value. Zero
    /// stays: that is nothing to everybody.
    ///
    /// # Shapes
    /// - output: `[depth, height, width]`
    pub fn to_f32_without_padding(&self) -> Array3<f32> {
        let (Some(padding), Some(smallest)) = (self.viewing.padding, self.statistics().min) else {
            return self.to_f32();
        };
        with_voxels!(&self.voxels, array => array.mapv(|stored| {
            let stored = stored.to_f64();
            let value = self.rescale.apply(stored);
            let filled = padding.holds(stored) && value != 0.0;
            (if filled { smallest } else { value }) as f32
        }))
    }

    /// Extremes and mean of the values, of padding none.
    pub fn statistics(&self) -> Statistics {
        with_voxels!(&self.voxels, array => {
            let mut tally = Tally::new(self.rescale, self.viewing.padding);
            for slice in array.outer_iter() {
                match slice.as_slice() {
                    Some(stored) => tally.add(stored),
                    None => slice.iter().for_each(|&stored| tally.add(&[stored])),
                }
            }
            tally.statistics()
        })
    }

    /// Slice `index` across a voxel axis (0 for x, 2 for z) of a volume of `depth` slices on the
    /// grid `whole`, of which these are the first; what is missing is stored as zero.
    pub(crate) fn slab_of(
        &self,
        axis: usize,
        index: usize,
        depth: usize,
        whole: &Geometry,
    ) -> Self {
        let [there, height, width] = self.shape();
        let (mut shape, mut start) = ([depth, height, width], [0; 3]);
        (shape[2 - axis], start[2 - axis]) = (1, index);
        let voxels = with_voxels!(&self.voxels, array => {
            let mut slab = Array3::from_shape_simple_fn(shape, Default::default);
            if axis != 2 {
                let from = array.slice_axis(Axis(2 - axis), (index..=index).into());
                slab.slice_mut(s![..there, .., ..]).assign(&from);
            } else if index < there {
                slab.assign(&array.slice_axis(Axis(0), (index..=index).into()));
            }
            Scalar::into_voxels(slab)
        });
        Self {
            voxels,
            rescale: self.rescale,
            geometry: whole.part(start, shape),
            modality: self.modality.clone(),
            viewing: self.viewing.clone(),
            source: self.source.clone(),
        }
    }

    /// The same image with its axes in another order; no voxel moves in the world.
    #[must_use]
    pub fn reoriented(&self, order: &AxisOrder) -> Self {
        Self {
            voxels: with_voxels!(&self.voxels, array => Scalar::into_voxels(order.turn(array))),
            rescale: self.rescale,
            geometry: self.geometry.reoriented(order),
            modality: self.modality.clone(),
            viewing: self.viewing.clone(),
            source: self.source.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::affine::Affine;
    use crate::viewing::Padding;

    fn stored_as_i16() -> Volume {
        let geometry =
            Geometry::new([2, 3, 4], Affine::from_spacing_origin([2.0, 3.0, 5.0], [1.0; 3]))
                .unwrap();
        let stored = Array3::from_shape_fn([2, 3, 4], |(k, j, i)| (100 * k + 10 * j + i) as i16);
        Volume::new(Voxels::I16(stored), Rescale { slope: 0.5, intercept: -1000.0 }, geometry)
            .unwrap()
    }

    #[test]
    fn values_are_rescaled_and_the_stored_type_is_kept() {
        let volume = stored_as_i16();
        assert_eq!(volume.value([1, 2, 3]), -938.5);
        assert_eq!(volume.to_f32()[[1, 2, 3]], -938.5);
        assert_eq!(volume.slice_f32(1)[[2, 3]], -938.5);
        assert_eq!(volume.voxels.get([1, 2, 3]), 123.0);
    }

    #[test]
    fn an_array_of_another_shape_is_refused() {
        let geometry = Geometry::pixels([2, 3, 4]);
        let result = Volume::from_array(Array3::zeros([4, 3, 2]), geometry);
        assert_eq!(result, Err(GeometryError::Shape { expected: [2, 3, 4], found: [4, 3, 2] }));
    }

    #[test]
    fn statistics_leave_out_what_is_not_finite() {
        let values = ndarray::arr3(&[[[1.0, f32::NAN], [4.0, f32::INFINITY]]]);
        let volume = Volume::from_array(values, Geometry::pixels([1, 2, 2])).unwrap();
        let statistics = volume.statistics();
        assert_eq!(
            (statistics.min, statistics.max, statistics.mean),
            (Some(1.0), Some(4.0), Some(2.5))
        );
        assert_eq!(statistics.nonfinite, 2);
    }

    #[test]
    fn padding_keeps_its_value_and_counts_for_nothing() {
        let mut volume = stored_as_i16();
        assert_eq!(volume.to_f32_without_padding(), volume.to_f32());
        volume.viewing.padding = Padding::between(11.0, 0.0);
        let statistics = volume.statistics();
        assert_eq!((statistics.min, statistics.padding), (Some(-994.0), 6));
        assert_eq!(volume.value([0, 0, 3]), -998.5);
        assert_eq!(volume.to_f32_without_padding()[[0, 0, 3]], -994.0);
        assert_eq!(volume.to_f32_without_padding()[[0, 1, 2]], -994.0);
        assert_eq!(volume.to_f32_without_padding()[[0, 1, 3]], -993.5);
        volume.rescale = Rescale::IDENTITY;
        assert_eq!(volume.to_f32_without_padding()[[0, 0, 0]], 0.0);
        assert_eq!(volume.to_f32_without_padding()[[0, 0, 1]], 12.0);
    }

    #[test]
    fn reorienting_keeps_each_value_at_its_place() {
        let volume = stored_as_i16();
        for order in AxisOrder::all() {
            let turned = volume.reoriented(&order);
            let place = turned.geometry.ras_from_index().apply([0.0; 3]);
            let [i, j, k] =
                volume.geometry.index_from_ras().apply(place).map(|v| v.round() as usize);
            assert_eq!(turned.value([0; 3]), volume.value([k, j, i]));
        }
    }
}
