//! `ai-vm creds` and logins in the life of VMs, against real SSH servers, each with a home directory of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ai_vm::host::layout::VmDir;
use serde_json::{Value, json};

use crate::fleet::Fleet;
use crate::home::{Home, Ran, wait};
use crate::sshd::Guest;

pub const HOURS: i64 = 3600;
const SETUP: &str = "sk-ant-oat01-CANARYCANARYCANARY";
const API: &str = "sk-ant-api03-CANARYCANARYCANARY";

/// The time so many seconds from now, in milliseconds since 1970.
pub fn in_seconds(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    i64::try_from(now).unwrap() + seconds * 1000
}

/// What Claude Code's file with a login is like; `number` tells logins apart.
pub fn login(number: u64, expires: i64) -> Value {
    json!({
        "claudeAiOauth": {
            "accessToken": format!("sk-ant-oat01-CANARY-access-{number}"),
            "refreshToken": format!("sk-ant-ort01-CANARY-refresh-{number}"),
            "expiresAt": expires,
            "scopes": ["user:inference"],
            "subscriptionType": "max",
        },
        "mcpOAuth": {"server": {"accessToken": "of-whoever-has-the-file"}},
    })
}

/// What `.claude.json` is like.
pub fn account(who: &str) -> Value {
    json!({
        "numStartups": 3,
        "projects": {"/p": {"history": ["\"oauthAccount\": {\"accountUuid\": \"none\"}"]}},
        "oauthAccount": {
            "accountUuid": format!("uuid-{who}"),
            "organizationUuid": format!("org-{who}"),
            "emailAddress": format!("{who}@example.org"),
        },
    })
}

/// Machines `a`, `b` and `c` that have a copy of the login of this one, which has one.
pub struct Copies {
    pub fleet: Fleet,
}

impl Copies {
    pub fn new() -> Self {
        let it = Self { fleet: Fleet::apart() };
        // They run, and there is nothing to be given to them yet.
        let ran = it.creds(&["set", "--all", "--mode", "copy"]);
        assert!(ran.code == 3 && ran.err.contains("`a` has the mode `copy` from now on, but"), "{}", ran.err);
        it
    }

    pub fn logged_in() -> Self {
        Self::of(Fleet::apart())
    }

    pub fn of(fleet: Fleet) -> Self {
        let it = Self { fleet };
        it.write_host(&login(1, in_seconds(HOURS)));
        it.fleet.home.ok(&["creds", "set", "--all", "--mode", "copy"]);
        it
    }

    pub fn home(&self) -> &Home {
        &self.fleet.home
    }

    pub fn host_file(&self) -> PathBuf {
        self.home().dir().join(".claude/.credentials.json")
    }

    pub fn write_host(&self, login: &Value) {
        fs::create_dir_all(self.host_file().parent().unwrap()).unwrap();
        fs::write(self.host_file(), serde_json::to_string_pretty(login).unwrap()).unwrap();
        fs::write(self.home().dir().join(".claude.json"), account("me").to_string()).unwrap();
    }

    /// The file with the login in a machine.
    pub fn file(&self, name: &str) -> PathBuf {
        self.home().dir().join(name).join(".claude/.credentials.json")
    }

    pub fn write(&self, name: &str, login: &Value) {
        fs::create_dir_all(self.file(name).parent().unwrap()).unwrap();
        fs::write(self.file(name), login.to_string()).unwrap();
    }

    /// Which login a machine has.
    pub fn has(&self, name: &str) -> Option<u64> {
        number(&self.file(name))
    }

    pub fn creds(&self, args: &[&str]) -> Ran {
        self.home().run(&[&["creds"], args].concat())
    }

    pub fn kept(&self) -> Option<u64> {
        number(&self.home().data().join("claude/login.json"))
    }

    pub fn audit(&self) -> String {
        fs::read_to_string(self.home().data().join("claude/audit.log")).unwrap_or_default()
    }

    pub fn status(&self) -> Value {
        serde_json::from_str(&self.home().ok(&["creds", "status", "--json"]).out).unwrap()
    }
}

pub fn number(file: &Path) -> Option<u64> {
    let content: Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    content["claudeAiOauth"]["refreshToken"].as_str()?.rsplit('-').next()?.parse().ok()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_login_is_copied_to_all_and_only_the_login() {
    let it = Copies::new();
    it.write_host(&login(1, in_seconds(HOURS)));
    let before = fs::read(it.host_file()).unwrap();
    // One has a file of its own, without a login.
    it.write("b", &json!({"mcpOAuth": {"mine": 1}}));
    let ran = it.creds(&["push", "--all"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    for name in ["a", "b", "c"] {
        assert!(ran.err.contains(&format!("{name}: has got its login")), "{}", ran.err);
        assert_eq!(it.has(name), Some(1));
        assert_eq!((mode(&it.file(name)), mode(it.file(name).parent().unwrap()) & 0o022), (0o600, 0));
        let there: Value = serde_json::from_slice(&fs::read(it.file(name)).unwrap()).unwrap();
        assert_eq!(
            there["claudeAiOauth"],
            login(1, 0)["claudeAiOauth"]
                .as_object()
                .map(|fields| {
                    let mut fields = fields.clone();
                    fields["expiresAt"] = there["claudeAiOauth"]["expiresAt"].clone();
                    Value::from(fields)
                })
                .unwrap()
        );
        let mcp = if name == "b" { json!({"mine": 1}) } else { Value::Null };
        assert_eq!(there["mcpOAuth"], mcp, "{name}");
        let left: Vec<_> = fs::read_dir(it.file(name).parent().unwrap()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
    assert_eq!(fs::read(it.host_file()).unwrap(), before);
    let again = it.creds(&["push", "--all"]);
    assert_eq!(again.err.matches("has its login already").count(), 3, "{}", again.err);
    // Who has had what is written down, and no secret is.
    let audit = it.audit();
    assert_eq!(
        audit.lines().filter(|line| line.contains(" kept->guest ") && line.ends_with(" begun")).count(),
        3,
        "{audit}"
    );
    assert_eq!(
        audit.lines().filter(|line| line.contains(" - host->kept ") && line.ends_with(" done")).count(),
        1,
        "{audit}"
    );
    assert!(!audit.contains("CANARY"), "{audit}");
    let open: Vec<_> = crate::processes::modes(&it.home().data())
        .into_iter()
        .filter(|(_, mode)| mode & 0o077 != 0)
        .collect();
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn what_was_renewed_in_one_goes_to_the_others_and_not_to_this_machine() {
    let it = Copies::logged_in();
    let before = fs::read(it.host_file()).unwrap();
    it.write("b", &login(2, in_seconds(9 * HOURS)));
    let ran = it.creds(&["pull", "b"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for said in ["b: had the newest login", "a: has got the newest login", "c: has got the newest login"] {
        assert!(ran.err.contains(said), "{}", ran.err);
    }
    assert_eq!((it.kept(), it.has("a"), it.has("c")), (Some(2), Some(2), Some(2)));
    assert_eq!(fs::read(it.host_file()).unwrap(), before);
    let status = it.status();
    assert_eq!(
        (&status["host"]["standing"], &status["kept"]["standing"]),
        (&json!("older"), &json!("current"))
    );
    assert_eq!(status["kept"]["account"]["emailAddress"], "me@example.org");
    for vm in status["vms"].as_array().unwrap() {
        assert_eq!((&vm["standing"], &vm["mode"]), (&json!("current"), &json!("copy")), "{vm}");
    }
    // Only when it is asked for, and with the file beside it that was there before.
    let ran = it.creds(&["pull", "--all", "--update-host"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(number(&it.host_file()), Some(2));
    let own: Value = serde_json::from_slice(&fs::read(it.host_file()).unwrap()).unwrap();
    assert_eq!(own["mcpOAuth"], login(1, 0)["mcpOAuth"]);
    assert_eq!(mode(&it.host_file()), 0o600);
    let beside: Vec<PathBuf> = fs::read_dir(it.host_file().parent().unwrap())
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| *path != it.host_file())
        .collect();
    assert_eq!(beside.len(), 1, "{beside:?}");
    assert_eq!((fs::read(&beside[0]).unwrap(), mode(&beside[0])), (before, 0o600));
    assert!(ran.err.contains(beside[0].to_str().unwrap()), "{}", ran.err);
    assert!(it.creds(&["pull", "a", "--update-host"]).err.contains("has the newest login already"));
}

#[test]
fn what_is_given_was_not_renewed_elsewhere_before() {
    let it = Copies::logged_in();
    // Nobody has told so far.
    it.write("b", &login(2, in_seconds(9 * HOURS)));
    it.write("c", &login(3, in_seconds(-HOURS)));
    let ran = it.creds(&["push", "c"]);
    assert!(ran.code == 0 && ran.err.contains("c: has got its login"), "{}", ran.err);
    assert_eq!((it.kept(), it.has("b"), it.has("c")), (Some(2), Some(2), Some(2)));
    // Who has no reason to renew it is not asked.
    it.write("b", &login(4, in_seconds(10 * HOURS)));
    it.write("c", &json!({}));
    it.creds(&["push", "c"]);
    assert_eq!((it.kept(), it.has("c")), (Some(2), Some(2)));
}

#[test]
fn a_newer_one_is_never_overwritten_by_an_older_one() {
    let it = Copies::logged_in();
    it.write("a", &login(5, in_seconds(8 * HOURS)));
    let ran = it.creds(&["push", "a"]);
    assert!(ran.code == 0 && ran.err.contains("a: has the newest login"), "{}", ran.err);
    assert_eq!((it.has("a"), it.kept()), (Some(5), Some(5)));
    // This machine's own is newer again, as after logging in anew.
    it.write_host(&login(6, in_seconds(10 * HOURS)));
    it.creds(&["push", "--all"]);
    assert_eq!(["a", "b", "c"].map(|name| it.has(name)), [Some(6); 3]);
    // Claude Code clears what it has when a renewal was rejected.
    it.write("c", &json!({"mcpOAuth": {}}));
    it.creds(&["push", "c"]);
    assert_eq!(it.has("c"), Some(6));
}

#[test]
fn a_link_on_this_machine_stays_one() {
    let it = Copies::logged_in();
    let elsewhere = it.home().dir().join("dotfiles.json");
    fs::rename(it.host_file(), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, it.host_file()).unwrap();
    it.write("a", &login(2, in_seconds(9 * HOURS)));
    let ran = it.creds(&["pull", "a", "--update-host"]);
    assert_eq!((ran.code, number(&elsewhere)), (0, Some(2)), "{}", ran.err);
    assert!(fs::symlink_metadata(it.host_file()).unwrap().is_symlink());
}

#[test]
fn what_is_missing_here_is_told_with_what_to_do() {
    let it = Copies::new();
    let (dir, file) = (it.home().dir().join(".claude"), it.host_file());
    let tell = |part: &str, hint: &str, code: i32| {
        let ran = it.creds(&["push", "a"]);
        assert_eq!(ran.code, code, "{part}: {}", ran.err);
        assert!(ran.err.contains(part) && ran.err.contains(hint), "{part}: {}", ran.err);
        let status = it.creds(&["status"]);
        assert!(status.code == 0 && status.err.contains(part), "{part}: {}", status.err);
    };
    tell("has not been used on this machine", "/login", 3);
    fs::create_dir(&dir).unwrap();
    tell("the login is in a keychain", "macOS", 3);
    fs::write(&file, "{}").unwrap();
    tell("nobody is logged in on this machine", "setup-token", 3);
    fs::write(&file, "").unwrap();
    tell("nobody is logged in on this machine", "setup-token", 3);
    fs::write(&file, "{\"claudeAiOauth\":{\"accessToken\":\"CANARY\"}}").unwrap();
    tell("`accessToken` is not a token", "/logout", 1);
    fs::write(&file, "CANARY").unwrap();
    tell("not a JSON object", "/logout", 1);
    fs::write(&file, vec![b' '; 70_000]).unwrap();
    tell("more than 65536 bytes", "/logout", 1);
    assert_eq!(it.has("a"), None);
    // With one that is kept, VMs go on having it.
    it.write_host(&login(1, in_seconds(HOURS)));
    it.creds(&["push", "a"]);
    fs::remove_file(&file).unwrap();
    assert_eq!((it.creds(&["push", "b"]).code, it.has("b")), (0, Some(1)));
}

#[test]
fn another_account_on_this_machine_is_a_conflict_until_somebody_decides() {
    let it = Copies::logged_in();
    it.write_host(&login(9, in_seconds(9 * HOURS)));
    fs::write(it.home().dir().join(".claude.json"), account("other").to_string()).unwrap();
    let ran = it.creds(&["push", "a"]);
    assert_eq!((ran.code, it.has("a"), it.kept()), (4, Some(1), Some(1)), "{}", ran.err);
    for part in ["other@example.org", "me@example.org", "creds wipe --store"] {
        assert!(ran.err.contains(part), "{}", ran.err);
    }
    let ran = it.creds(&["status"]);
    assert!(
        ran.code == 0 && ran.err.contains("creds wipe --store") && ran.out.contains("conflict"),
        "{ran:?}"
    );
    it.creds(&["wipe", "--store"]);
    let ran = it.creds(&["push", "a"]);
    assert_eq!((ran.code, it.has("a")), (0, Some(9)), "{}", ran.err);
}

#[test]
fn the_end_of_a_login_is_told_days_ahead() {
    let it = Copies::logged_in();
    let ends = |seconds: i64, part: &str| {
        let mut value = login(1, in_seconds(HOURS));
        value["claudeAiOauth"]["refreshTokenExpiresAt"] = json!(in_seconds(seconds));
        it.write_host(&value);
        let ran = it.creds(&["status"]);
        assert_eq!(ran.code, 0);
        assert_eq!(!part.is_empty(), ran.err.contains("this machine's login"), "{}", ran.err);
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    };
    ends(20 * 24 * HOURS, "");
    ends(4 * 24 * HOURS - 60, "ends in 3 days");
    ends(-HOURS, "ended at 20");
    it.write_host(&login(1, in_seconds(-40 * 24 * HOURS)));
    assert!(it.creds(&["status"]).err.contains("has likely ended"));
    // One that has ended is given to nobody.
    let mut dead = login(7, in_seconds(2 * HOURS));
    dead["claudeAiOauth"]["refreshTokenExpiresAt"] = json!(in_seconds(-HOURS));
    it.write_host(&dead);
    it.creds(&["wipe", "--store"]);
    fs::remove_file(it.file("a")).unwrap();
    let ran = it.creds(&["push", "a"]);
    assert_eq!((ran.code, it.has("a")), (3, None), "{}", ran.err);
}

fn with_input(home: &Home, args: &[&str], input: &str) -> Ran {
    use std::io::Write;
    let mut command = home.command(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    wait(child, Duration::from_secs(60), "creds")
}

#[test]
fn tokens_come_from_stdin_files_and_variables_and_never_from_arguments() {
    let fleet = Fleet::apart();
    let home = &fleet.home;
    let there = |name: &str| home.dir().join(name).join(".config/ai-vm/claude-token");
    let ran = with_input(home, &["creds", "set", "a", "--token", "-"], &format!("{SETUP}\n"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!((fs::read_to_string(there("a")).unwrap(), mode(&there("a"))), (format!("{SETUP}\n"), 0o600));
    assert_eq!(mode(there("a").parent().unwrap()), 0o700);
    let file = home.dir().join("key");
    let file = file.with_extension("token");
    fs::write(&file, API).unwrap();
    home.ok(&["creds", "set", "b", "--token", file.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(there("b")).unwrap(), format!("{API}\n"));
    let mut command = home.command(&["creds", "set", "c", "--token-env", "MY_TOKEN"]);
    let ran = crate::home::finish(
        {
            command.env("MY_TOKEN", SETUP);
            command
        },
        Duration::from_secs(60),
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    for name in ["a", "b", "c"] {
        assert_eq!(mode(&home.vm(name).join("claude-token")), 0o600);
    }
    for (args, part) in [
        (["--token", SETUP], "not to be typed"),
        (["--token", "/nowhere"], "hint: `claude setup-token` prints a token"),
        (["--token-env", "NO_SUCH_VARIABLE"], "is not set"),
        (["--token", "/dev/null"], "it is empty"),
    ] {
        let ran = home.run(&[&["creds", "set", "a"][..], &args].concat());
        assert!([1, 2].contains(&ran.code) && ran.err.contains(part), "{args:?}: {}", ran.err);
        assert!(!ran.err.contains(SETUP) || args[0] == "--token", "{}", ran.err);
    }
    let ls: Vec<Value> = home.list();
    assert_eq!(ls[0]["claude"], "token");
    assert!(
        home.ok(&["ls"]).out.contains("CLAUDE") && home.ok(&["info", "a"]).out.contains("claude:    token")
    );
    // A new one takes the place of the old one; wiped, there is none, here or there.
    with_input(home, &["creds", "set", "a", "--token", "-"], API);
    assert_eq!(fs::read_to_string(there("a")).unwrap(), format!("{API}\n"));
    home.ok(&["creds", "wipe", "a"]);
    assert!(!there("a").exists() && !home.vm("a").join("claude-token").exists());
    assert_eq!(home.list()[0]["claude"], "none");
    let ran = home.run(&["creds", "push", "a"]);
    assert_eq!((ran.code, there("a").exists()), (2, false), "{}", ran.err);
    // Those that have none of their own have the common one.
    home.ok(&["creds", "set", "a", "--mode", "token"]);
    assert_eq!(home.run(&["creds", "push", "a"]).code, 3);
    with_input(home, &["creds", "set", "--default", "--token", "-"], SETUP);
    home.ok(&["creds", "push", "--all"]);
    assert_eq!(
        ["a", "b"].map(|name| fs::read_to_string(there(name)).unwrap().trim_end().to_owned()),
        [SETUP, API]
    );
    let mut said = String::new();
    for args in
        [&["creds", "status"][..], &["creds", "status", "--json"], &["info", "--all", "--json"], &["config"]]
    {
        let ran = home.ok(args);
        said += &(ran.out + &ran.err);
    }
    said += &fs::read_to_string(home.data().join("claude/audit.log")).unwrap();
    assert!(!said.contains("CANARY"), "{said}");
    // In the mode `copy` it would be used in place of the login.
    home.ok(&["creds", "set", "b", "--mode", "none"]);
    fs::create_dir_all(home.dir().join(".claude")).unwrap();
    fs::write(home.dir().join(".claude/.credentials.json"), login(1, in_seconds(HOURS)).to_string()).unwrap();
    home.ok(&["creds", "set", "b", "--mode", "copy"]);
    assert!(!there("b").exists());
}

/// A VM that has a copy, and a directory of this machine's Claude Code that is not the VM's.
fn vm() -> (Guest, PathBuf) {
    let guest = Guest::serve("");
    let dir = guest.home.dir().join("host-claude");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join(".credentials.json"), login(1, in_seconds(HOURS)).to_string()).unwrap();
    (guest, dir)
}

fn with_host(guest: &Guest, dir: &Path, args: &[&str]) -> Ran {
    let mut command = guest.home.command(args);
    command.env("CLAUDE_CONFIG_DIR", dir);
    crate::home::finish(command, Duration::from_secs(60))
}

fn kept(guest: &Guest) -> Option<u64> {
    number(&guest.home.data().join("claude/login.json"))
}

#[test]
fn a_login_is_given_at_the_start_and_fetched_before_the_end() {
    let (guest, dir) = vm();
    let there = guest.home.dir().join(".claude/.credentials.json");
    assert_eq!(with_host(&guest, &dir, &["creds", "set", "vm", "--mode", "copy"]).code, 0);
    fs::remove_file(&there).unwrap();
    // It runs already; so does `up`, which finds it ready.
    let ran = with_host(&guest, &dir, &["up", "vm"]);
    assert_eq!((ran.code, number(&there)), (0, Some(1)), "{}", ran.err);
    fs::write(&there, login(2, in_seconds(9 * HOURS)).to_string()).unwrap();
    let ran = with_host(&guest, &dir, &["stop", "vm", "-t", "1"]);
    assert_eq!((ran.code, kept(&guest)), (0, Some(2)), "{}", ran.err);
    assert_eq!(with_host(&guest, &dir, &["rm", "vm"]).code, 0);
}

#[test]
fn what_cannot_be_given_or_fetched_stands_in_nobodys_way() {
    let (mut guest, dir) = vm();
    assert_eq!(with_host(&guest, &dir, &["creds", "set", "vm", "--mode", "copy"]).code, 0);
    fs::remove_file(dir.join(".credentials.json")).unwrap();
    fs::remove_dir_all(guest.home.data().join("claude")).unwrap();
    fs::remove_file(guest.home.dir().join(".claude/.credentials.json")).unwrap();
    let ran = with_host(&guest, &dir, &["start", "vm"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.err.contains("warning: it has not got its login") && ran.err.contains("keychain"),
        "{}",
        ran.err
    );
    guest.pull_the_plug();
    let ran = with_host(&guest, &dir, &["stop", "vm", "-t", "1"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("warning: its login was not fetched"), "{}", ran.err);
}

#[test]
fn the_newest_login_does_not_go_with_a_vm() {
    let (guest, dir) = vm();
    let there = guest.home.dir().join(".claude/.credentials.json");
    // It has to be renewed within the hour.
    fs::write(dir.join(".credentials.json"), login(1, in_seconds(600)).to_string()).unwrap();
    assert_eq!(with_host(&guest, &dir, &["creds", "set", "vm", "--mode", "copy"]).code, 0);
    // It is ended without having been asked.
    assert_eq!(with_host(&guest, &dir, &["stop", "--force", "vm"]).code, 0);
    let ran = with_host(&guest, &dir, &["rm", "vm"]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    for part in ["may have the newest login", "ai-vm start vm", "ai-vm rm --force vm"] {
        assert!(ran.err.contains(part), "{}", ran.err);
    }
    let ran = with_host(&guest, &dir, &["start", "--new-disk", "vm"]);
    assert!(ran.code == 4 && ran.err.contains("--mode none"), "{}", ran.err);
    // Somebody else has a newer one: what is in the VM is worthless.
    fs::write(dir.join(".credentials.json"), login(3, in_seconds(9 * HOURS)).to_string()).unwrap();
    with_host(&guest, &dir, &["creds", "push", "vm"]);
    assert_eq!(number(&there), Some(1), "it does not run");
    let ran = with_host(&guest, &dir, &["rm", "vm"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[test]
fn a_vm_whose_login_was_fetched_may_go() {
    let (guest, dir) = vm();
    fs::write(dir.join(".credentials.json"), login(1, in_seconds(600)).to_string()).unwrap();
    assert_eq!(with_host(&guest, &dir, &["creds", "set", "vm", "--mode", "copy"]).code, 0);
    assert_eq!(with_host(&guest, &dir, &["stop", "vm", "-t", "1"]).code, 0);
    let ran = with_host(&guest, &dir, &["rm", "vm"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[test]
fn a_vm_that_is_killed_for_its_removal_is_asked_before() {
    let (guest, dir) = vm();
    assert_eq!(with_host(&guest, &dir, &["creds", "set", "vm", "--mode", "copy"]).code, 0);
    let there = guest.home.dir().join(".claude/.credentials.json");
    fs::write(&there, login(2, in_seconds(9 * HOURS)).to_string()).unwrap();
    let ran = with_host(&guest, &dir, &["rm", "--force", "vm"]);
    assert_eq!((ran.code, kept(&guest)), (0, Some(2)), "{}", ran.err);
    assert!(!guest.file(VmDir::RECORD).exists());
}

#[test]
fn modes_are_chosen_with_new_vms_and_by_the_configuration() {
    let home = Home::new();
    let create =
        |name: &str, flags: &[&str]| home.run(&[&["create", name, "--no-default-ports"], flags].concat());
    fs::write(home.dir().join("config.toml"), "claude = \"token\"\n").unwrap();
    create("by-config", &[]);
    create("copied", &["--share-claude-auth"]);
    create("none", &["--claude", "none"]);
    let modes: Vec<Value> = home.list().iter().map(|vm| vm["claude"].clone()).collect();
    assert_eq!(modes, ["token", "copy", "none"]);
    assert!(home.ok(&["config"]).out.contains("claude = \"token\""));
    assert_eq!(create("x", &["--claude", "always"]).code, 2);
    assert_eq!(create("x", &["--claude", "copy", "--share-claude-auth"]).code, 2);
    let record = fs::read_to_string(home.vm("none").join("vm.toml")).unwrap();
    assert!(!record.contains("claude"), "{record}");
    fs::write(home.dir().join("config.toml"), "claude = \"maybe\"\n").unwrap();
    let ran = home.run(&["ls"]);
    assert!(ran.code == 2 && ran.err.contains("`maybe`"), "{}", ran.err);
}
