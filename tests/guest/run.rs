//! Agents without a terminal in a real guest: they are the user's own manager's, and no login's.

use crate::debian::{VM, sh};
use crate::home::Home;

pub fn runs_go_on(home: &Home) {
    sh(home, "until [ -S /run/user/1000/systemd/private ]; do sleep 1; done");
    // Systemd would have a meaning for some of that.
    let prompt = "a ${HOME} $$ %h 'prompt'";
    let line = "cat /proc/self/cgroup; printf '%s %s ' \"$AI_VM_PROMPT\" \"$PWD\"; cat; exit 3";
    let ran = home.run(&["run", VM, "-C", "/tmp", "--agent-cmd", line, "--", prompt]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.out.contains("/user@1000.service/") && ran.out.contains("/ai-vm-agent-"), "{}", ran.out);
    assert!(ran.out.ends_with(&format!("{prompt} /tmp {prompt}\n")), "{}", ran.out);
    // The real Claude Code is not even begun without a login.
    let ran = home.run(&["run", VM, "--", "say hello"]);
    assert!(ran.code == 77 && ran.err.contains("ai-vm creds set"), "{}", ran.err);
    sh(home, "rm -rf ~/.local/state/ai-vm");
}
