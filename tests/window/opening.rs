//! Opening: what is seen while a file is read, several files at once, folders with pictures.

use std::time::{Duration, Instant};

use eframe::egui::{self, Key, Modifiers};
use egui_kittest::kittest::Queryable;
use lamina::gui::command::{Action, Command};
use lamina::gui::plane::Plane;
use lamina_io::{Affine, Geometry, Rescale, Volume, Voxels, write_volume};
use ndarray::Array3;

use super::{Window, notices, root, sample, settle, slice, window};
use crate::support::Sandbox;

/// A volume that takes a while to unpack: 200 slices of noise.
fn large() -> Volume {
    let mut state = 1_u32;
    let stored = Array3::from_shape_fn([200, 256, 256], |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 18) as i16
    });
    let affine = Affine::from_spacing_origin([1.0, 1.0, 2.0], [0.0; 3]);
    let geometry = Geometry::new([200, 256, 256], affine).unwrap();
    Volume::new(Voxels::I16(stored), Rescale::IDENTITY, geometry).unwrap()
}

/// Steps until slices arrive; panics when the whole volume comes first.
fn until_slices_arrive(window: &mut Window) {
    let began = Instant::now();
    while window.state().state.incoming.arriving.is_none() {
        assert!(window.state().state.image.is_none(), "the whole came before its parts");
        assert!(began.elapsed() < Duration::from_mins(1), "nothing comes");
        window.step();
    }
    window.step();
}

#[test]
fn slices_are_seen_before_all_are_read_and_the_place_is_kept() {
    let sandbox = Sandbox::new();
    let volume = large();
    write_volume(&sandbox.path("large.nii.gz"), &volume).unwrap();
    let mut window = window(&[]);
    window.state_mut().run(Command::Open(vec![sandbox.path("large.nii.gz")]));
    until_slices_arrive(&mut window);
    window.get_by_label_contains("Coronal slice 129 of 256");
    window.get_by_label_contains("Axial slice");
    // Further on nothing is read yet, and it says so.
    window.state_mut().run(Command::Slice(Plane::Axial, 199));
    window.run_steps(2);
    if window.state().state.image.is_none() {
        window.get_by_label("Axial slice 200 of 200, not read yet");
        let arriving = window.state().state.incoming.arriving.as_ref().unwrap();
        let there = arriving.there;
        assert!(there < 200);
        window.get_by_label(&format!("{there} of 200 slices are read"));
    }
    window.state_mut().run(Command::Slice(Plane::Coronal, 10));
    settle(&mut window);
    assert!(window.state().state.incoming.arriving.is_none());
    assert_eq!(slice(&window, Plane::Axial), 199);
    assert_eq!(slice(&window, Plane::Coronal), 10);
    let shown = window.state().state.image.as_ref().unwrap();
    assert_eq!(shown.volume.voxels, volume.voxels);
    window.get_by_label("Axial slice 200 of 200");
}

#[test]
fn reading_can_be_cancelled_while_slices_are_seen() {
    let sandbox = Sandbox::new();
    write_volume(&sandbox.path("large.nii.gz"), &large()).unwrap();
    let mut window = window(&[]);
    window.state_mut().run(Command::Open(vec![sandbox.path("large.nii.gz")]));
    until_slices_arrive(&mut window);
    window.get_by_label("Cancel").click();
    window.run_steps(4);
    settle(&mut window);
    assert!(window.state().state.image.is_none());
    assert!(window.state().state.incoming.arriving.is_none());
    window.get_by_label("Drop an image, a folder or a DICOM study here");
    assert_eq!(notices(&window), ["Stopped opening."]);
}

#[test]
fn labels_that_are_dropped_before_their_image_lie_over_it() {
    let window = window(&[sample("labels"), sample("images")]);
    let state = &window.state().state;
    assert_eq!(state.image.as_ref().unwrap().path, sample("images"));
    assert!(state.labels.is_some());
    window.get_by_label("Label 1");
}

#[test]
fn several_images_at_once_ask_which() {
    let other = root().join("samples/hippocampus/images/hippocampus_251.nii.gz");
    let mut window = window(&[sample("images"), other]);
    assert!(window.state().state.image.is_none());
    window.get_by_label("Middle slice of hippocampus_124.nii.gz");
    window.get_by_label("hippocampus_251.nii.gz").click();
    window.run_steps(3);
    settle(&mut window);
    assert_eq!(window.state().state.image.as_ref().unwrap().name, "hippocampus_251");
}

#[test]
fn an_image_in_place_of_another_says_so() {
    let mut window = window(&[sample("images")]);
    let other = root().join("samples/hippocampus/images/hippocampus_251.nii.gz");
    window.state_mut().run(Command::Open(vec![other]));
    settle(&mut window);
    let expected = "hippocampus_251 is open in place of hippocampus_124, which is in File, Recent.";
    assert_eq!(notices(&window), [expected]);
}

#[test]
fn folders_show_a_picture_of_each_file() {
    let mut window = window(&[root().join("samples/hippocampus/images")]);
    let began = Instant::now();
    while window.state().state.incoming.thumbnails.iter().any(Option::is_none) {
        assert!(began.elapsed() < Duration::from_mins(1), "no pictures");
        std::thread::sleep(Duration::from_millis(2));
        window.step();
    }
    let thumbnails = &window.state().state.incoming.thumbnails;
    assert!(thumbnails.len() > 1);
    for thumbnail in thumbnails.iter().flatten() {
        assert!(thumbnail.shades.iter().any(|shade| *shade > 100), "all is dark");
    }
    window.key_press(Key::Escape);
    window.run_steps(3);
    assert!(window.state().state.incoming.thumbnails.is_empty());
}

#[test]
fn shift_and_a_digit_choose_brightness_on_any_keyboard() {
    let mut window = window(&[sample("images")]);
    let presets = window.state().state.image.as_ref().unwrap().presets.clone();
    for (logical, physical, expected) in [
        (Key::Exclamationmark, Key::Num1, 0),
        (Key::Quote, Key::Num2, 1),
        (Key::Num1, Key::Num1, 0),
    ] {
        window.event(egui::Event::Key {
            key: logical,
            physical_key: Some(physical),
            pressed: true,
            repeat: false,
            modifiers: Modifiers::SHIFT,
        });
        window.run_steps(2);
        assert_eq!(window.state().state.window, presets[expected].window);
    }
}

#[test]
fn what_is_known_of_an_image_is_told_where_no_pane_is_left_for_it() {
    let mut window = window(&[sample("images")]);
    assert_eq!(window.query_all_by_label("Stored as").count(), 1);
    window.state_mut().run(Command::Do(Action::OnePane));
    window.run_steps(3);
    assert_eq!(window.query_all_by_label("Stored as").count(), 1);

    let sandbox = Sandbox::new();
    let gray = image::GrayImage::from_pixel(5, 4, image::Luma([7]));
    gray.save(sandbox.path("photograph.png")).unwrap();
    window.state_mut().run(Command::Do(Action::Close));
    window.state_mut().run(Command::Open(vec![sandbox.path("photograph.png")]));
    settle(&mut window);
    window.get_by_label("5 × 4 × 1");
    window.get_by_label("not known, in pixels");
}

#[test]
fn keys_zoom_and_step_from_voxel_to_voxel() {
    let mut window = window(&[sample("images")]);
    let voxel = |window: &Window| {
        window.state().state.crosshair_index().unwrap().map(|at| at.round() as i64)
    };
    let axial = *window.state().state.view(Plane::Axial).unwrap();
    let [right, down] = [axial.right, axial.down];
    let mut expected = voxel(&window);
    for (key, run, by) in [
        (Key::ArrowRight, right, 1),
        (Key::ArrowRight, right, 1),
        (Key::ArrowLeft, right, -1),
        (Key::ArrowDown, down, 1),
        (Key::ArrowUp, down, -1),
        (Key::ArrowUp, down, -1),
    ] {
        window.key_press(key);
        window.run_steps(2);
        expected[run.axis] += if run.backwards { -by } else { by };
        assert_eq!(voxel(&window), expected, "{key:?}");
    }
    window.key_press(Key::Z);
    window.run_steps(2);
    assert_eq!(window.state().state.pane(Plane::Axial).zoom, 1.25);
    window.key_press_modifiers(Modifiers::SHIFT, Key::Z);
    window.run_steps(2);
    assert_eq!(window.state().state.pane(Plane::Axial).zoom, 1.0);
}
