//! Runs commands and takes in what jobs have sent: the only place that changes the state.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use eframe::egui;
use lamina_engine::preprocess::Placement;
use lamina_io::{LabelVolume, export_labels, files_of};
use ndarray::{Array3, ArrayView2};

use super::command::{Action, Command};
use super::job::{Job, News, Wake};
use super::labels::LabelLayer;
use super::open::{OpenEvent, OpenRequest, Opened, open};
use super::plane::Plane;
use super::segment::{
    ModelChoice, ModelSlot, SegmentEvent, SegmentRequest, SliceResult, preload, segment,
};
use super::shades::Window;
use super::state::{Activity, DoubtLayer, Layout, Notice, OpenImage, PaneState, Purpose, State};
use super::view::{self, Canvases};

/// Files that are remembered until the program ends.
const RECENT: usize = 10;

/// What a dialog answers.
#[derive(Debug)]
enum Chosen {
    /// To open, as labels or whatever they are.
    Open(Vec<PathBuf>, bool),
    /// To save labels as.
    Save(PathBuf),
    /// Nothing was chosen; whether any dialog was seen.
    Nothing { seen: bool, purpose: Purpose },
}

/// What becomes of saving.
#[derive(Debug)]
enum Saved {
    /// Labels as they were at this revision are in a file.
    Done {
        revision: u64,
        text: String,
    },
    Failed(String),
}

/// The window: its state, its jobs, and what is drawn with.
pub struct Desktop {
    /// What it knows.
    pub state: State,
    context: Arc<OnceLock<egui::Context>>,
    opening: Option<Job<OpenEvent>>,
    segmenting: Option<Job<SegmentEvent>>,
    placement: Option<(Placement, usize, usize)>,
    dialog: Option<Job<Chosen>>,
    saving: Option<Job<Saved>>,
    preloading: Option<Job<String>>,
    slot: ModelSlot,
    canvases: Canvases,
    ids: u64,
    leaving: bool,
}

impl Desktop {
    /// A window that knows these models and opens `paths`, the first of them as the image.
    pub fn new(models: Vec<ModelChoice>, paths: Vec<PathBuf>) -> Self {
        let mut desktop = Self {
            state: State { models, ..State::default() },
            context: Arc::default(),
            opening: None,
            segmenting: None,
            placement: None,
            dialog: None,
            saving: None,
            preloading: None,
            slot: ModelSlot::default(),
            canvases: Canvases::default(),
            ids: 0,
            leaving: false,
        };
        if !paths.is_empty() {
            desktop.open(OpenRequest { paths, ..OpenRequest::default() });
        }
        desktop.preload();
        desktop
    }

    /// Takes in what happened since the last frame.
    pub fn logic(&mut self, ctx: &egui::Context) {
        if self.context.set(ctx.clone()).is_ok() {
            view::style::apply(ctx);
        }
        self.take_openings();
        self.take_slices();
        self.take_dialog();
        let mut commands = view::keys::pressed(ctx, &self.state);
        let dropped: Vec<PathBuf> = ctx.input(|input| {
            input.raw.dropped_files.iter().map(|file| file.path().to_owned()).collect()
        });
        if !dropped.is_empty() {
            commands.push(Command::Open(dropped));
        }
        if ctx.input(|input| input.viewport().close_requested()) && !self.leaving {
            // Whether it may be closed is found out first.
            ctx.send_viewport_cmd(egui::ViewportCommand::CancelClose);
            commands.push(Command::Do(Action::Quit));
        }
        self.run_all(commands, ctx);
    }

    /// Draws everything, then runs what the user asked for.
    pub fn ui(&mut self, ui: &mut egui::Ui) {
        let mut commands = Vec::new();
        let hover = view::window_ui(ui, &self.state, &mut self.canvases, &mut commands);
        if hover != self.state.hover {
            self.state.hover = hover;
            ui.ctx().request_repaint(); // the status line was drawn before
        }
        if let Some(hover) = hover {
            self.state.focus = hover.plane;
        }
        view::dialogs::unsaved_ui(ui.ctx(), &self.state, &mut commands);
        if let Some((typed, purpose)) = &mut self.state.typed_path {
            view::dialogs::typed_path_ui(ui.ctx(), typed, *purpose, &mut commands);
        }
        let ctx = ui.ctx().clone();
        self.run_all(commands, &ctx);
    }

    /// Whether anything runs.
    pub fn busy(&self) -> bool {
        self.opening.is_some() || self.segmenting.is_some() || self.saving.is_some()
    }

    fn run_all(&mut self, commands: Vec<Command>, ctx: &egui::Context) {
        for command in commands {
            self.run(command);
            ctx.request_repaint();
        }
        if self.leaving {
            ctx.send_viewport_cmd(egui::ViewportCommand::Close);
        }
    }

    /// Does what the user wants, or asks first where labels that were not saved would be lost.
    pub fn run(&mut self, command: Command) {
        if command.replaces_labels() && self.state.has_unsaved_labels() {
            self.state.asking = Some(command);
        } else {
            self.run_unasked(command);
        }
    }

    fn run_unasked(&mut self, command: Command) {
        match command {
            Command::LoseLabels(lose) => {
                let asked = self.state.asking.take();
                if let Some(command) = asked.filter(|_| lose) {
                    self.run_unasked(command);
                }
            }
            Command::Do(action) => self.act(action),
            Command::Open(paths) => {
                self.state.typed_path = None;
                let over = self.grid();
                self.open(OpenRequest { paths, over, ..OpenRequest::default() });
            }
            Command::OpenLabels(path) => {
                self.state.typed_path = None;
                let over = self.grid();
                let paths = vec![path];
                self.open(OpenRequest { paths, over, as_labels: true, series: None });
            }
            Command::OpenSeries(number) => {
                if let Some(study) = self.state.study.take() {
                    let paths = vec![study.folder];
                    self.open(OpenRequest {
                        paths,
                        series: Some(number),
                        ..OpenRequest::default()
                    });
                }
            }
            Command::CloseSeries => {
                self.state.study = None;
                self.state.typed_path = None;
            }
            Command::GoTo(mm) => self.state.crosshair_mm = mm,
            Command::Slice(plane, slice) => self.go_to_slice(plane, slice),
            Command::Window(window) => self.state.window = window,
            Command::Preset(index) => {
                if let Some(preset) =
                    self.state.image.as_ref().and_then(|image| image.presets.get(index))
                {
                    self.state.window = preset.window;
                }
            }
            Command::Zoom(plane, factor, around) => {
                let pane = &mut self.state.panes[State::pane_index(plane)];
                let zoom = (pane.zoom * factor).clamp(0.2, 60.0);
                let factor = zoom / pane.zoom;
                pane.zoom = zoom;
                // `around` is the pointer, in points from the middle of the pane.
                for (pan, around) in pane.pan.iter_mut().zip(around) {
                    *pan = around + (*pan - around) * factor;
                }
            }
            Command::Pan(plane, [x, y]) => {
                let pane = &mut self.state.panes[State::pane_index(plane)];
                pane.pan = [pane.pan[0] + x, pane.pan[1] + y];
            }
            Command::ShowLabel(value, visible) => {
                self.change_class(value, |class| class.visible = visible);
            }
            Command::ColorLabel(value, color) => {
                self.change_class(value, |class| class.color = color);
            }
            Command::Opacity(opacity) => self.state.overlay.opacity = opacity.clamp(0.0, 1.0),
            Command::Dismiss(id) => self.state.notices.retain(|notice| notice.id != id),
            Command::Enlarge(plane) => {
                self.state.focus = plane;
                self.state.layout = match self.state.layout {
                    Layout::One => Layout::Four,
                    Layout::Three | Layout::Four => Layout::One,
                };
            }
            Command::SaveLabels(path) => self.save_labels(path),
            Command::Model(index) => {
                if index < self.state.models.len() && self.segmenting.is_none() {
                    self.state.model = index;
                    self.preload();
                }
            }
        }
    }

    fn change_class(&mut self, value: u8, change: impl FnOnce(&mut super::labels::LabelClass)) {
        if let Some(layer) = &mut self.state.labels
            && let Some(class) = layer.classes.iter_mut().find(|class| class.value == value)
        {
            change(class);
            layer.revision += 1;
        }
    }

    fn act(&mut self, action: Action) {
        let state = &mut self.state;
        let focus = state.focus;
        match action {
            Action::OpenFile => self.choose(Dialog::File),
            Action::OpenFolder => self.choose(Dialog::Folder),
            Action::OpenLabels => self.choose(Dialog::Labels),
            Action::SaveLabels => self.choose(Dialog::Save),
            Action::OpenPath => state.typed_path = Some((String::new(), Purpose::Open)),
            Action::Close => self.close(),
            Action::Quit => self.leaving = true,
            Action::Segment => self.segment(),
            Action::Cancel => self.cancel(),
            Action::NextDoubtful => self.go_to_doubtful(true),
            Action::PreviousDoubtful => self.go_to_doubtful(false),
            Action::ToggleLabels => state.overlay.labels = !state.overlay.labels,
            Action::ToggleFill => state.overlay.drawn = state.overlay.drawn.next(),
            Action::MoreOpaque => state.overlay.opacity = (state.overlay.opacity + 0.1).min(1.0),
            Action::LessOpaque => state.overlay.opacity = (state.overlay.opacity - 0.1).max(0.0),
            Action::ToggleDoubt => state.overlay.doubt = !state.overlay.doubt,
            Action::ToggleAnnotations => state.annotations = !state.annotations,
            Action::Invert => state.inverted = !state.inverted,
            Action::ResetWindow => self.run(Command::Preset(0)),
            Action::ResetView => state.panes = [PaneState::default(); 3],
            Action::CenterCrosshair => self.canvases.center_on_crosshair(&mut self.state),
            Action::NextSlice => self.scroll(focus, 1),
            Action::PreviousSlice => self.scroll(focus, -1),
            Action::FiveOn => self.scroll(focus, 5),
            Action::FiveBack => self.scroll(focus, -5),
            Action::FirstSlice => self.go_to_slice(focus, 0),
            Action::LastSlice => self.go_to_slice(focus, usize::MAX),
            Action::FourPanes => state.layout = Layout::Four,
            Action::ThreePanes => state.layout = Layout::Three,
            Action::OnePane => state.layout = Layout::One,
            Action::Help => state.help = !state.help,
        }
    }

    fn scroll(&mut self, plane: Plane, by: i64) {
        if let Some(slice) = self.state.slice(plane) {
            self.go_to_slice(plane, slice.saturating_add_signed(by as isize));
        }
    }

    fn go_to_slice(&mut self, plane: Plane, slice: usize) {
        let Some(image) = &self.state.image else { return };
        let (Some(view), Some(index)) = (image.view(plane), self.state.crosshair_index()) else {
            return;
        };
        let [_, column, row] = view.page(index);
        let slice = slice.min(view.slice.len - 1);
        let index = view.index(slice as f64, column, row);
        self.state.crosshair_mm = image.volume.geometry.ras_from_index().apply(index);
    }

    fn go_to_doubtful(&mut self, forwards: bool) {
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

    fn close(&mut self) {
        self.stop_segmenting();
        self.opening = None;
        self.state.opening = None;
        self.state.image = None;
        self.state.labels = None;
        self.state.doubt = None;
    }

    fn cancel(&mut self) {
        if self.state.asking.take().is_some() {
            return;
        }
        if self.state.help || self.state.study.is_some() || self.state.typed_path.is_some() {
            self.state.help = false;
            self.state.study = None;
            self.state.typed_path = None;
        } else if self.segmenting.is_some() {
            self.stop_segmenting();
            self.notice("Stopped; the slices that are done keep their labels.");
        } else if self.opening.take().is_some() {
            self.state.opening = None;
            self.notice("Stopped opening.");
        }
    }

    fn stop_segmenting(&mut self) {
        self.segmenting = None; // dropping it stops it
        self.placement = None;
        self.state.segmenting = None;
    }

    fn wake(&self) -> Wake {
        let context = self.context.clone();
        Arc::new(move || {
            if let Some(context) = context.get() {
                context.request_repaint();
            }
        })
    }

    fn notice(&mut self, text: impl Into<String>) {
        self.say(false, text.into());
    }

    fn problem(&mut self, text: impl Into<String>) {
        self.say(true, text.into());
    }

    fn say(&mut self, is_problem: bool, text: String) {
        self.ids += 1;
        self.state.notices.retain(|notice| notice.text != text);
        self.state.notices.push(Notice { id: self.ids, is_problem, text });
        if self.state.notices.len() > 4 {
            self.state.notices.remove(0);
        }
    }

    fn grid(&self) -> Option<lamina_io::Geometry> {
        self.state.image.as_ref().map(|image| image.volume.geometry.clone())
    }

    // Opening.

    fn open(&mut self, request: OpenRequest) {
        if let Some(first) = request.paths.first().filter(|_| request.series.is_none()) {
            self.state.recent.retain(|path| path != first);
            self.state.recent.insert(0, first.clone());
            self.state.recent.truncate(RECENT);
        }
        self.state.study = None;
        self.state.opening = Some(Activity::new("Opening"));
        self.opening = Some(Job::start(
            self.wake(),
            |reason| OpenEvent::Failed(format!("Cannot open: the reader failed: {reason}")),
            move |worker| open(&request, worker),
        ));
    }

    fn take_openings(&mut self) {
        while let Some(job) = &self.opening {
            match job.news() {
                News::Nothing => return,
                News::Over => {
                    self.opening = None;
                    self.state.opening = None;
                }
                News::Event(OpenEvent::Progress(done, total)) => {
                    if let Some(activity) = &mut self.state.opening {
                        activity.done = Some(done as f32 / total.max(1) as f32);
                    }
                }
                News::Event(OpenEvent::Image(opened)) => self.show(*opened),
                News::Event(OpenEvent::Labels(layer)) => {
                    self.stop_segmenting();
                    self.state.doubt = None;
                    let mut layer = *layer;
                    layer.revision = self.state.labels.as_ref().map_or(0, |old| old.revision + 1);
                    self.state.labels = Some(layer);
                    self.state.overlay.labels = true;
                }
                News::Event(OpenEvent::Choose(study)) => self.state.study = Some(study),
                News::Event(OpenEvent::Notice(text)) => self.notice(text),
                News::Event(OpenEvent::Failed(text)) => self.problem(text),
            }
        }
    }

    fn show(&mut self, opened: Opened) {
        self.stop_segmenting();
        self.ids += 1;
        let Opened { volume, name, views, presets, path } = opened;
        let [depth, height, width] = volume.shape();
        let middle = [width, height, depth].map(|n| (n / 2) as f64);
        let state = &mut self.state;
        state.crosshair_mm = volume.geometry.ras_from_index().apply(middle);
        state.window = presets.first().map_or(Window { center: 0.5, width: 1.0 }, |p| p.window);
        state.inverted = false;
        state.panes = [PaneState::default(); 3];
        state.focus = views.first().map_or(Plane::Axial, |view| view.plane);
        state.labels = None;
        state.doubt = None;
        state.hover = None;
        state.image =
            Some(OpenImage { volume: Arc::new(volume), name, views, presets, path, id: self.ids });
    }

    // Dialogs: on a thread of their own, for they wait for the user.

    fn choose(&mut self, dialog: Dialog) {
        if self.dialog.is_some() {
            return;
        }
        if matches!(dialog, Dialog::Labels) && self.state.image.is_none() {
            return self.notice("Open an image first: labels are shown over one.");
        }
        if matches!(dialog, Dialog::Save) && self.state.labels.is_none() {
            return self.notice("There are no labels to save yet.");
        }
        let purpose = dialog.purpose();
        self.dialog = Some(Job::start(
            self.wake(),
            move |_| Chosen::Nothing { seen: false, purpose },
            move |worker| worker.send(dialog.ask()),
        ));
    }

    fn take_dialog(&mut self) {
        if let Some(job) = &self.dialog {
            match job.news() {
                News::Nothing | News::Event(Chosen::Nothing { seen: true, .. }) => {}
                News::Over => self.dialog = None,
                News::Event(Chosen::Open(paths, true)) => {
                    for path in paths {
                        self.run(Command::OpenLabels(path));
                    }
                }
                News::Event(Chosen::Open(paths, false)) => self.run(Command::Open(paths)),
                News::Event(Chosen::Save(path)) => self.save_labels(path),
                News::Event(Chosen::Nothing { seen: false, purpose }) => {
                    // Neither a desktop portal nor zenity: type it.
                    self.state.typed_path = Some((String::new(), purpose));
                }
            }
        }
        if let Some(job) = &self.saving {
            match job.news() {
                News::Nothing => {}
                News::Over => self.saving = None,
                News::Event(Saved::Done { revision, text }) => {
                    if let Some(layer) = &mut self.state.labels
                        && layer.revision == revision
                    {
                        layer.unsaved = false;
                    }
                    self.notice(text);
                }
                News::Event(Saved::Failed(text)) => self.problem(text),
            }
        }
    }

    /// Writes the labels under a name that says the format, and reads them back.
    pub fn save_labels(&mut self, path: PathBuf) {
        let Some(layer) = &self.state.labels else { return };
        let (labels, revision) = (layer.volume.clone(), layer.revision);
        let image = self.state.image.as_ref().map(|image| image.path.clone());
        self.state.typed_path = None;
        self.saving = Some(Job::start(
            self.wake(),
            |reason| Saved::Failed(format!("Cannot save the labels: the writer failed: {reason}")),
            move |worker| worker.send(save(&labels, revision, &path, image.as_deref())),
        ));
    }

    // Segmenting.

    fn preload(&mut self) {
        let Some(choice) = self.state.models.get(self.state.model).cloned() else { return };
        let slot = self.slot.clone();
        self.preloading = Some(Job::start(
            self.wake(),
            |reason| reason,
            move |worker| {
                // A damaged bundle is said when it is used.
                if let Err(error) = preload(&slot, &choice) {
                    worker.send(error.to_string());
                }
            },
        ));
    }

    fn segment(&mut self) {
        if self.segmenting.is_some() {
            return;
        }
        let (Some(image), Some(index)) = (&self.state.image, self.state.crosshair_index()) else {
            return self.notice("Open an image first.");
        };
        let Some(choice) = self.state.models.get(self.state.model).cloned() else {
            return self.problem(
                "No model was found. Put a bundle into the folder `models` beside the program, or \
                 name its folder in LAMINA_MODELS.",
            );
        };
        let [depth, height, width] = image.volume.shape();
        let limits = [width, height, depth];
        let first =
            [0, 1, 2].map(|axis| (index[axis].round().max(0.0) as usize).min(limits[axis] - 1));
        let request = SegmentRequest { volume: image.volume.clone(), choice, first };
        let slot = self.slot.clone();
        self.state.segmenting = Some(Activity::new("Preparing"));
        self.segmenting = Some(Job::start(
            self.wake(),
            |reason| SegmentEvent::Failed(format!("Cannot segment: the model failed: {reason}")),
            move |worker| segment(&request, &slot, worker),
        ));
    }

    fn take_slices(&mut self) {
        while let Some(job) = &self.segmenting {
            match job.news() {
                News::Nothing => return,
                News::Over => self.stop_segmenting(),
                News::Event(SegmentEvent::Started { placement, total, notice }) => {
                    self.begin_labels(placement, total);
                    if let Some(notice) = notice {
                        self.notice(notice);
                    }
                }
                News::Event(SegmentEvent::Slices(slices)) => self.take(slices),
                News::Event(SegmentEvent::Finished(tidied)) => {
                    if let (Some(tidied), Some(layer)) = (tidied, &mut self.state.labels) {
                        let (volume, counts) = *tidied;
                        layer.replace(volume, &counts);
                    }
                    self.stop_segmenting();
                }
                News::Event(SegmentEvent::Failed(text)) => {
                    self.problem(text);
                    self.stop_segmenting();
                }
            }
        }
    }

    /// Empty layers that slices are written into.
    fn begin_labels(&mut self, placement: Placement, total: usize) {
        let (Some(image), Some(choice)) =
            (&self.state.image, self.state.models.get(self.state.model))
        else {
            return;
        };
        let geometry = image.volume.geometry.clone();
        let shape = geometry.shape();
        let labels = Array3::zeros(shape);
        let source = image.volume.source.clone();
        let volume = LabelVolume { labels, geometry, source };
        let classes = &choice.manifest.classes;
        let name = choice.manifest.name.clone();
        let revision = self.state.labels.as_ref().map_or(0, |layer| layer.revision + 1);
        let mut layer = LabelLayer::with_counts(volume, classes, name, &BTreeMap::new());
        layer.revision = revision;
        layer.unsaved = true;
        self.state.labels = Some(layer);
        let axis = placement.slice_axis();
        self.state.doubt = Some(DoubtLayer {
            entropy: Array3::zeros(shape),
            axis,
            risks: vec![None; shape[2 - axis]],
            revision: self.state.doubt.as_ref().map_or(0, |doubt| doubt.revision + 1),
        });
        self.state.overlay.labels = true;
        self.placement = Some((placement, 0, total));
        self.state.segmenting = Some(Activity::new("Segmenting"));
    }

    fn take(&mut self, slices: Vec<SliceResult>) {
        let (Some((placement, done, total)), Some(layer), Some(doubt)) =
            (&mut self.placement, &mut self.state.labels, &mut self.state.doubt)
        else {
            return;
        };
        for slice in slices {
            placement.write_slice(slice.index, slice.labels.view(), layer.volume.labels.view_mut());
            placement.write_slice(slice.index, slice.entropy.view(), doubt.entropy.view_mut());
            doubt.risks[placement.voxel_of_slice(slice.index)] = Some(slice.risk);
            layer.add(&counts(slice.labels.view()));
            *done += 1;
        }
        layer.revision += 1;
        doubt.revision += 1;
        if let Some(activity) = &mut self.state.segmenting {
            activity.done = Some(*done as f32 / (*total).max(1) as f32);
            activity.what = format!("Segmenting, slice {done} of {total}");
        }
    }
}

impl eframe::App for Desktop {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        Self::logic(self, ctx);
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        Self::ui(self, ui);
    }
}

fn counts(labels: ArrayView2<'_, u8>) -> BTreeMap<u8, u64> {
    let mut counts = BTreeMap::new();
    for &label in labels {
        if label != 0 {
            *counts.entry(label).or_default() += 1;
        }
    }
    counts
}

fn save(labels: &LabelVolume, revision: u64, path: &Path, image: Option<&Path>) -> Saved {
    let absolute = |path: &Path| path.canonicalize().ok();
    let target = absolute(path);
    if target.is_some()
        && image.is_some_and(|image| files_of(image).iter().any(|file| absolute(file) == target))
    {
        return Saved::Failed(format!(
            "This is the image itself; choose another name for the labels: {}",
            path.display()
        ));
    }
    match export_labels(path, labels) {
        Ok(_) => {
            let text = format!("Saved, and read back the same voxel by voxel: {}", path.display());
            Saved::Done { revision, text }
        }
        Err(error) => {
            Saved::Failed(format!("Cannot save the labels: {}", crate::cli::error_line(&error)))
        }
    }
}

/// What the user is asked for.
#[derive(Debug, Clone, Copy)]
enum Dialog {
    File,
    Folder,
    Labels,
    Save,
}

impl Dialog {
    fn purpose(self) -> Purpose {
        match self {
            Self::File | Self::Folder => Purpose::Open,
            Self::Labels => Purpose::Labels,
            Self::Save => Purpose::Save,
        }
    }

    /// Waits for the user.
    fn ask(self) -> Chosen {
        let began = std::time::Instant::now();
        let images: &[&str] = &[
            "nii", "gz", "hdr", "img", "mha", "mhd", "nrrd", "nhdr", "dcm", "png", "jpg", "jpeg",
            "tif", "tiff", "bmp",
        ];
        // Nobody closes a dialog that fast: there was none.
        let nothing = || {
            let seen = began.elapsed().as_millis() > 400;
            Chosen::Nothing { seen, purpose: self.purpose() }
        };
        let dialog = rfd::FileDialog::new();
        let filtered = |dialog: rfd::FileDialog| {
            dialog.add_filter("Images and labels", images).add_filter("All files", &["*"])
        };
        let chosen = match self {
            Self::File => filtered(dialog).set_title("Open").pick_files(),
            Self::Labels => filtered(dialog).set_title("Open labels").pick_files(),
            Self::Folder => {
                dialog.set_title("Open folder").pick_folder().map(|folder| vec![folder])
            }
            Self::Save => {
                let dialog = dialog.set_title("Save labels").set_file_name("labels.nii.gz");
                return match dialog.save_file() {
                    Some(path) => Chosen::Save(path),
                    None => nothing(),
                };
            }
        };
        match chosen {
            Some(paths) if !paths.is_empty() => Chosen::Open(paths, matches!(self, Self::Labels)),
            _ => nothing(),
        }
    }
}
