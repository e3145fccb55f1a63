//! The window, through what users see and press; no display is needed.

mod compare;
mod correct;
mod export;
mod hostile;
mod keys;
mod opening;
mod segment;
mod worklist;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eframe::egui::{self, DroppedFile, Key, Modifiers, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use lamina::gui::command::{Action, Command};
use lamina::gui::desktop::Desktop;
use lamina::gui::models;
use lamina::gui::plane::Plane;
use lamina_engine::bundle::Model;
use lamina_engine::device::DeviceChoice;
use lamina_engine::inference::segment_volume;
use lamina_engine::observer::Silent;
use lamina_io::{ReadOptions, read_labels, read_volume, synthetic};

use crate::support::Sandbox;

type Window = Harness<'static, Desktop>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn sample(folder: &str) -> PathBuf {
    root().join("samples/hippocampus").join(folder).join("hippocampus_124.nii.gz")
}

/// A window of 1200 x 900 points that opens `paths` and has nothing more to do.
fn window(paths: &[PathBuf]) -> Window {
    show(Desktop::new(models(), paths.to_vec()))
}

fn show(desktop: Desktop) -> Window {
    let mut window = Harness::builder().with_size(vec2(1200.0, 900.0)).build_ui_state(
        |ui, desktop: &mut Desktop| {
            desktop.logic(ui.ctx());
            desktop.ui(ui);
        },
        desktop,
    );
    settle(&mut window);
    window
}

/// Goes on until nothing runs.
fn settle(window: &mut Window) {
    let began = Instant::now();
    window.run_steps(3);
    while window.state().busy() {
        assert!(began.elapsed() < Duration::from_mins(2), "still busy");
        std::thread::sleep(Duration::from_millis(5));
        window.step();
    }
    window.run_steps(3);
}

fn click(window: &mut Window, label: &str) {
    window.get_by_label(label).click();
    window.run_steps(3);
}

fn notices(window: &Window) -> Vec<String> {
    window.state().state.notices.iter().map(|notice| notice.text.clone()).collect()
}

fn slice(window: &Window, plane: Plane) -> usize {
    window.state().state.slice(plane).unwrap()
}

#[test]
fn a_file_named_on_the_command_line_is_shown_in_three_planes() {
    let window = window(&[sample("images")]);
    // 35 x 51 x 35 voxels
    let shape = window.state().state.image.as_ref().unwrap().volume.shape();
    let [depth, height, width] = shape;
    window.get_by_label(&format!("Axial slice {} of {depth}", depth / 2 + 1));
    window.get_by_label(&format!("Coronal slice {} of {height}", height / 2 + 1));
    window.get_by_label_contains(&format!("of {width}"));
    window.get_by_label(&format!("{width} × {height} × {depth}"));
    window.get_by_label("Research use only, not for clinical decisions");
    assert_eq!(notices(&window), Vec::<String>::new());
}

#[test]
fn a_second_file_of_labels_lies_over_the_first() {
    let window = window(&[sample("images"), sample("labels")]);
    window.get_by_label("Label 1");
    window.get_by_label("Label 2");
    let layer = window.state().state.labels.as_ref().unwrap();
    let stored = read_labels(&sample("labels"), &ReadOptions::default()).unwrap();
    assert_eq!(*layer.labels(), stored.labels);
    let ml = stored.volumes_ml().unwrap()[&1];
    window.get_by_label(&format!("{ml:.2} ml"));
}

#[test]
fn keys_wheel_and_slider_go_through_the_slices() {
    let mut window = window(&[sample("images")]);
    let start = slice(&window, Plane::Axial);
    window.key_press(Key::PageUp);
    window.run_steps(2);
    assert_eq!(slice(&window, Plane::Axial), start + 1);
    window.key_press_modifiers(Modifiers::SHIFT, Key::ArrowDown);
    window.run_steps(2);
    assert_eq!(slice(&window, Plane::Axial), start - 4);
    window.key_press(Key::Home);
    window.run_steps(2);
    assert_eq!(slice(&window, Plane::Axial), 0);

    let coronal = slice(&window, Plane::Coronal);
    let over = window.get_by_label_contains("Coronal slice").rect().center();
    window.hover_at(over);
    window.run_steps(2);
    window.event(egui::Event::MouseWheel {
        unit: egui::MouseWheelUnit::Line,
        delta: vec2(0.0, 2.0),
        phase: egui::TouchPhase::Move,
        modifiers: Modifiers::NONE,
        source: egui::MouseWheelSource::Unknown,
    });
    window.run_steps(3);
    assert_eq!(slice(&window, Plane::Coronal), coronal + 2);
    assert_eq!(slice(&window, Plane::Axial), 0);
}

#[test]
fn a_click_moves_the_crosshair_of_the_other_planes() {
    let mut window = window(&[sample("images")]);
    let before = slice(&window, Plane::Coronal);
    let rect = window.get_by_label_contains("Axial slice").rect();
    let at = rect.center() - vec2(0.0, rect.height() * 0.2);
    window.drag_at(at);
    window.run_steps(2);
    window.drop_at(at);
    window.run_steps(3);
    // Up on an axial page is towards the front, where coronal slices ascend.
    assert!(slice(&window, Plane::Coronal) > before);
}

#[test]
fn segmenting_gives_what_the_command_line_gives() {
    let mut window = window(&[sample("images")]);
    click(&mut window, "Segment");
    settle(&mut window);
    assert_eq!(notices(&window), Vec::<String>::new());
    window.get_by_label("anterior");
    window.get_by_label("posterior");
    let model = root().join("models/hippocampus-unet");
    let model = Model::load(&model, &DeviceChoice::Auto.open()).unwrap();
    let volume = read_volume(&sample("images"), &ReadOptions::default()).unwrap();
    let expected = segment_volume("case", &volume, &model, &Silent).unwrap().labels;
    let state = &window.state().state;
    let layer = state.labels.as_ref().unwrap();
    assert_eq!(*layer.labels(), expected.labels);
    for class in &layer.classes {
        assert_eq!(layer.count(class.value), expected.counts()[&class.value]);
    }
    let doubt = state.doubt.as_ref().unwrap();
    assert!(doubt.risks.iter().all(Option::is_some));
    // It is at the borders of what is labeled that a network is unsure.
    assert!(doubt.entropy.iter().any(|share| *share > 128));
    assert!(doubt.entropy.iter().filter(|share| **share < 16).count() * 2 > doubt.entropy.len());
}

#[test]
fn the_doubtful_slices_are_a_key_away() {
    let mut window = window(&[sample("images")]);
    click(&mut window, "Segment");
    settle(&mut window);
    let before = slice(&window, Plane::Axial);
    window.key_press(Key::U);
    window.run_steps(3);
    let state = &window.state().state;
    let doubt = state.doubt.as_ref().unwrap();
    let worst = doubt.risks.iter().flatten().fold(0.0_f64, |worst, risk| worst.max(*risk));
    let now = slice(&window, Plane::Axial);
    if worst < lamina::gui::state::DOUBTFUL {
        assert_eq!(now, before);
        assert_eq!(notices(&window).len(), 1);
    } else {
        let view = state.image.as_ref().unwrap().view(Plane::Axial).unwrap();
        assert!(doubt.risks[view.slice.voxel(now)].unwrap() >= lamina::gui::state::DOUBTFUL);
    }
}

#[test]
fn a_stopped_run_keeps_the_slices_that_are_done() {
    let mut window = window(&[sample("images")]);
    click(&mut window, "Segment");
    while window.state().state.doubt.as_ref().is_none_or(|d| d.risks.iter().flatten().count() == 0)
    {
        assert!(window.state().busy(), "it ended before it could be stopped");
        std::thread::sleep(Duration::from_millis(1));
        window.step();
    }
    window.key_press(Key::Escape);
    settle(&mut window);
    let state = &window.state().state;
    let done = state.doubt.as_ref().unwrap().risks.iter().flatten().count();
    assert!(done < state.doubt.as_ref().unwrap().risks.len());
    // The slice in view came first.
    let view = state.image.as_ref().unwrap().view(Plane::Axial).unwrap();
    let shown = view.slice.voxel(slice(&window, Plane::Axial));
    assert!(state.doubt.as_ref().unwrap().risks[shown].is_some());
}

#[test]
fn saved_labels_are_read_back_the_same() {
    let sandbox = Sandbox::new();
    let mut window = window(&[sample("images"), sample("labels")]);
    let target = sandbox.path("corrected.nii.gz");
    window.state_mut().save_labels(target.clone());
    settle(&mut window);
    assert!(notices(&window)[0].starts_with("Saved, and read back the same"));
    let stored = read_labels(&sample("labels"), &ReadOptions::default()).unwrap();
    let saved = read_labels(&target, &ReadOptions::default()).unwrap();
    assert_eq!(saved.labels, stored.labels);
    saved.geometry.same_grid(&stored.geometry).unwrap();
}

#[test]
fn labels_never_replace_the_image() {
    let sandbox = Sandbox::new();
    let image = sandbox.path("case.nii.gz");
    std::fs::copy(sample("images"), &image).unwrap();
    let before = std::fs::read(&image).unwrap();
    let mut window = window(&[image.clone(), sample("labels")]);
    window.state_mut().save_labels(image.clone());
    settle(&mut window);
    assert!(notices(&window)[0].starts_with("This is the image itself"));
    assert_eq!(std::fs::read(&image).unwrap(), before);
}

#[test]
fn bad_input_is_a_notice_that_names_the_file_and_the_rest_goes_on() {
    let sandbox = Sandbox::new();
    let bytes = std::fs::read(sample("images")).unwrap();
    sandbox.write("cut.nii.gz", &bytes[..bytes.len() / 2]);
    sandbox.write("words.txt", "no image at all");
    sandbox.write("empty/readme.md", "nothing here");
    let mut window = window(&[sample("images"), sample("labels")]);
    for name in ["cut.nii.gz", "words.txt", "absent.nii", "empty"] {
        window.state_mut().run(lamina::gui::command::Command::Open(vec![sandbox.path(name)]));
        settle(&mut window);
        let last = notices(&window).pop().unwrap();
        assert!(last.contains(name), "{name}: {last}");
    }
    assert!(window.state().state.labels.is_some());
    window.get_by_label_contains("Axial slice");
    while window.query_all_by_label("Dismiss").count() > 0 {
        window.query_all_by_label("Dismiss").next().unwrap().click();
        window.run_steps(3);
    }
    assert_eq!(notices(&window), Vec::<String>::new());
}

#[test]
fn labels_of_another_patient_space_are_told_from_those_that_fit() {
    let sandbox = Sandbox::new();
    let (volume, _) =
        synthetic::ellipsoid([6, 8, 10], [1.0, 1.0, 2.0], [5.0, 4.0, 6.0], [3.0, 2.0, 3.0])
            .unwrap();
    sandbox.image("image.nii.gz", &volume);
    let (_, far) =
        synthetic::ellipsoid([6, 8, 10], [0.1, 0.1, 0.1], [0.5, 0.4, 0.3], [0.2, 0.2, 0.2])
            .unwrap();
    sandbox.labels("small.nii.gz", &far);
    let window = window(&[sandbox.path("image.nii.gz"), sandbox.path("small.nii.gz")]);
    assert!(
        notices(&window).iter().any(|text| text.contains("another grid")),
        "{:?}",
        notices(&window)
    );
}

#[test]
fn a_folder_of_several_images_asks_which() {
    let folder = root().join("samples/hippocampus/images");
    let mut window = window(&[folder]);
    assert!(window.state().state.image.is_none());
    click(&mut window, "hippocampus_251.nii.gz");
    settle(&mut window);
    assert_eq!(window.state().state.image.as_ref().unwrap().name, "hippocampus_251");
}

#[derive(Debug)]
struct Dropped(PathBuf);

impl DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.0).map_err(|error| error.to_string())
    }
}

#[test]
fn what_is_dropped_is_opened() {
    let mut window = window(&[]);
    window.get_by_label("Drop an image, a folder or a DICOM study here");
    window.input_mut().dropped_files = vec![Arc::new(Dropped(sample("images")))];
    settle(&mut window);
    window.get_by_label_contains("Axial slice");
    window.input_mut().dropped_files = vec![Arc::new(Dropped(sample("labels")))];
    settle(&mut window);
    window.get_by_label("Label 1");
    assert_eq!(window.state().state.recent, [sample("labels"), sample("images")]);
}

#[test]
fn the_help_page_lists_the_keys() {
    let mut window = window(&[]);
    window.key_press(Key::F1);
    window.run_steps(3);
    window.get_by_label("Shift+U");
    window.key_press(Key::Escape);
    window.run_steps(3);
    assert!(window.query_by_label("Shift+U").is_none());
}

#[test]
fn labels_can_be_hidden_one_by_one() {
    let mut window = window(&[sample("images"), sample("labels")]);
    click(&mut window, "Show Label 1");
    let layer = window.state().state.labels.as_ref().unwrap();
    assert!(!layer.class(1).unwrap().visible);
    assert!(layer.class(2).unwrap().visible);
    window.key_press(Key::S);
    window.run_steps(2);
    assert!(!window.state().state.overlay.labels);
}

#[test]
fn brightness_follows_presets_and_comes_back() {
    let mut window = window(&[sample("images")]);
    let opened = window.state().state.window;
    window.state_mut().run(lamina::gui::command::Command::Preset(1));
    window.run_steps(2);
    assert_ne!(window.state().state.window, opened);
    window.key_press(Key::W);
    window.run_steps(2);
    assert_eq!(window.state().state.window, opened);
}

#[test]
fn a_photograph_has_one_plane_and_pixels() {
    let sandbox = Sandbox::new();
    let gray = image::GrayImage::from_fn(5, 4, |x, y| image::Luma([(40 * x + y) as u8]));
    gray.save(sandbox.path("photograph.png")).unwrap();
    let window = window(&[sandbox.path("photograph.png")]);
    window.get_by_label_contains("As stored slice 1 of 1");
    // No millimeters: the file does not say how large a pixel is.
    window.get_by_label("Crosshair  voxel 2, 2, 0   value 82");
}

#[test]
fn labels_that_are_in_no_file_are_not_lost_unasked() {
    let mut window = window(&[sample("images")]);
    window.key_press(Key::R);
    settle(&mut window);
    assert!(window.state().state.has_unsaved_labels());
    for command in [Command::Do(Action::Close), Command::Open(vec![sample("labels")])] {
        window.state_mut().run(command);
        window.run_steps(3);
        click(&mut window, "Go back");
        assert!(window.state().state.has_unsaved_labels());
        assert!(window.query_by_label("Go back").is_none());
    }

    let sandbox = Sandbox::new();
    window.state_mut().save_labels(sandbox.path("labels.nii.gz"));
    settle(&mut window);
    assert!(!window.state().state.has_unsaved_labels());

    let layer = window.state_mut().state.labels.as_mut().unwrap();
    let undone = layer.edit(lamina_edit::Session::undo).unwrap();
    assert!(undone.voxels > 0);
    window.state_mut().run(Command::Do(Action::Close));
    window.run_steps(3);
    click(&mut window, "Discard labels");
    assert!(window.state().state.image.is_none());
}
