//! The tools for correcting labels, as the user has set them. Plain data, no widgets.

use std::path::PathBuf;

use lamina_edit::{
    Boolean, Brush, BrushShape, Combine, Fill, Grow, GrowRange, Holes, Interpolate, IslandAction,
    Islands, JournalSummary, Kernel, LabelSet, Margin, Neighbors, Operand, Operation, Over,
    Polygon, Reach, Rules, Size, Smooth, ValueRange, Winding,
};

use super::labels::{LabelLayer, edit_axis};
use super::plane::{Plane, PlaneView};

/// A region that grows beyond this has leaked.
const LEAK_VOXELS: u64 = 50_000_000;

/// What the left button does in a plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tool {
    /// Moves the crosshair.
    Crosshair,
    /// Paints.
    Brush,
    /// Paints background.
    Eraser,
    /// Fills what is drawn around.
    Polygon,
    /// Relabels what hangs together.
    Fill,
    /// Grows a region of like values.
    Grow,
}

/// What tools may paint over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaintOver {
    /// Anything but locked labels.
    Anything,
    /// Background only: other labels stay.
    Background,
    /// Only voxels that have this label.
    Inside(u8),
}

/// A line that is being drawn around something.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// In which plane...
    pub plane: Plane,
    /// ...and slice.
    pub slice: usize,
    /// Columns and rows, whole at the middle of pixels.
    pub corners: Vec<[f64; 2]>,
}

/// What is done to a whole label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refinement {
    /// Fills the slices between those that were drawn.
    Interpolate,
    /// Keeps the largest part.
    KeepLargest,
    /// Takes small parts away.
    RemoveSmall,
    /// Fills what is enclosed.
    FillHoles,
    /// Evens out the surface.
    Smooth,
    /// Makes it larger.
    Widen,
    /// Makes it smaller.
    Narrow,
    /// Adds another label to it.
    Add,
    /// Takes away what another label of the reference has.
    Subtract,
    /// Keeps what another label of the reference has, too.
    Intersect,
}

/// Work that a journal has and no file.
#[derive(Debug, Clone)]
pub struct Unfinished {
    /// The journal.
    pub path: PathBuf,
    /// What it holds.
    pub summary: JournalSummary,
}

/// The tools, and what they are set to.
#[derive(Debug, Clone, PartialEq)]
pub struct Tools {
    /// What the left button does.
    pub tool: Tool,
    /// The label that is painted.
    pub label: u8,
    /// Radius of brush and eraser, in millimeters; in pixels where the spacing is unknown.
    pub radius_mm: f64,
    /// A ball instead of a disc.
    pub sphere: bool,
    /// What may be painted over.
    pub over: PaintOver,
    /// Whether only voxels with such values are painted.
    pub limited: bool,
    /// The values, from and to.
    pub values: [f64; 2],
    /// By how much values may differ from where a region begins to grow.
    pub tolerance: f64,
    /// Whether fill, grow and refinements stay within the slice.
    pub in_slice: bool,
    /// How far smoothing reaches.
    pub smooth_mm: f64,
    /// By how much labels are made larger or smaller.
    pub margin_mm: f64,
    /// Parts below this are small.
    pub small_ml: f64,
    /// The other label of a combination.
    pub other: u8,
    /// The line that is being drawn.
    pub draft: Option<Draft>,
    /// Labels that nothing changes.
    pub locked: LabelSet,
}

impl Default for Tools {
    fn default() -> Self {
        Self {
            tool: Tool::Crosshair,
            label: 1,
            radius_mm: 3.0,
            sphere: false,
            over: PaintOver::Anything,
            limited: false,
            values: [0.0, 0.0],
            tolerance: 0.0,
            in_slice: false,
            smooth_mm: 1.0,
            margin_mm: 1.0,
            small_ml: 0.1,
            other: 2,
            draft: None,
            locked: LabelSet::EMPTY,
        }
    }
}

impl Tools {
    /// Settings that make sense, nearest to what was asked for.
    #[must_use]
    pub fn sound(mut self) -> Self {
        let within = |value: f64, low: f64, high: f64| {
            if value.is_finite() { value.clamp(low, high) } else { low }
        };
        self.radius_mm = within(self.radius_mm, 0.05, 200.0);
        self.smooth_mm = within(self.smooth_mm, 0.05, 50.0);
        self.margin_mm = within(self.margin_mm, 0.05, 100.0);
        self.small_ml = within(self.small_ml, 0.0, 1e6);
        self.tolerance = within(self.tolerance, 0.0, 1e9);
        self.values = self.values.map(|value| within(value, -1e9, 1e9));
        self.label = self.label.max(1);
        self.other = self.other.max(1);
        self
    }

    /// What tools may change now.
    pub fn rules(&self) -> Rules {
        let within_labels = match self.over {
            PaintOver::Anything => None,
            PaintOver::Background => Some(LabelSet::from([0, self.label])),
            PaintOver::Inside(label) => Some(LabelSet::from([label, self.label])),
        };
        let within_values =
            self.limited.then(|| ValueRange::between(self.values[0], self.values[1]));
        Rules { within_labels, within_values, locked: self.locked }
    }

    /// The brush or the eraser for a plane.
    pub fn brush(&self, view: &PlaneView) -> Option<Brush> {
        let label = match self.tool {
            Tool::Brush => self.label,
            Tool::Eraser => 0,
            _ => return None,
        };
        let shape = if self.sphere {
            BrushShape::Sphere
        } else {
            BrushShape::Disc(edit_axis(view.slice.axis))
        };
        Some(Brush::new(shape, self.radius_mm, label))
    }

    /// What is filled or grown from a voxel (i, j, k).
    pub fn spread(&self, view: &PlaneView, voxel: [usize; 3]) -> Option<Operation> {
        let [i, j, k] = voxel;
        let slice = self.in_slice.then(|| edit_axis(view.slice.axis));
        let (seed, label, neighbors) = ([k, j, i], self.label, Neighbors::Faces);
        match self.tool {
            Tool::Fill => Some(Operation::Fill(Fill { seed, slice, neighbors, label })),
            Tool::Grow => {
                let range = GrowRange::AroundSeed(self.tolerance);
                let (radius_mm, max_voxels) = (None, LEAK_VOXELS);
                let grow = Grow { seed, range, radius_mm, slice, neighbors, max_voxels, label };
                Some(Operation::Grow(grow))
            }
            _ => None,
        }
    }

    /// What the line encloses that is being drawn.
    pub fn polygon(&self, view: &PlaneView) -> Option<Operation> {
        let draft = self.draft.as_ref().filter(|draft| draft.corners.len() >= 3)?;
        let axis = edit_axis(view.slice.axis);
        let corners = draft.corners.iter().map(|&[column, row]| {
            let index = view.index(draft.slice as f64, column, row);
            axis.in_plane().map(|axis| index[2 - axis.index()])
        });
        Some(Operation::Polygon(Polygon {
            axis,
            slice: view.slice.voxel(draft.slice),
            corners: corners.collect(),
            winding: Winding::NonZero,
            label: self.label,
        }))
    }

    /// What a refinement does, seen from a slice of a plane.
    pub fn refine(&self, refinement: Refinement, view: &PlaneView, slice: usize) -> Operation {
        let axis = edit_axis(view.slice.axis);
        let reach = if self.in_slice {
            Reach::Slice { axis, index: view.slice.voxel(slice) }
        } else {
            Reach::Volume
        };
        let (label, neighbors) = (self.label, Neighbors::Faces);
        let over = match self.over {
            PaintOver::Anything => Over::Any,
            PaintOver::Background | PaintOver::Inside(_) => Over::Background,
        };
        let islands = |action| Operation::Islands(Islands { label, action, neighbors, reach });
        let margin = |margin_mm| Operation::Margin(Margin { label, margin_mm, reach, over });
        let boolean = |combine, with| Operation::Boolean(Boolean { combine, label, with, over });
        let other = LabelSet::from([self.other]);
        match refinement {
            Refinement::Interpolate => Operation::Interpolate(Interpolate {
                axis,
                label: Some(label),
                over: Over::Background,
            }),
            Refinement::KeepLargest => islands(IslandAction::KeepLargest),
            Refinement::RemoveSmall => {
                islands(IslandAction::RemoveSmaller(Size::Milliliters(self.small_ml)))
            }
            Refinement::FillHoles => {
                let max_voxels = None;
                Operation::Holes(Holes { label, neighbors, reach, over, max_voxels })
            }
            Refinement::Smooth => {
                let kernel = Kernel::Gaussian { sigma_mm: self.smooth_mm };
                Operation::Smooth(Smooth { label: Some(label), kernel, reach, over })
            }
            Refinement::Widen => margin(self.margin_mm),
            Refinement::Narrow => margin(-self.margin_mm),
            Refinement::Add => boolean(Combine::Union, Operand::Labels(other)),
            Refinement::Subtract => {
                boolean(Combine::Subtract, Operand::Second(LabelSet::from([label])))
            }
            Refinement::Intersect => {
                boolean(Combine::Intersect, Operand::Second(LabelSet::from([label])))
            }
        }
    }

    /// The label before or after the one that is painted, among the rows of a layer.
    pub fn neighbor(&self, layer: &LabelLayer, forwards: bool) -> Option<u8> {
        let rows = || layer.classes.iter().map(|class| class.value);
        if forwards {
            rows().find(|value| *value > self.label).or_else(|| rows().next())
        } else {
            rows().rev().find(|value| *value < self.label).or_else(|| rows().next_back())
        }
    }
}

#[cfg(test)]
mod tests {
    use lamina_edit::Session;
    use lamina_io::{Affine, AxisOrder, Geometry, LabelVolume};
    use ndarray::Array3;

    use super::*;

    #[test]
    fn a_polygon_fills_what_the_page_shows_in_every_order_of_axes() {
        let affine = Affine::from_spacing_origin([1.0, 1.5, 4.0], [3.0, -4.0, 5.0]);
        for order in AxisOrder::all() {
            let geometry = Geometry::new([5, 9, 7], affine).unwrap().reoriented(&order);
            for view in PlaneView::all(&geometry) {
                let labels = Array3::zeros(geometry.shape());
                let volume = LabelVolume::new(labels, geometry.clone()).unwrap();
                let mut session = Session::new(volume);
                // Around the pixels of columns 1 and 2, rows 1 to 3.
                let corners = vec![[0.6, 0.6], [2.4, 0.6], [2.4, 3.4], [0.6, 3.4]];
                let draft = Draft { plane: view.plane, slice: 2, corners };
                let tools = Tools { draft: Some(draft), label: 7, ..Tools::default() };
                session.apply(&tools.polygon(&view).unwrap()).unwrap();
                let mut expected = Array3::<u8>::zeros(geometry.shape());
                for column in 1..=2 {
                    for row in 1..=3 {
                        let [i, j, k] = view.voxel(2, column, row);
                        expected[[k, j, i]] = 7;
                    }
                }
                assert_eq!(*session.labels(), expected, "{order:?} {:?}", view.plane);
            }
        }
    }

    #[test]
    fn rules_follow_what_may_be_painted_over() {
        let mut tools = Tools { label: 2, ..Tools::default() };
        assert!(tools.rules().is_free());
        tools.over = PaintOver::Inside(1);
        assert_eq!(tools.rules().within_labels, Some(LabelSet::from([1, 2])));
        tools.limited = true;
        tools.values = [30.0, 10.0];
        assert_eq!(tools.rules().within_values, Some(ValueRange::between(10.0, 30.0)));
    }
}
