//! Runs commands and takes in what jobs have sent: the only place that changes the state.

mod arriving;
mod comparing;
mod correcting;
mod dialogs;
mod exporting;
mod journaling;
mod listing;
mod navigating;
mod opening;
mod remembering;
mod saving;
mod segmenting;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use eframe::egui;

use self::comparing::Comparing;
use self::correcting::Correcting;
use self::dialogs::{Chosen, Dialog};
use self::exporting::ExportJobs;
use self::journaling::Journaling;
use self::listing::Listing;
use self::remembering::Remembering;
use self::saving::Saved;
use self::segmenting::Segmenting;
use super::command::{Action, Command, Edit};
use super::compare::CompareCommand;
use super::export::{ExportCommand, What};
use super::folders::Folders;
use super::job::{Job, Wake};
use super::open::{OpenEvent, OpenRequest};
use super::segment::{ModelChoice, SegmentCommand, is_bundle};
use super::state::{Layout, Notice, PaneState, Purpose, State};
use super::thumbnails::ThumbnailEvent;
use super::tools::Tool;
use super::view::{self, Canvases};
use super::worklist::ListCommand;

/// How much a key zooms.
const ZOOM_STEP: f32 = 1.25;

/// The window: its state, its jobs, and what is drawn with.
pub struct Desktop {
    /// What it knows.
    pub state: State,
    context: Arc<OnceLock<egui::Context>>,
    opening: Option<Job<OpenEvent>>,
    segmenting: Segmenting,
    correcting: Correcting,
    journaling: Journaling,
    folders: Folders,
    comparing: Comparing,
    listing: Listing,
    dialog: Option<Job<Chosen>>,
    saving: Option<Job<Saved>>,
    exports: ExportJobs,
    remembering: Remembering,
    thumbnails: Option<Job<ThumbnailEvent>>,
    canvases: Canvases,
    ids: u64,
    /// Whether the model was loaded before anybody asked for it.
    ready: bool,
    leaving: bool,
}

impl Desktop {
    /// A window that knows these models and opens `paths`, the first of them as the image. It
    /// keeps nothing beyond its end.
    pub fn new(models: Vec<ModelChoice>, paths: Vec<PathBuf>) -> Self {
        Self::with_folders(models, paths, Folders::default())
    }

    /// The same with folders for what outlives it.
    pub fn with_folders(models: Vec<ModelChoice>, paths: Vec<PathBuf>, folders: Folders) -> Self {
        let mut desktop = Self {
            state: State { models, ..State::default() },
            context: Arc::default(),
            opening: None,
            segmenting: Segmenting::default(),
            correcting: Correcting::default(),
            journaling: Journaling::default(),
            folders,
            comparing: Comparing::default(),
            listing: Listing::default(),
            dialog: None,
            saving: None,
            exports: ExportJobs::default(),
            remembering: Remembering::default(),
            thumbnails: None,
            canvases: Canvases::default(),
            ids: 0,
            ready: false,
            leaving: false,
        };
        if paths.is_empty() {
            desktop.look_for_journals();
        } else {
            desktop.open(OpenRequest { paths, ..OpenRequest::default() });
        }
        desktop
    }

    /// Loads the model and looks for devices, once, and not while an image is awaited: both would
    /// take longer.
    fn get_ready(&mut self) {
        if self.opening.is_none() && !std::mem::replace(&mut self.ready, true) {
            self.look_for_devices();
            self.preload();
        }
    }

    /// Takes in what happened since the last frame.
    pub fn logic(&mut self, ctx: &egui::Context) {
        if self.context.set(ctx.clone()).is_ok() {
            view::style::apply(ctx);
        }
        self.drop_old_notices(ctx);
        self.take_openings();
        self.get_ready();
        self.take_thumbnails();
        self.take_slices();
        self.take_corrections();
        self.take_journals();
        self.keep_journal();
        if !ctx.input(|input| input.pointer.primary_down()) {
            self.end_stroke();
        }
        self.take_dialog();
        self.take_saving();
        self.take_exports(ctx);
        self.take_session();
        self.remember(ctx);
        self.take_comparison(ctx);
        self.take_listing();
        let mut commands = view::keys::pressed(ctx, &self.state);
        let dropped: Vec<PathBuf> = ctx.input(|input| {
            input.raw.dropped_files.iter().map(|file| file.path().to_owned()).collect()
        });
        let (bundles, dropped): (Vec<PathBuf>, Vec<PathBuf>) =
            dropped.into_iter().partition(|path| is_bundle(path));
        let add = |path| Command::Segment(SegmentCommand::AddBundle(path));
        commands.extend(bundles.into_iter().map(add));
        match &dropped[..] {
            [] => {}
            // Beside the labels it is the reference that is missing.
            [reference] if self.takes_reference() => {
                commands.push(Command::Compare(CompareCommand::Open(reference.clone())));
            }
            _ => commands.push(Command::Open(dropped)),
        }
        if ctx.input(|input| input.viewport().close_requested()) && !self.leaving {
            // Whether it may be closed is found out first.
            ctx.send_viewport_cmd(egui::ViewportCommand::CancelClose);
            commands.push(Command::Do(Action::Quit));
        }
        self.run_all(commands, ctx);
        self.forget_arriving();
        self.ask_for_slices();
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
        self.opening.is_some()
            || self.segmenting.is_running()
            || self.segmenting.is_preparing()
            || self.correcting.is_running()
            || self.journaling.is_running()
            || self.saving.is_some()
            || self.exports.is_running()
            || self.remembering.is_opening()
            || self.comparing.is_running()
            || self.listing.is_running()
    }

    fn run_all(&mut self, commands: Vec<Command>, ctx: &egui::Context) {
        for command in commands {
            self.run(command);
            ctx.request_repaint();
        }
        if self.leaving && !self.listing.keeps() {
            self.remember_at_once();
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
                    self.finish_labels(false);
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
                self.open(OpenRequest { paths, over, as_labels: true, ..OpenRequest::default() });
            }
            Command::OpenSeries(number) => {
                if let Some(study) = self.state.study.take() {
                    let chosen = study.series.iter().find(|series| series.number == number);
                    let flaws = chosen.map(|series| series.flaws.clone()).unwrap_or_default();
                    let paths = vec![study.folder];
                    self.open(OpenRequest {
                        paths,
                        series: Some(number),
                        flaws,
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
            Command::Zoom(plane, factor, around) => self.zoom(plane, factor, around),
            Command::Pan(plane, by) => self.pan(plane, by),
            Command::ShowLabel(value, visible) => {
                self.change_row(value, |row| row.visible = visible);
            }
            Command::ColorLabel(value, color) => {
                self.change_row(value, |row| row.color = color);
            }
            Command::Opacity(opacity) => self.state.overlay.opacity = opacity.clamp(0.0, 1.0),
            Command::Dismiss(id) => self.state.notices.retain(|notice| notice.id != id),
            Command::Enlarge(plane) => {
                self.state.focus = plane;
                self.state.layout = match self.state.layout {
                    Layout::One => Layout::Four,
                    Layout::Three | Layout::Four | Layout::Beside => Layout::One,
                };
            }
            Command::Compare(command) => self.run_compare(command),
            Command::List(command) => self.run_list(command),
            Command::SaveLabels(path) => self.save_labels(path),
            Command::Segment(command) => self.run_segment(command),
            Command::Edit(edit) => self.edit(edit),
            Command::Export(command) => self.export(command),
            Command::Keys(command) => {
                if let Some(text) = self.state.keyboard.run(command) {
                    self.notice(text);
                }
            }
        }
    }

    fn change_row(&mut self, value: u8, change: impl FnOnce(&mut super::labels::LabelClass)) {
        if let Some(layer) = &mut self.state.labels {
            layer.change_row(value, change);
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
            Action::Export => self.export(ExportCommand::Open(What::Labels)),
            Action::CaseReport => self.export(ExportCommand::Open(What::Report)),
            Action::Screenshot => self.export(ExportCommand::Open(What::Window)),
            Action::SaveSession => self.export(ExportCommand::Open(What::Session)),
            Action::Close => self.close(),
            Action::Quit => self.leaving = true,
            Action::Segment => self.segment(),
            Action::RerunSlice => self.segment_slice_again(),
            Action::ModelCard => state.segment.card = !state.segment.card,
            Action::AddBundle => self.choose(Dialog::Bundle),
            Action::Cancel => self.cancel(),
            Action::NextDoubtful => self.go_to_doubtful(true),
            Action::PreviousDoubtful => self.go_to_doubtful(false),
            Action::ToggleLabels => state.overlay.labels = !state.overlay.labels,
            Action::ToggleFill => state.overlay.drawn = state.overlay.drawn.next(),
            Action::MoreOpaque => state.overlay.opacity = (state.overlay.opacity + 0.1).min(1.0),
            Action::LessOpaque => state.overlay.opacity = (state.overlay.opacity - 0.1).max(0.0),
            Action::ToggleDoubt => self.toggle_doubt(),
            Action::ToggleAnnotations => state.annotations = !state.annotations,
            Action::ZoomIn => self.zoom(focus, ZOOM_STEP, [0.0; 2]),
            Action::ZoomOut => self.zoom(focus, 1.0 / ZOOM_STEP, [0.0; 2]),
            Action::StepLeft => self.step(focus, [-1.0, 0.0]),
            Action::StepRight => self.step(focus, [1.0, 0.0]),
            Action::StepUp => self.step(focus, [0.0, -1.0]),
            Action::StepDown => self.step(focus, [0.0, 1.0]),
            Action::Preset(place) => self.run(Command::Preset(place.into())),
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
            Action::Tool(tool) => self.choose_tool(tool),
            Action::NextLabel => self.next_label(true),
            Action::PreviousLabel => self.next_label(false),
            Action::NewLabel => self.new_label(),
            Action::LargerBrush => self.resize_brush(true),
            Action::SmallerBrush => self.resize_brush(false),
            Action::ClosePolygon => self.close_polygon(),
            Action::DropCorner => self.drop_corner(),
            Action::Undo => self.undo(true),
            Action::Redo => self.undo(false),
            Action::Refine(refinement) => self.refine(refinement),
            Action::Help => state.toggle_help(),
            Action::OpenReference => self.run_compare(CompareCommand::Choose),
            Action::CloseReference => self.run_compare(CompareCommand::Close),
            Action::HoldReference => {} // `take_comparison` sees whether it is held
            Action::Beside => state.layout = Layout::Beside,
            Action::OutlineReference => self.run_compare(CompareCommand::Outline),
            Action::NextBad => self.run_compare(CompareCommand::NextBad),
            Action::PreviousBad => self.run_compare(CompareCommand::PreviousBad),
            Action::WorstPoint => self.run_compare(CompareCommand::Worst),
            Action::OpenWorklist => self.run_list(ListCommand::Choose),
            Action::NextCase => self.run_list(ListCommand::Next),
            Action::PreviousCase => self.run_list(ListCommand::Previous),
            Action::Accept => self.run_list(ListCommand::Accept),
            Action::Flag => self.run_list(ListCommand::Flag),
        }
    }

    fn close(&mut self) {
        self.forget_labels();
        self.end_session();
        self.state.exporting.form = None;
        self.forget_reference();
        self.opening = None;
        self.state.opening = None;
        self.state.image = None;
    }

    /// Takes the labels away, with whatever works on them.
    fn forget_labels(&mut self) {
        self.segmenting.stop();
        self.state.segmenting = None;
        self.correcting.stop();
        self.state.correcting = None;
        self.state.stroke = None;
        self.state.doubt = None;
        if let Some(layer) = self.state.labels.take() {
            self.put_away(layer);
        }
    }

    fn cancel(&mut self) {
        if self.state.asking.take().is_some() {
            return;
        }
        if self.state.is_asked() {
            return self.edit(Edit::Later);
        }
        if self.state.exporting.form.take().is_some() {
            return;
        }
        let segment = &mut self.state.segment;
        if segment.card || segment.drawing {
            segment.card = false;
            segment.drawing = false;
        } else if self.state.help || self.state.study.is_some() || self.state.typed_path.is_some() {
            self.state.close_help();
            self.state.study = None;
            self.state.typed_path = None;
        } else if self.state.tools.draft.take().is_some() || self.cancel_operation() {
            // Dropped.
        } else if self.segmenting.is_running() {
            if self.makes_labels() {
                self.notice("Stopped; the slices that are done keep their labels.");
            }
            self.end_segmenting();
        } else if self.opening.take().is_some() || self.remembering.is_opening() {
            self.end_session();
            self.state.opening = None;
            self.notice("Stopped opening.");
        } else {
            self.state.tools.tool = Tool::Crosshair;
        }
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
        let since = Instant::now();
        self.state.notices.push(Notice { id: self.ids, is_problem, text, since });
        if self.state.notices.len() > 4 {
            // What is no problem makes room first.
            let oldest = self.state.notices.iter().position(|notice| !notice.is_problem);
            self.state.notices.remove(oldest.unwrap_or(0));
        }
    }

    /// Takes away what was said long enough, and looks again when the next is.
    fn drop_old_notices(&mut self, ctx: &egui::Context) {
        self.state.notices.retain(|notice| notice.left() != Some(Duration::ZERO));
        if let Some(next) = self.state.notices.iter().filter_map(Notice::left).min() {
            ctx.request_repaint_after(next);
        }
    }

    fn grid(&self) -> Option<lamina_io::Geometry> {
        self.state.image.as_ref().map(|image| image.volume.geometry.clone())
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        self.forget_labels();
    }
}

impl eframe::App for Desktop {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        Self::logic(self, ctx);
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        Self::ui(self, ui);
    }

    fn clear_color(&self, _visuals: &egui::Visuals) -> [f32; 4] {
        view::style::PANEL.to_normalized_gamma_f32()
    }
}
