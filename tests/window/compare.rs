//! Labels against their reference.

use eframe::egui::{Key, Modifiers, vec2};
use egui_kittest::kittest::Queryable;
use lamina::gui::command::{Action, Command};
use lamina::gui::compare::{BAD_DICE, CompareCommand};
use lamina::gui::plane::Plane;
use lamina::gui::state::{Layout, State};
use lamina::gui::tools::Refinement;
use lamina_io::{LabelVolume, ReadOptions, read_labels, read_volume, write_labels};
use ndarray::{Array3, s};

use super::{Dropped, Window, click, notices, sample, settle, slice, window};
use crate::support::Sandbox;

/// The sample's labels, moved by two voxels along each axis, without label 2 in the upper half.
fn moved() -> LabelVolume {
    let stored = read_labels(&sample("labels"), &ReadOptions::default()).unwrap();
    let [depth, height, width] = stored.shape();
    let mut labels = Array3::zeros([depth, height, width]);
    labels.slice_mut(s![2.., 1.., 2..]).assign(&stored.labels.slice(s![
        ..depth - 2,
        ..height - 1,
        ..width - 2
    ]));
    let middle = depth / 2;
    labels.slice_mut(s![middle.., .., ..]).map_inplace(|l| *l = if *l == 2 { 0 } else { *l });
    LabelVolume { labels, ..stored }
}

/// A window with the sample, moved labels over it, and the sample's own as reference.
fn compared(sandbox: &Sandbox) -> Window {
    let path = sandbox.path("prediction.nii.gz");
    write_labels(&path, &moved()).unwrap();
    let mut window = window(&[sample("images"), path]);
    window.state_mut().run(Command::Compare(CompareCommand::Open(sample("labels"))));
    settle(&mut window);
    window
}

fn state(window: &Window) -> &State {
    &window.state().state
}

#[test]
fn the_numbers_are_those_of_the_command_line() {
    let sandbox = Sandbox::new();
    let window = compared(&sandbox);
    assert_eq!(notices(&window), Vec::<String>::new());
    let reference = sample("labels");
    let run = sandbox.lamina(&format!(
        "evaluate --prediction prediction.nii.gz --reference {} --surface --json",
        reference.display()
    ));
    let report = run.exits(0).json();
    let expected = report["cases"][0]["classes"].as_array().unwrap().clone();
    let measured = state(&window).compare.measured.as_ref().unwrap();
    assert!(!measured.resampled);
    assert_eq!(serde_json::to_value(&measured.classes).unwrap().as_array().unwrap(), &expected);
    // And they are what the table says.
    for class in &expected {
        let number = |key: &str| class[key].as_f64().unwrap();
        for text in [
            format!("{:.3}", number("dice")),
            format!("{:.3}", number("iou")),
            format!("{:.2}", number("hd95_mm")),
            format!("{:.3}", number("volume_ml_prediction")),
            format!("{:.3}", number("volume_ml_reference")),
        ] {
            assert!(window.query_all_by_label(&text).count() > 0, "{text} of {class}");
        }
    }
}

#[test]
fn holding_a_key_shows_the_reference_in_place_of_the_labels() {
    let sandbox = Sandbox::new();
    let mut window = compared(&sandbox);
    let there =
        |window: &Window| window.query_all_by_label_contains("showing the reference").count();
    assert_eq!(there(&window), 0);
    window.key_down(Key::G);
    window.run_steps(2);
    assert_eq!(there(&window), 3);
    window.key_up(Key::G);
    window.run_steps(2);
    assert_eq!(there(&window), 0);
}

#[test]
fn prediction_and_reference_lie_side_by_side_and_move_together() {
    let sandbox = Sandbox::new();
    let mut window = compared(&sandbox);
    window.key_press_modifiers(Modifiers::SHIFT, Key::G);
    window.run_steps(3);
    assert_eq!(state(&window).layout, Layout::Beside);
    let left = window.get_by_label_contains("Axial slice").rect();
    let right = window.get_by_label_contains("Reference, axial slice").rect();
    assert!((left.width() - right.width()).abs() < 1.0 && right.left() > left.right());
    let before = slice(&window, Plane::Axial);
    window.hover_at(right.center());
    window.run_steps(2);
    window.key_press(Key::PageUp);
    window.run_steps(3);
    assert_eq!(slice(&window, Plane::Axial), before + 1);
    let number = format!("slice {} of", before + 2);
    assert_eq!(window.query_all_by_label_contains(&number).count(), 2);
    // A click on the right moves the crosshair of the left.
    let crosshair = state(&window).crosshair_mm;
    let at = right.center() + vec2(30.0, 20.0);
    window.drag_at(at);
    window.run_steps(2);
    window.drop_at(at);
    window.run_steps(3);
    assert_ne!(state(&window).crosshair_mm, crosshair);
    window.state_mut().run(Command::Do(Action::CloseReference));
    window.run_steps(3);
    assert_eq!(state(&window).layout, Layout::Four);
}

#[test]
fn the_pane_without_a_reference_takes_what_is_dropped() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("prediction.nii.gz");
    write_labels(&path, &moved()).unwrap();
    let mut window = window(&[sample("images"), path]);
    window.state_mut().run(Command::Do(Action::Beside));
    window.run_steps(3);
    window.get_by_label("No reference yet: drop a label file here");
    window.input_mut().dropped_files = vec![std::sync::Arc::new(Dropped(sample("labels")))];
    settle(&mut window);
    window.get_by_label_contains("Reference, axial slice");
    assert_eq!(state(&window).labels.as_ref().unwrap().labels(), &moved().labels);
}

#[test]
fn of_three_files_the_third_is_the_reference() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("prediction.nii.gz");
    write_labels(&path, &moved()).unwrap();
    let window = window(&[sample("images"), path, sample("labels")]);
    let state = state(&window);
    assert_eq!(state.labels.as_ref().unwrap().labels(), &moved().labels);
    assert_eq!(state.compare.reference.as_ref().unwrap().origin, "hippocampus_124");
    assert!(state.compare.measured.is_some());
}

#[test]
fn bad_slices_and_the_worst_point_are_a_key_away() {
    let sandbox = Sandbox::new();
    let mut window = compared(&sandbox);
    window.state_mut().run(Command::Slice(Plane::Axial, 0));
    window.key_press(Key::J);
    window.run_steps(3);
    let view = *state(&window).image.as_ref().unwrap().view(Plane::Axial).unwrap();
    let curve = state(&window).compare.curve(view.slice.axis).unwrap().to_vec();
    let voxel = view.slice.voxel(slice(&window, Plane::Axial));
    assert!(curve[voxel].unwrap() < BAD_DICE);
    let dice = format!("slice {}: {:.3}", slice(&window, Plane::Axial) + 1, curve[voxel].unwrap());
    window.get_by_label_contains(&format!("Axial Dice, {dice}"));

    window.key_press(Key::K);
    window.run_steps(3);
    let worst = *state(&window).compare.worst().unwrap();
    assert_eq!(state(&window).crosshair_mm, worst.mm);
    // That voxel has the label on the one side and not on the other.
    let index = state(&window).crosshair_index().unwrap().map(|at| at.round() as usize);
    let at = [index[2], index[1], index[0]];
    let labels = state(&window).labels.as_ref().unwrap().labels()[at];
    let reference = state(&window).compare.reference.as_ref().unwrap().labels[at];
    assert_eq!(labels == worst.label, worst.on_labels);
    assert_eq!(reference == worst.label, !worst.on_labels);
    // Of a label alone it may be another.
    let other = if worst.label == 1 { "Compare Label 2" } else { "Compare Label 1" };
    click(&mut window, other);
    let chosen = state(&window).compare.worst().unwrap();
    assert!(chosen.label != worst.label && chosen.distance_mm <= worst.distance_mm);
}

#[test]
fn numbers_follow_the_labels() {
    let sandbox = Sandbox::new();
    let mut window = compared(&sandbox);
    let before = state(&window).compare.measured.as_ref().unwrap().mean_dice().unwrap();
    // The reference pasted over the labels.
    let labels = read_labels(&sample("labels"), &ReadOptions::default()).unwrap().labels;
    let paste = lamina_edit::Paste {
        start: [0; 3],
        labels: std::sync::Arc::new(labels),
        by: "test".to_owned(),
    };
    let layer = window.state_mut().state.labels.as_mut().unwrap();
    layer.edit(|session| session.apply(&lamina_edit::Operation::Paste(paste))).unwrap();
    settle(&mut window);
    let after = state(&window).compare.measured.as_ref().unwrap().mean_dice();
    assert!(before < 0.9);
    assert_eq!(after, Some(1.0));
    assert!(!state(&window).compare.outdated);
    window.state_mut().state.labels.as_mut().unwrap().edit(lamina_edit::Session::undo).unwrap();
    settle(&mut window);
    let again = state(&window).compare.measured.as_ref().unwrap().mean_dice();
    assert_eq!(again, Some(before));
}

#[test]
fn what_one_side_lacks_is_said_in_words_and_has_no_distance() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("prediction.nii.gz");
    let mut labels = moved();
    labels.labels.map_inplace(|label| *label = if *label == 2 { 3 } else { *label });
    write_labels(&path, &labels).unwrap();
    let window = window(&[sample("images"), path, sample("labels")]);
    window.get_by_label("missed: only the reference has it");
    window.get_by_label("false: only the labels have it");
    let measured = state(&window).compare.measured.as_ref().unwrap();
    assert_eq!(measured.worst(Some(2)), None);
    assert_eq!(measured.worst(Some(3)), None);
}

#[test]
fn a_reference_on_another_grid_is_told_and_one_of_another_kind_refused() {
    let sandbox = Sandbox::new();
    let stored = read_labels(&sample("labels"), &ReadOptions::default()).unwrap();
    let image = read_volume(&sample("images"), &ReadOptions::default()).unwrap();
    // Every second voxel along x.
    let [depth, height, width] = stored.shape();
    let labels = stored.labels.slice(s![.., .., ..;2]).to_owned();
    let affine = image.geometry.ras_from_index();
    let steps = [affine.step(0).map(|mm| 2.0 * mm), affine.step(1), affine.step(2)];
    let affine = lamina_io::Affine::from_columns(steps, affine.apply([0.0; 3]));
    let geometry = lamina_io::Geometry::new([depth, height, width.div_ceil(2)], affine).unwrap();
    let coarse = LabelVolume::new(labels, geometry).unwrap();
    write_labels(&sandbox.path("coarse.nii.gz"), &coarse).unwrap();
    sandbox.write("words.txt", "no labels");
    let mut window = window(&[sample("images"), sample("labels")]);
    window.state_mut().run(Command::Compare(CompareCommand::Open(sandbox.path("coarse.nii.gz"))));
    settle(&mut window);
    assert!(notices(&window)[0].contains("lies on another grid"), "{:?}", notices(&window));
    let measured = state(&window).compare.measured.as_ref().unwrap();
    assert!(measured.resampled);
    window.get_by_label_contains("brought onto the grid of the reference");
    // Its own volume is that of its own voxels.
    let ml = coarse.volumes_ml().unwrap()[&1];
    assert_eq!(measured.classes[0].volume_ml_reference, Some(ml));

    window.state_mut().run(Command::Compare(CompareCommand::Open(sandbox.path("words.txt"))));
    settle(&mut window);
    assert!(notices(&window).pop().unwrap().contains("words.txt"));
    assert!(state(&window).compare.reference.is_some());
}

#[test]
fn tools_combine_labels_with_the_reference() {
    let sandbox = Sandbox::new();
    let mut window = compared(&sandbox);
    window.state_mut().state.tools.label = 1;
    let labels = moved().labels;
    let reference = read_labels(&sample("labels"), &ReadOptions::default()).unwrap().labels;
    let both = labels.iter().zip(&reference).filter(|(a, b)| (**a, **b) == (1, 1)).count();
    window.state_mut().run(Command::Do(Action::Refine(Refinement::Intersect)));
    settle(&mut window);
    assert_eq!(state(&window).labels.as_ref().unwrap().count(1), both as u64);
    window.state_mut().run(Command::Compare(CompareCommand::Close));
    settle(&mut window);
    assert!(!state(&window).labels.as_ref().unwrap().session().has_second());
}

/// Run with `-- --ignored --nocapture large_labels`.
#[test]
#[ignore = "a measurement: needs the machine for itself"]
fn large_labels_are_measured_beside_the_window() {
    let sandbox = Sandbox::new();
    let shape = [300, 512, 512];
    let ball = |radius: f64| {
        let square = |at: usize, middle: f64| ((at as f64 - middle) / middle).powi(2);
        Array3::from_shape_fn(shape, |(k, j, i)| {
            let far = square(k, 150.0) + square(j, 256.0) + square(i, 256.0);
            u8::from(far < radius * radius) + u8::from(far < 0.2 * radius * radius)
        })
    };
    let affine = lamina_io::Affine::from_spacing_origin([0.7, 0.7, 1.0], [0.0; 3]);
    let geometry = lamina_io::Geometry::new(shape, affine).unwrap();
    for (name, radius) in [("labels.nii", 0.6), ("reference.nii", 0.55)] {
        let labels = LabelVolume::new(ball(radius), geometry.clone()).unwrap();
        write_labels(&sandbox.path(name), &labels).unwrap();
    }
    let labels = sandbox.path("labels.nii");
    let mut window = window(&[labels.clone(), labels]);
    window.state_mut().run(Command::Compare(CompareCommand::Open(sandbox.path("reference.nii"))));
    let began = std::time::Instant::now();
    let mut slowest = std::time::Duration::ZERO;
    while state(&window).compare.measured.is_none() {
        let frame = std::time::Instant::now();
        window.step();
        slowest = slowest.max(frame.elapsed());
    }
    eprintln!("measured after {:?}, slowest frame {slowest:?}", began.elapsed());
}
