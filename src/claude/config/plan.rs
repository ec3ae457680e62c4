//! What is to be sent to and removed from a guest, so that it has what it is to have. Pure.

use std::collections::BTreeSet;

use crate::claude::config::state::State;
use crate::claude::config::view::{Content, View};
use crate::transfer::manifest::{Item, ItemKind, Manifest};
use crate::transfer::name::Name;
use crate::transfer::plan::{self, Options};

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What was sent before and is in the way of what is sent now.
    pub clear: Vec<Name>,
    /// What to send, together with the directories that it is in.
    pub copy: BTreeSet<Name>,
    /// What to remove; nothing that is inside something else of it.
    pub remove: Vec<Name>,
    /// What is written down about it.
    pub state: State,
}

/// Compares what a guest is to have with what was sent before and what is there. Only what was sent before is removed, and
/// a directory only when nothing else is in it.
pub fn plan(view: &View, before: &State, there: &Manifest) -> Plan {
    let mut source = Manifest::new();
    for (name, item) in &view.items {
        let (kind, mode) = match (&item.content, there.get(name)) {
            // How it is there is the guest's own matter.
            (Content::Dir, Some(Item { kind: ItemKind::Dir, mode, .. })) => (ItemKind::Dir, *mode),
            (Content::Dir, _) => (ItemKind::Dir, item.mode),
            _ => (ItemKind::File(item.size, None), item.mode),
        };
        source.insert(name.clone(), Item { kind, mode, mtime: item.mtime });
    }
    let mut copy = plan::plan(&source, there, Options { update: true, delete: false }).copy;
    for (name, item) in &view.items {
        let was_other = before.files.get(name).is_some_and(|print| *print != item.print);
        if item.content != Content::Dir && was_other {
            copy.insert(name.clone());
            let mut inside = name.parent();
            while let Some(parent) = inside.filter(|parent| !parent.is_top() && copy.insert(parent.clone())) {
                inside = parent.parent();
            }
        }
    }

    let in_scope = |name: &Name| view.tops.iter().any(|top| top.as_bytes() == name.first());
    let is_dir = |name: &Name| there.get(name).is_some_and(|item| item.kind == ItemKind::Dir);
    let owned = before.files.keys().filter(|name| in_scope(name) && there.contains_key(*name));
    let (kept, gone): (Vec<&Name>, Vec<&Name>) = owned.partition(|name| view.items.contains_key(*name));
    let other_kind = |name: &&Name| {
        is_dir(name) != (view.items.get(*name).is_some_and(|item| item.content == Content::Dir))
    };
    let (clear, gone_alone) = (kept.into_iter().filter(other_kind), gone.iter().copied());
    let mut removable: BTreeSet<&Name> =
        clear.clone().chain(gone_alone).filter(|name| !is_dir(name)).collect();
    // The deepest first: a directory goes with the last that was in it.
    let dirs: BTreeSet<&Name> =
        clear.clone().chain(gone.iter().copied()).filter(|name| is_dir(name)).collect();
    for dir in dirs.into_iter().rev() {
        if there.keys().filter(|name| is_below(name, dir)).all(|name| removable.contains(name)) {
            removable.insert(dir);
        }
    }
    let clear: Vec<Name> = clear.filter(|name| removable.contains(name)).cloned().collect();
    let outermost = |name: &&Name| !name.parent().is_some_and(|dir| removable.contains(&dir));
    let remove = gone.iter().copied().filter(|name| removable.contains(name)).filter(outermost);
    let remove = remove.filter(|name| !clear.iter().any(|above| is_below(name, above))).cloned().collect();

    let elsewhere = before.files.iter().filter(|(name, _)| !in_scope(name));
    let mut files: std::collections::BTreeMap<_, _> =
        elsewhere.map(|(name, print)| (name.clone(), print.clone())).collect();
    // Until it is seen to be gone: this may be broken off.
    files.extend(gone.iter().map(|name| ((*name).clone(), String::new())));
    files.extend(view.items.iter().map(|(name, item)| (name.clone(), item.print.clone())));
    Plan { clear, copy, remove, state: State { digest: view.digest(), files } }
}

fn is_below(name: &Name, dir: &Name) -> bool {
    name.as_bytes().strip_prefix(dir.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claude::config::view;
    use crate::transfer::entry::Time;

    const TIME: Time = Time { seconds: 1, nanos: 0 };

    fn name(text: &str) -> Name {
        Name::parse(text.as_bytes()).unwrap()
    }

    /// A view of files and, with a slash at their ends, directories.
    fn view(names: &[&str]) -> View {
        let items = names.iter().map(|text| {
            let dir = text.ends_with('/');
            let content = if dir { Content::Dir } else { Content::Made(vec![b'x'; 3]) };
            let size = if dir { 0 } else { 3 };
            let mode = if dir { 0o755 } else { 0o644 };
            (name(text), view::Item { content, size, mode, mtime: TIME, print: "print".to_owned() })
        });
        View { items: items.collect(), left_out: Vec::new(), tops: vec!["skills", "CLAUDE.md"] }
    }

    fn there(names: &[&str]) -> Manifest {
        let items = names.iter().map(|text| {
            let dir = text.ends_with('/');
            let kind = if dir { ItemKind::Dir } else { ItemKind::File(3, None) };
            (name(text), Item { kind, mode: if dir { 0o700 } else { 0o644 }, mtime: TIME })
        });
        items.collect()
    }

    fn sent(names: &[&str]) -> State {
        plan(
            &View { tops: vec!["skills", "CLAUDE.md", "projects"], ..view(names) },
            &State::default(),
            &there(&[]),
        )
        .state
    }

    fn texts<'a>(names: impl IntoIterator<Item = &'a Name>) -> Vec<String> {
        names.into_iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_what_changed_is_sent() {
        let all = ["CLAUDE.md", "skills/", "skills/a/", "skills/a/x", "skills/b"];
        let first = plan(&view(&all), &State::default(), &there(&[]));
        assert_eq!(first.copy.len(), 5);
        let again = plan(&view(&all), &first.state, &there(&all));
        assert_eq!(again, Plan { state: first.state.clone(), ..Plan::default() });
        // One that was lost there, and one that is other than before though it looks the same.
        let lost = plan(&view(&all), &first.state, &there(&all[..4]));
        assert_eq!(texts(&lost.copy), ["skills", "skills/b"]);
        let mut other = first.state;
        other.files.insert(name("skills/a/x"), "other".to_owned());
        assert_eq!(
            texts(&plan(&view(&all), &other, &there(&all)).copy),
            ["skills", "skills/a", "skills/a/x"]
        );
    }

    #[test]
    fn only_what_was_sent_before_is_removed() {
        let before = sent(&[
            "skills/",
            "skills/a/",
            "skills/a/x",
            "skills/b/",
            "skills/b/y",
            "projects/",
            "projects/p",
        ]);
        let now = [
            "skills/",
            "skills/a/",
            "skills/a/x",
            "skills/b/",
            "skills/b/y",
            "skills/b/own",
            "skills/own",
            "projects/",
            "projects/p",
        ];
        let done = plan(&view(&[]), &before, &there(&now));
        assert_eq!(texts(&done.remove), ["skills/a", "skills/b/y"]);
        // What was not looked at stays, also in memory; what goes is remembered until it is seen to be gone.
        assert_eq!(done.state.files.get(&name("projects/p")).unwrap(), "print");
        assert_eq!(done.state.files.get(&name("skills/a/x")).unwrap(), "");
        let after = plan(&view(&[]), &done.state, &there(&["skills/", "skills/b/", "skills/b/own"]));
        assert!(after.remove.is_empty() && !after.state.files.contains_key(&name("skills/a/x")));
        assert!(plan(&view(&[]), &State::default(), &there(&now)).remove.is_empty());
    }

    #[test]
    fn what_has_become_another_kind_makes_way() {
        let before = sent(&["skills/", "skills/a", "skills/b/", "skills/b/x"]);
        let now = there(&["skills/", "skills/a", "skills/b/", "skills/b/x"]);
        let done = plan(&view(&["skills/", "skills/a/", "skills/a/y", "skills/b"]), &before, &now);
        assert_eq!(
            (texts(&done.clear), done.remove.len()),
            (vec!["skills/a".to_owned(), "skills/b".to_owned()], 0)
        );
    }
}
