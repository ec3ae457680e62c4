//! The whole life of a Debian guest: from nothing to removed.

use std::fs::File;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::agents;
use crate::claude;
use crate::copying;
use crate::documents_typed;
use crate::forwards::forwards_both_ways;
use crate::git;
use crate::home::{Home, Ran, finish, wait};
use crate::launch;
use crate::logins;
use crate::nixos_shaped;
use crate::processes;
use crate::pty::Pty;
use crate::rebuild;
use crate::run;
use crate::shares;

pub const VM: &str = "web";

/// The first start makes the image: downloads, unpacks, sets up.
const FIRST_START: Duration = Duration::from_secs(15 * 60);

/// A later one boots. It mounts half a dozen folders by then, and an emulated guest on a busy machine takes its time.
pub const BOOT: Duration = Duration::from_secs(3 * 60);

pub fn exec(home: &Home, argv: &[&str]) -> Ran {
    home.run(&[&["exec", VM, "--"], argv].concat())
}

pub fn sh(home: &Home, script: &str) -> String {
    let ran = exec(home, &["sh", "-c", script]);
    assert_eq!(ran.code, 0, "{script}: {}{}", ran.out, ran.err);
    ran.out
}

/// One VM goes through everything, because making and booting a guest is what takes the time.
#[test]
fn the_life_of_a_debian_guest() {
    let home = Home::new();
    home.ok(&["create", VM, "--user", "dev", "--ram", "2", "--storage", "20"]);
    assert!(!home.data().join("images").exists() || is_empty(&home.data().join("images")));
    let begun = Instant::now();
    let ran = finish(home.command(&["start", "--timeout", "10m", VM]), FIRST_START);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(home.state(), "running");
    crate::report(&format!("image made and guest booted: {:.1} s", begun.elapsed().as_secs_f64()));
    for (name, part) in PARTS {
        let begun = Instant::now();
        part(&home);
        crate::report(&format!("{name}: {:.1} s", begun.elapsed().as_secs_f64()));
    }
}

type Part = (&'static str, fn(&Home));

const PARTS: &[Part] = &[
    ("is what was asked for", is_what_was_asked_for),
    ("has what agents need", has_what_agents_need),
    ("Claude Code starts without a question", claude::starts_without_a_question),
    ("sessions go on", agents::sessions_go_on),
    ("logins come and go", logins::come_and_go),
    ("runs go on", run::runs_go_on),
    ("every exit code arrives", every_exit_code_arrives),
    ("ten megabytes pass unchanged", ten_megabytes_pass_unchanged),
    ("a tree goes in and out", copying::a_tree_goes_in_and_out),
    ("work goes there and comes back", git::work_goes_there_and_comes_back),
    ("argv arrives through every login shell", argv_arrives_through_every_login_shell),
    ("users and directories", users_and_directories),
    ("signals are passed on", signals_are_passed_on),
    ("what takes too long is ended", what_takes_too_long_is_ended),
    ("a shell in a terminal", a_shell_in_a_terminal),
    ("forwards both ways", forwards_both_ways),
    ("applies its configuration", rebuild::applies_its_configuration),
    ("secrets stay inside", secrets_stay_inside),
    ("new keys take over", new_keys_take_over),
    ("survives its own reboot", survives_its_own_reboot),
    ("survives a crash of its kernel", survives_a_crash_of_its_kernel),
    ("shares are added", shares::are_added_while_it_runs),
    ("files are kept over a stop", files_are_kept_over_a_stop),
    ("shares are there", shares::are_there_and_only_as_they_should),
    ("shares are changed", shares::are_changed_while_it_runs),
    ("files are kept over a restart", files_are_kept_over_a_restart),
    ("shares are other ones", shares::are_other_ones_now),
    ("powered off from inside", powered_off_from_inside),
    ("a second one shares the image", a_second_one_shares_the_image),
    ("run here without a verb", launch::runs_here_and_starts_again_from_anywhere),
    ("forgets, run here", launch::forgets_what_was_written),
    ("a NixOS-shaped one boots what was recorded", nixos_shaped::boots_what_was_recorded),
    ("the documents can be followed", documents_typed::as_one_session),
    ("nothing is left", nothing_is_left),
];

fn is_what_was_asked_for(home: &Home) {
    assert_eq!(sh(home, "hostname; id -un; id -u"), "web\ndev\n1000\n");
    assert_eq!(sh(home, "sudo -n id -u"), "0\n");
    assert_eq!(sh(home, "nproc"), "2\n");
    let mib: u64 = sh(home, "awk '/MemTotal/ {print int($2/1024)}' /proc/meminfo").trim().parse().unwrap();
    assert!((1700..=2048).contains(&mib), "{mib} MiB");
    let gib: u64 = sh(home, "df --output=size -BG / | tail -n1 | tr -dc 0-9").parse().unwrap();
    assert!((18..=20).contains(&gib), "the disk was not grown: {gib} GiB");
    let ours = std::fs::read_to_string(home.vm(VM).join("identity/machine-id")).unwrap();
    assert_eq!(sh(home, "cat /etc/machine-id").trim(), ours.trim());
    assert_eq!(sh(home, "systemctl --failed --no-legend --plain"), "");
    // By key only.
    let settings = sh(home, "sudo -n sshd -T");
    for line in ["passwordauthentication no", "permitrootlogin no", "kbdinteractiveauthentication no"] {
        assert!(settings.contains(line), "{line}: {settings}");
    }
    home.ok(&["wait", VM]);
    let console = home.ok(&["logs", VM]).out;
    assert!(console.contains("dev (automatic login)"), "{console}");
}

fn has_what_agents_need(home: &Home) {
    let tools = "systemctl sshd sudo git tmux rsync curl rg jq python3 gcc make node npm claude start-claude";
    let missing = sh(
        home,
        &format!("for t in {tools}; do PATH=$PATH:/usr/sbin command -v $t >/dev/null || echo $t; done"),
    );
    assert_eq!(missing, "");
    for module in ["9pnet_virtio", "9p", "virtiofs", "snd_hda_intel"] {
        sh(home, &format!("sudo -n modprobe {module}"));
    }
    assert!(sh(home, "claude --version").contains("Claude Code"));
}

fn every_exit_code_arrives(home: &Home) {
    std::thread::scope(|scope| {
        for worker in 0..4 {
            scope.spawn(move || {
                for code in (worker..256).step_by(4) {
                    assert_eq!(exec(home, &["sh", "-c", &format!("exit {code}")]).code, code);
                }
            });
        }
    });
}

fn ten_megabytes_pass_unchanged(home: &Home) {
    let there = home.dir().join("bytes");
    let back = home.dir().join("back");
    let mut state = 7u64;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(10 << 20)
    .collect();
    std::fs::write(&there, &bytes).unwrap();
    let mut command = home.command(&["exec", VM, "--", "sh", "-c", "cat > in; sha256sum < in >&2; cat in"]);
    command.stdin(File::open(&there).unwrap()).stdout(File::create(&back).unwrap());
    assert!(command.stderr(Stdio::null()).status().unwrap().success());
    assert!(std::fs::read(&back).unwrap() == bytes, "10 MB came back changed");
}

fn argv_arrives_through_every_login_shell(home: &Home) {
    let corpus = [
        "",
        " ",
        "a  b",
        "'",
        "''",
        "\"",
        "\\",
        "\\\\'",
        "$HOME",
        "$(id)",
        "`id`",
        "!x",
        "*",
        "~",
        "#x",
        "-e",
        "--",
        "a\nb\n",
        "\t",
        "äöü€😀",
        ";",
        "&&",
        "|",
        ">f",
        "{a,b}",
        "%s%n",
        "(a)",
        "[a]",
        "\u{7}",
        "^",
        "=",
        "@",
    ];
    let expected: String = corpus.iter().map(|arg| format!("{arg}\0")).collect();
    for (shell, prompt) in [("/bin/dash", "$ "), ("/usr/bin/fish", "> "), ("/bin/bash", "$ ")] {
        home.ok(&["exec", "-u", "root", VM, "--", "usermod", "--shell", shell, "dev"]);
        // A connection that is kept knows the shell of its own login; on the first of these the command line goes to
        // the new one, on the second to the shell that waits.
        for way in [["exec", "--no-mux", VM, "--"].as_slice(), &["exec", VM, "--"]] {
            let ran = home.run(&[way, &["printf", "%s\\0"], corpus.as_slice()].concat());
            assert_eq!((ran.code, ran.out.as_str()), (0, expected.as_str()), "{shell}: {}", ran.err);
        }
        // The shell itself can be used, whatever it is.
        let mut pty = Pty::run(&home.command(&["shell", "--no-mux", VM]));
        pty.expect(prompt);
        pty.type_keys("echo shell''-is-there\r");
        pty.expect("shell-is-there");
        pty.type_keys("exit 5\r");
        assert_eq!(pty.exit_code(), 5, "{shell}: {}", pty.screen());
    }
}

fn users_and_directories(home: &Home) {
    let run = |args: &[&str]| home.ok(&[&["exec"], args].concat()).out;
    assert_eq!(run(&["-u", "root", VM, "--", "id", "-un"]), "root\n");
    assert_eq!(run(&["-C", "/usr/share", VM, "--", "pwd"]), "/usr/share\n");
    assert_eq!(run(&["-e", "A=x y", "-e", "B=", VM, "--", "sh", "-c", "echo \"$A[$B]\""]), "x y[]\n");
    let ran = home.run(&["exec", "-C", "/nowhere", VM, "--", "true"]);
    assert_ne!(ran.code, 0);
    // The same PATH as in a login shell.
    assert!(run(&[VM, "--", "sh", "-c", "echo $PATH"]).contains("/home/dev/.local/bin"));
}

fn signals_are_passed_on(home: &Home) {
    for (name, code) in [("TERM", 41), ("INT", 43)] {
        let script = format!("trap 'exit {code}' {name}; echo up; sleep 1000 & wait $!");
        let out = File::create(home.dir().join("up")).unwrap();
        let mut command = home.command(&["exec", VM, "--", "sh", "-c", &script]);
        let child = command.stdout(out).stderr(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while std::fs::read(home.dir().join("up")).unwrap().is_empty() {
            assert!(Instant::now() < deadline, "the command did not begin");
            std::thread::sleep(Duration::from_millis(20));
        }
        processes::signal(child.id(), name);
        assert_eq!(wait(child, Duration::from_secs(30), name).code, code, "{name}");
    }
}

fn what_takes_too_long_is_ended(home: &Home) {
    for way in [["exec", VM].as_slice(), &["exec", "--no-mux", VM]] {
        let ran = home.run(&[way, &["--run-timeout", "1", "--", "sleep", "987"]].concat());
        assert_eq!(ran.code, 124, "{}", ran.err);
        assert_eq!(exec(home, &["pgrep", "-fx", "sleep 987"]).out, "", "it goes on in the guest");
    }
}

fn a_shell_in_a_terminal(home: &Home) {
    let mut pty = Pty::run(&home.command(&["shell", VM]));
    pty.type_keys("stty size; tty; echo $TERM\r");
    pty.expect("30 100");
    pty.expect("/dev/pts/");
    pty.expect("xterm-256color");
    pty.resize(90, 20);
    pty.type_keys("sleep 0.5; stty size\r");
    pty.expect("20 90");
    pty.type_keys("exit 3\r");
    assert_eq!(pty.exit_code(), 3);
    assert!(pty.is_cooked());
}

fn secrets_stay_inside(home: &Home) {
    let identity = home.vm(VM).join("identity");
    let pid = processes::running(home)[0].0;
    let mut seen = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    seen.extend(std::fs::read(format!("/proc/{pid}/environ")).unwrap());
    seen.extend(std::fs::read(home.vm(VM).join("console.log")).unwrap());
    seen.extend(std::fs::read(home.vm(VM).join("qemu.log")).unwrap());
    let seen = String::from_utf8_lossy(&seen);
    for key in ["id_ed25519", "host_ed25519"] {
        let text = std::fs::read_to_string(identity.join(key)).unwrap();
        // The first lines are the same in all keys.
        let secret = text.lines().nth(3).unwrap();
        assert!(secret.len() > 40 && !seen.contains(secret), "{key} got out");
    }
    // The login key never goes in. (Looked for by its bytes from stdin: arguments would be in the guest's own journal.)
    let secret = home.dir().join("secret");
    let login_key = std::fs::read_to_string(identity.join("id_ed25519")).unwrap();
    std::fs::write(&secret, login_key.lines().nth(3).unwrap()).unwrap();
    let places = ["/etc", "/root", "/home", "/run"];
    let search = [&["exec", VM, "--", "sudo", "-n", "grep", "-rlFf-"], places.as_slice()].concat();
    let mut search = home.command(&search);
    search.stdin(File::open(&secret).unwrap());
    let ran = finish(search, Duration::from_secs(60));
    assert_eq!(ran.out, "", "{}", ran.err);
    // Only who is root in the guest can read the guest's host key.
    assert_eq!(sh(home, "cat /etc/ssh/*_key /run/ai-vm/*key* 2>/dev/null | grep -c PRIVATE || true"), "0\n");
    let open: Vec<_> =
        processes::modes(&home.data()).into_iter().filter(|(_, mode)| mode & 0o077 != 0).collect();
    assert!(open.is_empty(), "{open:?}");
}

fn login_key(home: &Home) -> String {
    std::fs::read_to_string(home.vm(VM).join("identity/id_ed25519.pub")).unwrap()
}

fn new_keys_take_over(home: &Home) {
    let old = login_key(home);
    home.ok(&["ssh-keys", "rotate", VM]);
    assert_ne!(login_key(home), old);
    assert_eq!(sh(home, "cat /run/ai-vm/authorized_keys/dev"), login_key(home));
}

fn survives_its_own_reboot(home: &Home) {
    boots_again_after(home, "systemctl reboot");
    assert_eq!(sh(home, "hostname"), "web\n");
    // The credentials of this launch name the key that it began with, which was changed since.
    assert_eq!(sh(home, "cat /run/ai-vm/authorized_keys/dev"), login_key(home));
}

fn survives_a_crash_of_its_kernel(home: &Home) {
    boots_again_after(home, "sh -c 'sync; echo c > /proc/sysrq-trigger'");
}

/// Runs a command as root, which makes the guest boot, and waits until it has.
fn boots_again_after(home: &Home, command: &str) {
    let before = sh(home, "cat /proc/sys/kernel/random/boot_id");
    exec(home, &["sh", "-c", &format!("sudo -n {command}")]);
    // An emulated kernel can stand still for half a minute while it boots (`soft lockup` on its console), and the command
    // waits for it.
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let asked = home.command(&["exec", VM, "--", "cat", "/proc/sys/kernel/random/boot_id"]);
        let ran = finish(asked, deadline.saturating_duration_since(Instant::now()));
        if ran.code == 0 && ran.out != before {
            break;
        }
        assert!(Instant::now() < deadline, "it did not come back: {}", ran.err);
    }
}

fn files_are_kept_over_a_stop(home: &Home) {
    sh(home, "echo kept > file; sync");
    home.ok(&["stop", VM]);
    assert_eq!(home.state(), "stopped");
    let ran = exec(home, &["true"]);
    assert_eq!(ran.code, 125);
    assert!(ran.err.contains("ai-vm start web"), "{}", ran.err);
    // Starts it, waits for it, runs in it.
    let ran = finish(home.command(&["exec", "--start", VM, "--", "cat", "file"]), BOOT);
    assert_eq!((ran.code, ran.out.as_str()), (0, "kept\n"), "{}", ran.err);
}

fn files_are_kept_over_a_restart(home: &Home) {
    let ran = finish(home.command(&["restart", VM]), BOOT);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(sh(home, "cat file; hostname"), "kept\nweb\n");
    rebuild::its_effect_is_kept(home);
}

fn powered_off_from_inside(home: &Home) {
    exec(home, &["sudo", "systemctl", "poweroff"]);
    home.ok(&["wait", "--stopped", "--timeout", "60", VM]);
    assert_eq!(home.state(), "stopped");
}

fn a_second_one_shares_the_image(home: &Home) {
    let ran = home.ok(&["up", "other", "--user", "dev", "--ram", "1", "--no-default-ports"]);
    assert!(!ran.err.contains("making the image"), "{}", ran.err);
    assert_eq!(home.ok(&["exec", "other", "--", "cat", "/etc/hostname"]).out.trim(), "other");
    assert_eq!(home.run(&["exec", "other", "--", "cat", "file"]).code, 1);
    let ran = home.run(&["image", "prune"]);
    assert_eq!(ran.code, 0);
    assert!(!is_empty(&home.data().join("images")), "an image in use was pruned");
}

fn nothing_is_left(home: &Home) {
    home.ok(&["rm", "--force", "--all", "--yes"]);
    assert!(home.list().is_empty() && processes::running(home).is_empty());
    home.ok(&["image", "prune"]);
    for dir in ["vms", "staging"] {
        assert!(is_empty(&home.data().join(dir)), "{dir} is not empty");
    }
    let images: Vec<_> = std::fs::read_dir(home.data().join("images")).unwrap().flatten().collect();
    assert!(images.iter().all(|entry| entry.path().is_file()), "{images:?}");
}

fn is_empty(dir: &std::path::Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}
