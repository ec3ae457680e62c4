//! Sessions of the real Claude Code in a guest: they go on, are seen, spoken to and ended.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::claude::{LOGIN, plain};
use crate::debian::{VM, sh};
use crate::home::Home;
use crate::pty::Pty;

/// What the only agent does.
fn agent(home: &Home) -> Value {
    let agents: Vec<Value> =
        serde_json::from_str(&home.ok(&["agents", VM, "--timeout", "50", "--json"]).out).unwrap();
    assert_eq!(agents.len(), 1, "{agents:?}");
    agents[0].clone()
}

pub fn sessions_go_on(home: &Home) {
    // The user's own manager is there without a login, and what agents run is its.
    sh(home, "until [ -S /run/user/1000/systemd/private ]; do sleep 1; done");
    sh(home, "mkdir -p ~/.claude work");
    let login = home.dir().join("login");
    fs::write(&login, LOGIN).unwrap();
    home.ok(&["cp", login.to_str().unwrap(), &format!("{VM}:.claude/.credentials.json")]);
    let begun = home.ok(&["claude", VM, "--detach", "-C", "work"]);
    let id = begun.out.trim().rsplit(' ').next().unwrap().to_owned();
    // Its hooks say so.
    home.ok(&["agents", "wait", VM, &id, "--timeout", "55"]);
    let seen = agent(home);
    assert_eq!(
        (&seen["id"], &seen["kind"], &seen["cwd"]),
        (&id.into(), &"session".into(), &"/home/dev/work".into())
    );
    assert!(
        sh(home, "cat /proc/$(pgrep -x tmux:\\ server | head -n1)/cgroup").contains("user@1000"),
        "it is no user's"
    );

    let mut pty = Pty::run(&home.command(&["claude", VM]));
    drop(pty.wait(|seen| plain(seen).contains("bypasspermissionson"), "its screen"));
    pty.type_keys("\u{1d}");
    pty.expect("goes on; come back");
    assert_eq!(pty.exit_code(), 0);

    // Without a network it tries again and again, which is work.
    home.ok(&["agents", "send", VM, "--", "say hello"]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while agent(home)["state"] == "done" {
        assert!(Instant::now() < deadline, "it was not heard: {}", home.ok(&["agents", "logs", VM]).out);
    }
    assert!(home.ok(&["agents", "logs", VM]).out.contains("say hello"));
    let ran = home.ok(&["agents", "stop", VM]);
    assert!(ran.err.contains("was ended by TERM"), "{}", ran.err);
    assert_eq!(agent(home)["state"], "stopped");
    sh(home, "rm -rf ~/.claude ~/.claude.json ~/.local/state/ai-vm work");
}
