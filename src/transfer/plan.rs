//! What has to be copied, and removed, so that the destination is like the source. Pure.

use std::collections::BTreeSet;

use crate::transfer::manifest::{Item, ItemKind, Manifest};
use crate::transfer::name::Name;

/// What is to be done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Copy only what has changed.
    pub update: bool,
    /// Remove what the source lacks.
    pub delete: bool,
}

/// What has to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to copy, together with the directories that it is in.
    pub copy: BTreeSet<Name>,
    /// How many bytes of content that is.
    pub bytes: u64,
    /// What to remove; nothing that is inside something else of it.
    pub remove: Vec<Name>,
}

/// Compares two sides.
pub fn plan(source: &Manifest, target: &Manifest, options: Options) -> Plan {
    let mut plan = Plan::default();
    for (name, item) in source {
        let is_same = options.update && target.get(name).is_some_and(|there| is_same(item, there));
        if !is_same {
            plan.copy.insert(name.clone());
            let mut inside = name.parent();
            // Those above one that is there already are there too.
            while let Some(parent) =
                inside.filter(|parent| source.contains_key(parent) && plan.copy.insert(parent.clone()))
            {
                inside = parent.parent();
            }
        }
    }
    let size = |name: &Name| match source.get(name).map(|item| &item.kind) {
        Some(ItemKind::File(size, _)) => *size,
        _ => 0,
    };
    // Sizes that a guest has said may be anything.
    plan.bytes = plan.copy.iter().map(size).fold(0, u64::saturating_add);
    if options.delete {
        let is_dir =
            |name: &Name| name.is_top() || source.get(name).is_some_and(|item| item.kind == ItemKind::Dir);
        // What is inside something that goes, or in the place of something else, has no directory at the source.
        let gone = target.keys().filter(|name| !source.contains_key(*name));
        plan.remove = gone.filter(|name| name.parent().is_some_and(|dir| is_dir(&dir))).cloned().collect();
    }
    plan
}

/// Tells whether a file needs not be copied. The time of a directory changes with what is in it, so it says nothing.
fn is_same(source: &Item, target: &Item) -> bool {
    match (&source.kind, &target.kind) {
        (ItemKind::Dir, ItemKind::Dir) => source.mode == target.mode,
        (ItemKind::Symlink(one), ItemKind::Symlink(other)) => one == other,
        (ItemKind::File(size, digest), ItemKind::File(their_size, their_digest)) => {
            let same_content = match (digest, their_digest) {
                (Some(one), Some(other)) => one == other,
                _ => source.mtime.may_equal(target.mtime),
            };
            size == their_size && source.mode == target.mode && same_content
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::entry::Time;
    use proptest::prelude::*;

    fn item(kind: ItemKind, mode: u32, seconds: i64) -> Item {
        Item { kind, mode, mtime: Time { seconds, nanos: 0 } }
    }

    fn manifest(items: &[(&str, Item)]) -> Manifest {
        items.iter().map(|(name, item)| (Name::parse(name.as_bytes()).unwrap(), item.clone())).collect()
    }

    fn names<'a>(all: impl IntoIterator<Item = &'a Name>) -> Vec<String> {
        all.into_iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_what_changed_with_its_directories() {
        let file = |size, seconds| item(ItemKind::File(size, None), 0o644, seconds);
        let dir = || item(ItemKind::Dir, 0o755, 0);
        let source = manifest(&[
            ("a", dir()),
            ("a/b", dir()),
            ("a/b/new", file(1, 1)),
            ("a/same", file(1, 1)),
            ("d", dir()),
            ("d/older", file(1, 1)),
            ("e", dir()),
            ("e/same", file(1, 1)),
        ]);
        let target = manifest(&[
            ("a", dir()),
            ("a/same", file(1, 1)),
            ("d", dir()),
            ("d/older", file(1, 2)),
            ("d/gone", dir()),
            ("d/gone/inside", file(1, 1)),
            ("e", dir()),
            ("e/same", file(1, 1)),
            ("old", file(0, 0)),
        ]);
        let plan = plan(&source, &target, Options { update: true, delete: true });
        assert_eq!(names(&plan.copy), ["a", "a/b", "a/b/new", "d", "d/older"]);
        assert_eq!(names(&plan.remove), ["d/gone", "old"]);
        assert_eq!(plan.bytes, 2);
    }

    #[test]
    fn content_counts_where_it_is_known() {
        let file = |digest, seconds| item(ItemKind::File(1, Some([digest; 32])), 0o644, seconds);
        let differs = |one, other| {
            let options = Options { update: true, delete: false };
            !plan(&manifest(&[("x", one)]), &manifest(&[("x", other)]), options).copy.is_empty()
        };
        assert!(differs(file(1, 1), file(2, 1)) && !differs(file(1, 1), file(1, 2)));
        assert!(differs(file(1, 1), item(ItemKind::Symlink("x".into()), 0o777, 1)));
    }

    fn any_manifest() -> impl Strategy<Value = Manifest> {
        let name = "[ab](/[ab]){0,3}";
        let kind = prop_oneof![
            Just(ItemKind::Dir),
            (0u64..2).prop_map(|size| ItemKind::File(size, None)),
            Just(ItemKind::Symlink("x".into()))
        ];
        let items = (name, kind, 0i64..2);
        proptest::collection::vec(items, 0..12).prop_map(|items| {
            let mut all = Manifest::new();
            for (name, kind, seconds) in items {
                let name = Name::parse(name.as_bytes()).unwrap();
                // As in a file system: only directories have something inside.
                let mut inside = name.parent();
                while let Some(parent) = inside.filter(|parent| !parent.is_top()) {
                    all.insert(parent.clone(), item(ItemKind::Dir, 0o755, 0));
                    inside = parent.parent();
                }
                if kind == ItemKind::Dir || !all.contains_key(&name) {
                    all.insert(name, item(kind, 0o644, seconds));
                }
            }
            let dirs: Vec<_> = all
                .iter()
                .filter(|(_, item)| item.kind == ItemKind::Dir)
                .map(|(name, _)| name.clone())
                .collect();
            all.retain(|name, _| {
                name.parent().is_some_and(|parent| parent.is_top() || dirs.contains(&parent))
            });
            all
        })
    }

    proptest! {
        #[test]
        fn doing_it_makes_both_sides_alike(source in any_manifest(), target in any_manifest()) {
            let done = plan(&source, &target, Options { update: true, delete: true });
            let mut after = target.clone();
            for name in &done.copy {
                after.insert(name.clone(), source[name].clone());
            }
            for gone in &done.remove {
                let below = format!("{gone}/");
                prop_assert!(!source.contains_key(gone));
                after.retain(|name, _| name != gone && !name.to_string().starts_with(&below));
            }
            // What is in the place of something of another kind is told by the copy itself.
            let clash = source.iter().any(|(name, item)| target.get(name).is_some_and(|there| (there.kind == ItemKind::Dir) != (item.kind == ItemKind::Dir)));
            if !clash {
                let again = plan(&source, &after, Options { update: true, delete: true });
                prop_assert_eq!(again, Plan::default());
            }
        }
    }
}
