//! Nothing that a guest says acts on the terminal, wherever it turns up: under a prefix, in a log, in an error, in a
//! name, in JSON, on the live line.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use ai_vm::host::layout::{Identity, VmDir};

use crate::fleet::Fleet;
use crate::home::Home;
use crate::pty::Pty;
use crate::sshd::Guest;

/// Between two words: the clipboard, the title, the palette, DCS, APC, PM, SOS, questions that the terminal would answer
/// by typing, reset, clearing, another screen, mouse and paste modes, C1 in UTF-8 and bare, a bell, backspaces, and turns
/// of the writing direction. The last is never closed.
const EVIL: &[u8] = b"begin\x1b]52;c;c2VjcmV0\x07\x1b]0;title\x07\x1b]2;t\x1b\\\x1b]4;1;?\x07\x1bP$q\"p\x1b\\\x1b_apc\x1b\\\
    \x1b^pm\x1b\\\x1bXsos\x1b\\\x1b[6n\x1b[5n\x1b[c\x1b[>c\x1b[21t\x1b[14t\x1bc\x1b[2J\x1b[H\x1b[?1049h\x1b[?1000h\x1b[?2004h\
    \xc2\x9b6n\xc2\x9d52;c;eA==\xc2\x9c\xc2\x90x\x9b6n\x07\x08\x08\x7f\xe2\x80\xae\xe2\x81\xa6end\x1b]52;c;";

/// What must not come through. What moves the live line, and colours, may.
const ACTS: [&str; 24] = [
    "\u{1b}]",
    "\u{1b}P",
    "\u{1b}_",
    "\u{1b}^",
    "\u{1b}X",
    "\u{1b}c",
    "\u{1b}[6n",
    "\u{1b}[5n",
    "\u{1b}[c",
    "\u{1b}[>c",
    "\u{1b}[21t",
    "\u{1b}[14t",
    "\u{1b}[2J",
    "\u{1b}[H",
    "\u{1b}[?10",
    "\u{1b}[?20",
    "\u{9b}",
    "\u{9d}",
    "\u{90}",
    "\u{7}",
    "\u{8}",
    "\u{7f}",
    "\u{202e}",
    "\u{2066}",
];

/// Runs a command on a terminal; returns its exit code and what has reached the terminal by then, in which both words
/// of the evil text are, and nothing that acts.
fn seen(command: &Command, about: &str) -> (i32, String) {
    let mut pty = Pty::run(command);
    let code = pty.exit_code();
    // Its last words may still be on their way to the screen when it has ended.
    pty.expect("end");
    let screen = pty.screen();
    assert!(screen.contains("begin"), "{about}: {screen:?}");
    for act in ACTS {
        assert!(!screen.contains(act), "{about}: {act:?} in {screen:?}");
    }
    (code, screen)
}

fn evil_file(home: &Home) -> String {
    let path = home.dir().join("evil");
    std::fs::write(&path, [EVIL, b"\n"].concat()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn of_many_machines() {
    let fleet = Fleet::new();
    let script = format!("cat {0}; cat {0} >&2; exit 3", evil_file(&fleet.home));
    for flags in [&[][..], &["--no-mux"], &["--no-prefix"], &["--group"], &["--json"]] {
        let args = [&["exec", "a", "b"], flags, &["--", "sh", "-c", &script]].concat();
        let (code, screen) = seen(&fleet.home.command(&args), &format!("exec {flags:?}"));
        assert_eq!(code, 3, "{screen}");
        if flags == ["--json"] {
            let from = screen.find('[').unwrap();
            let rows: Vec<serde_json::Value> = serde_json::from_str(&screen[from..]).unwrap();
            // A program gets it as it was, as far as it is text.
            let right = format!("{}\n", String::from_utf8_lossy(EVIL));
            assert_eq!(
                (&rows[0]["stdout"], &rows[1]["stderr"]),
                (&right.as_str().into(), &right.as_str().into())
            );
        }
    }
}

#[test]
fn of_a_machine_that_is_adopted() {
    let mut guest = Guest::silent();
    let evil = evil_file(&guest.home);
    let key = std::fs::read_to_string(guest.file(Identity::HOST_PUBLIC_KEY)).unwrap();
    let login = guest.file(Identity::LOGIN_KEY).display().to_string();
    let port = portpicker::pick_unused_port().unwrap();
    // What it is asked, it answers with this, and greets with it before.
    let greeting = guest.home.dir().join("greeting");
    // The library takes no greeting that is not UTF-8.
    std::fs::write(&greeting, String::from_utf8_lossy(EVIL).as_bytes()).unwrap();
    guest.move_to(port, &format!("ForceCommand cat {evil}\nBanner {}", greeting.display()));
    let address = format!("{}@127.0.0.1:{port}", crate::sshd::whoami());
    let args = ["adopt", "box", &address, "-i", &login, "--host-key", key.trim()];
    let (code, screen) = seen(&guest.home.command(&args), "adopt");
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("calls itself"), "{screen}");
}

#[test]
fn of_logs() {
    let guest = Guest::silent();
    for (file, flags) in [(VmDir::CONSOLE_LOG, &[][..]), (VmDir::QEMU_LOG, &["--qemu"])] {
        std::fs::write(guest.file(file), [EVIL, b"\n", EVIL].concat()).unwrap();
        for more in [&[][..], &["-n", "1"]] {
            let args = [&["logs"], flags, more, &["vm"]].concat();
            assert_eq!(seen(&guest.home.command(&args), &format!("{args:?}")).0, 0);
        }
    }
    let follow = Pty::run(&guest.home.command(&["logs", "-f", "vm"]));
    follow.expect("end");
    assert!(!ACTS.iter().any(|act| follow.screen().contains(act)), "{:?}", follow.screen());
}

#[test]
fn of_a_console_while_it_is_waited_for() {
    let guest = Guest::silent();
    std::fs::remove_file(guest.file(VmDir::READY)).unwrap();
    std::fs::write(guest.file(VmDir::CONSOLE_LOG), [EVIL, b"\n"].concat()).unwrap();
    let (code, screen) = seen(&guest.home.command(&["wait", "--timeout", "2", "vm"]), "wait");
    assert_eq!(code, 5, "{screen:?}");
    assert!(screen.contains("console: begin"), "{screen:?}");
}

#[test]
fn of_names_of_files() {
    let guest = Guest::serve("");
    let (there, here) = (guest.home.dir().join("there"), guest.home.dir().join("here"));
    let name: Vec<u8> = EVIL.iter().copied().filter(|byte| *byte != b'/').collect();
    let name = OsStr::from_bytes(&name);
    std::fs::create_dir(&there).unwrap();
    // Here something is in the way of the file; there a pipe is what is not copied.
    std::fs::create_dir_all(here.join("there").join(name).join("full")).unwrap();
    std::fs::write(there.join(name), "x").unwrap();
    let mut cp = guest.home.command(&["cp", "-r", "vm:there", here.to_str().unwrap()]);
    let (code, screen) = seen(cp.current_dir(guest.home.dir()), "cp: a directory in the way");
    assert_ne!(code, 0, "{screen}");
    std::fs::remove_file(there.join(name)).unwrap();
    assert!(Command::new("mkfifo").arg(there.join(name)).status().unwrap().success());
    let (_, screen) =
        seen(&guest.home.command(&["cp", "-r", "vm:there", here.to_str().unwrap()]), "cp: a pipe");
    assert!(screen.contains("end"), "{screen}");
}

#[test]
fn of_records_that_are_broken() {
    let guest = Guest::silent();
    let record = guest.file(VmDir::RECORD);
    let text = std::fs::read(&record).unwrap();
    let with = |line: &[u8]| [b"labels = '", line, b"'\n", text.as_slice()].concat();
    std::fs::write(&record, with(EVIL)).unwrap();
    for args in [
        &["ls"][..],
        &["info", "vm"],
        &["start", "vm"],
        &["ls", "--json"],
        &["ssh-config", "vm"],
        &["port", "ls"],
    ] {
        let mut pty = Pty::run(&guest.home.command(args));
        pty.exit_code();
        pty.expect("vm");
        assert!(!ACTS.iter().any(|act| pty.screen().contains(act)), "{args:?}: {:?}", pty.screen());
    }
    std::fs::write(&record, text).unwrap();
}
