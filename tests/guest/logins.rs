//! Logins of Claude Code in a guest: a token, and a copy of this machine's, which is renewed there. Nobody's real ones.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::debian::{VM, sh};
use crate::home::{Home, wait};

const TOKEN: &str = "sk-ant-oat01-nobodynobodynobody";
const FILES: &str = "cd; for f in .claude/.credentials.json .config/ai-vm/claude-token; do \
                     [ ! -e $f ] || stat -c '%n %U %a' $f; done";

/// A login that is good for some hours from now.
fn login(number: u64, hours: u64) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    json!({"claudeAiOauth": {
        "accessToken": format!("sk-ant-oat01-nobody-access-{number}"),
        "refreshToken": format!("sk-ant-ort01-nobody-refresh-{number}"),
        "expiresAt": (now + hours * 3600) * 1000,
    }})
}

/// What is known of the VM, once it has answered: `status` does not wait long, and an emulated guest can be slow.
fn status(home: &Home) -> Value {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let all: Value = serde_json::from_str(&home.ok(&["creds", "status", VM, "--json"]).out).unwrap();
        let vm = all["vms"][0].clone();
        let is_late = vm["problem"].as_str().is_some_and(|problem| problem.contains("did not answer"));
        if !is_late || Instant::now() > deadline {
            return vm;
        }
    }
}

pub fn come_and_go(home: &Home) {
    // A token, from stdin, for a VM that runs.
    let mut set = home.command(&["creds", "set", VM, "--token", "-"]);
    let set = set.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = set.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), TOKEN.as_bytes()).unwrap();
    let ran = wait(child, Duration::from_secs(60), "creds set");
    assert!(ran.code == 0 && ran.err.contains("mode token, has got its login"), "{}", ran.err);
    assert_eq!(sh(home, FILES), ".config/ai-vm/claude-token dev 600\n");
    assert_eq!(sh(home, "cat ~/.config/ai-vm/claude-token"), format!("{TOKEN}\n"));
    let has = status(home);
    assert_eq!((&has["mode"], &has["standing"]), (&json!("token"), &json!("current")), "{has}");

    // A copy takes its place.
    let here = home.dir().join(".claude/.credentials.json");
    fs::create_dir_all(here.parent().unwrap()).unwrap();
    fs::write(&here, login(1, 8).to_string()).unwrap();
    let before = fs::read(&here).unwrap();
    let ran = home.ok(&["creds", "set", VM, "--mode", "copy"]);
    assert!(ran.err.contains("mode copy, has got its login"), "{}", ran.err);
    assert_eq!(sh(home, FILES), ".claude/.credentials.json dev 600\n");
    let there: Value = serde_json::from_str(&sh(home, "cat ~/.claude/.credentials.json")).unwrap();
    assert_eq!(there, serde_json::from_slice::<Value>(&before).unwrap());
    assert!(home.ok(&["creds", "push", VM]).err.contains("has its login already"));

    // The guest renews it, as Claude Code does: by a new file in its place.
    let renewed = login(2, 9).to_string();
    sh(home, &format!("cd ~/.claude && printf %s '{renewed}' > new && mv new .credentials.json"));
    assert_eq!(status(home)["standing"], "newer");
    assert!(home.ok(&["creds", "pull", VM]).err.contains("had the newest login"));
    let has = status(home);
    assert_eq!((&has["standing"], &has["problem"]), (&json!("current"), &Value::Null), "{has}");
    assert_eq!(fs::read(&here).unwrap(), before, "this machine's own login was touched");
    // Lost there, it comes again; what came from there is what goes there.
    sh(home, "rm ~/.claude/.credentials.json");
    assert!(home.ok(&["creds", "push", VM]).err.contains("has got its login"));
    assert!(sh(home, "cat ~/.claude/.credentials.json").contains("refresh-2"));

    // What it says that is no login is told, and left alone.
    sh(home, "ln -sf /etc/passwd ~/.claude/.credentials.json");
    let ran = home.run(&["creds", "push", VM]);
    assert!(ran.code == 1 && ran.err.contains("a link"), "{} {}", ran.code, ran.err);
    assert_eq!(status(home)["standing"], "conflict");

    assert!(home.ok(&["creds", "wipe", VM, "--store"]).err.contains("has no login any more"));
    assert_eq!(sh(home, FILES), "");
    let has = status(home);
    assert_eq!((&has["mode"], &has["standing"]), (&json!("none"), &json!("missing")), "{has}");
    let audit = fs::read_to_string(home.data().join("claude/audit.log")).unwrap();
    assert!(audit.contains(" token->guest ") && !audit.contains("nobody"), "{audit}");
    fs::remove_dir_all(here.parent().unwrap()).unwrap();
}
