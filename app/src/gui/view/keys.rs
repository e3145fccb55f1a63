//! Keys to commands, by the list in `command/entries.rs` and what the user changed about it.

use eframe::egui::{self, KeyboardShortcut, Modifiers};

use crate::gui::command::{Action, Command, ENTRIES, Key, Shortcut};
use crate::gui::keymap::{Asking, KeyCommand};
use crate::gui::state::State;

/// The commands whose keys were pressed since the last frame.
pub fn pressed(ctx: &egui::Context, state: &State) -> Vec<Command> {
    if let Asking::Key(_) = state.keyboard.asking {
        return asked_for(ctx);
    }
    if state.typed_path.is_some() || ctx.text_edit_focused() {
        return Vec::new(); // somebody types
    }
    if state.is_asked() {
        let escape =
            |input: &mut egui::InputState| input.consume_key(Modifiers::NONE, egui::Key::Escape);
        return ctx.input_mut(escape).then_some(Command::Do(Action::Cancel)).into_iter().collect();
    }
    let is_chosen = ctx.egui_wants_keyboard_input();
    let mut commands = Vec::new();
    ctx.input_mut(|input| {
        digits_stay_digits(input);
        // A plain key would also match with Shift held: those that ask for more come first.
        for with_shift in [true, false] {
            for entry in ENTRIES {
                if let Some(shortcut) = state.keyboard.map.shortcut(entry.action)
                    && shortcut.shift == with_shift
                    && !(is_chosen && works_a_button(shortcut))
                {
                    let key = egui_shortcut(shortcut);
                    while input.consume_shortcut(&key) {
                        commands.push(Command::Do(entry.action));
                    }
                }
            }
        }
    });
    commands
}

/// A digit with Shift is that digit, whatever the keyboard writes there.
fn digits_stay_digits(input: &mut egui::InputState) {
    use egui::Key::{Num0, Num1, Num2, Num3, Num4, Num5, Num6, Num7, Num8, Num9};
    let digits = [Num0, Num1, Num2, Num3, Num4, Num5, Num6, Num7, Num8, Num9];
    for event in &mut input.events {
        if let egui::Event::Key { key, physical_key: Some(physical), modifiers, .. } = event
            && modifiers.shift
            && digits.contains(physical)
        {
            *key = *physical;
        }
    }
}

/// Whether a button, a slider or a list takes the key while it is chosen.
fn works_a_button(shortcut: Shortcut) -> bool {
    use Key::{Down, Enter, Left, Right, Space, Tab, Up};
    !shortcut.command && matches!(shortcut.key, Enter | Space | Tab | Up | Down | Left | Right)
}

/// The key that the page of keys waits for.
fn asked_for(ctx: &egui::Context) -> Vec<Command> {
    let pressed = ctx.input_mut(|input| {
        digits_stay_digits(input);
        let is_press =
            |event: &egui::Event| matches!(event, egui::Event::Key { pressed: true, .. });
        let at = input.events.iter().position(is_press)?;
        match input.events.remove(at) {
            egui::Event::Key { key, modifiers, .. } => Some((key, modifiers)),
            _ => None,
        }
    });
    let Some((key, modifiers)) = pressed else { return Vec::new() };
    if key == egui::Key::Escape {
        return vec![Command::Keys(KeyCommand::Pressed(None))];
    }
    // Alt belongs to the desktop; keys that have no name here are waited over.
    let Some(key) = key_of(key).filter(|_| !modifiers.alt) else { return Vec::new() };
    let shortcut = Shortcut { command: modifiers.command, shift: modifiers.shift, key };
    vec![Command::Keys(KeyCommand::Pressed(Some(shortcut)))]
}

/// Keys that are neither letters nor function keys.
const NAMED: [(Key, egui::Key); 15] = [
    (Key::PageUp, egui::Key::PageUp),
    (Key::PageDown, egui::Key::PageDown),
    (Key::Home, egui::Key::Home),
    (Key::End, egui::Key::End),
    (Key::Space, egui::Key::Space),
    (Key::Escape, egui::Key::Escape),
    (Key::Up, egui::Key::ArrowUp),
    (Key::Down, egui::Key::ArrowDown),
    (Key::Left, egui::Key::ArrowLeft),
    (Key::Right, egui::Key::ArrowRight),
    (Key::Tab, egui::Key::Tab),
    (Key::Enter, egui::Key::Enter),
    (Key::Backspace, egui::Key::Backspace),
    (Key::Delete, egui::Key::Delete),
    (Key::Insert, egui::Key::Insert),
];

/// What egui calls a key; its last function key for those that it does not know.
fn egui_key(key: Key) -> egui::Key {
    let named = |name: &str| egui::Key::from_name(name).unwrap_or(egui::Key::F35);
    match key {
        Key::Char(letter) => named(&letter.to_ascii_uppercase().to_string()),
        Key::Function(number) => named(&format!("F{number}")),
        _ => NAMED.iter().find(|(ours, _)| *ours == key).map_or(egui::Key::F35, |(_, key)| *key),
    }
}

/// What we call a key of egui, if we do.
fn key_of(key: egui::Key) -> Option<Key> {
    let letters = ('!'..='~').filter(|letter| !letter.is_ascii_uppercase()).map(Key::Char);
    let functions = (1..=24).map(Key::Function);
    let named = NAMED.iter().map(|(ours, _)| *ours);
    letters.chain(functions).chain(named).find(|ours| egui_key(*ours) == key)
}

/// A key of ours as egui has it.
pub fn egui_shortcut(shortcut: Shortcut) -> KeyboardShortcut {
    let mut modifiers = Modifiers::NONE;
    if shortcut.command {
        modifiers |= Modifiers::COMMAND;
    }
    if shortcut.shift {
        modifiers |= Modifiers::SHIFT;
    }
    KeyboardShortcut::new(modifiers, egui_key(shortcut.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_list_is_on_a_keyboard() {
        for entry in ENTRIES {
            if let Some(shortcut) = entry.shortcut {
                assert_ne!(egui_shortcut(shortcut).logical_key, egui::Key::F35, "{entry:?}");
            }
        }
    }

    #[test]
    fn keys_that_are_pressed_are_the_keys_that_are_meant() {
        for key in egui::Key::ALL {
            if let Some(ours) = key_of(*key) {
                assert_eq!(egui_key(ours), *key);
            }
        }
        for key in [egui::Key::A, egui::Key::Num5, egui::Key::Comma, egui::Key::F12] {
            assert!(key_of(key).is_some(), "{key:?}");
        }
        assert_eq!(key_of(egui::Key::BrowserBack), None);
    }
}
