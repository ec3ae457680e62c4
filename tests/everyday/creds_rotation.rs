//! A login that is renewed in several guests and on this machine, with the built binary and real SSH servers: a stand-in
//! for Claude Code whose tokens can be used once, and `creds` that is killed at its system calls.

use std::fs;
use std::path::PathBuf;

use crate::crash::kill_at;
use crate::creds::{Copies, HOURS, in_seconds, login, number};

/// Claude Code and who gives it logins: only the last one can be renewed.
struct Renewals {
    last: u64,
}

impl Renewals {
    /// What Claude Code does with its file when its access token has expired. A login that was used already is rejected,
    /// and what is there is cleared.
    fn renew(&mut self, file: &PathBuf) {
        match number(file) {
            Some(number) if number == self.last => {
                self.last += 1;
                let content = login(self.last, in_seconds(HOURS + i64::try_from(self.last).unwrap() * 60));
                fs::write(file, content.to_string()).unwrap();
            }
            Some(_) => fs::write(file, "{\"mcpOAuth\":{}}").unwrap(),
            None => {}
        }
    }
}

#[test]
fn killed_at_any_call_nothing_is_lost() {
    let it = Copies::logged_in();
    let host = fs::read(it.host_file()).unwrap();
    let names = ["a", "b", "c"];
    let mut renewals = Renewals { last: 1 };
    let mut killed = 0;
    let (mut point, mut round) = (20, 0);
    while round < 24 {
        let who = names[round % 3];
        renewals.renew(&it.file(who));
        // The others try too, with what has become worthless.
        renewals.renew(&it.file(names[(round + 1) % 3]));
        let args: &[&str] =
            if round % 2 == 0 { &["creds", "pull", who] } else { &["creds", "push", "--all"] };
        let was_killed = kill_at(it.home(), point, args);
        killed += usize::from(was_killed);
        point = if was_killed { point + 17 } else { 20 };
        assert_eq!(fs::read(it.host_file()).unwrap(), host, "round {round}");
        let everywhere = [it.kept(), it.has("a"), it.has("b"), it.has("c")];
        assert!(
            everywhere.contains(&Some(renewals.last)),
            "round {round}: {} is lost: {everywhere:?}",
            renewals.last
        );
        for name in names {
            // Whatever is there is whole: a login, or what Claude Code has left when it was logged out.
            let content = fs::read(it.file(name)).unwrap();
            assert!(serde_json::from_slice::<serde_json::Value>(&content).is_ok(), "{name} in round {round}");
        }
        // The same again completes, and logs everybody in.
        let ran = it.creds(&["push", "--all"]);
        assert_eq!(ran.code, 0, "round {round}: {}", ran.err);
        let ran = it.creds(&["push", "--all"]);
        assert_eq!(ran.code, 0, "round {round}: {}", ran.err);
        assert_eq!(names.map(|name| it.has(name)), [Some(renewals.last); 3], "round {round}");
        round += 1;
    }
    assert!(killed > 10 && renewals.last > 20, "{killed} killed, {} renewed", renewals.last);
    for name in names {
        let left: Vec<_> = fs::read_dir(it.file(name).parent().unwrap())
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name().into_string().unwrap())
            .filter(|name| !name.starts_with(".credentials.json"))
            .collect();
        // A script whose connection is cut cleans up after itself.
        assert!(left.is_empty(), "{left:?}");
    }
}
