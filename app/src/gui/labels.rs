//! Labels over a volume: on its grid, with a name and a color for each.

use std::collections::BTreeMap;

use lamina_io::dataset::Class;
use lamina_io::{Geometry, GridMismatch, LabelVolume};
use ndarray::{Array3, Axis, Zip};

use super::pixels::Rgb;

/// Colors of labels that nobody has named: distinct ones first.
const COLORS: [Rgb; 10] = [
    [255, 170, 60],
    [60, 190, 255],
    [120, 220, 90],
    [230, 100, 160],
    [180, 130, 255],
    [245, 225, 70],
    [80, 220, 200],
    [235, 90, 80],
    [150, 160, 255],
    [200, 220, 140],
];

/// One row of the label table.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelClass {
    /// The number that voxels hold.
    pub value: u8,
    /// What to call it.
    pub name: String,
    /// What it is painted with.
    pub color: Rgb,
    /// Whether it is painted at all.
    pub visible: bool,
    /// How many voxels have it.
    pub voxels: u64,
}

/// Labels on the grid of the volume that is open.
#[derive(Debug, Clone)]
pub struct LabelLayer {
    /// The labels.
    pub volume: LabelVolume,
    /// The labels that have a row, by value; never the background.
    pub classes: Vec<LabelClass>,
    /// Changes with every change of the labels or of how they look.
    pub revision: u64,
    /// Where they come from: "hippocampus-unet", or the name of a file.
    pub origin: String,
    /// Whether they are in no file yet.
    pub unsaved: bool,
}

impl LabelLayer {
    /// A layer with rows for the labels that `volume` has and for `known`, whose place in the
    /// list is their label, background first.
    pub fn new(volume: LabelVolume, known: &[Class], origin: String) -> Self {
        let counts = volume.counts();
        Self::with_counts(volume, known, origin, &counts)
    }

    /// [`new`](Self::new) for whom has counted already.
    pub fn with_counts(
        volume: LabelVolume,
        known: &[Class],
        origin: String,
        counts: &BTreeMap<u8, u64>,
    ) -> Self {
        let rows = (0..=255_u8).zip(known).skip(1).map(|(value, class)| LabelClass {
            value,
            name: class.name.clone(),
            color: class.color,
            visible: true,
            voxels: 0,
        });
        let mut layer =
            Self { volume, classes: rows.collect(), revision: 0, origin, unsaved: false };
        layer.add(counts);
        layer
    }

    /// Other labels, counted already; names and colors stay.
    pub fn replace(&mut self, volume: LabelVolume, counts: &BTreeMap<u8, u64>) {
        self.volume = volume;
        for class in &mut self.classes {
            class.voxels = 0;
        }
        self.add(counts);
        self.revision += 1;
    }

    /// Adds voxels that got labels; labels that turn up get a row.
    pub fn add(&mut self, counts: &BTreeMap<u8, u64>) {
        for (&value, &voxels) in counts.iter().filter(|(value, _)| **value != 0) {
            if let Some(class) = self.classes.iter_mut().find(|class| class.value == value) {
                class.voxels += voxels;
                continue;
            }
            let color = COLORS[(usize::from(value) - 1) % COLORS.len()];
            let name = format!("Label {value}");
            self.classes.push(LabelClass { value, name, color, visible: true, voxels });
        }
        self.classes.sort_by_key(|class| class.value);
    }

    /// The row of a label.
    pub fn class(&self, value: u8) -> Option<&LabelClass> {
        self.classes.iter().find(|class| class.value == value)
    }

    /// Volume of a row in milliliters, where the spacing is known.
    pub fn volume_ml(&self, class: &LabelClass) -> Option<f64> {
        Some(self.volume.geometry.voxel_volume_ml()? * class.voxels as f64)
    }
}

/// Labels brought to another grid, and whether that took resampling.
///
/// # Errors
/// Where one grid has a place in the patient and the other has none, and they differ in shape.
pub fn onto_grid(
    labels: LabelVolume,
    geometry: &Geometry,
) -> Result<(LabelVolume, bool), GridMismatch> {
    match geometry.same_grid(&labels.geometry) {
        Ok(()) => return Ok((LabelVolume { geometry: geometry.clone(), ..labels }, false)),
        Err(mismatch @ GridMismatch::Shape { .. }) if geometry.spacing_mm().is_none() => {
            return Err(mismatch);
        }
        Err(GridMismatch::Spacing) => return Err(GridMismatch::Spacing),
        Err(_) => {}
    }
    // The nearest voxel in the patient, along the way that the transforms compose to.
    let there = labels.geometry.index_from_ras().compose(geometry.ras_from_index());
    let [depth, height, width] = labels.shape();
    let inside = |at: f64, len: usize| {
        let nearest = at.round();
        (nearest >= 0.0 && nearest < len as f64).then_some(nearest as usize)
    };
    let mut found = Array3::zeros(geometry.shape());
    let source = &labels.labels;
    Zip::indexed(found.axis_iter_mut(Axis(0))).par_for_each(|k, mut slice| {
        for ((j, i), label) in slice.indexed_iter_mut() {
            let [x, y, z] = there.apply([i as f64, j as f64, k as f64]);
            if let (Some(x), Some(y), Some(z)) =
                (inside(x, width), inside(y, height), inside(z, depth))
            {
                *label = source[[z, y, x]];
            }
        }
    });
    let volume = LabelVolume { labels: found, geometry: geometry.clone(), source: labels.source };
    Ok((volume, true))
}

#[cfg(test)]
mod tests {
    use lamina_io::{Affine, AxisOrder};

    use super::*;

    fn one_voxel(shape: [usize; 3], at: [usize; 3], affine: Affine) -> LabelVolume {
        let mut labels = Array3::zeros(shape);
        labels[at] = 3;
        LabelVolume::new(labels, Geometry::new(shape, affine).unwrap()).unwrap()
    }

    #[test]
    fn labels_in_another_order_meet_the_image_in_the_patient() {
        let affine = Affine::from_spacing_origin([1.0, 2.0, 5.0], [10.0, 20.0, 30.0]);
        let expected = one_voxel([3, 4, 5], [2, 1, 4], affine);
        for order in AxisOrder::all() {
            let turned = expected.reoriented(&order);
            let (found, _) = onto_grid(turned, &expected.geometry).unwrap();
            assert_eq!(found.labels, expected.labels, "{order:?}");
        }
    }

    #[test]
    fn a_finer_grid_is_resampled_and_says_so() {
        let coarse =
            one_voxel([1, 1, 2], [0, 0, 1], Affine::from_spacing_origin([2.0; 3], [0.5, 0.0, 0.0]));
        let fine = Geometry::new([1, 1, 4], Affine::from_spacing_origin([1.0, 2.0, 2.0], [0.0; 3]));
        let (found, resampled) = onto_grid(coarse, &fine.unwrap()).unwrap();
        assert!(resampled);
        assert_eq!(found.labels.into_raw_vec_and_offset().0, [0, 0, 3, 3]);
    }

    #[test]
    fn pictures_of_another_size_do_not_match() {
        let labels = LabelVolume::new(Array3::zeros([1, 2, 2]), Geometry::pixels([1, 2, 2]));
        assert!(onto_grid(labels.unwrap(), &Geometry::pixels([1, 2, 3])).is_err());
    }

    #[test]
    fn labels_without_a_name_get_a_row() {
        let affine = Affine::from_spacing_origin([10.0; 3], [0.0; 3]);
        let known = [Class { name: "background".into(), color: [0; 3], value: None, codes: None }];
        let layer = LabelLayer::new(one_voxel([1, 1, 2], [0, 0, 1], affine), &known, "x".into());
        assert_eq!(layer.classes.len(), 1);
        assert_eq!(layer.classes[0].name, "Label 3");
        assert_eq!(layer.volume_ml(&layer.classes[0]), Some(1.0));
    }
}
