//! Labels over a volume: on its grid, with a name and a color for each.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lamina_edit::Session;
use lamina_engine::preprocess::Placement;
use lamina_io::dataset::Class;
use lamina_io::{Geometry, GridMismatch, LabelVolume, SourceHeader, Volume};
use ndarray::{Array3, ArrayView2, ArrayViewMut3, Axis, Zip};

use super::pixels::Rgb;
use super::segment::VoxelBox;

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

/// Where labels come from that were drawn.
pub const BY_HAND: &str = "hand";

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
}

/// Labels while a model makes them, slice by slice.
struct Live {
    labels: Arc<Array3<u8>>,
    counts: [u64; 256],
    revision: u64,
}

/// What a picture of a slice with labels was made of: the same as long as they look the same.
pub type Stamp = [u64; 4];

/// Labels on the grid of the volume that is open: what was opened, made by a model or drawn, with
/// everything that can be undone.
pub struct LabelLayer {
    /// The labels that have a row, by value; never the background.
    pub classes: Vec<LabelClass>,
    /// Where they come from: "hippocampus-unet", or the name of a file.
    pub origin: String,
    /// The file that they were read from, or are saved in.
    pub file: Option<PathBuf>,
    session: Session,
    source: SourceHeader,
    live: Option<Live>,
    /// Another number for every layer.
    id: u64,
    /// Counts changes of how the labels look.
    looks: u64,
    /// The last step of what is in a file; none where nothing is.
    saved: Option<u64>,
}

impl LabelLayer {
    /// A layer with rows for the labels that `volume` has and for `known`, whose place in the
    /// list is their label, background first. They count as saved.
    pub fn new(volume: LabelVolume, known: &[Class], origin: String) -> Self {
        let source = volume.source.clone();
        let mut layer = Self::with_session(Session::new(volume), source, origin);
        layer.name_labels(known);
        layer
    }

    fn with_session(session: Session, source: SourceHeader, origin: String) -> Self {
        static LAYERS: AtomicU64 = AtomicU64::new(0);
        let mut layer = Self {
            classes: Vec::new(),
            origin,
            file: None,
            session,
            source,
            live: None,
            id: LAYERS.fetch_add(1, Ordering::Relaxed),
            looks: 0,
            saved: Some(0),
        };
        layer.add_rows();
        layer
    }

    /// An empty layer over a volume, whose image values tools may ask for.
    pub fn empty(image: &Arc<Volume>) -> Self {
        let geometry = image.geometry.clone();
        let labels = Array3::zeros(geometry.shape());
        let volume = LabelVolume { labels, geometry, source: image.source.clone() };
        let mut layer = Self::new(volume, &[], BY_HAND.to_owned());
        layer.lie_over(image);
        layer
    }

    /// Goes on with labels that are being edited.
    pub fn resume(session: Session, source: SourceHeader, origin: String) -> Self {
        let mut layer = Self::with_session(session, source, origin);
        layer.saved = None;
        layer
    }

    /// Lets tools ask for the values of the image; one on another grid is left aside.
    pub fn lie_over(&mut self, image: &Arc<Volume>) {
        let _ = self.session.set_image(Some(image.clone()));
    }

    /// The labels, `[depth, height, width]`: as a model makes them, while one does.
    pub fn labels(&self) -> &Array3<u8> {
        self.live.as_ref().map_or_else(|| self.session.labels(), |live| &live.labels)
    }

    /// Where they are.
    pub fn geometry(&self) -> &Geometry {
        self.session.geometry()
    }

    /// The labels with everything that a file of them says; a copy.
    pub fn volume(&self) -> LabelVolume {
        let (geometry, source) = (self.geometry().clone(), self.source.clone());
        LabelVolume { labels: self.labels().clone(), geometry, source }
    }

    /// What was done, and what tools may do.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Changes the labels through their session.
    pub fn edit<T>(&mut self, change: impl FnOnce(&mut Session) -> T) -> T {
        let answer = change(&mut self.session);
        self.add_rows();
        answer
    }

    /// Whether there is anything that is in no file.
    pub fn is_unsaved(&self) -> bool {
        self.live.is_some() || self.saved != Some(self.step())
    }

    /// The last step that stands, to tell what is saved: 0 where there is none.
    pub fn step(&self) -> u64 {
        self.session.undoable().map_or(0, |step| step.number)
    }

    /// Notes that the labels as they were after a step are in a file.
    pub fn saved_at(&mut self, step: u64) {
        self.saved = Some(step);
    }

    /// Changes with every change of the labels.
    pub fn revision(&self) -> Stamp {
        let live = self.live.as_ref().map_or(0, |live| live.revision + 1);
        [self.id, self.looks, live, self.session.revision()]
    }

    /// Changes when a slice across a voxel axis (0 for i, 2 for k) looks different.
    pub fn slice_stamp(&self, axis: usize, index: usize) -> Stamp {
        let mut stamp = self.revision();
        stamp[3] = self.session.slice_revision(edit_axis(axis), index);
        stamp
    }

    /// Whether a model is making labels.
    pub fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// Begins to take slices of a model, over the labels that there are.
    pub fn begin_live(&mut self) {
        let counts = std::array::from_fn(|label| self.session.tally().count(label as u8));
        let labels = Arc::new(self.session.labels().clone());
        self.live = Some(Live { labels, counts, revision: 0 });
    }

    /// Puts what of a model's slice lies in a part there.
    pub fn take_slice(
        &mut self,
        index: usize,
        labels: ArrayView2<'_, u8>,
        placement: &Placement,
        part: &VoxelBox,
    ) {
        let (axis, at) = (placement.slice_axis(), placement.voxel_of_slice(index));
        self.take_plane(axis, at, part, |whole| placement.write_slice(index, labels, whole));
    }

    /// Empties what of a plane across a voxel axis lies in a part, and lets `write` fill it. It
    /// gets all labels and may change those of the plane.
    pub fn take_plane(
        &mut self,
        axis: usize,
        at: usize,
        part: &VoxelBox,
        write: impl FnOnce(ArrayViewMut3<'_, u8>),
    ) {
        let Some(live) = self.live.as_mut().filter(|_| part.holds(axis, at)) else { return };
        let across = Axis(2 - axis);
        let labels = Arc::make_mut(&mut live.labels);
        let before = labels.index_axis(across, at).to_owned();
        labels.index_axis_mut(across, at).fill(0);
        write(labels.view_mut());
        part.restore_outside(axis, labels.index_axis_mut(across, at), &before);
        before.for_each(|label| live.counts[usize::from(*label)] -= 1);
        labels.index_axis(across, at).for_each(|label| live.counts[usize::from(*label)] += 1);
        live.revision += 1;
        self.add_rows();
    }

    /// All that a model made, to become one step. It stays on the screen until
    /// [`end_live`](Self::end_live).
    pub fn made_live(&mut self) -> Option<Arc<Array3<u8>>> {
        self.live.as_ref().map(|live| live.labels.clone())
    }

    /// Shows the labels themselves again.
    pub fn end_live(&mut self) {
        self.live = None;
        self.looks += 1;
        self.add_rows();
    }

    /// Names and colors for labels, by their place in the list, background first.
    pub fn name_labels(&mut self, known: &[Class]) {
        for (value, class) in (0..=255_u8).zip(known).skip(1) {
            self.classes.retain(|row| row.value != value);
            let (name, color) = (class.name.clone(), class.color);
            self.classes.push(LabelClass { value, name, color, visible: true });
        }
        self.classes.sort_by_key(|class| class.value);
        self.looks += 1;
    }

    /// Changes a row.
    pub fn change_row(&mut self, value: u8, change: impl FnOnce(&mut LabelClass)) {
        if let Some(class) = self.classes.iter_mut().find(|class| class.value == value) {
            change(class);
            self.looks += 1;
        }
    }

    /// Gives a row to a label that has none.
    pub fn add_row(&mut self, value: u8) {
        if value == 0 || self.class(value).is_some() {
            return;
        }
        let color = COLORS[(usize::from(value) - 1) % COLORS.len()];
        let name = format!("Label {value}");
        self.classes.push(LabelClass { value, name, color, visible: true });
        self.classes.sort_by_key(|class| class.value);
        self.looks += 1;
    }

    /// Gives a row to each label that turned up.
    fn add_rows(&mut self) {
        for value in 1..=255 {
            if self.count(value) > 0 {
                self.add_row(value);
            }
        }
    }

    /// The row of a label.
    pub fn class(&self, value: u8) -> Option<&LabelClass> {
        self.classes.iter().find(|class| class.value == value)
    }

    /// How many voxels have a label.
    pub fn count(&self, value: u8) -> u64 {
        match &self.live {
            Some(live) => live.counts[usize::from(value)],
            None => self.session.tally().count(value),
        }
    }

    /// Volume of a label in milliliters, where the spacing is known.
    pub fn volume_ml(&self, value: u8) -> Option<f64> {
        Some(self.geometry().voxel_volume_ml()? * self.count(value) as f64)
    }
}

impl fmt::Debug for LabelLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LabelLayer").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// A voxel axis (0 for i, 2 for k) as the tools count them.
pub fn edit_axis(axis: usize) -> lamina_edit::Axis {
    lamina_edit::Axis::ALL[2 - axis]
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
        assert_eq!(layer.volume_ml(3), Some(1.0));
    }
}
