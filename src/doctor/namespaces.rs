//! Whether an ordinary user can make the Debian image, which is done in a user namespace.

use std::path::Path;

use crate::doctor::finding::Finding;
use crate::doctor::tools::tool;
use crate::lifecycle::Engine;

const SUBJECT: &str = "user namespaces";
const MEANING: &str = "the Debian image cannot be made";

/// Switches of the kernel that forbid user namespaces, with the value that does: the first is Linux' own
/// (Documentation/admin-guide/sysctl/user.rst), the second Debian's.
const SWITCHES: [(&str, &str, &str); 2] = [
    ("/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces=15000"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
];

/// Looks at the kernel's switches, the user's subordinate ids and the program that gives them.
pub fn check(_: &Engine) -> Vec<Finding> {
    if rustix::process::geteuid().is_root() {
        return vec![Finding::ok(SUBJECT, "not needed by root")];
    }
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let user = std::env::var("USER").unwrap_or_default();
    let uid = rustix::process::getuid().as_raw();
    vec![
        switches(|path| read(Path::new(path))).unwrap_or_else(|| {
            ids(&user, uid, &read(Path::new("/etc/subuid")))
                .unwrap_or_else(|| Finding::ok(SUBJECT, "you have subordinate ids"))
        }),
        tool("newuidmap", "uidmap", MEANING),
    ]
}

fn switches(read: impl Fn(&str) -> String) -> Option<Finding> {
    SWITCHES.into_iter().find(|(path, off, _)| read(path).trim() == *off).map(|(path, off, on)| {
        Finding::error(SUBJECT, format!("`{path}` is {off}, which forbids them"), MEANING)
            .root(&["sysctl", "--write", on])
    })
}

fn ids(user: &str, uid: u32, table: &str) -> Option<Finding> {
    let number = uid.to_string();
    let mut owners = table.lines().filter_map(|line| line.split(':').next());
    if owners.any(|owner| owner == user || owner == number) {
        return None;
    }
    let finding = Finding::error(SUBJECT, "you have no subordinate ids", MEANING);
    if user.is_empty() {
        return Some(finding.hint("add a line for your user to /etc/subuid and /etc/subgid"));
    }
    // Behind whatever is given already, so that no two users have the same.
    let first = next_free(table);
    let range = format!("{first}-{}", first + 65_535);
    Some(finding.root(&["usermod", "--add-subuids", &range, "--add-subgids", &range, user]))
}

/// Returns the first number behind all ranges of a table whose lines read `OWNER:FIRST:COUNT`.
fn next_free(table: &str) -> u64 {
    let end = |line: &str| {
        let mut fields = line.split(':').skip(1).map(|field| field.trim().parse::<u64>().ok());
        Some(fields.next()?? + fields.next()??)
    };
    table.lines().filter_map(end).max().unwrap_or_default().max(100_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Remedy;

    #[test]
    fn ids_are_those_of_a_name_or_a_number() {
        assert!(ids("dev", 1000, "eve:100000:65536\ndev:165536:65536\n").is_none());
        assert!(ids("dev", 1000, "1000:100000:65536\n").is_none());
        let finding = ids("dev", 1000, "eve:100000:65536\nmal:x\n").unwrap();
        let hint = finding.hint.unwrap();
        assert_eq!(hint, "`sudo usermod --add-subuids 165536-231071 --add-subgids 165536-231071 dev`");
        assert!(matches!(finding.remedy, Remedy::Root(words) if words.len() == 6));
        assert!(matches!(ids("", 1000, "").unwrap().remedy, Remedy::Person));
    }

    #[test]
    fn a_switch_that_is_off() {
        let off = |path: &str| if path.ends_with("max_user_namespaces") { "0\n" } else { "" }.to_owned();
        let finding = switches(off).unwrap();
        assert!(finding.detail.contains("max_user_namespaces"));
        assert_eq!(finding.hint.unwrap(), "`sudo sysctl --write user.max_user_namespaces=15000`");
        assert!(switches(|_| "63432\n".to_owned()).is_none());
        assert!(switches(|_| String::new()).is_none());
    }
}
