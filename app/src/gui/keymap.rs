//! Which key does what: the list of `command/entries.rs` with what the user changed about it.

use std::collections::BTreeMap;

use super::command::{Action, ENTRIES, Key, Shortcut};

/// The keys of one user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyMap {
    /// What differs from the list; no key where one was taken away.
    changed: BTreeMap<Action, Option<Shortcut>>,
}

/// What the page of keys waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Asking {
    /// Nothing.
    #[default]
    Nothing,
    /// The key that this is to have.
    Key(Action),
    /// Whether this may take the key of another.
    Conflict {
        /// What is to have the key.
        action: Action,
        /// The key.
        shortcut: Shortcut,
        /// What has it now.
        other: Action,
    },
}

/// The keys, and the page that changes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keyboard {
    /// The keys.
    pub map: KeyMap,
    /// Whether the page lets them be changed.
    pub editing: bool,
    /// What it waits for.
    pub asking: Asking,
}

/// What the user wants of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyCommand {
    /// Let keys be changed, or no more.
    Edit(bool),
    /// Wait for the key of an action.
    Ask(Action),
    /// This key was pressed, or none.
    Pressed(Option<Shortcut>),
    /// Take the key from the other, or leave it.
    Take(bool),
    /// Let an action have no key.
    Remove(Action),
    /// Give an action the key that it had at first.
    Reset(Action),
    /// Give all of them the keys that they had at first.
    ResetAll,
}

impl KeyMap {
    /// The key of an action.
    pub fn shortcut(&self, action: Action) -> Option<Shortcut> {
        self.changed.get(&action).copied().unwrap_or_else(|| action.entry().shortcut)
    }

    /// Whether the user gave an action another key.
    pub fn is_changed(&self, action: Action) -> bool {
        self.changed.contains_key(&action)
    }

    /// Whether the user changed anything.
    pub fn is_any_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// What a key does.
    pub fn action_of(&self, shortcut: Shortcut) -> Option<Action> {
        let actions = ENTRIES.iter().map(|entry| entry.action);
        actions.into_iter().find(|action| self.shortcut(*action) == Some(shortcut))
    }

    /// Gives an action a key, which nothing else has then.
    pub fn bind(&mut self, action: Action, shortcut: Option<Shortcut>) {
        if let Some(shortcut) = shortcut {
            while let Some(other) = self.action_of(shortcut).filter(|other| *other != action) {
                self.changed.insert(other, None);
            }
        }
        if action.entry().shortcut == shortcut {
            self.changed.remove(&action);
        } else {
            self.changed.insert(action, shortcut);
        }
    }

    /// Gives an action the key of the list; whatever has it now loses it.
    pub fn reset(&mut self, action: Action) {
        self.bind(action, action.entry().shortcut);
    }

    /// Gives all actions the keys of the list.
    pub fn reset_all(&mut self) {
        self.changed.clear();
    }

    /// One sentence and the key of an action.
    pub fn tooltip(&self, action: Action) -> String {
        let tooltip = action.entry().tooltip;
        match self.shortcut(action) {
            Some(shortcut) => format!("{tooltip} ({})", shortcut.text()),
            None => tooltip.to_owned(),
        }
    }

    /// What was changed, as settings keep it: the name of the action and the key, or "none".
    pub fn to_settings(&self) -> BTreeMap<String, String> {
        let text = |shortcut: &Option<Shortcut>| {
            shortcut.map_or_else(|| "none".to_owned(), |shortcut| shortcut.text())
        };
        self.changed.iter().map(|(action, key)| (format!("{action:?}"), text(key))).collect()
    }

    /// The keys as settings have them. What makes no sense, is fixed, or would give one key to two
    /// actions is left out; the answer says of how many.
    pub fn from_settings(settings: &BTreeMap<String, String>) -> (Self, usize) {
        let mut wanted: Vec<(Action, Option<Shortcut>)> = Vec::new();
        for (name, key) in settings {
            let entry = ENTRIES.iter().find(|entry| format!("{:?}", entry.action) == *name);
            let shortcut = if key == "none" { Some(None) } else { Shortcut::parse(key).map(Some) };
            if let (Some(entry), Some(shortcut)) = (entry, shortcut)
                && !is_fixed(entry.action)
                && shortcut.is_none_or(|shortcut| refusal(shortcut).is_none())
            {
                wanted.push((entry.action, shortcut));
            }
        }
        let mut map = Self::default();
        // Keys that were taken away come first, so that others may have them.
        wanted.sort_by_key(|(_, shortcut)| shortcut.is_some());
        let mut left_out = settings.len() - wanted.len();
        let moved: Vec<Action> = wanted.iter().map(|(action, _)| *action).collect();
        for (action, shortcut) in wanted {
            let taken = shortcut.and_then(|shortcut| map.action_of(shortcut));
            if taken.is_some_and(|other| other != action && !moved.contains(&other)) {
                left_out += 1;
            } else {
                map.changed.insert(action, shortcut);
            }
        }
        // Two that were both moved to one key: the first of the list keeps it.
        let mut seen: Vec<Shortcut> = Vec::new();
        for entry in ENTRIES {
            if let Some(shortcut) = map.shortcut(entry.action) {
                if seen.contains(&shortcut) {
                    map.changed.insert(entry.action, None);
                    left_out += 1;
                } else {
                    seen.push(shortcut);
                }
            }
        }
        (map, left_out)
    }
}

impl Keyboard {
    /// Does what the user wants; answers a sentence if there is something to say.
    pub fn run(&mut self, command: KeyCommand) -> Option<String> {
        match command {
            KeyCommand::Edit(editing) => {
                self.editing = editing;
                self.asking = Asking::Nothing;
            }
            KeyCommand::Ask(action) if !is_fixed(action) => self.asking = Asking::Key(action),
            KeyCommand::Ask(_) => {}
            KeyCommand::Pressed(shortcut) => return self.pressed(shortcut),
            KeyCommand::Take(take) => {
                if let Asking::Conflict { action, shortcut, .. } = self.asking
                    && take
                {
                    self.map.bind(action, Some(shortcut));
                }
                self.asking = Asking::Nothing;
            }
            KeyCommand::Remove(action) => self.map.bind(action, None),
            KeyCommand::Reset(action) => self.map.reset(action),
            KeyCommand::ResetAll => {
                self.map.reset_all();
                self.asking = Asking::Nothing;
            }
        }
        None
    }

    fn pressed(&mut self, shortcut: Option<Shortcut>) -> Option<String> {
        let Asking::Key(action) = self.asking else { return None };
        let Some(shortcut) = shortcut else {
            self.asking = Asking::Nothing;
            return None;
        };
        if let Some(reason) = refusal(shortcut) {
            return Some(reason.to_owned());
        }
        let other = self.map.action_of(shortcut).filter(|other| *other != action);
        self.asking = if let Some(other) = other {
            Asking::Conflict { action, shortcut, other }
        } else {
            self.map.bind(action, Some(shortcut));
            Asking::Nothing
        };
        None
    }
}

/// Whether an action keeps its key: Esc ends whatever asks for a key.
pub fn is_fixed(action: Action) -> bool {
    action == Action::Cancel
}

/// Why a key cannot be given to an action.
fn refusal(shortcut: Shortcut) -> Option<&'static str> {
    match shortcut.key {
        Key::Escape => Some("Esc always stops what runs; choose another key."),
        Key::Char('c' | 'v' | 'x') if shortcut.command && !shortcut.shift => {
            Some("Ctrl+C, Ctrl+X and Ctrl+V copy and paste words; choose another key.")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(letter: char) -> Shortcut {
        Shortcut { command: false, shift: false, key: Key::Char(letter) }
    }

    #[test]
    fn keys_are_as_in_the_list_until_they_are_changed() {
        let mut map = KeyMap::default();
        for entry in ENTRIES {
            assert_eq!(map.shortcut(entry.action), entry.shortcut);
        }
        assert_eq!(
            map.tooltip(Action::OpenFile),
            "Open an image, or labels over the image that is open (Ctrl+O)"
        );
        map.bind(Action::OpenFile, None);
        assert!(!map.tooltip(Action::OpenFile).contains('('));
        map.reset(Action::OpenFile);
        assert_eq!(map, KeyMap::default());
    }

    #[test]
    fn a_key_that_is_taken_leaves_the_other_without_one() {
        let mut map = KeyMap::default();
        let key = Action::Invert.entry().shortcut.unwrap();
        map.bind(Action::Segment, Some(key));
        assert_eq!(map.action_of(key), Some(Action::Segment));
        assert_eq!(map.shortcut(Action::Invert), None);
        map.reset(Action::Invert);
        assert_eq!(map.shortcut(Action::Invert), Some(key));
        assert_eq!(map.shortcut(Action::Segment), None);
    }

    #[test]
    fn settings_bring_the_keys_back() {
        let mut map = KeyMap::default();
        map.bind(Action::Segment, Action::Invert.entry().shortcut);
        map.bind(Action::Help, Some(Shortcut { command: true, shift: true, key: Key::Delete }));
        map.bind(Action::ResetView, None);
        assert_eq!(KeyMap::from_settings(&map.to_settings()), (map, 0));
        // Two that changed places.
        let mut map = KeyMap::default();
        map.bind(Action::Segment, Some(plain('i')));
        map.bind(Action::Invert, Some(plain('r')));
        assert_eq!(KeyMap::from_settings(&map.to_settings()), (map, 0));
    }

    #[test]
    fn settings_that_make_no_sense_are_left_out() {
        let settings = [
            ("Nothing", "A"),
            ("Segment", "Hyper+Q"),
            ("Cancel", "A"),
            ("Help", "Esc"),
            ("OpenPath", "R"), // which is "Segment"
        ];
        let settings = settings.map(|(name, key)| (name.to_owned(), key.to_owned()));
        let (map, left_out) = KeyMap::from_settings(&settings.into());
        assert_eq!((map, left_out), (KeyMap::default(), 5));
        let settings = [("OpenFolder", "F9"), ("OpenPath", "F9")];
        let settings = settings.map(|(name, key)| (name.to_owned(), key.to_owned()));
        let (map, left_out) = KeyMap::from_settings(&settings.into());
        assert_eq!(left_out, 1);
        let nine = Shortcut::parse("F9").unwrap();
        assert_eq!(map.action_of(nine), Some(Action::OpenFolder));
        assert_eq!(map.shortcut(Action::OpenPath), None);
    }

    #[test]
    fn the_page_asks_before_it_takes_a_key() {
        let mut keyboard = Keyboard::default();
        keyboard.run(KeyCommand::Ask(Action::OpenPath));
        assert!(keyboard.run(KeyCommand::Pressed(Some(plain('r')))).is_none());
        let asked = Asking::Conflict {
            action: Action::OpenPath,
            shortcut: plain('r'),
            other: Action::Segment,
        };
        assert_eq!(keyboard.asking, asked);
        keyboard.run(KeyCommand::Take(false));
        assert_eq!(keyboard.map, KeyMap::default());

        keyboard.run(KeyCommand::Ask(Action::OpenPath));
        let escape = Shortcut { command: false, shift: false, key: Key::Escape };
        assert!(keyboard.run(KeyCommand::Pressed(Some(escape))).is_some());
        keyboard.run(KeyCommand::Pressed(Some(plain('9'))));
        assert_eq!(keyboard.map.action_of(plain('9')), Some(Action::OpenPath));
        assert_eq!(keyboard.asking, Asking::Nothing);
    }
}
