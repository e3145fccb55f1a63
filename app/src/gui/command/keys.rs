//! Keys and what is held beside them, as people write them.

/// A key with what is held beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortcut {
    /// Ctrl, or Command on a Mac.
    pub command: bool,
    /// Shift.
    pub shift: bool,
    /// The key, by its name.
    pub key: Key,
}

/// The keys in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A letter or a digit.
    Char(char),
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
    /// Space bar.
    Space,
    /// Escape.
    Escape,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow to the left.
    Left,
    /// Arrow to the right.
    Right,
    /// Tab.
    Tab,
    /// Enter.
    Enter,
    /// Backspace.
    Backspace,
    /// Delete.
    Delete,
    /// Insert.
    Insert,
    /// A function key, by its number.
    Function(u8),
}

/// Keys that are no letter, by what people call them.
const NAMED: [(Key, &str); 15] = [
    (Key::PageUp, "Page up"),
    (Key::PageDown, "Page down"),
    (Key::Home, "Home"),
    (Key::End, "End"),
    (Key::Space, "Space"),
    (Key::Escape, "Esc"),
    (Key::Up, "↑"),
    (Key::Down, "↓"),
    (Key::Left, "←"),
    (Key::Right, "→"),
    (Key::Tab, "Tab"),
    (Key::Enter, "Enter"),
    (Key::Backspace, "Backspace"),
    (Key::Delete, "Delete"),
    (Key::Insert, "Insert"),
];

impl Shortcut {
    /// As people write it: "Ctrl+O".
    pub fn text(&self) -> String {
        let named = NAMED.iter().find(|(key, _)| *key == self.key).map(|(_, name)| *name);
        let key = match self.key {
            Key::Char(letter) => letter.to_ascii_uppercase().to_string(),
            Key::Function(number) => format!("F{number}"),
            _ => named.unwrap_or_default().to_owned(),
        };
        let command = if self.command { "Ctrl+" } else { "" };
        let shift = if self.shift { "Shift+" } else { "" };
        format!("{command}{shift}{key}")
    }

    /// The key that [`text`](Self::text) writes so.
    pub fn parse(text: &str) -> Option<Self> {
        let (command, rest) = text.strip_prefix("Ctrl+").map_or((false, text), |rest| (true, rest));
        let (shift, rest) = rest.strip_prefix("Shift+").map_or((false, rest), |rest| (true, rest));
        let named = NAMED.iter().find(|(_, name)| *name == rest).map(|(key, _)| *key);
        let function = || {
            let number = rest.strip_prefix('F')?.parse().ok()?;
            (1..=24).contains(&number).then_some(Key::Function(number))
        };
        let mut letters = rest.chars();
        let letter = match (letters.next(), letters.next()) {
            (Some(letter), None) if letter.is_ascii_graphic() => {
                Some(Key::Char(letter.to_ascii_lowercase()))
            }
            _ => None,
        };
        let key = named.or(letter).or_else(function)?;
        Some(Self { command, shift, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        let letters = "az09,.;/+-[]".chars().map(Key::Char);
        let named = NAMED.iter().map(|(key, _)| *key);
        for key in letters.chain(named).chain((1..=24).map(Key::Function)) {
            for (command, shift) in [(false, false), (true, false), (false, true), (true, true)] {
                let shortcut = Shortcut { command, shift, key };
                assert_eq!(Shortcut::parse(&shortcut.text()), Some(shortcut));
            }
        }
        for text in ["", "Ctrl+", "F0", "F25", "Alt+A", "ä", "AB"] {
            assert_eq!(Shortcut::parse(text), None, "{text}");
        }
    }
}
