//! Keys to commands, by the list in `command.rs`.

use eframe::egui::{self, KeyboardShortcut, Modifiers};

use crate::gui::command::{Command, ENTRIES, Key, Shortcut};
use crate::gui::state::State;

/// The commands whose keys were pressed since the last frame.
pub fn pressed(ctx: &egui::Context, state: &State) -> Vec<Command> {
    if state.typed_path.is_some() || ctx.egui_wants_keyboard_input() {
        return Vec::new(); // somebody types
    }
    let mut commands = Vec::new();
    ctx.input_mut(|input| {
        // A plain key would also match with Shift held: those that ask for more come first.
        for with_shift in [true, false] {
            for entry in ENTRIES {
                if let Some(shortcut) = entry.shortcut
                    && shortcut.shift == with_shift
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

fn egui_shortcut(shortcut: Shortcut) -> KeyboardShortcut {
    let mut modifiers = Modifiers::NONE;
    if shortcut.command {
        modifiers |= Modifiers::COMMAND;
    }
    if shortcut.shift {
        modifiers |= Modifiers::SHIFT;
    }
    let key = match shortcut.key {
        Key::Char(letter) => {
            egui::Key::from_name(&letter.to_ascii_uppercase().to_string()).unwrap_or(egui::Key::F35)
        }
        Key::PageUp => egui::Key::PageUp,
        Key::PageDown => egui::Key::PageDown,
        Key::Home => egui::Key::Home,
        Key::End => egui::Key::End,
        Key::Space => egui::Key::Space,
        Key::Escape => egui::Key::Escape,
        Key::Up => egui::Key::ArrowUp,
        Key::Down => egui::Key::ArrowDown,
        Key::Enter => egui::Key::Enter,
        Key::Backspace => egui::Key::Backspace,
        Key::F1 => egui::Key::F1,
    };
    KeyboardShortcut::new(modifiers, key)
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
}
