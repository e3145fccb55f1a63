//! Choosing a model, running it on all or on a part, and looking at what it doubts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};
use lamina::gui::command::{Action, Command};
use lamina::gui::plane::Plane;
use lamina::gui::segment::{Loading, Overlay, SegmentCommand, VoxelBox};
use lamina_edit::{LabelSet, Operation, Paste, Rules};
use lamina_engine::device::DeviceChoice;
use lamina_io::synthetic;
use ndarray::{Array3, Axis, s};

use super::{Dropped, Window, click, notices, root, sample, settle, slice, window};
use crate::support::Sandbox;

/// The sample, segmented, and its labels.
fn segmented() -> (Window, Array3<u8>) {
    let mut window = window(&[sample("images")]);
    click(&mut window, "Segment");
    settle(&mut window);
    let labels = labels(&window);
    assert!((1..=2).all(|label| labels.iter().any(|found| *found == label)));
    (window, labels)
}

fn labels(window: &Window) -> Array3<u8> {
    window.state().state.labels.as_ref().unwrap().labels().clone()
}

/// Corrects all labels by hand: everything becomes a label that the model does not know.
fn overpaint(window: &mut Window, label: u8) {
    let layer = window.state_mut().state.labels.as_mut().unwrap();
    let painted = Arc::new(Array3::from_elem(layer.labels().dim(), label));
    let paste = Operation::Paste(Paste { start: [0; 3], labels: painted, by: "hand".into() });
    layer.edit(|session| session.apply(&paste)).unwrap();
    window.run_steps(2);
}

fn undo(window: &mut Window) {
    let layer = window.state_mut().state.labels.as_mut().unwrap();
    layer.edit(lamina_edit::Session::undo).unwrap();
    window.run_steps(2);
}

fn wait_for(window: &mut Window, what: &str, done: impl Fn(&Window) -> bool) {
    for _ in 0..6000 {
        if done(window) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
        window.step();
    }
    panic!("waited in vain: {what}");
}

fn copied_model(sandbox: &Sandbox) -> PathBuf {
    for name in ["model.toml", "CARD.md", "weights.safetensors", "test_vector.safetensors"] {
        let bytes = std::fs::read(root().join("models/hippocampus-unet").join(name)).unwrap();
        sandbox.write(&format!("other/{name}"), bytes);
    }
    sandbox.path("other")
}

#[test]
fn a_slice_that_is_run_again_is_that_of_the_whole_run_bit_by_bit() {
    let (mut window, whole) = segmented();
    overpaint(&mut window, 7);
    window.key_press_modifiers(Modifiers::SHIFT, Key::R);
    window.run_steps(2);
    settle(&mut window);
    assert_eq!(notices(&window), Vec::<String>::new());
    let view = *window.state().state.image.as_ref().unwrap().view(Plane::Axial).unwrap();
    let at = view.slice.voxel(slice(&window, Plane::Axial));
    let across = Axis(2 - view.slice.axis);
    let found = labels(&window);
    for (place, plane) in found.axis_iter(across).enumerate() {
        if place == at {
            assert_eq!(plane, whole.index_axis(across, at));
        } else {
            assert!(plane.iter().all(|label| *label == 7), "slice {place}");
        }
    }
    undo(&mut window);
    assert!(labels(&window).iter().all(|label| *label == 7));
    undo(&mut window);
    assert_eq!(labels(&window), whole);
}

#[test]
fn some_slices_are_run_again_by_their_numbers() {
    let (mut window, whole) = segmented();
    overpaint(&mut window, 7);
    window.state_mut().run(Command::Segment(SegmentCommand::Range([3, 6])));
    window.run_steps(2);
    click(&mut window, "Segment these axial slices again");
    settle(&mut window);
    let found = labels(&window);
    // The sample's axes run to R, A and S: slice 4 of the page is voxel 3.
    assert_eq!(found.slice(s![3..7, .., ..]), whole.slice(s![3..7, .., ..]));
    assert!(found.slice(s![..3, .., ..]).iter().all(|label| *label == 7));
    assert!(found.slice(s![7.., .., ..]).iter().all(|label| *label == 7));
}

#[test]
fn a_box_that_is_drawn_is_run_again_and_nothing_else() {
    let (mut window, whole) = segmented();
    overpaint(&mut window, 7);
    click(&mut window, "Draw a box");
    let rect = window.get_by_label_contains("Coronal slice").rect();
    let [from, to] = [0.35, 0.6].map(|share| rect.min + rect.size() * share);
    window.drag_at(from);
    window.run_steps(2);
    window.hover_at(to);
    window.run_steps(2);
    window.drop_at(to);
    window.run_steps(2);
    let drawn = window.state().state.segment.region.unwrap();
    let at = slice(&window, Plane::Coronal);
    assert_eq!((drawn.start[1], drawn.size()[1]), (at, 1), "one coronal slice, {drawn:?}");
    assert!(drawn.size()[0] > 2 && drawn.size()[2] > 2, "{drawn:?}");
    window.state_mut().run(Command::Segment(SegmentCommand::BoxRange(1, [at - 2, at + 2])));
    window.run_steps(2);
    window.get_by_label_contains("Box of ");
    click(&mut window, "Run in the box");
    settle(&mut window);
    let drawn = VoxelBox { start: [drawn.start[0], at - 2, drawn.start[2]], ..drawn };
    let drawn = VoxelBox { end: [drawn.end[0], at + 3, drawn.end[2]], ..drawn };
    for ((k, j, i), &label) in labels(&window).indexed_iter() {
        let inside = drawn.holds(0, i) && drawn.holds(1, j) && drawn.holds(2, k);
        assert_eq!(label, if inside { whole[[k, j, i]] } else { 7 }, "{k} {j} {i}");
    }
    click(&mut window, "Clear the box");
    assert_eq!(window.state().state.segment.region, None);
}

#[test]
fn a_run_over_corrected_labels_is_one_step_and_obeys_locks() {
    let (mut window, whole) = segmented();
    overpaint(&mut window, 7);
    click(&mut window, "Segment");
    settle(&mut window);
    assert_eq!(labels(&window), whole);
    undo(&mut window);
    assert!(labels(&window).iter().all(|label| *label == 7));

    let layer = window.state_mut().state.labels.as_mut().unwrap();
    let rules = Rules { locked: LabelSet::from([2]), ..Rules::default() };
    layer.edit(|session| session.set_rules(rules));
    click(&mut window, "Segment");
    settle(&mut window);
    let expected = whole.mapv(|label| if label == 2 { 7 } else { label });
    assert_eq!(labels(&window), expected);
}

#[test]
fn probabilities_of_a_class_are_painted_and_agree_with_the_labels() {
    let (mut window, whole) = segmented();
    assert!(window.state().state.segment.probability.is_none(), "nobody asked for any");
    let paint = |overlay| Command::Segment(SegmentCommand::Overlay(overlay));
    window.state_mut().run(paint(Overlay::Probability(1)));
    settle(&mut window);
    window.get_by_label("Legend from 0 to 1");
    assert_eq!(labels(&window), whole, "no label is touched");
    let layer = window.state().state.segment.probability.clone().unwrap();
    assert!(layer.complete);
    for (label, probability) in whole.iter().zip(&layer.values) {
        // Of three classes the most probable has a third at least, and another a half at most.
        match label {
            1 => assert!(*probability >= 85, "{probability}"),
            _ => assert!(*probability <= 128, "{probability}"),
        }
    }
    // They come along when the model is run again, and go with another overlay.
    click(&mut window, "Segment");
    settle(&mut window);
    assert_eq!(window.state().state.segment.probability.as_ref().unwrap().values, layer.values);
    window.key_press(Key::P);
    window.run_steps(3);
    assert_eq!(window.state().state.segment.overlay, Overlay::Doubt);
    window.get_by_label("Legend from certain to all alike");
}

#[test]
fn an_image_unlike_those_of_training_is_said_and_one_like_them_is_not() {
    let window = window(&[sample("images")]);
    let sentences = |window: &Window| -> Vec<String> {
        window.state().state.segment.checked.clone().unwrap().sentences
    };
    assert_eq!(sentences(&window), Vec::<String>::new());

    let sandbox = Sandbox::new();
    let (volume, _) =
        synthetic::ellipsoid([9, 40, 40], [1.0, 1.0, 5.0], [20.0, 20.0, 4.0], [9.0, 9.0, 9.0])
            .unwrap();
    sandbox.image("thick.nii.gz", &volume);
    let window = super::window(&[sandbox.path("thick.nii.gz")]);
    window.get_by_label("The slices are 5.0 mm apart; the model saw 1.0 mm.");
}

#[test]
fn the_card_says_what_the_model_is_for_and_what_it_was_trained_on() {
    let mut window = window(&[sample("images")]);
    click(&mut window, "Model card…");
    window.get_by_label("Trained on");
    window.get_by_label("CC-BY-SA-4.0");
    window.get_by_label("1 × 1 × 1 mm"); // its fingerprint
    window.get_by_label("Limits"); // its card
    window.get_by_label("anterior, Dice 0.889");
    window.key_press(Key::Escape);
    window.run_steps(3);
    assert!(window.query_by_label("Trained on").is_none());
}

#[test]
fn devices_that_are_not_there_say_why() {
    let mut window = window(&[sample("images")]);
    wait_for(&mut window, "devices", |window| !window.state().state.segment.devices.is_empty());
    let offered = window.state().state.segment.devices.clone();
    window.get_by_label("Device").click();
    window.run_steps(3);
    for device in offered.iter().filter(|device| device.missing.is_some()) {
        let text = format!("{}: {}", device.name, device.missing.clone().unwrap());
        assert!(window.get_by_label(&text).accesskit_node().is_disabled(), "{text}");
    }
    click(&mut window, "CPU");
    assert_eq!(window.state().state.segment.device, DeviceChoice::Cpu);
    wait_for(&mut window, "the model on the CPU", |window| {
        window.state().state.segment.loading == Loading::Ready("cpu".into())
    });
    window.run_steps(2);
    window.get_by_label("Ready on cpu, in single precision (f32)");
}

#[test]
fn a_bundle_that_is_dropped_is_added_and_a_broken_one_says_so() {
    let sandbox = Sandbox::new();
    let folder = copied_model(&sandbox);
    let mut window = window(&[sample("images")]);
    let before = window.state().state.models.len();
    let drop = |window: &mut Window, path: &Path| {
        window.input_mut().dropped_files = vec![Arc::new(Dropped(path.to_owned()))];
        window.run_steps(3);
        settle(window);
    };
    drop(&mut window, &folder);
    assert_eq!(window.state().state.models.len(), before + 1);
    assert_eq!(window.state().state.model, before);
    assert!(window.state().state.image.is_some(), "it was not opened as an image");
    wait_for(&mut window, "the model", |window| {
        matches!(window.state().state.segment.loading, Loading::Ready(_))
    });

    // Its weights are cut: the panel says so, and so does a run, which changes nothing.
    let weights = folder.join("weights.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    window.state_mut().run(Command::Segment(SegmentCommand::Device(DeviceChoice::Cpu)));
    wait_for(&mut window, "the failure", |window| {
        matches!(window.state().state.segment.loading, Loading::Failed(_))
    });
    window.run_steps(2);
    window.get_by_label_contains("Choose another one, or copy its bundle here again.");
    click(&mut window, "Segment");
    settle(&mut window);
    assert!(notices(&window).iter().any(|text| text.starts_with("Cannot load this model: ")));
    assert!(window.state().state.labels.is_none());

    // A manifest that is none is a notice; the models that there are stay.
    sandbox.write("none/model.toml", "no manifest");
    drop(&mut window, &sandbox.path("none"));
    assert!(notices(&window).iter().any(|text| text.starts_with("Cannot use this bundle: ")));
    assert_eq!(window.state().state.models.len(), before + 1);

    window.state_mut().run(Command::Segment(SegmentCommand::Model(0)));
    window.run_steps(2);
    click(&mut window, "Segment");
    settle(&mut window);
    assert!(window.state().state.labels.is_some());
}

#[test]
fn a_stopped_part_is_still_one_step() {
    let (mut window, whole) = segmented();
    overpaint(&mut window, 7);
    window.state_mut().run(Command::Segment(SegmentCommand::Slices([0, 30])));
    wait_for(&mut window, "the first slice", |window| {
        labels(window).iter().any(|label| *label != 7)
    });
    window.state_mut().run(Command::Do(Action::Cancel));
    settle(&mut window);
    let found = labels(&window);
    for (found, whole) in found.outer_iter().zip(whole.outer_iter()) {
        let untouched = found.iter().all(|label| *label == 7);
        assert!(untouched || found == whole);
    }
    undo(&mut window);
    assert!(labels(&window).iter().all(|label| *label == 7));
}
