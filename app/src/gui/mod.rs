//! The window: see volumes, segment them, and see what came of it.
//!
//! `state.rs` is what it knows, `view/` draws it and pushes what the user wants as a
//! [`command::Command`], `desktop/` runs commands and takes in what jobs have done. Files are
//! left to `lamina-io`, networks to `lamina-engine`.

pub mod arriving;
pub mod command;
pub mod compare;
pub mod desktop;
pub mod export;
pub mod folders;
pub mod job;
pub mod keymap;
pub mod labels;
pub mod markdown;
pub mod measure;
pub mod open;
pub mod pixels;
pub mod plane;
pub mod segment;
pub mod session_file;
pub mod settings;
pub mod shades;
pub mod state;
pub mod thumbnails;
pub mod tools;
pub mod view;
pub mod worklist;

use std::path::PathBuf;

use eframe::egui;

use desktop::Desktop;
use folders::Folders;
use segment::ModelChoice;

/// The models that can segment volumes, from all places where the command line looks for its own.
pub fn models() -> Vec<ModelChoice> {
    found_models().0
}

/// The models that can segment volumes, and what is wrong with bundles that cannot be read.
fn found_models() -> (Vec<ModelChoice>, Vec<String>) {
    let (mut models, mut broken) = (Vec::new(), Vec::new());
    for (folder, manifest) in crate::cli::bundles_at_hand() {
        match manifest {
            Ok(manifest) if manifest.check_takes_gray().is_ok() => {
                models.push(ModelChoice::new(folder, manifest));
            }
            Ok(_) => {} // for tensors, whole images or colors
            Err(error) => broken.push(crate::cli::error_line(&error)),
        }
    }
    (models, broken)
}

/// What the window opens with.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// The first is the image, others may be labels.
    pub paths: Vec<PathBuf>,
    /// What labels are compared with.
    pub reference: Option<PathBuf>,
    /// A folder of cases.
    pub worklist: Option<worklist::Sources>,
    /// Whether it says how fast it is, and ends.
    pub measure: bool,
}

/// Opens the window and answers when it is closed.
///
/// # Errors
/// When there is no display, or nothing to draw with.
pub fn run(start: Start) -> eframe::Result {
    let Start { paths, reference, worklist, measure } = start;
    let viewport = egui::ViewportBuilder::default()
        .with_title("Lamina")
        .with_app_id("lamina")
        .with_inner_size([1200.0, 860.0])
        .with_min_inner_size([560.0, 400.0])
        .with_drag_and_drop(true);
    let mut options = eframe::NativeOptions { viewport, ..eframe::NativeOptions::default() };
    // A shade on the screen is the shade of its value, and no noise around it.
    options.dithering = false;
    options.glow_options.vsync = !measure; // frames as fast as they come
    let app: Box<dyn eframe::App> = match paths.first().cloned() {
        // What is measured leaves nothing behind.
        Some(image) if measure => {
            Box::new(measure::Measure::new(Desktop::new(models(), paths), image))
        }
        _ => {
            let (models, broken) = found_models();
            let mut desktop = Desktop::with_folders(models, paths, Folders::of_user());
            desktop.state.segment.broken = broken;
            if let Some(settings) = settings::SettingsFile::of_user() {
                desktop = desktop.with_settings(settings);
            }
            if let Some(reference) = reference {
                desktop.open_reference(reference);
            }
            if let Some(sources) = worklist {
                desktop.open_worklist(sources);
            }
            Box::new(desktop)
        }
    };
    eframe::run_native("lamina", options, Box::new(move |_| Ok(app)))
}
