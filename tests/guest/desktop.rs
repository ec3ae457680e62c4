//! A Debian guest with a desktop: the image, what is on the screen, what is typed there. Not run by itself, because it makes an
//! image that nothing else here needs: `cargo test --test guest -- --ignored`, or `AI_VM_TEST_DESKTOP=1 script/test`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::home::{Home, Ran, finish};

/// Making the image: twice what is downloaded and unpacked for one without a desktop.
const MAKE: Duration = Duration::from_secs(20 * 60);

/// An emulated guest draws its first desktop in one to two minutes.
const SETTLE: Duration = Duration::from_secs(5 * 60);

/// The colour of a terminal that nothing else here has.
const COLOUR: [u8; 3] = [0x12, 0xab, 0x34];

/// The binary as if nobody sat at this machine.
fn command(home: &Home, args: &[&str]) -> Command {
    let mut command = home.command(args);
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    command
}

fn sh(home: &Home, script: &str) -> Ran {
    home.run(&["exec", "desk", "--", "sh", "-c", script])
}

/// Waits until something holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + SETTLE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {SETTLE:?}");
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Has QEMU do something.
fn qmp(home: &Home, command: &str, arguments: &Value) {
    let mut stream = UnixStream::connect(home.vm("desk").join("qmp.sock")).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut ask = |request: Value| {
        writeln!(stream, "{request}").unwrap();
        let answer = lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains("\"return\"") || line.contains("\"error\""));
        assert!(answer.as_ref().is_some_and(|answer| answer.contains("\"return\"")), "{request}: {answer:?}");
    };
    ask(json!({ "execute": "qmp_capabilities" }));
    ask(json!({ "execute": command, "arguments": arguments }));
}

/// What is on the screen: its size, and its pixels.
struct Picture {
    size: (usize, usize),
    pixels: Vec<[u8; 3]>,
}

impl Picture {
    fn take(home: &Home) -> Self {
        let file = home.dir().join("screen.ppm");
        qmp(home, "screendump", &json!({ "filename": file }));
        Self::read(&file)
    }

    /// Reads a Portable Pixmap, the form that QEMU writes: `P6`, width, height and 255, each ended by white space, then bytes.
    fn read(file: &Path) -> Self {
        let bytes = std::fs::read(file).unwrap();
        let mut words = bytes.splitn(5, u8::is_ascii_whitespace);
        let mut word = || words.next().unwrap();
        assert_eq!(word(), b"P6");
        let mut number = || std::str::from_utf8(word()).unwrap().parse::<usize>().unwrap();
        let (size, largest) = ((number(), number()), number());
        assert_eq!(largest, 255);
        let pixels: Vec<[u8; 3]> = word().chunks_exact(3).map(|pixel| pixel.try_into().unwrap()).collect();
        assert_eq!(pixels.len(), size.0 * size.1);
        Self { size, pixels }
    }

    fn colours(&self) -> usize {
        self.pixels.iter().collect::<std::collections::HashSet<_>>().len()
    }

    /// How much of it has a colour.
    fn share(&self, colour: [u8; 3]) -> f64 {
        let count = self.pixels.iter().filter(|pixel| **pixel == colour).count();
        count as f64 / self.pixels.len() as f64
    }
}

/// The process of the desktop's session.
fn session(home: &Home) -> String {
    sh(home, "pgrep -xo xfce4-session").out
}

#[test]
#[ignore = "makes a second image, which takes some minutes: AI_VM_TEST_DESKTOP=1 script/test"]
fn a_desktop_is_on_the_screen() {
    let home = Home::new();
    let begun = Instant::now();
    let made = finish(command(&home, &["image", "build", "--desktop"]), MAKE);
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(made.err.contains("with a desktop, which takes some minutes"), "{}", made.err);
    let images: Value = serde_json::from_str(&home.ok(&["image", "ls", "--json"]).out).unwrap();
    let mib = images[0]["bytes"].as_u64().unwrap() >> 20;
    crate::report(&format!("image of {mib} MiB made: {:.1} s", begun.elapsed().as_secs_f64()));

    let begun = Instant::now();
    let flags = ["--user", "dev", "--ram", "2", "--resolution", "1440x900", "--timeout", "10m", "--desktop"];
    let ran = finish(command(&home, &[["up", "desk"].as_slice(), &flags].concat()), MAKE);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(!ran.err.contains("making the image"), "{}", ran.err);
    crate::report(&format!("booted: {:.1} s", begun.elapsed().as_secs_f64()));
    // More than a console and a cursor have.
    until("a desktop", || Picture::take(&home).colours() > 100);
    until("a panel", || sh(&home, "pgrep -x xfce4-panel").code == 0);
    crate::report(&format!("desktop there: {:.1} s", begun.elapsed().as_secs_f64()));
    let picture = Picture::take(&home);
    assert_eq!(picture.size, (1440, 900));
    assert!(sh(&home, "xrandr").out.contains("current 1440 x 900"), "{:?}", sh(&home, "xrandr"));
    let sessions = sh(&home, "loginctl list-sessions --no-legend").out;
    assert!(sessions.lines().any(|line| line.contains(" dev ") && line.contains("seat0")), "{sessions}");
    assert_eq!(sh(&home, "systemctl --failed --no-legend --plain").out, "");
    let tools = "for tool in thunar mousepad firefox-esr xdg-open wpctl; do command -v $tool >/dev/null || echo $tool; done";
    assert_eq!(sh(&home, tools).out, "");

    // A window that is opened by SSH is on the screen, and hears the keyboard.
    assert!(picture.share(COLOUR) < 0.01);
    let terminal = "setsid -f xfce4-terminal --maximize --color-bg='#12ab34' \
        -x sh -c 'read line; echo \"$line\" > typed; sleep 1000' >/dev/null 2>&1";
    assert_eq!(sh(&home, terminal).code, 0);
    until("a terminal", || Picture::take(&home).share(COLOUR) > 0.7);
    for key in ["h", "i", "ret"] {
        qmp(&home, "send-key", &json!({ "keys": [{ "type": "qcode", "data": key }] }));
    }
    until("keys", || sh(&home, "cat typed").out == "hi\n");

    // Who logs out is logged in again, because nobody could do it.
    let before = session(&home);
    sh(&home, "pkill -x xfce4-session");
    until("a new session", || !["", before.as_str()].contains(&session(&home).as_str()));

    let begun = Instant::now();
    let ran = finish(home.command(&["stop", "desk"]), MAKE);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(!ran.err.contains("did not power off"), "it did not power itself off: {}", ran.err);
    crate::report(&format!("powered off: {:.1} s", begun.elapsed().as_secs_f64()));
}
