//! Going from place to place.

use super::Desktop;
use crate::gui::plane::Plane;
use crate::gui::state::State;

impl Desktop {
    pub(super) fn scroll(&mut self, plane: Plane, by: i64) {
        if let Some(slice) = self.state.slice(plane) {
            self.go_to_slice(plane, slice.saturating_add_signed(by as isize));
        }
    }

    pub(super) fn go_to_slice(&mut self, plane: Plane, slice: usize) {
        let (Some(view), Some(geometry), Some(index)) =
            (self.state.view(plane), self.state.geometry(), self.state.crosshair_index())
        else {
            return;
        };
        let [_, column, row] = view.page(index);
        let slice = slice.min(view.slice.len - 1);
        let index = view.index(slice as f64, column, row);
        self.state.crosshair_mm = geometry.ras_from_index().apply(index);
    }

    /// Moves the crosshair by columns and rows of a page, as far as there are any.
    pub(super) fn step(&mut self, plane: Plane, by: [f64; 2]) {
        let (Some(view), Some(geometry), Some(index)) =
            (self.state.view(plane), self.state.geometry(), self.state.crosshair_index())
        else {
            return;
        };
        let [slice, column, row] = view.page(index);
        let within = |at: f64, by: f64, len: usize| (at.round() + by).clamp(0.0, (len - 1) as f64);
        let (column, row) =
            (within(column, by[0], view.right.len), within(row, by[1], view.down.len));
        self.state.crosshair_mm = geometry.ras_from_index().apply(view.index(slice, column, row));
    }

    pub(super) fn go_to_doubtful(&mut self, forwards: bool) {
        let (Some(doubt), Some(plane), Some(index)) =
            (&self.state.doubt, self.state.doubt_plane(), self.state.crosshair_index())
        else {
            return self
                .notice("Segment first: doubtful slices are those of which the model is unsure.");
        };
        let Some(view) = self.state.image.as_ref().and_then(|image| image.view(plane)) else {
            return;
        };
        let from = view.slice.voxel(view.slice_of(index));
        // "Next" is up the page order, whichever way the voxels run.
        match doubt.next(from, forwards != view.slice.backwards) {
            Some(voxel) => {
                let slice = view.slice_of({
                    let mut at = index;
                    at[doubt.axis] = voxel as f64;
                    at
                });
                self.go_to_slice(plane, slice);
            }
            None => self.notice(
                "No slice is doubtful by the model's own softmax; it can be sure and wrong.",
            ),
        }
    }

    /// Zooms by a factor; what is at `around`, in points from the middle of the pane, stays.
    pub(super) fn zoom(&mut self, plane: Plane, factor: f32, around: [f32; 2]) {
        let pane = &mut self.state.panes[State::pane_index(plane)];
        let zoom = (pane.zoom * factor).clamp(0.2, 60.0);
        let factor = zoom / pane.zoom;
        pane.zoom = zoom;
        for (pan, around) in pane.pan.iter_mut().zip(around) {
            *pan = around + (*pan - around) * factor;
        }
    }

    pub(super) fn pan(&mut self, plane: Plane, [x, y]: [f32; 2]) {
        let pane = &mut self.state.panes[State::pane_index(plane)];
        pane.pan = [pane.pan[0] + x, pane.pan[1] + y];
    }
}
