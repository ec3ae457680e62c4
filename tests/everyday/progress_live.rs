//! How things are getting on, as people see it on a terminal: one line that changes and leaves nothing behind.

use std::fs;
use std::num::NonZero;
use std::process::Command;
use std::time::Duration;

use crate::home::Home;
use crate::machine;
use crate::processes;
use crate::progress::{Gated, downloading};
use crate::pty::Pty;
use crate::sshd::Guest;

/// What a terminal of this width shows after all that was written to it.
fn screen(pty: &Pty, columns: u16) -> vt100::Parser {
    shown(&pty.screen(), columns)
}

fn shown(text: &str, columns: u16) -> vt100::Parser {
    let size = |count| NonZero::new(count).unwrap();
    let mut terminal = vt100::Parser::new(size(30), size(columns), 200);
    terminal.process(text.as_bytes());
    terminal
}

/// The lines on it that are not empty.
fn lines(terminal: &vt100::Parser) -> Vec<String> {
    let (_, columns) = terminal.screen().size();
    let rows = terminal.screen().rows(0, columns.get());
    rows.map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// A VM that boots for ever.
fn boots() -> (Home, Command) {
    let home = Home::new();
    machine::create(&home);
    let command = home.command(&["up", "vm"]);
    (home, command)
}

/// Whatever of the text was seen first: no line ever had a part on the next row, and there was one line at most that came
/// from a program which draws.
fn never_wraps(text: &str, columns: u16) {
    // As far as it was drawn each time that a new drawing begins.
    for (end, _) in text.match_indices("\r") {
        let terminal = shown(&text[..end], columns);
        let wrapped = (0..30).find(|row| terminal.screen().row_wrapped(*row));
        let told = lines(&terminal);
        assert!(wrapped.is_none(), "row {wrapped:?} goes on in the next one: {told:?}");
    }
}

#[test]
fn a_line_goes_when_what_it_is_about_is_over() {
    let (home, _) = boots();
    for (columns, name) in [(100, "auto"), (40, "auto")] {
        let argv = ["up", "vm", "--timeout", "4", "--progress", name];
        let mut pty = Pty::run_in(&home.command(&argv), columns);
        pty.expect("booting");
        assert_eq!(pty.exit_code(), 5);
        pty.expect("error: ");
        pty.expect("hint: ");
        let text = pty.screen();
        let terminal = shown(&text, columns);
        assert!(!terminal.screen().hide_cursor());
        let left: String = lines(&terminal).join("");
        assert!(left.starts_with("error: ") && !left.contains("vm: booting"), "{left}");
        // Errors are as long as they are.
        never_wraps(text.split("error: ").next().unwrap(), columns);
        home.ok(&["stop", "--force", "vm"]);
    }
}

/// The process of `ai-vm up` in a home.
fn pid_of_up(home: &Home) -> u32 {
    let data = home.data().display().to_string();
    let is_it = |pid: &u32| {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let says = |file: &str, text: &str| String::from_utf8_lossy(&read(file)).contains(text);
        says("comm", "ai-vm") && says("cmdline", "\0up\0vm") && says("environ", &data)
    };
    let found: Vec<u32> = processes::all().filter(is_it).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}

#[test]
fn a_signal_takes_it_away_too() {
    let (home, command) = boots();
    for signal in ["TERM", "HUP", "INT"] {
        let mut pty = Pty::run(&command);
        pty.expect("booting");
        assert!(lines(&screen(&pty, 100)).iter().any(|line| line.contains("vm: booting")));
        processes::signal(pid_of_up(&home), signal);
        let code = pty.exit_code();
        assert_ne!(code, 0, "{signal}");
        let gone = |text: &str| {
            let left = lines(&shown(text, 100));
            // What `setsid` has to say of a death by a signal.
            left.iter().all(|line| line.contains("setsid"))
        };
        drop(pty.wait(gone, &format!("an empty screen after {signal}")));
        assert!(!screen(&pty, 100).screen().hide_cursor() && pty.is_cooked());
    }
    // The key is echoed behind the line, which then stays where it was; nothing is drawn after it.
    let mut pty = Pty::run(&command);
    pty.expect("booting");
    pty.type_keys("\x03");
    assert_ne!(pty.exit_code(), 0);
    pty.expect("^C");
    assert!(!screen(&pty, 100).screen().hide_cursor() && pty.is_cooked());
    drop(home);
}

#[test]
fn a_signal_that_is_ignored_stays_ignored() {
    let (home, command) = boots();
    // As the shell has it for what a script runs in the background.
    let mut inside = Command::new("sh");
    inside
        .args(["-c", "trap '' INT; exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        value.map(|value| inside.env(name, value));
    }
    let mut pty = Pty::run(&inside);
    pty.expect("booting");
    let pid = pid_of_up(&home);
    processes::signal(pid, "INT");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(pid_of_up(&home), pid, "it ended: {}", pty.screen());
    processes::signal(pid, "TERM");
    assert_ne!(pty.exit_code(), 0);
}

#[test]
fn a_copy_shows_how_far_it_is_on_one_line_however_narrow() {
    for columns in [40, 100] {
        let it = Gated::new();
        let name = "a-file-with-a-name-that-is-longer-than-the-terminal-is-wide";
        fs::write(it.guest.home.dir().join(name), vec![7; 8 << 20]).unwrap();
        let file = it.guest.home.dir().join(name);
        let argv = ["cp", "--no-mux", file.to_str().unwrap(), "vm:new"];
        let mut pty = Pty::run_in(&it.command(&argv), columns);
        let is_shown = |text: &str| {
            let told = lines(&shown(text, columns));
            told.len() == 1 && told[0].contains("vm: copying ") && told[0].contains('%')
        };
        drop(pty.wait(is_shown, "how far the copy is"));
        it.open();
        assert_eq!(pty.exit_code(), 0);
        drop(pty.wait(|text| lines(&shown(text, columns)).is_empty(), "an empty screen"));
        never_wraps(&pty.screen(), columns);
        assert_eq!(fs::metadata(it.guest.home.dir().join("new")).unwrap().len(), 8 << 20);
    }
}

#[test]
fn little_room_is_for_what_matters() {
    for (columns, step) in [(100, "vm: making the image: downloading 50%"), (40, "vm: downloading 50%")] {
        let home = Home::new();
        let (command, gate) = downloading(&home, &[]);
        let mut pty = Pty::run_in(&command, columns);
        let is_shown = |text: &str| lines(&shown(text, columns)).iter().any(|line| line.contains(step));
        drop(pty.wait(is_shown, step));
        fs::write(gate, "").unwrap();
        assert_eq!(pty.exit_code(), 0);
        home.ok(&["stop", "--force", "vm"]);
    }
}

#[test]
fn without_colours_and_in_plain_there_is_nothing_but_text() {
    let guest = Guest::silent();
    fs::remove_file(guest.file("ready")).unwrap();
    fs::write(guest.file("console.log"), "one\n\u{1b}[31mStarted\u{1b}]0;evil\u{7} x\n").unwrap();
    let argv = ["wait", "vm", "--timeout", "2"];
    let run = |flags: &[&str], variable: Option<(&str, &str)>| {
        let mut command = guest.home.command(&[&argv, flags].concat());
        command.envs(variable);
        let mut pty = Pty::run(&command);
        assert_eq!(pty.exit_code(), 5);
        pty.expect("hint: ");
        pty.screen()
    };
    let plain = run(&["--progress", "plain"], None);
    assert!(plain.starts_with("vm: booting\r\nerror: "), "{plain:?}");
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    let by_variable = run(&[], Some(("AI_VM_PROGRESS", "plain")));
    assert_eq!(by_variable, plain);
    let none = run(&["--progress", "none"], None);
    assert!(none.starts_with("error: ") && !none.contains('\u{1b}'), "{none:?}");
    let live = run(&[], Some(("NO_COLOR", "1")));
    assert!(live.contains("vm: booting  Started x"), "{live:?}");
    assert!(!live.contains("evil"), "{live:?}");
    // What moves the cursor is there, and nothing that colours: `ESC [ numbers m`.
    let colours = live
        .split("\u{1b}[")
        .skip(1)
        .filter(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m'));
    assert_eq!(colours.count(), 0, "{live:?}");
}

#[test]
fn output_of_many_and_their_lines_do_not_get_into_each_others_way() {
    let fleet = crate::fleet::Fleet::new();
    let gate = fleet.home.dir().join("gate");
    let script = format!("echo said; while [ ! -e '{}' ]; do sleep 0.02; done; echo over", gate.display());
    let mut pty = Pty::run(&fleet.home.command(&["exec", "--all", "-T", "--", "sh", "-c", &script]));
    let is_shown = |text: &str| {
        let told = lines(&shown(text, 100));
        let has = |part: &str| told.iter().filter(|line| line.contains(part)).count();
        has(" | said") == 3 && has(": running") == 3 && told.len() == 6
    };
    drop(pty.wait(is_shown, "three lines of output, and a line for each that runs"));
    fs::write(gate, "").unwrap();
    assert_eq!(pty.exit_code(), 0);
    let is_over = |text: &str| {
        let told = lines(&shown(text, 100));
        told.len() == 6 && told.iter().all(|line| line.contains(" | "))
    };
    drop(pty.wait(is_over, "nothing but the output"));
}
