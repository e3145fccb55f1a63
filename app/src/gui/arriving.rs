//! Slices of a volume that is still being read: which of them are wanted, and what is there.
//!
//! The thread that reads keeps the only copy of the voxels; of what is there it hands on the
//! slices that the window shows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lamina_io::{Arrived, Geometry, Volume};

use super::plane::PlaneView;
use super::shades::{Preset, Window, presets};
use super::thumbnails::Thumbnail;

/// Pictures a second that are handed on while a file is read.
const BETWEEN: Duration = Duration::from_millis(100);

/// The slices that the window wants to see, by voxel axis; shared with the thread that reads.
#[derive(Debug, Clone)]
pub struct Wanted(Arc<[AtomicUsize; 3]>);

impl Default for Wanted {
    /// Whatever is there.
    fn default() -> Self {
        Self(Arc::new([0; 3].map(|_| AtomicUsize::new(usize::MAX))))
    }
}

impl Wanted {
    /// Asks for the slices through a voxel (i, j, k).
    pub fn ask(&self, voxel: [usize; 3]) {
        for (wanted, at) in self.0.iter().zip(voxel) {
            wanted.store(at, Ordering::Relaxed);
        }
    }

    /// The voxel (i, j, k) through which to show slices of a volume: the one that is asked for, or
    /// else the middle, up to the slice that came last.
    fn place(&self, [depth, height, width]: [usize; 3], there: usize) -> [usize; 3] {
        let limits = [width, height, depth];
        let newest = [width, height, there].map(|n| n.saturating_sub(1));
        [0, 1, 2].map(|axis| match self.0[axis].load(Ordering::Relaxed) {
            usize::MAX => newest[axis].min(limits[axis] / 2),
            asked => asked.min(limits[axis] - 1),
        })
    }
}

/// What is there of a volume that is being read.
#[derive(Debug)]
pub struct Arriving {
    /// What to call it.
    pub name: String,
    /// Where all of it will lie.
    pub geometry: Geometry,
    /// Its pages.
    pub views: Vec<PlaneView>,
    /// One slice across each voxel axis...
    pub slabs: Vec<Volume>,
    /// ...through this voxel (i, j, k).
    pub place: [usize; 3],
    /// How many slices along the last voxel axis are there.
    pub there: usize,
    /// What to look through.
    pub window: Window,
    /// Another number for each.
    pub number: u64,
}

impl Arriving {
    /// Whether slice `slice` of a plane is there, as far as slices are there at all.
    pub fn is_there(&self, view: &PlaneView, slice: usize) -> bool {
        view.slice.axis != 2 || view.slice.voxel(slice) < self.there
    }

    /// The part of a page that is there: from column and row to column and row.
    pub fn part_of_page(&self, view: &PlaneView, slice: usize) -> [[usize; 2]; 2] {
        let [mut from, mut to] = [[0, 0], [view.right.len, view.down.len]];
        if view.slice.axis == 2 && !self.is_there(view, slice) {
            return [from, [0, 0]];
        }
        for (place, run) in [view.right, view.down].into_iter().enumerate() {
            if run.axis == 2 && run.backwards {
                from[place] = run.len - self.there;
            } else if run.axis == 2 {
                to[place] = self.there;
            }
        }
        [from, to]
    }
}

/// What comes in while the window waits for it.
#[derive(Debug, Default)]
pub struct Incoming {
    /// The volume that is being read, where no other is shown.
    pub arriving: Option<Arriving>,
    /// The slices of it that the window wants.
    pub wanted: Wanted,
    /// Where the crosshair was put to follow the slices, in RAS millimeters; it is left where it is
    /// once the user moves it.
    pub followed_mm: Option<[f64; 3]>,
    /// Small pictures of what there is to choose from, by place in the list.
    pub thumbnails: Vec<Option<Thumbnail>>,
}

/// Makes pictures of what a reader has so far, a few times a second.
pub struct Watcher {
    name: String,
    wanted: Wanted,
    told: Option<Instant>,
    last: Option<[usize; 3]>,
    /// The preset that the slices were looked at for, and how many there were.
    preset: Option<(Preset, usize)>,
    number: u64,
}

impl Watcher {
    /// A watcher of the file that is called `name`.
    pub fn new(name: String, wanted: Wanted) -> Self {
        Self { name, wanted, told: None, last: None, preset: None, number: 0 }
    }

    /// What to show now, where that is something new. A volume of one slice is shown once it is
    /// read.
    pub fn look(&mut self, arrived: &Arrived<'_>) -> Option<Arriving> {
        let (part, there) = (arrived.part?, arrived.slices());
        let shape = arrived.geometry.shape();
        let place = self.wanted.place(shape, there);
        let soon = self.told.is_some_and(|told| told.elapsed() < BETWEEN);
        if there == shape[0] || (soon && self.last == Some(place)) || (soon && there < shape[0]) {
            return None;
        }
        self.told = Some(Instant::now());
        self.last = Some(place);
        self.number += 1;
        let slabs = (0..3).map(|axis| arrived.slab(axis, place[axis])).collect::<Option<_>>()?;
        Some(Arriving {
            name: self.name.clone(),
            geometry: arrived.geometry.clone(),
            views: PlaneView::all(arrived.geometry),
            slabs,
            place,
            there,
            window: self.window(part, there),
            number: self.number,
        })
    }

    /// What the part would be opened with; values are looked at anew when there are twice as many.
    fn window(&mut self, part: &Volume, there: usize) -> Window {
        match &self.preset {
            Some((preset, looked_at)) if there < 2 * looked_at => preset.window,
            _ => {
                let first = presets(part).into_iter().next();
                let window =
                    first.as_ref().map_or(Window { center: 0.5, width: 1.0 }, |p| p.window);
                self.preset = first.map(|preset| (preset, there));
                window
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lamina_io::Affine;

    use super::super::plane::Plane;
    use super::*;

    fn arriving(geometry: Geometry, there: usize) -> Arriving {
        Arriving {
            name: "case".into(),
            views: PlaneView::all(&geometry),
            geometry,
            slabs: Vec::new(),
            place: [0; 3],
            there,
            window: Window { center: 0.5, width: 1.0 },
            number: 0,
        }
    }

    #[test]
    fn the_newest_slice_is_followed_up_to_the_middle() {
        let wanted = Wanted::default();
        assert_eq!(wanted.place([10, 6, 8], 1), [4, 3, 0]);
        assert_eq!(wanted.place([10, 6, 8], 4), [4, 3, 3]);
        assert_eq!(wanted.place([10, 6, 8], 9), [4, 3, 5]);
        wanted.ask([1, 2, 50]);
        assert_eq!(wanted.place([10, 6, 8], 1), [1, 2, 9]);
    }

    #[test]
    fn what_is_missing_of_a_page_is_on_its_right_side() {
        // Slices run to the head, which is on top of a coronal page: they come from below.
        let affine = Affine::from_spacing_origin([1.0, 2.0, 5.0], [0.0; 3]);
        let arriving = arriving(Geometry::new([10, 6, 8], affine).unwrap(), 3);
        let [axial, coronal, _] = arriving.views[..] else { panic!("three planes") };
        assert_eq!(arriving.part_of_page(&coronal, 2), [[0, 7], [8, 10]]);
        assert_eq!(arriving.part_of_page(&axial, 2), [[0, 0], [8, 6]]);
        assert_eq!(arriving.part_of_page(&axial, 3), [[0, 0], [0, 0]]);
        assert!(arriving.is_there(&axial, 2) && !arriving.is_there(&axial, 3));
        assert_eq!(coronal.plane, Plane::Coronal);
    }
}
