//! The page of keys: all that there are, and how they are changed.

use eframe::egui::{self, Align2, RichText, Ui, vec2};

use super::style;
use crate::gui::command::{Action, Command, ENTRIES, Entry};
use crate::gui::keymap::{Asking, KeyCommand, is_fixed};
use crate::gui::state::{RESEARCH_USE, State};

/// Draws the page.
pub fn help_ui(ctx: &egui::Context, state: &State, commands: &mut Vec<Command>) {
    if !state.help {
        return;
    }
    let mut open = true;
    egui::Window::new("Keys and help")
        .open(&mut open)
        .anchor(Align2::CENTER_CENTER, vec2(0.0, 0.0))
        .collapsible(false)
        .resizable(false)
        .show(ctx, |ui| {
            top_ui(ui, state, commands);
            ui.separator();
            let screen = ctx.content_rect();
            let columns = ((screen.width() - 90.0) / 345.0).floor().clamp(1.0, 3.0);
            let width = ((screen.width() - 90.0) / columns - 10.0).min(400.0);
            let room = (screen.height() - 170.0).max(200.0);
            let area = egui::ScrollArea::vertical().max_height(room).min_scrolled_height(room);
            area.show(ui, |ui| {
                ui.horizontal_top(|ui| {
                    for groups in columns_of(columns as usize) {
                        ui.vertical(|ui| {
                            ui.set_width(width);
                            for group in groups {
                                group_ui(ui, state, group, commands);
                            }
                        });
                    }
                });
                ui.separator();
                ui.label(RESEARCH_USE);
            });
        });
    if !open {
        commands.push(Command::Do(Action::Help));
    }
}

/// The headings, so that columns are about equally long.
fn columns_of(count: usize) -> Vec<Vec<&'static str>> {
    let mut groups: Vec<&str> = Vec::new();
    for entry in ENTRIES {
        if !groups.contains(&entry.group) {
            groups.push(entry.group);
        }
    }
    let rows = |group: &str| 2 + ENTRIES.iter().filter(|entry| entry.group == group).count();
    let all: usize = groups.iter().map(|group| rows(group)).sum();
    let mut columns = vec![Vec::new(); count];
    let mut before = 0;
    for group in groups {
        // By where its middle would be in one long column.
        let middle = before + rows(group) / 2;
        columns[(middle * count / all).min(count - 1)].push(group);
        before += rows(group);
    }
    columns
}

/// The actions below a heading, with their keys.
fn group_ui(ui: &mut Ui, state: &State, group: &str, commands: &mut Vec<Command>) {
    ui.label(RichText::new(group).color(style::BRIGHT));
    egui::Grid::new(group)
        .num_columns(2)
        .min_col_width(130.0)
        .spacing([10.0, 1.0])
        .min_row_height(17.0)
        .show(ui, |ui| {
            for entry in ENTRIES.iter().filter(|entry| entry.group == group) {
                key_ui(ui, state, entry, commands);
                ui.label(entry.label).on_hover_text(entry.tooltip);
                ui.end_row();
            }
        });
    ui.add_space(6.0);
}

/// What the page is for now, and the question that it asks.
fn top_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let mut push = |command| commands.push(Command::Keys(command));
    let keyboard = &state.keyboard;
    ui.horizontal(|ui| {
        if !keyboard.editing {
            if ui.button("Change keys").clicked() {
                push(KeyCommand::Edit(true));
            }
            return;
        }
        if ui.button("Done").clicked() {
            push(KeyCommand::Edit(false));
        }
        let reset = egui::Button::new("Reset all keys");
        if ui.add_enabled(keyboard.map.is_any_changed(), reset).clicked() {
            push(KeyCommand::ResetAll);
        }
        match keyboard.asking {
            Asking::Nothing => {
                ui.label(RichText::new("Click a key to change it").color(style::FAINT));
            }
            Asking::Key(action) => {
                let text = format!("Press the key for {}, or Esc", quoted(action));
                ui.label(RichText::new(text).color(style::ACCENT));
            }
            Asking::Conflict { shortcut, other, .. } => {
                let text = format!("{} is the key of {}", shortcut.text(), quoted(other));
                ui.label(RichText::new(text).color(style::DOUBT));
                if ui.button("Use it here").clicked() {
                    push(KeyCommand::Take(true));
                }
                if ui.button("Leave it there").clicked() {
                    push(KeyCommand::Take(false));
                }
            }
        }
    });
}

fn quoted(action: Action) -> String {
    format!("“{}”", action.label().trim_end_matches('…'))
}

/// The key of an action: words, or buttons while keys are changed.
fn key_ui(ui: &mut Ui, state: &State, entry: &Entry, commands: &mut Vec<Command>) {
    let keyboard = &state.keyboard;
    let action = entry.action;
    let key = keyboard.map.shortcut(action).map(|key| key.text());
    if !keyboard.editing || is_fixed(action) {
        ui.label(RichText::new(key.unwrap_or_default()).monospace());
        return;
    }
    ui.horizontal(|ui| {
        let waits = keyboard.asking == Asking::Key(action);
        let text = if waits { "…" } else { key.as_deref().unwrap_or("none") };
        let color = match (waits, keyboard.map.is_changed(action)) {
            (true, _) => style::ACCENT,
            (false, true) => style::DOUBT,
            (false, false) => style::TEXT,
        };
        let name = |what: &str| format!("{what} {}", action.label().trim_end_matches('…'));
        let mut button = |ui: &mut Ui, text: RichText, label: String, tip: &str, does| {
            let answer = ui.add(egui::Button::new(text).small());
            answer
                .widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, label.clone()));
            if answer.on_hover_text(tip).clicked() {
                commands.push(Command::Keys(does));
            }
        };
        let words = RichText::new(text).monospace().color(color);
        button(ui, words, name("Key of"), "Give it another key", KeyCommand::Ask(action));
        if key.is_some() {
            let does = KeyCommand::Remove(action);
            button(ui, RichText::new("×"), name("Remove key of"), "Let it have no key", does);
        }
        if keyboard.map.is_changed(action) {
            let does = KeyCommand::Reset(action);
            button(ui, RichText::new("reset"), name("Reset key of"), "The key that it had", does);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_heading_is_in_one_column() {
        for count in 1..=3 {
            let columns = columns_of(count);
            assert_eq!(columns.len(), count);
            let mut all: Vec<&str> = columns.concat();
            let mut known: Vec<&str> = ENTRIES.iter().map(|entry| entry.group).collect();
            all.sort_unstable();
            known.sort_unstable();
            known.dedup();
            assert_eq!(all, known);
        }
    }
}
