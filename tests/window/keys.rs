//! Keys that the user changes.

use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use lamina::gui::command::Action;

use super::{click, notices, sample, window};

#[test]
fn a_key_is_changed_by_pressing_it_and_does_then_what_it_says() {
    let mut window = window(&[sample("images")]);
    window.key_press(Key::F1);
    window.run_steps(3);
    click(&mut window, "Change keys");
    click(&mut window, "Key of Invert");
    window.get_by_label("Press the key for “Invert”, or Esc");
    window.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::K);
    window.run_steps(3);
    window.get_by_label_contains("Click a key to change it");
    assert!(!window.state().state.inverted, "the press was for the page");
    click(&mut window, "Done");
    window.get_by_label("Ctrl+Shift+K");
    window.key_press(Key::Escape);
    window.run_steps(3);

    window.key_press(Key::I);
    window.run_steps(2);
    assert!(!window.state().state.inverted, "the old key does nothing");
    window.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::K);
    window.run_steps(2);
    assert!(window.state().state.inverted);
    assert!(window.state().state.tooltip(Action::Invert).ends_with("(Ctrl+Shift+K)"));
}

#[test]
fn a_conflict_is_named_and_settled_by_the_user() {
    let mut window = window(&[sample("images")]);
    window.key_press(Key::F1);
    window.run_steps(3);
    click(&mut window, "Change keys");
    click(&mut window, "Key of Invert");
    window.key_press(Key::X);
    window.run_steps(3);
    window.get_by_label("X is the key of “Annotations”");
    click(&mut window, "Leave it there");
    let map = |window: &super::Window, action| {
        window.state().state.keyboard.map.shortcut(action).map(|key| key.text())
    };
    assert_eq!(map(&window, Action::Invert).as_deref(), Some("I"));

    click(&mut window, "Key of Invert");
    window.key_press(Key::X);
    window.run_steps(3);
    click(&mut window, "Use it here");
    assert_eq!(map(&window, Action::Invert).as_deref(), Some("X"));
    assert_eq!(map(&window, Action::ToggleAnnotations), None);
    click(&mut window, "Reset key of Annotations");
    assert_eq!(map(&window, Action::ToggleAnnotations).as_deref(), Some("X"));
    assert_eq!(map(&window, Action::Invert), None);
    click(&mut window, "Reset all keys");
    assert_eq!(map(&window, Action::Invert).as_deref(), Some("I"));
    assert_eq!(notices(&window), Vec::<String>::new());
}

#[test]
fn escape_leaves_the_key_and_copying_keeps_its_own() {
    let mut window = window(&[]);
    window.key_press(Key::F1);
    window.run_steps(3);
    click(&mut window, "Change keys");
    click(&mut window, "Key of Segment");
    window.key_press(Key::Escape);
    window.run_steps(3);
    window.get_by_label_contains("Click a key to change it");
    assert!(window.state().state.help, "the page stays");

    click(&mut window, "Remove key of Segment");
    assert_eq!(window.state().state.keyboard.map.shortcut(Action::Segment), None);
    assert!(window.query_by_label("Remove key of Segment").is_none());
    // Esc always stops what runs.
    assert!(window.query_by_label("Key of Cancel").is_none());
    window.key_press(Key::Escape);
    window.run_steps(3);
    assert!(!window.state().state.help && !window.state().state.keyboard.editing);
}
