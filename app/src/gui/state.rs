//! Everything the window knows: plain data, no widgets.
//!
//! Views read it and push commands; only `desktop/` changes it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use lamina_engine::inference::DOUBTFUL;
use lamina_engine::inference::{CaseDoubt, Expectation};
use lamina_io::{Geometry, SeriesInfo, Volume};
use ndarray::Array3;
use serde::{Deserialize, Serialize};

use super::arriving::Incoming;
use super::command::Command;
use super::compare::Compare;
use super::export::Exporting;
use super::keymap::Keyboard;
use super::labels::LabelLayer;
use super::plane::{Plane, PlaneView};
use super::segment::{ModelChoice, SegmentState};
use super::shades::{Preset, Window};
use super::tools::{Tools, Unfinished};
use super::worklist::Worklist;

/// Said wherever users of such tools expect it.
pub const RESEARCH_USE: &str = "Research use only, not for clinical decisions";

/// An image with what is found out about it once, by the job that opens it.
#[derive(Debug, Clone)]
pub struct OpenImage {
    /// Its voxels.
    pub volume: Arc<Volume>,
    /// What to call it on the screen, and nowhere else: it may tell who the patient is.
    pub name: String,
    /// Its pages.
    pub views: Vec<PlaneView>,
    /// Windows to look through; the first is what it opens with.
    pub presets: Vec<Preset>,
    /// Where it came from.
    pub path: PathBuf,
    /// Which series of a folder it is, by its place from 1.
    pub series: Option<u32>,
    /// Whether it is DICOM, and labels can be written into its study.
    pub is_dicom: bool,
    /// What is wrong with it, as missing slices that repeat their neighbors.
    pub flaws: Vec<String>,
    /// Another number for every volume that is shown; 0 until then.
    pub id: u64,
    /// Whether it only stands in for the image that recovered labels belong to.
    pub is_stand_in: bool,
}

impl OpenImage {
    /// How a plane shows it.
    pub fn view(&self, plane: Plane) -> Option<&PlaneView> {
        self.views.iter().find(|view| view.plane == plane)
    }
}

/// How a plane is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PaneState {
    /// 1 fits the page into the pane.
    pub zoom: f32,
    /// Points that the middle of the page lies beside the middle of the pane.
    pub pan: [f32; 2],
}

impl Default for PaneState {
    fn default() -> Self {
        Self { zoom: 1.0, pan: [0.0; 2] }
    }
}

/// Which planes are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Three planes and a panel.
    Four,
    /// One plane twice: labels on the left, reference on the right.
    Beside,
    /// One plane large, two small.
    Three,
    /// One plane.
    One,
}

/// How labels are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drawn {
    /// Filled and outlined.
    Both,
    /// Filled.
    Fill,
    /// Outlined.
    Outline,
}

impl Drawn {
    /// The next way.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Both => Self::Fill,
            Self::Fill => Self::Outline,
            Self::Outline => Self::Both,
        }
    }
}

/// How overlays look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OverlayStyle {
    /// Whether labels are shown.
    pub labels: bool,
    /// How opaque the fill is, 0 to 1.
    pub opacity: f32,
    /// Filled, outlined or both.
    pub drawn: Drawn,
}

/// How sure the model was, on the grid of the volume.
#[derive(Debug, Clone)]
pub struct DoubtLayer {
    /// Share of the largest entropy, 0 to 255.
    pub entropy: Array3<u8>,
    /// The voxel axis across the slices of the model.
    pub axis: usize,
    /// Risk of each slice along that axis, where it was looked at.
    pub risks: Vec<Option<f64>>,
    /// What those risks follow from, by place along the axis.
    pub expectations: BTreeMap<usize, Expectation>,
    /// Changes with every change.
    pub revision: u64,
}

impl DoubtLayer {
    /// How sure the model was of all slices that it looked at: what `lamina predict` writes into
    /// the record of a case.
    pub fn case(&self) -> CaseDoubt {
        CaseDoubt::of(self.expectations.values().copied())
    }

    /// The next doubtful place along the axis from `from`, on or back, around the ends. Of
    /// doubtful neighbors the worst stands for all.
    pub fn next(&self, from: usize, forwards: bool) -> Option<usize> {
        let len = self.risks.len();
        let risk = |at: usize| self.risks[at].unwrap_or(0.0);
        let peak = |at: &usize| {
            let (before, after) = (at.checked_sub(1), Some(at + 1).filter(|next| *next < len));
            risk(*at) >= DOUBTFUL
                && before.is_none_or(|before| risk(before) <= risk(*at))
                && after.is_none_or(|after| risk(after) < risk(*at))
        };
        let steps = 1..=len;
        if forwards {
            steps.map(|step| (from + step) % len).find(peak)
        } else {
            steps.map(|step| (from + 2 * len - step) % len).find(peak)
        }
    }
}

/// Something the user should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// To take it away by.
    pub id: u64,
    /// Whether something went wrong.
    pub is_problem: bool,
    /// Plain sentences.
    pub text: String,
    /// Since when it is said.
    pub since: Instant,
}

impl Notice {
    /// How long it is still said: problems until somebody takes them away.
    pub fn left(&self) -> Option<Duration> {
        (!self.is_problem).then(|| SAID.saturating_sub(self.since.elapsed()))
    }
}

/// How long something is said that is no problem.
const SAID: Duration = Duration::from_secs(20);

/// Something that runs.
#[derive(Debug, Clone)]
pub struct Activity {
    /// What is being done.
    pub what: String,
    /// How far it is, 0 to 1, where that is known.
    pub done: Option<f32>,
    /// Since when.
    pub since: Instant,
    /// How long it may still take, where whoever does it knows better than by what is done.
    pub paced: Option<Duration>,
}

impl Activity {
    /// What begins now.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), done: None, since: Instant::now(), paced: None }
    }

    /// How long it may still take, by what is done so far.
    pub fn left(&self) -> Option<Duration> {
        if self.paced.is_some() {
            return self.paced;
        }
        let done = f64::from(self.done?);
        let spent = self.since.elapsed().as_secs_f64();
        (done > 0.02 && spent > 0.5).then(|| Duration::from_secs_f64(spent * (1.0 - done) / done))
    }
}

/// A folder of which something has to be chosen.
#[derive(Debug, Clone)]
pub struct Study {
    /// The folder.
    pub folder: PathBuf,
    /// Its DICOM series...
    pub series: Vec<SeriesInfo>,
    /// ...or its image files.
    pub files: Vec<PathBuf>,
}

/// What a path is typed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To open whatever it is.
    Open,
    /// To open it as labels.
    Labels,
    /// To save the labels there.
    Save,
    /// To compare with it.
    Reference,
    /// To list its cases.
    Worklist,
    /// To find the images of listed cases.
    ListImages,
    /// To find the references of listed cases.
    ListReferences,
    /// To add the model in that folder.
    Bundle,
}

/// What is under the pointer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hover {
    /// In which plane.
    pub plane: Plane,
    /// The voxel (i, j, k).
    pub voxel: [usize; 3],
}

/// Everything the window knows.
#[derive(Debug)]
pub struct State {
    /// The volume.
    pub image: Option<OpenImage>,
    /// Labels over it.
    pub labels: Option<LabelLayer>,
    /// How sure the model was.
    pub doubt: Option<DoubtLayer>,
    /// The comparison with a reference.
    pub compare: Compare,
    /// The cases of a folder.
    pub worklist: Option<Worklist>,
    /// The place that is shown, in RAS millimeters; pixels where there is no patient.
    pub crosshair_mm: [f64; 3],
    /// How each plane is looked at: axial or as stored, coronal, sagittal.
    pub panes: [PaneState; 3],
    /// Brightness and contrast.
    pub window: Window,
    /// Whether black is white.
    pub inverted: bool,
    /// Which planes are seen.
    pub layout: Layout,
    /// The plane that is large, and that keys are about.
    pub focus: Plane,
    /// How overlays look.
    pub overlay: OverlayStyle,
    /// Whether crosshair, letters and scale are drawn.
    pub annotations: bool,
    /// What the user should know.
    pub notices: Vec<Notice>,
    /// What is being read or written.
    pub opening: Option<Activity>,
    /// What is being segmented.
    pub segmenting: Option<Activity>,
    /// What is being worked out on the labels.
    pub correcting: Option<Activity>,
    /// The tools for correcting.
    pub tools: Tools,
    /// The plane in which a stroke is being drawn.
    pub stroke: Option<Plane>,
    /// Work that was not finished: on the image, or on any while none is open.
    pub unfinished: Vec<Unfinished>,
    /// The models that there are.
    pub models: Vec<ModelChoice>,
    /// The one that is chosen.
    pub model: usize,
    /// What is known of it and of its use.
    pub segment: SegmentState,
    /// A folder of which something has to be chosen.
    pub study: Option<Study>,
    /// What is on its way from a file.
    pub incoming: Incoming,
    /// What was opened since the program was started; never stored, for a path may tell who
    /// the patient is.
    pub recent: Vec<PathBuf>,
    /// Whether the help page is open.
    pub help: bool,
    /// Which key does what.
    pub keyboard: Keyboard,
    /// What is exported.
    pub exporting: Exporting,
    /// The path that is being typed, and what for.
    pub typed_path: Option<(String, Purpose)>,
    /// What is under the pointer.
    pub hover: Option<Hover>,
    /// What the user wants that would lose labels, until it is said whether it may.
    pub asking: Option<Command>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            image: None,
            labels: None,
            doubt: None,
            compare: Compare::default(),
            worklist: None,
            crosshair_mm: [0.0; 3],
            panes: [PaneState::default(); 3],
            window: Window { center: 0.5, width: 1.0 },
            inverted: false,
            layout: Layout::Four,
            focus: Plane::Axial,
            overlay: OverlayStyle { labels: true, opacity: 0.4, drawn: Drawn::Both },
            annotations: true,
            notices: Vec::new(),
            opening: None,
            segmenting: None,
            correcting: None,
            tools: Tools::default(),
            stroke: None,
            unfinished: Vec::new(),
            models: Vec::new(),
            model: 0,
            segment: SegmentState::default(),
            study: None,
            incoming: Incoming::default(),
            recent: Vec::new(),
            help: false,
            keyboard: Keyboard::default(),
            exporting: Exporting::default(),
            typed_path: None,
            hover: None,
            asking: None,
        }
    }
}

impl State {
    /// One sentence about an action, and its key.
    pub fn tooltip(&self, action: super::command::Action) -> String {
        self.keyboard.map.tooltip(action)
    }

    /// Opens or closes the page of keys.
    pub fn toggle_help(&mut self) {
        let open = !self.help;
        self.close_help();
        self.help = open;
    }

    /// Closes the page of keys, which waits for none then.
    pub fn close_help(&mut self) {
        self.help = false;
        self.keyboard.editing = false;
        self.keyboard.asking = super::keymap::Asking::Nothing;
    }

    /// The voxel index under the crosshair, not rounded.
    pub fn crosshair_index(&self) -> Option<[f64; 3]> {
        Some(self.geometry()?.index_from_ras().apply(self.crosshair_mm))
    }

    /// Where the voxels lie of the image that is shown, or that is being read.
    pub fn geometry(&self) -> Option<&Geometry> {
        let arriving = self.incoming.arriving.as_ref();
        let image = self.image.as_ref();
        image.map(|image| &image.volume.geometry).or(arriving.map(|arriving| &arriving.geometry))
    }

    /// The pages of the image that is shown, or that is being read.
    pub fn views(&self) -> &[PlaneView] {
        match (&self.image, &self.incoming.arriving) {
            (Some(image), _) => &image.views,
            (None, Some(arriving)) => &arriving.views,
            (None, None) => &[],
        }
    }

    /// How a plane is shown.
    pub fn view(&self, plane: Plane) -> Option<&PlaneView> {
        self.views().iter().find(|view| view.plane == plane)
    }

    /// The slice that a plane shows.
    pub fn slice(&self, plane: Plane) -> Option<usize> {
        Some(self.view(plane)?.slice_of(self.crosshair_index()?))
    }

    /// Whether there are labels that are in no file and would be lost. Those over a stand-in are
    /// in their journal, which is offered again.
    pub fn has_unsaved_labels(&self) -> bool {
        let offered_again = self.image.as_ref().is_some_and(|image| image.is_stand_in);
        !offered_again && self.labels.as_ref().is_some_and(LabelLayer::is_unsaved)
    }

    /// Whether a question has to be answered before anything else is done.
    pub fn is_asked(&self) -> bool {
        self.asking.is_some() || (self.image.is_some() && !self.unfinished.is_empty())
    }

    /// Where `plane` keeps how it is looked at.
    pub fn pane_index(plane: Plane) -> usize {
        match plane {
            Plane::Axial | Plane::Stored => 0,
            Plane::Coronal => 1,
            Plane::Sagittal => 2,
        }
    }

    /// How a plane is looked at.
    pub fn pane(&self, plane: Plane) -> PaneState {
        self.panes[Self::pane_index(plane)]
    }

    /// The plane whose slices the chosen model goes through.
    pub fn model_plane(&self) -> Option<Plane> {
        let (image, choice) = (self.image.as_ref()?, self.models.get(self.model)?);
        let axis = choice.manifest.preprocessing.plane.slice_axis(&image.volume.geometry);
        image.views.iter().find(|view| view.slice.axis == axis).map(|view| view.plane)
    }

    /// The plane whose slices the model went through, if it went.
    pub fn doubt_plane(&self) -> Option<Plane> {
        let (image, doubt) = (self.image.as_ref()?, self.doubt.as_ref()?);
        image.views.iter().find(|view| view.slice.axis == doubt.axis).map(|view| view.plane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubt(risks: &[f64]) -> DoubtLayer {
        DoubtLayer {
            entropy: Array3::zeros([1, 1, 1]),
            axis: 2,
            risks: risks.iter().map(|risk| Some(*risk)).collect(),
            expectations: BTreeMap::new(),
            revision: 0,
        }
    }

    #[test]
    fn doubtful_slices_are_visited_worst_first_of_neighbors_and_around() {
        let doubt = doubt(&[0.0, 0.2, 0.3, 0.05, 0.5, 0.0]);
        assert_eq!(doubt.next(0, true), Some(2));
        assert_eq!(doubt.next(2, true), Some(4));
        assert_eq!(doubt.next(4, true), Some(2));
        assert_eq!(doubt.next(2, false), Some(4));
        assert_eq!(doubt.next(5, false), Some(4));
    }

    #[test]
    fn where_nothing_is_doubtful_there_is_no_next() {
        assert_eq!(doubt(&[0.0, 0.09]).next(0, true), None);
        assert_eq!(doubt(&[]).next(0, true), None);
    }
}
