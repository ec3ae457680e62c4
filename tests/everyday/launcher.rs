//! `ai-vm` alone: what can be picked in its menus, and that it is done.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::home::{Home, finish};
use crate::machine;
use crate::processes;
use crate::pty::Pty;
use crate::seat;
use crate::sshd::Guest;

/// The menus in a terminal of this size, begun in the home.
pub fn menus(home: &Home, columns: u16, args: &[&str], settings: &[(&str, &str)]) -> Pty {
    // What is run in the place of a shell has its terminal, and its process.
    let script = format!("stty cols {columns} rows 24; cd \"$1\" && shift && exec env \"$@\"");
    let command = home.command(args);
    let mut inside = Command::new("sh");
    inside.args(["-c", &script, "sh"]).arg(home.dir());
    inside.args(settings.iter().map(|(name, value)| format!("{name}={value}")));
    inside.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => inside.env(name, value),
            None => inside.env_remove(name),
        };
    }
    Pty::run(&inside)
}

/// Goes through menus: waits for each, and types what is for it.
pub fn go(pty: &mut Pty, steps: &[(&str, &str)]) {
    for (title, keys) in steps {
        expect_last(pty, title);
        pty.type_keys(keys);
    }
}

/// Waits until the menu that was drawn last has this in it.
pub fn expect_last(pty: &Pty, text: &str) {
    drop(pty.wait(|seen| drawn_last(seen).is_some_and(|menu| menu.contains(text)), text));
}

/// The menu that was drawn last, once all of it is there: behind it the rest is cleared, and the cursor is put into it.
pub fn drawn_last(seen: &str) -> Option<String> {
    let mut parts = seen.rsplit("\u{1b}[J");
    parts.next().filter(|tail| tail.ends_with('C'))?;
    parts.next().map(plain)
}

/// What is on the terminal without what only moves the cursor or clears.
pub fn plain(screen: &str) -> String {
    let mut out = String::new();
    let mut rest = screen.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' && rest.next_if_eq(&'[').is_some() {
            while rest.next().is_some_and(|c| !c.is_ascii_alphabetic()) {}
        } else {
            out.push(c);
        }
    }
    out
}

/// The process of the binary in a home, if there is one.
pub fn process(home: &Home) -> Option<u32> {
    let ours = format!("AI_VM_HOME={}", home.data().display());
    processes::all().find(|pid| {
        let program = std::fs::read_link(format!("/proc/{pid}/exe"));
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        program.is_ok_and(|program| program.ends_with("ai-vm"))
            && environment.split(|byte| *byte == 0).any(|variable| variable == ours.as_bytes())
    })
}

fn record(home: &Home, name: &str) -> Value {
    home.list().into_iter().find(|vm| vm["name"] == name).unwrap_or_else(|| panic!("there is no `{name}`"))
}

#[test]
fn a_vm_that_runs_is_picked_and_its_shell_opens() {
    let guest = Guest::serve("");
    guest.home.ok(&["create", "another"]);
    let mut pty = menus(&guest.home, 100, &[], &[]);
    // Those that run, or are about to, come first.
    go(&mut pty, &[("Open a shell in: ", "\r")]);
    pty.expect("without menus: ai-vm shell vm\r\n");
    pty.type_keys("echo in''side; exit 9\r");
    pty.expect("inside\r\n");
    assert_eq!(pty.exit_code(), 9, "{}", pty.screen());
    assert!(pty.is_cooked());
    let seen = plain(&pty.screen());
    assert!(seen.contains("> vm       starting") && seen.contains("  another  stopped"), "{seen}");
}

#[test]
fn what_goes_with_every_verb_goes_with_what_is_picked() {
    let guest = Guest::serve("");
    let mut pty = menus(&guest.home, 100, &["--progress", "plain"], &[]);
    go(&mut pty, &[("Open a shell in: ", "\r")]);
    pty.expect("without menus: ai-vm shell vm --progress plain\r\n");
    pty.type_keys("exit 9\r");
    assert_eq!(pty.exit_code(), 9, "{}", pty.screen());
}

#[test]
fn up_opens_a_shell_where_that_is_asked_for() {
    let guest = Guest::serve("");
    let mut pty = Pty::run(&guest.home.command(&["up", "vm", "--shell"]));
    pty.type_keys("exit 7\r");
    assert_eq!(pty.exit_code(), 7, "{}", pty.screen());
    let ran = guest.home.run(&["up", "vm", "other", "--shell"]);
    assert!(ran.code == 2 && ran.err.contains("`--shell` is for one VM"), "{}", ran.err);
    assert_eq!(guest.home.list().len(), 1);
}

#[test]
fn one_that_is_stopped_is_found_by_a_few_letters_and_started() {
    let home = Home::new();
    machine::create(&home);
    home.ok(&["create", "database", "web"]);
    let mut pty = menus(&home, 100, &[], &[]);
    go(&mut pty, &[("Open a shell in: ", "dtb"), ("Open a shell in: dtb", "\u{15}vm\r")]);
    pty.expect("without menus: ai-vm shell vm --start\r\n");
    let deadline = Instant::now() + Duration::from_secs(60);
    while processes::running(&home).is_empty() {
        assert!(Instant::now() < deadline, "{}", pty.screen());
        std::thread::sleep(Duration::from_millis(20));
    }
    // Nothing of the menus keeps it from being interrupted.
    pty.type_keys("\u{3}");
    while process(&home).is_some() {
        assert!(Instant::now() < deadline, "{}", pty.screen());
        std::thread::sleep(Duration::from_millis(20));
    }
    let seen = plain(&pty.screen());
    let filtered = seen.split("Open a shell in: dtb").nth(1).unwrap();
    let rows: Vec<&str> = filtered.split("\r\n").skip(1).take(2).collect();
    assert!(rows[0].starts_with("> database  stopped") && rows[1].starts_with("Esc leaves"), "{rows:?}");
}

/// Everything that can be picked for a VM that boots an empty disk.
fn pick_all(home: &Home) -> (Pty, PathBuf) {
    let share = home.dir().join("it's shared");
    std::fs::create_dir(&share).unwrap();
    std::fs::File::create(home.dir().join("empty.img")).unwrap().set_len(1 << 20).unwrap();
    let mut pty = menus(home, 100, &[], &[]);
    go(
        &mut pty,
        &[
            ("New VM: ", "name\r"),
            ("Name: ", "box\r"),
            ("New VM: ", "memory\r"),
            ("Memory: ", "lots\r"),
            ("`lots` is not a valid memory size", "\u{15}0\r"),
            ("a memory size of `0` is out of range: from 128mb to 1024gb", "\u{15}160mb\r"),
            ("New VM: ", "processors\r"),
            ("Processors: ", "\u{1b}[A\r"),
            ("New VM: ", "disk\r"),
            ("Disk: ", "7\r"),
            ("New VM: ", "guest\r"),
            ("Guest: ", "image\r"),
            ("Image: file or https URL: ", "nothing\r"),
            ("there is no file `", "\u{15}~/empty.img\r"),
            ("New VM: ", "overlay\r"),
            ("yes, a clean disk at each start", "desktop\r"),
            ("Desktop: ", "12\u{1b}[B"),
            ("Desktop: 12", "\u{15}1024x\r"),
            ("`1024x` is not a resolution", "768\r"),
            ("> desktop       1024x768", "desktop\r"),
            // The port of a screen would be everybody's: tests run side by side, each with a registry of its own.
            ("Desktop: ", "no\r"),
            ("> desktop       no", "shares\r"),
            ("Shares: ", "read\r"),
            ("Folder to read: ", "it\t\u{7f}\r"),
            ("ro /", "done\r"),
            ("New VM: ", "ports\r"),
            ("Ports: ", "add\r"),
            ("HOST:GUEST, or auto:GUEST: ", "80\r"),
            ("`80` is not a port forward", "\u{15}auto:8081\r"),
            ("auto:8081", "3001\r"),
            ("not forwarded", "done\r"),
            ("New VM: ", "claude\r"),
            ("Claude login: ", "token\r"),
            ("New VM: ", "make\r"),
        ],
    );
    (pty, share)
}

/// The command line that is shown, read and made anew by a shell with other words at its beginning.
fn again(home: &Home, shown: &str, begin: &str) {
    let bin = home.dir().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ai-vm"), bin.join("ai-vm")).unwrap();
    let line = shown.replacen("ai-vm --name box", begin, 1);
    assert_ne!(line, shown);
    let settings = home.command(&[]);
    let mut command = Command::new("sh");
    command.args(["-c", &line]).current_dir("/");
    for (name, value) in settings.get_envs() {
        value.map(|value| command.env(name, value));
    }
    command.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    let ran = finish(command, Duration::from_secs(60));
    assert_eq!(ran.code, 0, "{line}: {}", ran.err);
}

#[test]
fn what_is_picked_is_made_and_the_command_line_says_the_same() {
    let home = Home::new();
    let (mut pty, share) = pick_all(&home);
    go(&mut pty, &[("How: ", "run it here\r")]);
    pty.expect("without menus: ");
    pty.expect("SeaBIOS");
    pty.type_keys("\u{3}");
    pty.expect("stopping");
    pty.type_keys("\u{3}");
    assert_eq!(pty.exit_code(), 130, "{}", pty.screen());
    assert!(pty.is_cooked());
    let mut made = record(&home, "box");
    let picked = [
        ("ram_mib", 160.into()),
        ("cpus", 1.into()),
        ("disk_gib", 7.into()),
        ("guest", "image".into()),
        ("overlay", true.into()),
        ("desktop", Value::Null),
        ("claude", "token".into()),
    ];
    for (key, value) in picked {
        assert_eq!(made[key], Value::clone(&value), "{key}: {made}");
    }
    let real = std::fs::canonicalize(&share).unwrap();
    assert_eq!(
        (&made["shares"][0]["mode"], &made["shares"][0]["path"]),
        (&"ro".into(), &real.to_str().unwrap().into())
    );
    assert_eq!(made["ports"][1]["guest"], 8081);
    assert_eq!(made["ports"].as_array().unwrap().len(), 2, "{made}");
    // The same by what was shown.
    let screen = pty.screen();
    let shown = screen.split("without menus: ").nth(1).unwrap().split("\r\n").next().unwrap();
    home.ok(&["rm", "box"]);
    again(&home, shown, "ai-vm create other");
    let mut other = record(&home, "other");
    for vm in [&mut made, &mut other] {
        let vm = vm.as_object_mut().unwrap();
        for own in ["name", "created", "ports", "ssh_port", "outdated"] {
            vm.remove(own);
        }
    }
    assert_eq!(made, other);
}

#[test]
fn the_command_can_be_had_alone_and_names_no_defaults() {
    let home = Home::new();
    home.ok(&["create", "ai-vm"]);
    let mut pty = menus(&home, 100, &[], &[]);
    go(
        &mut pty,
        &[
            ("Open a shell in: ", "new\r"),
            ("New VM: ", "memory\r"),
            ("Memory: ", "8\r"),
            ("New VM: ", "disk\r"),
            ("Disk: ", "\u{1b}"),
            ("New VM: ", "make\r"),
            ("How: ", "only\r"),
        ],
    );
    assert_eq!(pty.exit_code(), 0, "{}", pty.screen());
    // The name is one that is free.
    drop(pty.wait(|seen| seen.ends_with("\u{1b}[Jai-vm up ai-vm-2\r\n"), "the command"));
    assert_eq!(home.list().len(), 1);
}

#[test]
fn an_unsafe_folder_is_shared_only_by_an_explicit_choice() {
    let home = Home::new();
    home.ok(&["ls"]);
    let folder = home.dir().join("plain");
    std::fs::create_dir(&folder).unwrap();
    let mut pty = menus(&home, 100, &[], &[]);
    go(
        &mut pty,
        &[
            ("New VM: ", "shares\r"),
            ("Shares: ", "change\r"),
            ("Folder to change: ", "\u{15}/proc\r"),
            ("`/proc` holds the machine itself and is never shared", "\u{15}~\r"),
            ("Share it: ", "\r"),
            ("Folder to change: ", "\u{15}~/plain\r"),
            ("rw /", "change\r"),
            ("Folder to change: ", "\u{15}~/plain\r"),
            ("is shared already", "\u{1b}"),
            ("Shares: ", "change\r"),
            ("Folder to change: ", "\u{15}~\r"),
        ],
    );
    expect_last(&pty, "Share it: ");
    let seen = plain(&pty.screen());
    assert!(seen.contains("is a whole home, or has one in it") && !seen.contains("--i-know"), "{seen}");
    go(
        &mut pty,
        &[
            ("Share it: ", "nevertheless\r"),
            ("Shares: ", "done\r"),
            ("--i-know", "shares\r"),
            // Taken away again, it is insisted on no longer.
            ("Shares: ", "\u{1b}[A\u{1b}[A\r"),
            ("Shares: ", "done\r"),
            ("New VM: ", "make\r"),
            ("How: ", "only\r"),
        ],
    );
    assert_eq!(pty.exit_code(), 0);
    let path = std::fs::canonicalize(&folder).unwrap();
    let printed = format!("\u{1b}[Jai-vm up ai-vm --share-rw {}\r\n", path.display());
    drop(pty.wait(|seen| seen.ends_with(&printed), &printed));
}

#[test]
fn sound_is_offered_where_this_machine_has_it_and_what_is_usual_by_a_few_keys() {
    let home = Home::new();
    home.ok(&["ls"]);
    let qemu = seat::qemu(&home, "qemu", "'-audiodev help') echo pa; exit 0 ;;");
    let socket = home.dir().join("pulse");
    let _server = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let server = format!("unix:{}", socket.display());
    let settings = [("AI_VM_QEMU", qemu.to_str().unwrap()), ("PULSE_SERVER", &server)];
    let mut pty = menus(&home, 100, &[], &settings);
    go(
        &mut pty,
        &[
            ("  audio         no", "audio\r"),
            ("> audio         yes", "desktop\r"),
            // The third of them.
            ("Desktop: ", "\u{1b}[B\u{1b}[B\u{1b}[B\r"),
            ("> desktop       2560x1440", "memory\r"),
            ("Memory: ", "\u{1b}[B\u{1b}[B\r"),
            ("> memory        32gb", "claude\r"),
            ("Claude login: ", "cop\r"),
            ("> Claude login  copy", "make\r"),
            ("How: ", "only\r"),
        ],
    );
    assert_eq!(pty.exit_code(), 0, "{}", pty.screen());
    let printed =
        "\u{1b}[Jai-vm up ai-vm --ram 32gb --claude copy --audio --desktop --resolution 2560x1440\r\n";
    drop(pty.wait(|seen| seen.ends_with(printed), printed));
    // Where nobody listens, it is not among the rows.
    let settings = [("AI_VM_QEMU", qemu.to_str().unwrap()), ("PULSE_SERVER", "unix:/nowhere")];
    let mut pty = menus(&home, 100, &[], &settings);
    expect_last(&pty, "New VM: ");
    assert!(!plain(&pty.screen()).contains("audio"), "{}", pty.screen());
    pty.type_keys("\u{3}");
    assert_eq!(pty.exit_code(), 130);
}
