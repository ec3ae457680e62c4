//! `doctor`: each check sees what is broken, says what it means and what to type; with `--fix` what can be mended is, and
//! no longer found. Programs that a test must not run, or cannot take away, are stood in for on `PATH`.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::home::{Home, Ran, finish};

/// A home, and a directory of programs that is all of `PATH`.
struct Patient {
    home: Home,
    bin: PathBuf,
}

/// What the doctor runs, and what its helpers in these tests do.
const PROGRAMS: [&str; 18] = [
    "qemu-system-x86_64",
    "qemu-img",
    "mmdebstrap",
    "mke2fs",
    "tar",
    "bash",
    "curl",
    "git",
    "newuidmap",
    "env",
    "sh",
    "ln",
    "touch",
    "cat",
    "chmod",
    "mv",
    "rm",
    "mount",
];

impl Patient {
    fn new() -> Self {
        let home = Home::new();
        let bin = home.dir().join("bin");
        fs::create_dir(&bin).unwrap();
        let patient = Self { home, bin };
        PROGRAMS.iter().for_each(|program| patient.link(program));
        // Whatever Nix this machine has.
        patient
            .stand_in("nix", "if [ \"$1\" = --version ]; then echo 'nix (Nix) 2.34.8'; else echo true; fi");
        patient
    }

    fn link(&self, program: &str) {
        let found = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
            .map(|dir| Path::new(dir).join(program));
        let found =
            found.iter().find(|path| path.exists()).unwrap_or_else(|| panic!("{program} is not installed"));
        symlink(found, self.bin.join(program)).unwrap();
    }

    /// A script in the place of a program.
    fn stand_in(&self, program: &str, script: &str) {
        let path = self.bin.join(program);
        let _ = fs::remove_file(&path);
        fs::write(&path, format!("#!/bin/sh\nPATH={}\n{script}\n", self.bin.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What gives root's rights without a password, where the test itself does not have them.
    fn sudo(&self) {
        self.stand_in("sudo", "[ \"$1\" = -n ] && shift; exec \"$@\"");
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(args);
        command.env("PATH", &self.bin);
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        finish(self.command(args), Duration::from_secs(60))
    }

    fn json(&self, args: &[&str]) -> (i32, Vec<Value>) {
        let ran = self.run(&[&["doctor", "--json"], args].concat());
        (
            ran.code,
            serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}{}", ran.out, ran.err)),
        )
    }

    /// Finds something that is not as it should be, as text too.
    fn finds(&self, subject: &str, level: &str, says: &str) -> Value {
        let (code, all) = self.json(&[]);
        let is_it = |finding: &&Value| {
            finding["subject"] == subject
                && finding["level"] == level
                && text(finding, "detail").contains(says)
        };
        let found = all
            .iter()
            .find(is_it)
            .unwrap_or_else(|| panic!("no {level} of {subject} says {says:?}: {all:#?}"));
        assert!(!text(found, "meaning").is_empty() && !text(found, "hint").is_empty(), "{found}");
        assert_eq!(found["fixed"], false);
        let fails = all.iter().any(|finding| finding["level"] == "error");
        assert_eq!(code, i32::from(fails), "{all:#?}");
        let shown = self.run(&["doctor"]).out;
        assert!(shown.contains(&format!("       means: {}", text(found, "meaning"))), "{shown}");
        assert!(shown.contains(&format!("       hint: {}", text(found, "hint"))), "{shown}");
        found.clone()
    }

    /// Says that a subject is as it should be.
    fn is_well(&self, subject: &str) {
        let (_, all) = self.json(&[]);
        let about: Vec<&Value> = all.iter().filter(|finding| finding["subject"] == subject).collect();
        assert!(!about.is_empty() && about.iter().all(|finding| finding["level"] == "ok"), "{about:#?}");
    }

    /// Finds something, has it mended, and finds it no longer.
    fn mends(&self, subject: &str, level: &str, says: &str) {
        let found = self.finds(subject, level, says);
        let (code, all) = self.json(&["--fix"]);
        let fixed =
            all.iter().find(|finding| finding["fixed"] == true && finding["detail"] == found["detail"]);
        let fixed = fixed.unwrap_or_else(|| panic!("{found} was not fixed: {all:#?}"));
        assert_eq!((&fixed["level"], &fixed["subject"]), (&json!("ok"), &json!(subject)));
        assert_eq!(code, 0, "{all:#?}");
        self.is_well(subject);
        // Once more there is nothing to be mended.
        let (_, all) = self.json(&["--fix"]);
        assert!(all.iter().all(|finding| finding["fixed"] == false), "{all:#?}");
    }
}

fn text<'a>(finding: &'a Value, key: &str) -> &'a str {
    finding[key].as_str().unwrap_or_default()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_program_that_is_missing_is_installed() {
    let patient = Patient::new();
    fs::remove_file(patient.bin.join("mmdebstrap")).unwrap();
    // No package manager that could be run: the line for the person is all.
    let found = patient.finds("mmdebstrap", "error", "`mmdebstrap` is not installed");
    assert_eq!(found["hint"], "on Debian and Ubuntu: `sudo apt install mmdebstrap`");
    let (code, all) = patient.json(&["--fix"]);
    assert_eq!(code, 1);
    assert!(all.iter().all(|finding| finding["fixed"] == false));
    // One that fails says so, and is not taken for one that did not.
    patient.sudo();
    patient.stand_in("apt-get", "echo E: no network >&2; exit 100");
    let (code, all) = patient.json(&["--fix"]);
    let found = all.iter().find(|finding| finding["subject"] == "mmdebstrap").unwrap();
    assert!(text(found, "detail").ends_with("E: no network") && code == 1, "{found}");
    // It is asked for nothing, and gets no answer.
    let log = patient.home.dir().join("apt.log");
    patient.stand_in(
        "apt-get",
        &format!(
            "read answer; echo \"$DEBIAN_FRONTEND $*$answer\" >>{}; ln -s /bin/true {}/mmdebstrap",
            log.display(),
            patient.bin.display()
        ),
    );
    let ran = patient.run(&["doctor", "--fix"]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(ran.out.contains("fixed  mmdebstrap: `mmdebstrap` is not installed"), "{}", ran.out);
    assert!(ran.err.contains("running as root: apt-get install --yes --quiet mmdebstrap"), "{}", ran.err);
    assert_eq!(fs::read_to_string(log).unwrap(), "noninteractive install --yes --quiet mmdebstrap\n");
    patient.is_well("mmdebstrap");
}

#[test]
fn qemu_is_missing_too_old_or_without_9p() {
    let patient = Patient::new();
    patient.sudo();
    fs::remove_file(patient.bin.join("qemu-system-x86_64")).unwrap();
    patient.stand_in("apt-get", &format!("ln -s /usr/bin/qemu-system-x86_64 {}/", patient.bin.display()));
    patient.mends("qemu-system-x86_64", "error", "is not installed");
    let says = |version: &str, devices: &str| {
        let script = format!(
            "case $1 in --version) echo 'QEMU emulator version {version}';; -device) echo '{devices}';; *) exit 1;; esac"
        );
        patient.stand_in("qemu-system-x86_64", &script);
    };
    says("6.2.0 (Debian 1:6.2+dfsg-2ubuntu6)", "name \"virtio-9p-pci\", bus PCI");
    let found = patient.finds("qemu-system-x86_64", "error", "6.2.0");
    assert!(text(&found, "meaning").contains("`pc-q35-7.2`"), "{found}");
    says("9.2.1", "name \"virtio-net-pci\", bus PCI");
    patient.finds("shares", "warning", "built without 9p");
    patient.is_well("qemu-system-x86_64");
    // What is known of a version matters where something is shared.
    patient.is_well("QEMU flaws");
    let shared = patient.home.dir().join("shared");
    fs::create_dir(&shared).unwrap();
    patient.home.ok(&["create", "vm", "--share-ro", shared.to_str().unwrap()]);
    let found = patient.finds("QEMU flaws", "warning", "CVE-2026-93834: the version number 9.2.1");
    assert!(text(&found, "hint").contains("`zgrep CVE-2026-93834 "), "{found}");
    says("7.2.3", "name \"virtio-9p-pci\", bus PCI");
    patient.finds("QEMU flaws", "warning", "CVE-2023-2861");
    says("11.1.2", "name \"virtio-9p-pci\", bus PCI");
    patient.is_well("QEMU flaws");
    patient.is_well("shares");
}

#[test]
fn the_accelerator_is_tried_each_time() {
    let patient = Patient::new();
    let log = patient.home.dir().join("tried");
    let qemu = |under_kvm: &str| {
        let script = format!(
            "case \"$*\" in --version) echo 'QEMU emulator version 11.1.2';; *help) echo '\"virtio-9p-pci\"';;\n\
             *kvm*) echo >>{}; {under_kvm};; esac",
            log.display()
        );
        patient.stand_in("qemu-system-x86_64", &script);
    };
    if !Path::new("/dev/kvm").exists() {
        let found = patient.finds("accelerator", "warning", "this machine has no /dev/kvm");
        assert!(text(&found, "hint").contains("modprobe"));
        return;
    }
    qemu("echo 'no such device' >&2; exit 1");
    patient.finds(
        "accelerator",
        "warning",
        "a trial guest did not run under KVM: `qemu-system-x86_64` failed",
    );
    // Twice, not by what is remembered.
    assert_eq!(fs::read_to_string(&log).unwrap(), "\n\n");
    // The same file with other content of the same length: only a trial tells.
    qemu("echo SeaBIOS && exec sh -c :; exit 0");
    patient.is_well("accelerator");
}

#[test]
fn a_taken_port_is_moved_unless_it_was_asked_for() {
    let patient = Patient::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let asked = other.local_addr().unwrap().port();
    patient.home.ok(&["create", "vm"]);
    let port = |guest: u64| {
        let ports = patient.home.list()[0]["ports"].clone();
        let found = ports.as_array().unwrap().iter().find(|port| port["guest"] == guest).cloned();
        u16::try_from(found.unwrap()["host"].as_u64().unwrap()).unwrap()
    };
    let ours = format!("(pid {})", std::process::id());
    let ssh = port(22);
    let taken = TcpListener::bind(("127.0.0.1", ssh)).unwrap();
    patient.mends("ports", "warning", &format!("host port {ssh} of the stopped VM `vm` is in use by "));
    assert_ne!(port(22), ssh);
    drop(taken);
    // What the user asked for is never moved, and what ai-vm chose is, beside it.
    drop(other);
    patient.home.ok(&["port", "add", "vm", &format!("{asked}:80")]);
    let _other = TcpListener::bind(("127.0.0.1", asked)).unwrap();
    let web = port(3001);
    let _web = TcpListener::bind(("127.0.0.1", web)).unwrap();
    let found = patient.finds("ports", "error", &ours);
    assert!(
        text(&found, "hint").contains(&format!("`ai-vm port rm vm {asked} && ai-vm port add vm auto:80`"))
    );
    let (code, all) = patient.json(&["--fix"]);
    assert!(code == 1 && all.iter().any(|finding| finding["fixed"] == true), "{all:#?}");
    assert_eq!(port(80), asked);
    assert_ne!(port(3001), web);
    // As the hint says.
    patient.home.ok(&["port", "rm", "vm", &asked.to_string()]);
    patient.home.ok(&["port", "add", "vm", "auto:80"]);
    patient.is_well("ports");
}

#[test]
fn what_killed_processes_left_goes_and_nothing_else() {
    let patient = Patient::new();
    patient.home.ok(&["create", "vm"]);
    let data = patient.home.data();
    let half = data.join("staging/new-1-0");
    fs::create_dir_all(&half).unwrap();
    fs::write(half.join("disk"), "x").unwrap();
    patient.mends("stale state", "warning", "1 half-made or half-removed in ");
    let vm = patient.home.vm("vm");
    fs::create_dir(vm.join("credentials")).unwrap();
    fs::write(vm.join("credentials/key"), "secret").unwrap();
    drop(std::os::unix::net::UnixListener::bind(vm.join("qmp.sock")).unwrap());
    patient.mends("stale state", "warning", "`vm` has qmp.sock and credentials of a QEMU that is gone");
    for end in ["sock", "lock"] {
        fs::write(data.join(format!("connections-0.0.1-1.{end}")), "").unwrap();
    }
    patient.mends("stale state", "warning", "2 files of earlier versions' connections");
    assert!(!data.join("connections-0.0.1-1.lock").exists());
    assert!(vm.join("vm.toml").exists() && vm.join("identity/id_ed25519").exists());
    // A change of keys is not finished without the guest.
    fs::create_dir(vm.join("rotation")).unwrap();
    let found = patient.finds("stale state", "warning", "a change of the keys of `vm` was broken off");
    assert_eq!(found["hint"], "`ai-vm ssh-keys rotate vm`");
    patient.json(&["--fix"]);
    assert!(vm.join("rotation").exists());
}

#[test]
fn what_is_in_use_is_not_stale() {
    let patient = Patient::new();
    patient.home.ok(&["create", "vm"]);
    let data = patient.home.data();
    let vm = patient.home.vm("vm");
    fs::create_dir_all(data.join("staging/new-1-0")).unwrap();
    fs::create_dir(vm.join("credentials")).unwrap();
    fs::write(data.join("connections-0.0.1-1.sock"), "").unwrap();
    let hold = |path: PathBuf| {
        let file = fs::File::create(path).unwrap();
        file.try_lock().unwrap();
        file
    };
    let locks =
        [data.join("staging.lock"), vm.join("run.lock"), data.join("connections-0.0.1-1.lock")].map(hold);
    patient.is_well("stale state");
    patient.json(&["--fix"]);
    assert!(data.join("staging/new-1-0").exists() && vm.join("credentials").exists());
    assert!(data.join("connections-0.0.1-1.sock").exists());
    drop(locks);
    patient.finds("stale state", "warning", "of a QEMU that is gone");
}

#[test]
fn only_the_user_can_read_what_is_kept() {
    let patient = Patient::new();
    patient.home.ok(&["create", "vm"]);
    let (data, vm) = (patient.home.data(), patient.home.vm("vm"));
    // What is in it may be somebody else's, so it is looked at when only the user can write there; which is the same run.
    set_mode(&data, 0o777);
    fs::create_dir_all(data.join("staging/new-1-0")).unwrap();
    assert_eq!(patient.home.run(&["ls"]).code, 2);
    patient.mends("data directory", "error", "is writable by others (mode 777)");
    assert_eq!(mode(&data), 0o700);
    assert!(!data.join("staging/new-1-0").exists());
    patient.home.ok(&["ls"]);
    let key = vm.join("identity/id_ed25519");
    set_mode(&key, 0o644);
    patient.mends("file modes", "error", "id_ed25519` is open to others (mode 644)");
    assert_eq!(mode(&key), 0o600);
    set_mode(&vm, 0o755);
    set_mode(&vm.join("vm.toml"), 0o640);
    patient.mends("file modes", "warning", "(mode 755), and 1 more");
    assert_eq!((mode(&vm), mode(&vm.join("vm.toml"))), (0o700, 0o600));
    // A file of the user's is told of and left alone, also where a link in the data directory leads to it.
    let claude = patient.home.dir().join(".claude");
    fs::create_dir(&claude).unwrap();
    let login = claude.join(".credentials.json");
    fs::write(&login, "{}").unwrap();
    set_mode(&login, 0o644);
    symlink(&login, data.join("link")).unwrap();
    let found = patient.finds("file modes", "warning", ".credentials.json` is open to others (mode 644)");
    patient.json(&["--fix"]);
    assert_eq!(mode(&login), 0o644);
    // As the hint says.
    let hint = text(&found, "hint").trim_matches('`');
    assert!(Command::new("sh").args(["-c", hint]).status().unwrap().success());
    patient.is_well("file modes");
}

#[test]
fn nix_is_missing_too_old_or_broken() {
    let patient = Patient::new();
    patient.sudo();
    patient.is_well("nix");
    patient.stand_in("nix", "echo 'nix (Nix) 2.8.0'");
    patient.finds("nix", "warning", "nix (Nix) 2.8.0 is older than 2.18");
    patient.stand_in(
        "nix",
        "echo 'nix (Nix) 2.34.8'; [ \"$1\" = --version ] || { echo no daemon >&2; exit 1; }",
    );
    patient.finds("nix", "warning", "does not evaluate flakes: `nix` failed (exit status: 1): no daemon");
    fs::remove_file(patient.bin.join("nix")).unwrap();
    patient.is_well("nix");
    // There is a guest that needs it.
    patient.home.ok(&["create", "vm", "--guest", "nixos"]);
    let script = "printf '#!/bin/sh\\n[ \"$1\" = --version ] && echo \"nix (Nix) 2.34.8\" || echo true\\n' >{}/nix; chmod +x {}/nix";
    patient.stand_in("apt-get", &script.replace("{}", patient.bin.to_str().unwrap()));
    patient.mends("nix", "error", "`nix` is not installed");
}

#[test]
fn the_clock_is_before_what_was_written() {
    let patient = Patient::new();
    patient.sudo();
    patient.home.ok(&["create", "vm"]);
    let record = patient.home.vm("vm").join("vm.toml");
    let ahead = SystemTime::now() + Duration::from_secs(86_400);
    let set = |time| fs::File::options().append(true).open(&record).unwrap().set_modified(time).unwrap();
    set(ahead);
    // What a clock that is set comes to, without touching this machine's.
    patient.stand_in("timedatectl", &format!("[ \"$*\" = 'set-ntp true' ] && touch {}", record.display()));
    patient.mends("clock", "warning", "vm.toml was written at ");
}

fn expires(hours: i64) -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap() + hours * 3_600_000
}

#[test]
fn logins_of_claude_code() {
    let patient = Patient::new();
    patient.is_well("Claude login");
    patient.home.ok(&["create", "vm", "--claude", "copy"]);
    patient.finds("Claude login", "warning", "Claude Code has not been used on this machine");
    let claude = patient.home.dir().join(".claude");
    fs::create_dir(&claude).unwrap();
    let file = claude.join(".credentials.json");
    let write = |content: &str| {
        fs::write(&file, content).unwrap();
        set_mode(&file, 0o600);
    };
    let secret = "sk-ant-ort01-CANARYCANARY";
    let login = |expires_at: i64, ends: Option<i64>| {
        json!({ "claudeAiOauth": {
            "accessToken": format!("{secret}-a"), "refreshToken": format!("{secret}-r{expires_at}"),
            "expiresAt": expires_at, "refreshTokenExpiresAt": ends, "scopes": ["user:inference"],
        }})
        .to_string()
    };
    write("{}");
    patient.finds("Claude login", "warning", "nobody is logged in on this machine");
    write("{\"claudeAiOauth\": {\"accessToken\": 7}}");
    patient.finds("Claude login", "warning", "is not a login: its `accessToken` is not a token");
    write(&login(expires(4), Some(expires(24 * 300))));
    patient.is_well("Claude login");
    write(&login(expires(4), Some(expires(48))));
    patient.finds("Claude login", "warning", "it can be renewed until 2");
    write(&login(expires(-4), Some(expires(-1))));
    patient.finds("Claude login", "warning", "it has expired");
    // Run out, and not renewed yet: Claude Code does that when it runs.
    write(&login(expires(-4), None));
    let written = SystemTime::now() - Duration::from_secs(12 * 3600);
    fs::File::options().append(true).open(&file).unwrap().set_modified(written).unwrap();
    patient.is_well("Claude login");
    // Written just now, with what had run out by then.
    write(&login(expires(-4), None));
    let found =
        patient.finds("Claude login", "warning", "has an entry that had run out before it was written");
    let hint = text(&found, "hint").split('`').find(|part| part.starts_with("mv ")).unwrap().to_owned();
    assert!(Command::new("sh").args(["-c", &hint]).status().unwrap().success());
    patient.finds("Claude login", "warning", "there is no login in");
    // A VM has renewed it since.
    write(&login(expires(4), None));
    fs::create_dir_all(patient.home.data().join("claude")).unwrap();
    set_mode(&patient.home.data().join("claude"), 0o700);
    let kept = patient.home.data().join("claude/login.json");
    let newer: Value = serde_json::from_str(&login(expires(8), None)).unwrap();
    let held = json!({ "claudeAiOauth": newer["claudeAiOauth"], "from": "vm", "found": expires(-1) });
    fs::write(&kept, held.to_string()).unwrap();
    set_mode(&kept, 0o600);
    let found =
        patient.finds("Claude login", "warning", "this machine's is older than the one that is kept for VMs");
    assert!(text(&found, "hint").starts_with("`ai-vm creds pull --all --update-host`"));
    fs::write(&kept, "{").unwrap();
    patient.finds("Claude login", "warning", "login.json");
    fs::remove_file(&kept).unwrap();
    // A token that is a year old soon.
    let token = patient.home.data().join("claude/token");
    fs::write(&token, "sk-ant-oat01-CANARYCANARYCANARY\n").unwrap();
    set_mode(&token, 0o600);
    patient.is_well("Claude login");
    let old = SystemTime::now() - Duration::from_secs(350 * 86_400);
    fs::File::options().append(true).open(&token).unwrap().set_modified(old).unwrap();
    let found = patient.finds(
        "Claude login",
        "warning",
        "the token of VMs that have none of their own is kept since",
    );
    assert!(text(&found, "hint").contains("`ai-vm creds set --default --token -`"), "{found}");
    let ran = patient.run(&["doctor", "--fix"]);
    assert!(!format!("{}{}", ran.out, ran.err).contains("CANARY"));
    assert!(file.exists() && token.exists());
}

/// Runs the doctor with a file system, or a table, of its own, which takes root's rights: `None` where the test has none.
fn in_a_mount_namespace(patient: &Patient, prepare: &str, run: &str) -> Option<(i32, Vec<Value>)> {
    if !is_root() {
        return None;
    }
    let us = env!("CARGO_BIN_EXE_ai-vm");
    let mut unshare = Command::new("unshare");
    unshare.args([
        "--mount",
        "sh",
        "-c",
        &format!("set -e; {prepare}; PATH={}; {run} {us} doctor --json", patient.bin.display()),
    ]);
    for (name, value) in patient.home.command(&[]).get_envs() {
        value.map(|value| unshare.env(name, value));
    }
    let ran = finish(unshare, Duration::from_secs(60));
    Some((ran.code, serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.err))))
}

#[test]
fn a_small_disk() {
    let patient = Patient::new();
    patient.home.ok(&["ls"]);
    // Elsewhere there is room, which is what the hint says.
    patient.is_well("disk space");
    let data = patient.home.data().display().to_string();
    let Some((_, all)) =
        in_a_mount_namespace(&patient, &format!("mount -t tmpfs -o size=1g,mode=700 none {data}"), "")
    else {
        return;
    };
    let found = all.iter().find(|finding| finding["subject"] == "disk space").unwrap();
    assert_eq!(found["level"], "warning");
    assert!(
        text(found, "detail").starts_with("only 0 GiB free")
            || text(found, "detail").starts_with("only 1 GiB")
    );
    assert!(text(found, "hint").contains("`export AI_VM_HOME=DIR`"));
}

#[test]
fn an_ordinary_user_needs_subordinate_ids() {
    let patient = Patient::new();
    patient.home.ok(&["ls"]);
    let table = patient.home.dir().join("subuid");
    fs::write(&table, "eve:100000:65536\n").unwrap();
    let run = |table: &Path| {
        let prepare = format!(
            "touch /etc/subuid; mount --bind {} /etc/subuid; chown -R 54321 {}",
            table.display(),
            patient.home.dir().display()
        );
        in_a_mount_namespace(
            &patient,
            &prepare,
            "/usr/bin/setpriv --reuid 54321 --regid 54321 --clear-groups",
        )
    };
    let Some((code, all)) = run(&table) else { return };
    let found = all.iter().find(|finding| finding["subject"] == "user namespaces").unwrap();
    assert_eq!((code, &found["level"]), (1, &json!("error")), "{all:#?}");
    let hint = "`sudo usermod --add-subuids 165536-231071 --add-subgids 165536-231071 tester`";
    assert_eq!(found["hint"], hint);
    // What that line does.
    fs::write(&table, "eve:100000:65536\ntester:165536:65536\n").unwrap();
    let (_, all) = run(&table).unwrap();
    let found = all.iter().find(|finding| finding["subject"] == "user namespaces").unwrap();
    assert_eq!(found["level"], "ok", "{all:#?}");
}
