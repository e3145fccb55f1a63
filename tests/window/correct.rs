//! Correcting labels: tools through keys and pointer, undo, locks, and the journal.

use std::path::Path;

use eframe::egui::{Key, Modifiers, Pos2, vec2};
use egui_kittest::kittest::Queryable;
use lamina::gui::desktop::Desktop;
use lamina::gui::folders::Folders;
use lamina::gui::models;
use lamina::gui::plane::Plane;
use lamina::gui::tools::Tool;
use lamina_io::{ReadOptions, read_labels};
use ndarray::Array3;

use super::{Window, click, notices, sample, settle, show, slice, window};
use crate::support::Sandbox;

fn with_journals(folder: &Path, paths: &[std::path::PathBuf]) -> Window {
    let folders = Folders { journals: Some(folder.to_owned()) };
    show(Desktop::with_folders(models(), paths.to_vec(), folders))
}

fn labels(window: &Window) -> &Array3<u8> {
    window.state().state.labels.as_ref().unwrap().labels()
}

fn count(window: &Window, label: u8) -> u64 {
    window.state().state.labels.as_ref().unwrap().count(label)
}

fn axial_middle(window: &Window) -> Pos2 {
    window.get_by_label_contains("Axial slice").rect().center()
}

/// Presses at one place, moves to the other, and lets go.
fn drag(window: &mut Window, from: Pos2, to: Pos2) {
    window.drag_at(from);
    window.step();
    for part in 1..=4 {
        window.hover_at(from + (to - from) * part as f32 / 4.0);
        window.step();
    }
    window.drop_at(to);
    window.run_steps(2);
}

#[test]
fn a_stroke_is_painted_in_its_slice_and_undone_and_done_again() {
    let mut window = window(&[sample("images")]);
    window.key_press(Key::Num2);
    window.run_steps(2);
    let at = axial_middle(&window);
    drag(&mut window, at, at + vec2(40.0, 0.0));
    assert_eq!(notices(&window), Vec::<String>::new());
    let painted = labels(&window).clone();
    let shown = slice(&window, Plane::Axial);
    let [k, ..] = {
        let image = window.state().state.image.as_ref().unwrap();
        let voxel = image.view(Plane::Axial).unwrap().slice.voxel(shown);
        [voxel, 0, 0]
    };
    let all = painted.iter().filter(|label| **label == 1).count();
    let here = painted.index_axis(ndarray::Axis(0), k).iter().filter(|l| **l == 1).count();
    // 3 mm around, on a grid of 1 mm: a disc of 28 voxels at least, drawn out sideways.
    assert!(here > 28, "{here}");
    assert_eq!(all, here, "a disc stays in its slice");

    window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    window.run_steps(2);
    assert_eq!(count(&window, 1), 0);
    window.key_press_modifiers(Modifiers::COMMAND, Key::Y);
    window.run_steps(2);
    assert_eq!(*labels(&window), painted);
    window.get_by_label("Undo");
}

#[test]
fn a_ball_reaches_other_slices_and_the_eraser_takes_it_away() {
    let mut window = window(&[sample("images")]);
    window.key_press(Key::Num2);
    window.run_steps(2);
    click(&mut window, "Ball");
    let at = axial_middle(&window);
    drag(&mut window, at, at);
    let slices = labels(&window).outer_iter().filter(|s| s.iter().any(|l| *l == 1)).count();
    assert_eq!(slices, 7, "3 mm to both sides of the middle, 1 mm apart");
    window.key_press(Key::Num3);
    window.run_steps(2);
    drag(&mut window, at, at);
    assert_eq!(count(&window, 1), 0);
}

#[test]
fn a_polygon_is_clicked_and_filled_with_enter() {
    let mut window = window(&[sample("images")]);
    window.key_press(Key::Num4);
    window.run_steps(2);
    let at = axial_middle(&window);
    for corner in [vec2(-50.0, -50.0), vec2(50.0, -50.0), vec2(50.0, 50.0), vec2(-50.0, 50.0)] {
        drag(&mut window, at + corner, at + corner);
        // Clicks that follow fast would count as double ones.
        window.input_mut().time = Some(window.input().time.unwrap_or_default() + 1.0);
        window.run_steps(2);
    }
    assert_eq!(window.state().state.tools.draft.as_ref().unwrap().corners.len(), 4);
    window.key_press(Key::Enter);
    settle(&mut window);
    let image = window.state().state.image.as_ref().unwrap();
    let view = image.view(Plane::Axial).unwrap();
    // The page fits the pane: the square's side in voxels from the same rule as the canvas.
    let rect = window.get_by_label_contains("Axial slice").rect();
    let room = [rect.width() - 12.0, rect.height() - 12.0];
    let scale = (room[0] / view.right.len as f32).min(room[1] / view.down.len as f32);
    let side = f64::from(100.0 / scale);
    let painted = count(&window, 1) as f64;
    assert!((painted.sqrt() - side).abs() < 1.0, "{painted} voxels, {side} to a side");
}

#[test]
fn a_locked_label_stays_whatever_is_painted_over_it() {
    let mut window = window(&[sample("images"), sample("labels")]);
    let before = count(&window, 2);
    click(&mut window, "Lock Label 2");
    window.state_mut().state.tools.radius_mm = 60.0;
    window.key_press(Key::Num2);
    window.run_steps(2);
    click(&mut window, "Ball");
    let at = axial_middle(&window);
    drag(&mut window, at, at);
    assert_eq!(count(&window, 2), before);
    assert!(count(&window, 1) > before);
    // To paint with it is refused, and says why.
    window.key_press(Key::Period);
    window.run_steps(2);
    drag(&mut window, at, at);
    assert!(notices(&window)[0].contains("locked"), "{:?}", notices(&window));
}

#[test]
fn holes_between_drawn_slices_are_interpolated() {
    let mut window = window(&[sample("images")]);
    window.key_press(Key::Num2);
    window.run_steps(2);
    let at = axial_middle(&window);
    drag(&mut window, at, at);
    for _ in 0..4 {
        window.key_press(Key::PageUp);
    }
    window.run_steps(2);
    drag(&mut window, at, at);
    let filled = |window: &Window| {
        labels(window).outer_iter().filter(|slice| slice.iter().any(|label| *label == 1)).count()
    };
    assert_eq!(filled(&window), 2);
    window.key_press(Key::N);
    settle(&mut window);
    assert_eq!(filled(&window), 5);
    window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    window.run_steps(2);
    assert_eq!(filled(&window), 2);
}

#[test]
fn the_model_over_corrected_labels_is_one_step() {
    let mut window = window(&[sample("images")]);
    window.key_press(Key::Num2);
    window.run_steps(2);
    let at = axial_middle(&window);
    drag(&mut window, at, at + vec2(30.0, 0.0));
    let painted = labels(&window).clone();
    window.key_press(Key::R);
    settle(&mut window);
    assert_ne!(*labels(&window), painted);
    window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    window.run_steps(2);
    assert_eq!(*labels(&window), painted);
}

#[test]
fn work_that_was_not_finished_is_offered_and_whole() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("journals");
    let mut first = with_journals(&folder, &[sample("images")]);
    first.key_press(Key::R);
    settle(&mut first);
    first.key_press(Key::Num2);
    settle(&mut first);
    let at = axial_middle(&first);
    drag(&mut first, at, at + vec2(60.0, 10.0));
    drag(&mut first, at, at + vec2(10.0, 60.0));
    first.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    settle(&mut first);
    let expected = labels(&first).clone();
    let layer = first.state().state.labels.as_ref().unwrap();
    layer.session().sync_journal().unwrap();
    // As after kill -9: what the dead program's journal held, and nothing it did at its end.
    let found = layer.session().journal_path().unwrap();
    let kept = sandbox.path("kept.lamina-journal");
    std::fs::copy(&found, &kept).unwrap();
    drop(first);
    for entry in std::fs::read_dir(&folder).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    std::fs::rename(&kept, &found).unwrap();

    // Without an image it can be taken up over a stand-in...
    let mut bare = with_journals(&folder, &[]);
    bare.get_by_label("Unfinished work");
    // Its button is chosen already; other keys mean what they always do.
    bare.key_press(Key::F1);
    bare.run_steps(2);
    assert!(bare.state().state.help);
    bare.key_press(Key::F1);
    bare.run_steps(2);
    bare.key_press(Key::Enter);
    settle(&mut bare);
    assert_eq!(*labels(&bare), expected);
    drop(bare);

    // ...and is offered again with its image, not with another.
    let other = with_journals(&folder, &[sample("labels")]);
    assert!(other.query_by_label("Unfinished work on this image").is_none());
    drop(other);
    let mut again = with_journals(&folder, &[sample("images")]);
    again.get_by_label_contains("Labels were corrected and not saved");
    click(&mut again, "Take up 1");
    settle(&mut again);
    assert_eq!(*labels(&again), expected);
    assert!(again.state().state.has_unsaved_labels());
    again.key_press_modifiers(Modifiers::COMMAND, Key::Y);
    settle(&mut again);
    assert_ne!(*labels(&again), expected, "what was undone can be done again");
    again.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    settle(&mut again);

    // Once saved it is not offered any more.
    let file = sandbox.path("labels.nii.gz");
    again.state_mut().save_labels(file.clone());
    settle(&mut again);
    assert_eq!(read_labels(&file, &ReadOptions::default()).unwrap().labels, expected);
    drop(again);
    let last = with_journals(&folder, &[sample("images")]);
    assert!(last.state().state.unfinished.is_empty());
}

#[test]
fn discarded_work_is_not_offered_again_and_looking_leaves_nothing() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("journals");
    let mut first = with_journals(&folder, &[sample("images")]);
    first.key_press(Key::Num2);
    settle(&mut first);
    drop(first);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing was done");

    let mut second = with_journals(&folder, &[sample("images")]);
    second.key_press(Key::Num2);
    settle(&mut second);
    let at = axial_middle(&second);
    drag(&mut second, at, at);
    drop(second);
    let mut third = with_journals(&folder, &[]);
    click(&mut third, "Discard 1");
    settle(&mut third);
    drop(third);
    let last = with_journals(&folder, &[]);
    assert!(last.state().state.unfinished.is_empty());
}

#[test]
fn escape_drops_the_polygon_then_the_tool() {
    let mut window = window(&[sample("images")]);
    window.key_press(Key::Num4);
    window.run_steps(2);
    let at = axial_middle(&window);
    drag(&mut window, at, at);
    assert!(window.state().state.tools.draft.is_some());
    window.key_press(Key::Escape);
    window.run_steps(2);
    assert!(window.state().state.tools.draft.is_none());
    assert_eq!(window.state().state.tools.tool, Tool::Polygon);
    window.key_press(Key::Escape);
    window.run_steps(2);
    assert_eq!(window.state().state.tools.tool, Tool::Crosshair);
}
