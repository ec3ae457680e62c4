//! A line of text that is being typed.

use super::keys::Key;

/// What has been typed, and where the cursor is in it.
#[derive(Clone, Debug, Default)]
pub struct Text {
    before: String,
    behind: String,
}

impl Text {
    /// Returns all of it.
    pub fn whole(&self) -> String {
        format!("{}{}", self.before, self.behind)
    }

    /// Returns what is before the cursor.
    pub fn before(&self) -> &str {
        &self.before
    }

    /// Returns what is behind it.
    pub fn behind(&self) -> &str {
        &self.behind
    }

    /// Puts another text in its place.
    pub fn set(&mut self, text: &str) {
        *self = Self { before: text.to_owned(), behind: String::new() };
    }

    /// Does what a key does to it, and tells whether that is anything.
    pub fn press(&mut self, key: Key) -> bool {
        match key {
            Key::Char(c) => self.before.push(c),
            Key::Backspace => drop(self.before.pop()),
            Key::Delete => drop(take_first(&mut self.behind)),
            Key::DropLine => self.before.clear(),
            Key::DropWord => {
                let kept = self.before.trim_end_matches([' ', '/']);
                let end = kept.rfind([' ', '/']).map_or(0, |at| at + 1);
                self.before.truncate(end);
            }
            Key::Left => {
                if let Some(c) = self.before.pop() {
                    self.behind.insert(0, c);
                }
            }
            Key::Right => self.before.extend(take_first(&mut self.behind)),
            Key::Home => self.behind.insert_str(0, &std::mem::take(&mut self.before)),
            Key::End => self.before.push_str(&std::mem::take(&mut self.behind)),
            _ => return false,
        }
        true
    }
}

fn take_first(text: &mut String) -> Option<char> {
    (!text.is_empty()).then(|| text.remove(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edited_as_people_expect() {
        let mut text = Text::default();
        let typed = |text: &mut Text, typed: &str| typed.chars().all(|c| text.press(Key::Char(c)));
        typed(&mut text, "/srv/modxls");
        for key in [Key::Left, Key::Left, Key::Backspace] {
            assert!(text.press(key));
        }
        typed(&mut text, "e");
        assert_eq!((text.before(), text.behind()), ("/srv/mode", "ls"));
        text.press(Key::Home);
        text.press(Key::Delete);
        text.press(Key::End);
        assert_eq!(text.whole(), "srv/models");
        text.press(Key::DropWord);
        assert_eq!(text.whole(), "srv/");
        text.press(Key::DropLine);
        assert!(text.whole().is_empty() && text.press(Key::Backspace) && !text.press(Key::Up));
    }
}
