//! The menus of `ai-vm` alone: how they are left, and how they look. Nothing stays behind.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::home::Home;
use crate::launcher::{drawn_last, expect_last, go, menus, plain, process};
use crate::processes;
use crate::pty::Pty;

/// The ways to every menu, from the first on: what is typed in which, and the title of where it leads.
const WAYS: [(&[(&str, &str)], &str); 18] = [
    (&[], FIRST),
    (&[(FIRST, "new\r")], FORM),
    (&[(FIRST, "new\r"), (FORM, "name\r")], "Name: "),
    (&[(FIRST, "new\r"), (FORM, "memory\r")], "Memory: "),
    (&[(FIRST, "new\r"), (FORM, "memory\r"), ("Memory: ", "lots\r")], "is not a valid memory size"),
    (&[(FIRST, "new\r"), (FORM, "processors\r")], "Processors: "),
    (&[(FIRST, "new\r"), (FORM, "disk\r")], "Disk: "),
    (&[(FIRST, "new\r"), (FORM, "guest\r")], "Guest: "),
    (&[(FIRST, "new\r"), (FORM, "guest\r"), ("Guest: ", "image\r")], IMAGE),
    (
        &[
            (FIRST, "new\r"),
            (FORM, "guest\r"),
            ("Guest: ", "image\r"),
            (IMAGE, "\u{15}https://example.org/x\r"),
        ],
        "Its SHA-256: ",
    ),
    (&[(FIRST, "new\r"), (FORM, "desktop\r")], "Desktop: "),
    (&[(FIRST, "new\r"), (FORM, "shares\r")], "Shares: "),
    (&[(FIRST, "new\r"), (FORM, "shares\r"), ("Shares: ", "read\r")], "Folder to read: "),
    (
        &[
            (FIRST, "new\r"),
            (FORM, "shares\r"),
            ("Shares: ", "change\r"),
            ("Folder to change: ", "\u{15}/etc\r"),
        ],
        "Share it: ",
    ),
    (&[(FIRST, "new\r"), (FORM, "ports\r")], "Ports: "),
    (&[(FIRST, "new\r"), (FORM, "ports\r"), ("Ports: ", "add\r")], "HOST:GUEST, or auto:GUEST: "),
    (&[(FIRST, "new\r"), (FORM, "claude\r")], "Claude login: "),
    (&[(FIRST, "new\r"), (FORM, "make\r")], "How: "),
];

const FIRST: &str = "Open a shell in: ";
const FORM: &str = "New VM: ";
const IMAGE: &str = "Image: file or https URL: ";

fn home() -> Home {
    let home = Home::new();
    home.ok(&["create", "vm", "--no-default-ports"]);
    home
}

/// Nothing is different from before, neither at the terminal nor in the registry.
fn assert_clean(home: &Home, pty: &Pty, place: &str) {
    assert!(pty.is_cooked(), "{place}: the terminal was not put back");
    // The menu is gone from the screen: the last thing was to clear it.
    let screen = pty.wait(|seen| seen.ends_with("\u{1b}[J"), "the end of the menu").clone();
    // No mode of the terminal was switched: neither the cursor nor the second screen, the mouse or pasting.
    assert!(!screen.contains("\u{1b}[?"), "{place}: {screen:?}");
    assert_eq!(home.list().len(), 1, "{place}: something was made");
}

#[test]
fn every_menu_is_left_by_ctrl_c() {
    let home = home();
    for (way, title) in WAYS {
        let mut pty = menus(&home, 100, &[], &[]);
        go(&mut pty, way);
        expect_last(&pty, title);
        assert!(!pty.is_cooked(), "{title}");
        pty.type_keys("\u{3}");
        assert_eq!(pty.exit_code(), 130, "{title}: {}", pty.screen());
        assert_clean(&home, &pty, title);
    }
}

#[test]
fn every_menu_goes_back_by_escape_and_the_first_one_leaves() {
    let home = home();
    for (way, title) in WAYS {
        let mut pty = menus(&home, 100, &[], &[]);
        go(&mut pty, way);
        expect_last(&pty, title);
        let before = pty.screen().len();
        // From each to the one that it was opened from; one that says what is wrong was opened from the one before.
        let opened = way.len() - usize::from(title.starts_with("is not"));
        let back = way[..opened].iter().map(|(title, _)| *title).rev();
        pty.type_keys("\u{1b}\u{1b}\u{1b}\u{1b}\u{1b}");
        assert_eq!(pty.exit_code(), 0, "{title}: {}", pty.screen());
        assert_clean(&home, &pty, title);
        let screen = pty.screen();
        let mut rest = &screen[before..];
        for title in back {
            let at = rest.find(title).unwrap_or_else(|| panic!("`{title}` did not come again: {rest:?}"));
            rest = &rest[at..];
        }
    }
}

#[test]
fn signals_leave_the_terminal_as_it_was() {
    let home = home();
    for (signal, code) in [("TERM", 143), ("HUP", 129), ("INT", 130), ("QUIT", 131)] {
        let mut pty = menus(&home, 100, &[], &[]);
        go(&mut pty, &[(FIRST, "new\r")]);
        expect_last(&pty, FORM);
        processes::signal(process(&home).unwrap(), signal);
        assert_eq!(pty.exit_code(), code, "{signal}: {}", pty.screen());
        assert_clean(&home, &pty, signal);
    }
}

#[test]
fn after_a_stop_it_is_drawn_again_and_goes_on() {
    let home = home();
    let mut pty = menus(&home, 100, &[], &[]);
    expect_last(&pty, FIRST);
    let before = pty.screen().len();
    let pid = process(&home).unwrap();
    processes::signal(pid, "STOP");
    // As a shell does with the terminal of what it has stopped.
    let sane = Command::new("stty").args(["sane", "-F", &format!("/proc/{pid}/fd/0")]).status();
    assert!(sane.unwrap().success() && pty.is_cooked());
    processes::signal(pid, "CONT");
    drop(pty.wait(|seen| seen[before..].contains(FIRST), "the menu again"));
    assert!(!pty.is_cooked());
    pty.type_keys("\u{1b}");
    assert_eq!(pty.exit_code(), 0);
    assert_clean(&home, &pty, "after a stop");
}

#[test]
fn a_terminal_that_goes_away_ends_it() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let home = home();
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let path = ptsname(&master, Vec::new()).unwrap();
    let slave = std::fs::File::options().read(true).write(true).open(path.to_str().unwrap()).unwrap();
    let mut command = home.command(&[]);
    // Not its controlling terminal, so no signal tells of it.
    command
        .stdin(slave.try_clone().unwrap())
        .stdout(slave.try_clone().unwrap())
        .stderr(slave.try_clone().unwrap());
    let mut child = command.env("TERM", "xterm").spawn().unwrap();
    drop((command, slave));
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(FIRST) {
        let mut chunk = [0; 1024];
        let count = rustix::io::read(&master, &mut chunk).unwrap();
        seen.extend_from_slice(&chunk[..count]);
    }
    drop(master);
    let deadline = Instant::now() + Duration::from_secs(30);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it goes on without a terminal");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(status.code(), Some(129));
}

#[test]
fn without_a_terminal_or_with_no_input_it_says_what_to_type() {
    let home = home();
    let ran = home.run(&[]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
    assert!(
        ran.err.starts_with("error: `ai-vm` alone opens menus, and there is no terminal here\n"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("hint: `ai-vm ls` lists VMs") && ran.err.lines().count() == 2, "{}", ran.err);
    for (args, settings, why) in [
        (&["--no-input"][..], &[][..], "nothing may be asked here (`--no-input`)"),
        (&[], &[("AI_VM_NO_INPUT", "1")], "nothing may be asked here"),
        (&[], &[("TERM", "dumb")], "this terminal cannot draw lines anew"),
    ] {
        let mut pty = menus(&home, 100, args, settings);
        assert_eq!(pty.exit_code(), 2, "{}", pty.screen());
        pty.expect(why);
        assert!(!pty.screen().contains('\u{1b}'), "{}", pty.screen());
    }
    let mut pty = menus(&home, 100, &[], &[("AI_VM_NO_INPUT", "0")]);
    go(&mut pty, &[(FIRST, "\u{1b}")]);
    assert_eq!(pty.exit_code(), 0);
}

#[test]
fn colours_are_the_terminals_own_and_none_where_none_are_wanted() {
    let home = home();
    let seen = |settings: &[(&str, &str)]| {
        let mut pty = menus(&home, 100, &[], settings);
        go(&mut pty, &[(FIRST, "new\r"), (FORM, "memory\r"), ("Memory: ", "lots\r")]);
        expect_last(&pty, "is not a valid memory size");
        pty.type_keys("\u{3}");
        assert_eq!(pty.exit_code(), 130);
        pty.screen()
    };
    let renditions = |screen: &str| -> Vec<String> {
        let sequences = screen.split("\u{1b}[").skip(1);
        let ends = sequences.filter_map(|sequence| {
            let end = sequence.find(|c: char| c.is_ascii_alphabetic())?;
            sequence[end..].starts_with('m').then(|| sequence[..end].to_owned())
        });
        ends.collect()
    };
    let coloured = renditions(&seen(&[]));
    assert!(!coloured.is_empty());
    for rendition in coloured {
        for part in rendition.split(';') {
            // Attributes and the eight colours of the letters: no background, no colour of ours.
            let number: u8 = part.parse().unwrap();
            assert!(number <= 2 || (30..=37).contains(&number), "{rendition}");
        }
    }
    assert_eq!(renditions(&seen(&[("NO_COLOR", "1")])), Vec::<String>::new());
}

#[test]
fn no_line_is_longer_than_a_narrow_screen() {
    let home = home();
    let long = "a-name-that-is-longer-than-a-narrow-screen-is";
    home.ok(&["create", long, "-p", "auto:8080", "-p", "auto:8081"]);
    for (way, title) in WAYS {
        let mut pty = menus(&home, 40, &[], &[]);
        // Titles are shorter where there is no room; what is typed is the same.
        expect_last(&pty, "Esc leaves");
        way.iter().for_each(|(_, keys)| pty.type_keys(keys));
        let rest: &str = title.rsplit(' ').find(|word| !word.is_empty()).unwrap_or(title);
        if !way.is_empty() {
            expect_last(&pty, rest);
        }
        pty.type_keys("\u{3}");
        assert_eq!(pty.exit_code(), 130, "{title}: {}", pty.screen());
        let seen = plain(&pty.screen());
        for line in seen.split(['\r', '\n']) {
            assert!(line.chars().count() <= 40, "{title}: {line:?}");
        }
    }
}

#[test]
fn a_screen_that_changes_its_size_is_drawn_anew() {
    let home = home();
    let mut pty = menus(&home, 100, &[], &[]);
    go(&mut pty, &[(FIRST, "new\r")]);
    expect_last(&pty, FORM);
    let before = pty.screen().len();
    pty.resize(30, 12);
    drop(pty.wait(|seen| drawn_last(&seen[before..]).is_some(), "the menu again"));
    let seen = plain(&pty.screen()[before..]);
    for line in seen.split(['\r', '\n']) {
        assert!(line.chars().count() <= 30, "{line:?}");
    }
    // As many rows as there are: the rest is below.
    assert!(seen.matches('\n').count() < 12, "{seen:?}");
    pty.type_keys("\u{3}");
    assert_eq!(pty.exit_code(), 130);
}

/// Every verb that asks something, or reads what somebody types.
#[test]
fn nothing_asks_where_nothing_may_be_asked() {
    let home = home();
    let file = home.dir().join(".ai-vm.toml");
    std::fs::write(&file, "name = 'web'\nports = ['auto:8000']\n").unwrap();
    let (host, key) = (home.dir().join("host"), home.dir().join("key"));
    for file in [&host, &key] {
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(file).status();
        assert!(made.unwrap().success());
    }
    let port = portpicker::pick_unused_port().unwrap();
    let _server = crate::sshd::Server::start(home.dir(), port, &host, &home.dir().join("key.pub"), "");
    let (address, file) = (format!("dev@127.0.0.1:{port}"), file.to_str().unwrap());
    let cases: [(&[&str], &str); 11] = [
        (&["rm", "--all"], "add `--yes`"),
        (&["up"], "ai-vm trust"),
        (&["adopt", "box", &address], "--host-key"),
        (&["trust", file], "--yes"),
        (&["creds", "set", "vm", "--token", "-"], "`--token - < FILE`"),
        (&["creds", "set", "--default", "--token", "-"], "`--token - < FILE`"),
        (&["agents", "send", "vm"], "`... - < FILE`"),
        (&["run", "vm", "--", "-"], "`... - < FILE`"),
        (&["claude", "vm", "--detach", "--", "-"], "`... - < FILE`"),
        (&["exec", "--all", "--stdin", "--", "cat"], "`... < FILE`"),
        (&["cp", "-", "vm:file"], "`... < FILE`"),
    ];
    for (args, named) in cases {
        let args = [&["--no-input"], args].concat();
        let mut pty = menus(&home, 100, &args, &[]);
        let code = pty.exit_code();
        assert!(![0, 130].contains(&code), "{args:?}: {}", pty.screen());
        drop(pty.wait(|seen| seen.replace("\r\n", "").contains(named), named));
        assert!(!pty.screen().contains("[y/N]"), "{args:?}: {}", pty.screen());
    }
    assert_eq!(home.list().len(), 1);
}
