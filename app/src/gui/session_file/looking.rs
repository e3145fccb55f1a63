//! From the window into a session, and from a session back into the window.

use std::path::Path;

use super::{ABOUT, ClassPart, FORMAT, FileRef, ListRef, ModelRef, SessionFile, ViewPart};
use crate::gui::plane::Plane;
use crate::gui::segment::Overlay;
use crate::gui::settings::looks;
use crate::gui::shades::Window;
use crate::gui::state::{PaneState, State};

impl SessionFile {
    /// What is open; paths and hashes are found when it is written. None without an image.
    pub fn of(state: &State) -> Option<Self> {
        let image = state.image.as_ref().filter(|image| !image.is_stand_in)?;
        let whole = |path: &Path| path.to_string_lossy().into_owned();
        let labels = state.labels.as_ref().filter(|layer| !layer.is_unsaved());
        let file = |path: &Path| FileRef { file: whole(path), series: None, sha256: String::new() };
        let labels = labels.and_then(|layer| layer.file.as_deref()).map(file);
        let reference = state.compare.reference.as_ref();
        let reference = reference.and_then(|reference| reference.file.as_deref()).map(file);
        let worklist = state.worklist.as_ref().map(|list| ListRef {
            results: whole(&list.sources.results),
            images: list.sources.images.as_deref().map(whole),
            references: list.sources.references.as_deref().map(whole),
            case: list.open_case().map(|case| case.name.clone()),
        });
        let model = state.models.get(state.model).map(|model| ModelRef {
            name: model.manifest.name.clone(),
            weights_sha256: model.manifest.weights.sha256.clone(),
        });
        let classes = state.labels.iter().flat_map(|layer| {
            let visible = layer.classes.iter().map(|class| class.visible);
            looks(layer).into_iter().zip(visible)
        });
        Some(Self {
            lamina_session: FORMAT,
            about: ABOUT.to_owned(),
            image: FileRef {
                file: whole(&image.path),
                series: image.series,
                sha256: String::new(),
            },
            labels,
            reference,
            worklist,
            model,
            view: ViewPart {
                crosshair_mm: state.crosshair_mm,
                layout: state.layout,
                focus: state.focus.name().to_owned(),
                panes: state.panes.map(|pane| (pane.zoom, pane.pan)),
                window: [state.window.center, state.window.width],
                inverted: state.inverted,
                labels: state.overlay.labels,
                opacity: state.overlay.opacity,
                drawn: state.overlay.drawn,
                doubt: state.segment.overlay == Overlay::Doubt,
                annotations: state.annotations,
            },
            classes: classes.map(|(look, visible)| ClassPart { look, visible }).collect(),
        })
    }

    /// Looks at what is open as the session says.
    pub fn apply(&self, state: &mut State) {
        let view = &self.view;
        state.crosshair_mm = view.crosshair_mm;
        state.layout = view.layout;
        let planes = [Plane::Axial, Plane::Coronal, Plane::Sagittal, Plane::Stored];
        if let Some(plane) = planes.into_iter().find(|plane| plane.name() == view.focus) {
            state.focus = plane;
        }
        state.panes = view.panes.map(|(zoom, pan)| PaneState { zoom: zoom.clamp(0.2, 60.0), pan });
        state.window = Window { center: view.window[0], width: view.window[1] };
        state.inverted = view.inverted;
        state.overlay.labels = view.labels;
        state.overlay.opacity = view.opacity.clamp(0.0, 1.0);
        state.overlay.drawn = view.drawn;
        state.segment.overlay = if view.doubt { Overlay::Doubt } else { Overlay::None };
        state.annotations = view.annotations;
        if let Some(model) = &self.model {
            let same = state.models.iter().position(|choice| {
                choice.manifest.name == model.name
                    && choice.manifest.weights.sha256 == model.weights_sha256
            });
            state.model = same.unwrap_or(state.model);
        }
        if let (Some(list), Some(listed)) = (&mut state.worklist, &self.worklist) {
            let case = listed.case.as_ref();
            list.current = case.and_then(|name| list.cases.iter().position(|c| c.name == *name));
        }
        if let Some(layer) = &mut state.labels {
            for class in &self.classes {
                layer.change_row(class.look.value, |row| {
                    row.name.clone_from(&class.look.name);
                    row.color = class.look.color;
                    row.visible = class.visible;
                });
            }
        }
    }
}
